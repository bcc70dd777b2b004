"""For those who run the service: is it alive, is it ready, its figures, and the documents of its interface."""

from pathlib import Path
from typing import Any

from fastapi import APIRouter
from fastapi.responses import FileResponse, JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import Response

from api.http.readiness import readiness
from api.http.routing import Here

router = APIRouter(tags=["operations"])

STATIC = Path(__file__).parents[2] / "pages" / "static"
_DOCS_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_NOT_NOW: dict[int | str, dict[str, Any]] = {503: {"description": "Not so; the body says which part."}}


@router.get("/livez", responses=_NOT_NOW)
async def livez(services: Here) -> JSONResponse:
    """Tell whether this process works at all; where it does not, restart it."""
    tasks = services.alive()
    alive = all(tasks.values())
    return JSONResponse({"alive": alive, "tasks": dict(tasks)}, status_code=200 if alive else 503)


@router.get("/readyz", responses=_NOT_NOW)
async def readyz(services: Here) -> JSONResponse:
    """Tell whether this process can do its work now: database, schema, broker, roles."""
    ready, parts = await readiness(services)
    return JSONResponse({"ready": ready, "parts": parts}, status_code=200 if ready else 503)


@router.get("/metrics", response_class=Response)
async def metrics() -> Response:
    """Give the figures of this process, in Prometheus' text format."""
    return Response(generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})


@router.get("/docs", include_in_schema=False)
async def docs() -> FileResponse:
    """Show the interface, to read and to try; nothing is loaded from elsewhere."""
    return FileResponse(STATIC / "docs" / "index.html", headers={"Content-Security-Policy": _DOCS_POLICY})
