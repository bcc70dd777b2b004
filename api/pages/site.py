"""All pages, and the files that they load, for an application to serve."""

from fastapi import FastAPI

from api.pages import docs, static_files
from api.pages.static_files import Files


def with_pages(app: FastAPI) -> FastAPI:
    """Return an application that also serves the pages, and under /static their files."""
    app.state.files = Files({docs.PAGE: docs.HEADERS})
    app.include_router(docs.router)
    app.include_router(static_files.router)
    return app
