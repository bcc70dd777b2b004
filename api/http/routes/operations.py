"""For operators: whether the service is alive and ready, and its metrics."""

from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import Response

from api.http.readiness import readiness
from api.http.routing import Here

router = APIRouter(tags=["operations"])

_NOT_NOW: dict[int | str, dict[str, Any]] = {503: {"description": "Not so; the body says which part."}}


@router.get("/livez", responses=_NOT_NOW)
async def livez(services: Here) -> JSONResponse:
    """Return whether this process works at all; if it does not, restart it."""
    tasks = services.alive()
    alive = all(tasks.values())
    return JSONResponse({"alive": alive, "tasks": dict(tasks)}, status_code=200 if alive else 503)


@router.get("/readyz", responses=_NOT_NOW)
async def readyz(services: Here) -> JSONResponse:
    """Return whether this process can do its work now: database, schema, broker, roles."""
    ready, parts = await readiness(services)
    return JSONResponse({"ready": ready, "parts": parts}, status_code=200 if ready else 503)


@router.get("/metrics", response_class=Response)
async def metrics() -> Response:
    """Return the metrics of this process, in Prometheus' text format."""
    return Response(generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})
