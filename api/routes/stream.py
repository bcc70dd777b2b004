"""The event stream, as server-sent events."""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Header, Query, Request
from starlette.responses import StreamingResponse

from alerts.outbox import Event, Position
from api.access import Principal
from api.problems import Problem, invalid, is_passing
from api.routing import Call, Caller, Here
from api.schemas.fields import Id
from api.services import Services
from api.stream import HEARTBEAT_S, Wanted

router = APIRouter(route_class=Call, tags=["stream"])

EventType = Literal[
    "excursion.opened",
    "excursion.amended",
    "excursion.closed",
    "excursion.withdrawn",
    "alert.firing",
    "alert.acknowledged",
    "alert.assigned",
    "alert.snoozed",
    "alert.resolved",
    "incident.opened",
    "incident.changed",
    "incident.closed",
    "shipment.departed",
    "shipment.delivered",
    "shipment.handed_over",
    "shipment.plan_changed",
    "shipment.schedule_changed",
    "webhook.failing",
    "webhook.disabled",
]

_EXAMPLE = """id: 74211-3807
event: excursion.opened
data: {"type":"excursion.opened","timestamp":"2026-11-21T03:45:00.120Z","data":{"id":"…","state":"open"}}

"""
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Events, one JSON object each: `{type, timestamp, data}` with the full state in `data`.",
        "content": {"text/event-stream": {"schema": {"type": "string"}, "example": _EXAMPLE}},
    }
}


@router.get("/v1/stream", response_class=StreamingResponse, responses=_RESPONSES)
async def stream(
    request: Request,
    caller: Caller,
    services: Here,
    types: Annotated[list[EventType] | None, Query(description="Only these; one or several.")] = None,
    shipment_id: Annotated[Id | None, Query()] = None,
    last_event_id: Annotated[
        str | None, Header(description="The id of the last event that was read: goes on after it.")
    ] = None,
) -> StreamingResponse:
    """Follow what happens, as it happens; with `Last-Event-ID`, from where you were.

    An `id:` without an event comes at the start and every 15 seconds of silence, and counts as one that was read.
    Whoever reads too slowly is disconnected, and goes on in the same way.
    """
    after = Position.parse(last_event_id) if last_event_id else None
    if last_event_id and after is None:
        raise invalid("Last-Event-ID", "is not one that this stream gave", place="header")
    wanted = Wanted(principal=caller, types=frozenset(types or ()), shipment_id=shipment_id)
    frames = _frames(services, wanted, after, request.headers.get("authorization"))
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(frames, media_type="text/event-stream", headers=headers)


async def _frames(
    services: Services, wanted: Wanted, after: Position | None, authorization: str | None
) -> AsyncGenerator[bytes, None]:
    yield b"retry: 2000\n\n"
    checked_at = time.monotonic()
    async with aclosing(services.hub.listen(wanted, after)) as events:
        async for event in events:
            if time.monotonic() - checked_at >= HEARTBEAT_S:
                checked_at = time.monotonic()
                if not await _still_let_in(services, wanted.principal, authorization):
                    return
            yield _frame(event)


def _frame(event: Event | Position) -> bytes:
    if isinstance(event, Position):
        return b": here\nid: %s\n\n" % str(event).encode()
    body = orjson.dumps(event.body())
    return b"id: %s\nevent: %s\ndata: %s\n\n" % (str(event.position).encode(), event.type.encode(), body)


async def _still_let_in(services: Services, principal: Principal, authorization: str | None) -> bool:
    """Tell whether the key still stands; while the database is away nobody can tell, and the stream goes on."""
    try:
        return await services.authenticator.principal(authorization) == principal
    except Problem:
        return False
    except Exception as error:
        if is_passing(error):
            return True
        raise
