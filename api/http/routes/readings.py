"""Readings, in and out."""

import json
from functools import partial
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query, Request, Response

from api.http.as_of import AsOf, stands_for
from api.http.naming import ShipmentKey
from api.http.pagination import DEFAULT_LIMIT, Cursor, Limit, read_cursor, write_cursor
from api.http.problems import invalid
from api.http.routing import Call, Caller, Here, action
from api.http.schemas.fields import DeviceId, Time
from api.http.schemas.readings import (
    READINGS_BODY,
    PartOfReading,
    ReadingsStored,
    RejectedReading,
    Trace,
    shown,
)
from api.identity.access import visible_shipments
from api.rates.policy import Limited
from api.refusals import NotFound
from api.use_cases import readings
from telemetry import shipment_readings
from telemetry.registry import shipments

router = APIRouter(route_class=Call, tags=["readings"])


@router.get("/v1/shipments/{shipment_id}/readings", response_model=Trace)
@action("readings.read")
async def get_trace(
    shipment_id: ShipmentKey,
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
    """Return the shipment's trace, oldest first: all readings of its loggers while they were on it."""
    if since is not None and until is not None and until < since:
        raise invalid("to", "must not be before from", place="query")
    after = read_cursor(cursor, shipment_readings.ORDER)
    headers = stands_for(as_of, services.clock())
    which = shipment_readings.ReadingFilter(
        shipment_id=shipment_id, since=since, until=until, device_id=device_id, as_of=as_of
    )
    trace: dict[str, Any] = {"items": [], "next_cursor": None, "bucket_s": None}
    async with services.engine.connect() as connection:
        if await shipments.get(connection, shipment_id, visible_shipments(caller)) is None:
            raise NotFound("shipment", shipment_id)
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


@router.post("/v1/readings", openapi_extra=READINGS_BODY, response_model_exclude_defaults=True)
@action("readings.send")
async def send_readings(request: Request, caller: Caller, services: Here) -> ReadingsStored:
    """Store readings, after the same checks as by MQTT. A bad one costs only itself: see `rejected`.

    Answered once all is stored; where no answer comes, send the same again, for it changes nothing.
    """
    stored = await readings.send(
        services.engine,
        services.ingest,
        caller,
        await request.body(),
        actor=caller.actor,
        now=services.clock(),
        late=services.late_readings,
        spend=partial(services.gate.spend, caller, Limited.READINGS),
    )
    rejected = [
        RejectedReading(index=one.index or 0, reason=one.reason, detail=one.detail) for one in stored.refusals
    ]
    return ReadingsStored(
        accepted=stored.accepted,
        duplicates=stored.duplicates,
        rejected=rejected,
        set_aside=[PartOfReading(index=index, fields=fields) for index, fields in stored.set_aside.items()],
    )
