"""For operators: whether the service is alive and ready, and its metrics."""

import asyncio
from typing import Any, Final

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import Response

from api.http.connections.limits import lies_in
from api.http.readiness import readiness
from api.http.routing import Here, address_of, noted
from api.http.services import Services
from api.identity.permissions import KeyRole
from api.refusals import Forbidden
from api.shared_answers.prepared import Prepared
from api.shared_answers.shared import Shared

router = APIRouter(tags=["operations"])

METRICS_FOR_S: Final = 1.0
READINESS_FOR_S: Final = 0.5
_BY_A_PROXY: Final = ("x-forwarded-for", "forwarded", "x-real-ip", "via")
_NOT_NOW: dict[int | str, dict[str, Any]] = {503: {"description": "Not so; the body says which part."}}
_METRICS: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/plain": {"schema": {"type": "string"}}}},
    401: {
        "description": "Without a key the metrics are for `OPERATOR_NETWORKS` only, and not through a proxy."
    },
    403: {"description": "The key is not one of `admin` or `ops` that is bound to nothing."},
}


def install(app: FastAPI) -> None:
    """Make what all callers share available to the routes."""
    app.state.readiness = Shared(lambda: readiness(app.state.services), for_s=READINESS_FOR_S)
    app.state.metrics = Shared(lambda: asyncio.to_thread(_metrics), for_s=METRICS_FOR_S)


@router.get("/livez", responses=_NOT_NOW)
async def livez(services: Here) -> JSONResponse:
    """Return whether this process works at all; if it does not, restart it."""
    tasks = services.alive()
    alive = all(tasks.values())
    return JSONResponse({"alive": alive, "tasks": dict(tasks)}, status_code=200 if alive else 503)


@router.get("/readyz", responses=_NOT_NOW)
async def readyz(request: Request) -> JSONResponse:
    """Return whether this process can do its work now: database, schema, broker, roles."""
    ready, parts = await request.app.state.readiness.get()
    return JSONResponse({"ready": ready, "parts": parts}, status_code=200 if ready else 503)


@router.get("/metrics", response_class=Response, responses=_METRICS)
async def metrics(request: Request, services: Here) -> Response:
    """Return the metrics of this process, in Prometheus' text format; they are made once a second at most.

    They need a key, except from `OPERATOR_NETWORKS`, by default this machine, where no proxy has handed the call on.
    """
    if not _is_near(request, services):
        with noted(request, "GET /metrics"):
            authorization = request.headers.get("authorization")
            principal = await services.authenticator.principal(authorization, address_of(request))
            request.state.principal = principal
            services.security.note_use(principal)
            if not principal.is_operator or principal.role not in {KeyRole.ADMIN, KeyRole.OPS}:
                raise Forbidden(
                    "The metrics take a key with the role admin or ops, bound to no organization."
                )
    prepared: Prepared = await request.app.state.metrics.get()
    return Response(**prepared.answer(request.headers))


def _is_near(request: Request, services: Services) -> bool:
    by_a_proxy = any(name in request.headers for name in _BY_A_PROXY)
    peer = request.client
    return peer is not None and not by_a_proxy and lies_in(peer.host, services.operator_networks)


def _metrics() -> Prepared:
    return Prepared.of(generate_latest(), CONTENT_TYPE_LATEST, level=1, headers={"Cache-Control": "no-store"})
