"""Shipments: made, sent off, delivered, called off, and found again."""

from typing import Annotated

from fastapi import APIRouter, Body, Query, Response
from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.excursions.plan import Band
from alerts.views import shipments as views
from alerts.views.health import Health
from api.http.naming import ShipmentKey, Visible, location
from api.http.pagination import DEFAULT_LIMIT, Cursor, Limit, answer, read_cursor
from api.http.routing import Call, Caller, Here, action
from api.http.schemas.fields import ListOf, Words
from api.http.schemas.shipments import (
    CorrectionIn,
    MomentIn,
    PlanChangeIn,
    ScheduleChangeIn,
    ShipmentIn,
    ShipmentOut,
    ShipmentRevision,
    Status,
)
from api.identity.access import Principal, visible_shipments
from api.refusals import NotFound
from api.use_cases.shipments import corrections
from api.use_cases.shipments import lifecycle as shipments
from telemetry.registry import shipment_revisions
from telemetry.registry import shipments as registry

router = APIRouter(route_class=Call, tags=["shipments"])

Moment = Annotated[MomentIn, Body()]
_NOW = MomentIn()


@router.post("/v1/shipments", status_code=201)
@action("shipments.create")
async def create_shipment(
    body: ShipmentIn, caller: Caller, services: Here, response: Response
) -> ShipmentOut:
    """Plan a shipment and put its loggers on it; with `departed_at` it departs at once."""
    async with services.engine.begin() as connection:
        key = await shipments.create(
            connection,
            caller,
            body.value(),
            actor=caller.actor,
            now=services.clock(),
            quotas=services.gate.quotas,
        )
        made = await _shown(connection, caller, key)
    response.headers["Location"] = location("shipments", body.shipment_id, caller, made.organization)
    return made


@router.get("/v1/shipments")
@action("shipments.read")
async def list_shipments(
    services: Here,
    visible: Visible,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    status: Annotated[list[Status] | None, Query(description="One or several.")] = None,
    band: Annotated[list[Band] | None, Query(description="One or several.")] = None,
    health: Annotated[list[Health] | None, Query(description="One or several.")] = None,
    q: Annotated[
        Words | None, Query(description="Part of an id, organization, place, dewar, product or logger.")
    ] = None,
) -> ListOf[ShipmentOut]:
    """List shipments, the newest first."""
    after = read_cursor(cursor, registry.ORDER)
    wanted = views.ShipmentFilter(statuses=status or (), bands=band or (), healths=health or (), text=q)
    async with services.engine.connect() as connection:
        page, seen = await views.shipment_page(connection, visible, wanted, after=after, limit=limit)
    return answer(page, lambda row: ShipmentOut.seen(seen[row["shipment_id"]]))


@router.get("/v1/shipments/{shipment_id}")
@action("shipments.read")
async def get_shipment(shipment_id: ShipmentKey, caller: Caller, services: Here) -> ShipmentOut:
    """Show one shipment: plan, times, health, and its loggers with their last known state."""
    async with services.engine.connect() as connection:
        return await _shown(connection, caller, shipment_id)


@router.post("/v1/shipments/{shipment_id}/depart")
@action("shipments.depart")
async def depart(
    shipment_id: ShipmentKey, caller: Caller, services: Here, body: Moment = _NOW
) -> ShipmentOut:
    """Record the departure: from then on readings are judged. The same instant again changes nothing."""
    async with services.engine.begin() as connection:
        await shipments.depart(
            connection,
            caller,
            shipment_id,
            at=body.at,
            reason=body.reason,
            actor=caller.actor,
            now=services.clock(),
            backdating=services.backdating,
        )
        return await _shown(connection, caller, shipment_id)


@router.post("/v1/shipments/{shipment_id}/deliver")
@action("shipments.deliver")
async def deliver(
    shipment_id: ShipmentKey, caller: Caller, services: Here, body: Moment = _NOW
) -> ShipmentOut:
    """Record the delivery: its loggers are free from then on. The same instant again changes nothing."""
    async with services.engine.begin() as connection:
        await shipments.deliver(
            connection,
            caller,
            shipment_id,
            at=body.at,
            reason=body.reason,
            actor=caller.actor,
            now=services.clock(),
            backdating=services.backdating,
        )
        return await _shown(connection, caller, shipment_id)


@router.post("/v1/shipments/{shipment_id}/cancel")
@action("shipments.cancel")
async def cancel(
    shipment_id: ShipmentKey, caller: Caller, services: Here, body: Moment = _NOW
) -> ShipmentOut:
    """Call a shipment off, with the reason; its loggers are free from then on. The same instant again changes nothing."""
    async with services.engine.begin() as connection:
        await shipments.cancel(
            connection,
            caller,
            shipment_id,
            at=body.at,
            reason=body.reason,
            actor=caller.actor,
            now=services.clock(),
        )
        return await _shown(connection, caller, shipment_id)


@router.post("/v1/shipments/{shipment_id}/correct")
@action("shipments.correct")
async def correct_shipment(
    shipment_id: ShipmentKey, body: CorrectionIn, caller: Caller, services: Here
) -> ShipmentOut:
    """Correct a departure or a delivery that is on record wrongly, or take one or a cancellation back, with the reason.

    Both values stay on record, and the shipment is judged again: what the correction takes away is shown with who took
    it. Loggers and shipper stay on it until the new end; refused if one is on another shipment meanwhile.
    """
    async with services.engine.begin() as connection:
        await corrections.correct(
            connection,
            caller,
            shipment_id,
            body.value(),
            actor=caller.actor,
            now=services.clock(),
            reason=body.reason,
        )
        return await _shown(connection, caller, shipment_id)


@router.post("/v1/shipments/{shipment_id}/plan")
@action("shipments.change_plan")
async def change_plan(
    shipment_id: ShipmentKey, body: PlanChangeIn, caller: Caller, services: Here
) -> ShipmentOut:
    """Judge a shipment by another plan, from its start on. What had been told stays on record, and is amended.

    To see first what it would change, ask for a backtest. A change that changes nothing makes no revision.
    """
    async with services.engine.begin() as connection:
        await shipments.change_plan(
            connection,
            caller,
            shipment_id,
            body.plan_fields(),
            seen=body.plan_revision,
            actor=caller.actor,
            reason=body.reason,
        )
        return await _shown(connection, caller, shipment_id)


@router.post("/v1/shipments/{shipment_id}/schedule")
@action("shipments.change_schedule")
async def change_schedule(
    shipment_id: ShipmentKey, body: ScheduleChangeIn, caller: Caller, services: Here
) -> ShipmentOut:
    """Change where a shipment goes, how and until when, before it departs or on its way, with the reason.

    A change that changes nothing makes no revision.
    """
    async with services.engine.begin() as connection:
        await shipments.change_schedule(
            connection,
            caller,
            shipment_id,
            body.changes(),
            seen=body.schedule_revision,
            actor=caller.actor,
            now=services.clock(),
            reason=body.reason,
            override_reason=body.override_reason,
        )
        return await _shown(connection, caller, shipment_id)


@router.get("/v1/shipments/{shipment_id}/revisions")
@action("shipments.read")
async def list_revisions(
    shipment_id: ShipmentKey,
    caller: Caller,
    services: Here,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> ListOf[ShipmentRevision]:
    """List every state in which a shipment was ever known, oldest first: plan, schedule, loggers; who made it, and why."""
    after = read_cursor(cursor, shipment_revisions.ORDER)
    async with services.engine.connect() as connection:
        if await registry.get(connection, shipment_id, visible_shipments(caller)) is None:
            raise NotFound("shipment", shipment_id)
        page = await shipment_revisions.page(connection, shipment_id, after=after, limit=limit)
    return answer(page, ShipmentRevision.of)


async def _shown(connection: AsyncConnection, caller: Principal, shipment_id: str) -> ShipmentOut:
    seen = await views.shipment(connection, visible_shipments(caller), shipment_id)
    if seen is None:
        raise NotFound("shipment", shipment_id)
    return ShipmentOut.seen(seen)
