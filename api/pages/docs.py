"""The documentation of the HTTP interface, to read and to try; nothing of it is loaded from elsewhere."""

from typing import Final

from fastapi import APIRouter
from fastapi.responses import FileResponse

from api.pages.static_files import STATIC

router = APIRouter()

_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@router.get("/docs", include_in_schema=False)
async def docs() -> FileResponse:
    """Show the interface, to read and to try."""
    return FileResponse(STATIC / "docs" / "index.html", headers={"Content-Security-Policy": _POLICY})
