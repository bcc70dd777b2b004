"""Readings, in and out."""

import json
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query, Request, Response

from api.http.as_of import AsOf, stands_for
from api.http.pagination import DEFAULT_LIMIT, Cursor, Limit, read_cursor, write_cursor
from api.http.problems import Problem, invalid, not_found, unavailable
from api.http.routing import Call, Caller, Here, action
from api.http.schemas.fields import DeviceId, Id, Time
from api.http.schemas.readings import READINGS_BODY, ReadingsStored, RejectedReading, Trace, shown
from api.identity.access import Principal, visible_shipments
from api.identity.permissions import KeyRole
from api.services import Services
from telemetry import shipment_readings
from telemetry.ingest.decode import MAX_READINGS, check_size, parse_json
from telemetry.ingest.pipeline import HTTP_TIMEOUT_S
from telemetry.ingest.retry import StorageUnavailableError
from telemetry.ingest.validate_message import ValidatedMessage, named_device
from telemetry.model import RawMessage, Refusal, RefusalReason, Source
from telemetry.registry import shipments
from telemetry.registry.assignments import assigned_devices

router = APIRouter(route_class=Call, tags=["readings"])


@router.get("/v1/shipments/{shipment_id}/readings", response_model=Trace)
@action("readings.read")
async def get_trace(
    shipment_id: Id,
    caller: Caller,
    services: Here,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    since: Annotated[
        Time | None, Query(alias="from", description="From this time on; in an address, + is written %2B.")
    ] = None,
    until: Annotated[Time | None, Query(alias="to", description="Before this time.")] = None,
    device_id: Annotated[DeviceId | None, Query()] = None,
    points: Annotated[
        int | None,
        Query(
            ge=2,
            le=20_000,
            description="Instead of pages, about so many readings of the whole stretch, with every peak.",
        ),
    ] = None,
    as_of: AsOf = None,
) -> Response:
    """Give the shipment's trace, oldest first: all readings of its loggers while they were on it."""
    after = read_cursor(cursor, shipment_readings.ORDER)
    headers = stands_for(as_of, services.clock())
    which = shipment_readings.ReadingFilter(
        shipment_id=shipment_id, since=since, until=until, device_id=device_id, as_of=as_of
    )
    trace: dict[str, Any] = {"items": [], "next_cursor": None, "bucket_s": None}
    async with services.engine.connect() as connection:
        if await shipments.get(connection, shipment_id, visible_shipments(caller)) is None:
            raise not_found("shipment", shipment_id)
        if points is None:
            page = await shipment_readings.page(connection, which, after=after, limit=limit)
            rows = page.rows
            trace["next_cursor"] = None if page.next_key is None else write_cursor(page.next_key)
        else:
            rows, width = await shipment_readings.downsample(connection, which, points=points)
            trace["bucket_s"] = None if width is None else width.total_seconds()
    trace["items"] = [shown(row) for row in rows]
    return Response(_json(trace), media_type="application/json", headers=headers)


def _json(trace: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(trace)
    except TypeError:
        # A field that we do not know may hold an integer of more than 64 bits, which only the slow way writes.
        return json.dumps(trace, ensure_ascii=False, separators=(",", ":")).encode()


@router.post("/v1/readings", openapi_extra=READINGS_BODY)
@action("readings.send")
async def send_readings(request: Request, caller: Caller, services: Here) -> ReadingsStored:
    """Store readings, after the same checks as by MQTT. A bad one costs only itself: see `rejected`.

    Answered once all is stored; where no answer comes, send the same again, for it changes nothing.
    """
    body = await request.body()
    received_at = services.clock()
    message = RawMessage(source=Source.HTTP, origin=caller.name, payload=body, received_at=received_at)
    parsed = parse_json(body)
    try:
        raws = [] if isinstance(parsed, Refusal) else _readings(parsed[0])
        refusal = parsed if isinstance(parsed, Refusal) else check_size(body, len(raws))
        if refusal is not None:
            # Kept as evidence, like a message of a logger that nobody can read.
            await services.ingest.commit_messages(
                [ValidatedMessage(message, refusals=[refusal])], timeout_s=HTTP_TIMEOUT_S
            )
            status = 413 if refusal.reason is RefusalReason.TOO_LARGE else 400
            raise Problem(status, f"The readings were not stored: {refusal.detail}.")
        stored = await services.ingest.store_http_readings(
            raws,
            payload=body,
            caller=caller.name,
            received_at=received_at,
            allowed=await _allowed(services, caller, raws),
        )
    except StorageUnavailableError:
        raise unavailable(
            "The database cannot be reached right now; nothing is known to be stored."
        ) from None
    rejected = [
        RejectedReading(index=one.index or 0, reason=one.reason, detail=one.detail) for one in stored.refusals
    ]
    return ReadingsStored(accepted=stored.accepted, duplicates=stored.duplicates, rejected=rejected)


def _readings(body: Any) -> list[Any]:
    if not isinstance(body, dict):
        raise invalid("body", 'must be a JSON object with a list "readings"')
    for name in body:
        if name != "readings":
            raise invalid(str(name)[:64], "is not known here: readings is the only field")
    readings = body.get("readings")
    if not isinstance(readings, list) or not 1 <= len(readings) <= MAX_READINGS:
        raise invalid("readings", f"must be a list of 1 to {MAX_READINGS} readings")
    return readings


async def _allowed(services: Services, caller: Principal, raws: Sequence[Any]) -> Callable[[str], bool]:
    """Tell for which loggers the caller may send: the operators for all, the others for those on their shipments."""
    if caller.is_operator:
        return lambda _: True
    named = {device_id for raw in raws if (device_id := named_device(raw))}
    async with services.engine.connect() as connection:
        theirs = await assigned_devices(connection, named, visible_shipments(caller))
    if caller.role is KeyRole.DEVICE:
        theirs |= caller.device_ids or frozenset()
    return theirs.__contains__
