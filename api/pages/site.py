"""All pages, and the files that they load, for an application to serve."""

from fastapi import FastAPI
from starlette.staticfiles import StaticFiles

from api.pages import docs
from api.pages.static_files import STATIC


def with_pages(app: FastAPI) -> FastAPI:
    """Return an application that also serves the pages, and under /static their files."""
    app.include_router(docs.router)
    app.mount("/static", StaticFiles(directory=STATIC))
    return app
