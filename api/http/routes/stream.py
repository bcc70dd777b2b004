"""The event stream, as server-sent events."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header, Query
from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from alerts.events.outbox import Position
from alerts.model import AlertKind, Severity
from api.http.connections.connection import CUT
from api.http.event_hub import CUT_OFF, Place, Wanted
from api.http.problems import Problem, invalid
from api.http.routing import Call, Caller, Here, action
from api.http.schemas.events import EVENTS, EventType
from api.http.schemas.fields import Id, OrganizationSlug
from api.http.services import Services
from api.rates.policy import Limited
from api.use_cases.naming import check_there_is, stop_if_anothers

router = APIRouter(route_class=Call, tags=["stream"])

STALLED_S = 60.0
"""A reader for which as much as fits has been written, and that has taken nothing since for so long, is cut off."""
FULL_RETRY_S = 30
_AT_MOST = 1000

_EXAMPLE = """id: 3807-1795249800012000
event: excursion.opened
data: {"type":"excursion.opened","timestamp":"2026-11-21T03:45:00.120Z","data":{"id":"…","state":"open"}}

"""
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Events, one JSON object each: `{type, timestamp, data}` with the full state in `data`. What each "
        "holds is in `/asyncapi.json`.",
        "content": {"text/event-stream": {"schema": {"type": "string"}, "example": _EXAMPLE}},
    },
    429: {
        "description": "The key, its organization, or the process has as many streams open as it may have."
    },
}


class EventStream(StreamingResponse):
    """A stream that takes a place of its caller's, and that ends a connection whose other end does not read."""

    def __init__(self, services: Services, wanted: Wanted, after: Position | None) -> None:
        self._services, self._wanted, self._after = services, wanted, after
        self._cut: Callable[[], None] | None = None
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__((), media_type="text/event-stream", headers=headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream, if there is room."""
        hub, principal = self._services.hub, self._wanted.principal
        if refusal := hub.no_place_for(principal):
            self._services.gate.count(Limited.STREAMS, principal.name)
            problem = Problem(429, refusal, headers={"Retry-After": str(FULL_RETRY_S)})
            await problem.response()(scope, receive, send)
            return
        self._cut = scope.get("extensions", {}).get(CUT, {}).get("cut")
        # Closed here and now: a generator that is left behind where it waits would listen until it is collected.
        with hub.place(principal, self._end_now) as place:
            async with aclosing(self._frames(place)) as self.body_iterator:
                await super().__call__(scope, receive, send)

    async def stream_response(self, send: Send) -> None:
        """Write what comes, for as long as the other end takes it."""

        async def send_in_time(message: Message) -> None:
            try:
                async with asyncio.timeout(STALLED_S):
                    await send(message)
            except TimeoutError:
                CUT_OFF.inc()
                self._end_now()
                await asyncio.Event().wait()  # until the server tells us that the connection is gone

        await super().stream_response(send_in_time)

    def _end_now(self) -> None:
        if self._cut is not None:
            self._cut()

    async def _frames(self, place: Place) -> AsyncGenerator[bytes, None]:
        yield b"retry: 2000\n\n"
        async with aclosing(self._services.hub.listen(self._wanted, self._after, place)) as frames:
            async for frame in frames:
                yield frame


@router.get("/v1/stream", response_class=StreamingResponse, responses=_RESPONSES)
@action("stream.follow")
async def stream(
    caller: Caller,
    services: Here,
    types: Annotated[
        list[EventType] | None, Query(max_length=_AT_MOST, description="Only these; one or several.")
    ] = None,
    shipment_id: Annotated[
        list[Id] | None,
        Query(max_length=_AT_MOST, description="Only of these, of whatever organization; one or several."),
    ] = None,
    min_severity: Annotated[
        Severity | None,
        Query(
            description="Of excursions, alerts and incidents, by the worst that they have been; events without a severity "
            "come all the same. With `critical`, the `excursion.opened` that was hidden comes when it becomes critical."
        ),
    ] = None,
    kind: Annotated[
        list[AlertKind] | None,
        Query(max_length=_AT_MOST, description="Only alerts of these kinds; one or several."),
    ] = None,
    organization: Annotated[OrganizationSlug | None, Query(description="Only of its shipments.")] = None,
    incident_id: Annotated[
        list[UUID] | None,
        Query(
            max_length=_AT_MOST,
            description="Only incidents with these ids, their alerts and excursions; one or several. What an alert or "
            "excursion begins with comes before it is known to which incident it belongs.",
        ),
    ] = None,
    *,
    peaks: Annotated[
        bool,
        Query(
            description="False: without `excursion.amended` whose `reason` is `peak_moved`. The last peak is in "
            "`excursion.closed`."
        ),
    ] = True,
    last_event_id: Annotated[
        str | None, Header(description="The id of the last event that was read: goes on after it.")
    ] = None,
) -> StreamingResponse:
    """Follow what happens, as it happens; with `Last-Event-ID`, from where you were.

    An `id:` without an event comes at the start and every 15 seconds of silence, and counts as one that was read.
    Whoever reads too slowly is disconnected, and goes on in the same way. Where events after `Last-Event-ID` are not
    kept any more, the event `stream.reset` says so. When the key is revoked, expires or gets other rights, the stream
    ends within a second, with the event `stream.ended` that says why.
    """
    after = Position.parse(last_event_id) if last_event_id else None
    if last_event_id and after is None:
        raise invalid("Last-Event-ID", "is not one that this stream gave", place="header")
    stop_if_anothers(caller, organization)
    if organization is not None and caller.is_operator:
        async with services.looking_up.connect() as connection:
            await check_there_is(connection, caller, organization)
    if kind and types and not any("kind" in EVENTS[type_].data.model_fields for type_ in types):
        raise invalid("kind", "chooses among alerts, but types names no event of alerts", place="query")
    wanted = Wanted(
        principal=caller,
        types=frozenset(types or ()),
        shipment_ids=frozenset(shipment_id or ()),
        min_severity=min_severity,
        kinds=frozenset(kind or ()),
        organization=organization,
        incident_ids=frozenset(str(id_) for id_ in incident_id or ()),
        peaks=peaks,
    )
    return EventStream(services, wanted, after)
