"""The document of what is not calls; that of the calls is made by the framework itself."""

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from api.http import asyncapi

router = APIRouter(tags=["operations"])


@router.get("/asyncapi.json")
async def asyncapi_document(request: Request) -> JSONResponse:
    """Describe the topics of loggers, the events of webhooks and of the stream, as AsyncAPI 3.0."""
    return JSONResponse(asyncapi.document(request.app.openapi()))
