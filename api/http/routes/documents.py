"""The documents of the interface, whose bytes are made once: the calls as OpenAPI, everything else as AsyncAPI."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

import orjson
from fastapi import APIRouter, FastAPI, Request
from starlette.responses import JSONResponse, Response

from api.http.specifications import asyncapi
from api.shared_answers.prepared import Prepared
from api.shared_answers.shared import Shared

router = APIRouter(tags=["operations"])
_JSON: Final = "application/json"


def install(app: FastAPI) -> None:
    """Make the documents of this application available to the routes, and serve that of its calls, whatever its roles."""
    app.state.openapi_document = Shared(_prepared(app.openapi))
    app.state.asyncapi_document = Shared(_prepared(lambda: asyncapi.document(app.openapi())))
    app.add_api_route("/openapi.json", openapi_document, include_in_schema=False)


def _prepared(document: Callable[[], Any]) -> Callable[[], Any]:
    return lambda: asyncio.to_thread(lambda: Prepared.of(orjson.dumps(document()), _JSON))


async def openapi_document(request: Request) -> Response:
    """Describe the calls, as OpenAPI 3.1."""
    prepared: Prepared = await request.app.state.openapi_document.get()
    return Response(**prepared.answer(request.headers))


@router.get("/asyncapi.json", response_class=JSONResponse)
async def asyncapi_document(request: Request) -> Response:
    """Describe the topics of loggers, the events of webhooks and of the stream, as AsyncAPI 3.0."""
    prepared: Prepared = await request.app.state.asyncapi_document.get()
    return Response(**prepared.answer(request.headers))
