"""The documentation of the HTTP interface, to read and to try; nothing of it is loaded from elsewhere."""

from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.pages.static_files import Files

router = APIRouter()

PAGE: Final = "docs/index.html"
HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}


@router.get("/docs", include_in_schema=False)
async def docs(request: Request) -> Response:
    """Show the interface, to read and to try."""
    files: Files = request.app.state.files
    return await files.answer(PAGE, request)
