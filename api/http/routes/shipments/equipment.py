"""What travels with a shipment: its loggers and its shipper, changed on the way."""

from fastapi import APIRouter
from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.views import shipments as views
from api.http.naming import ShipmentKey
from api.http.routing import Call, Caller, Here, action
from api.http.schemas.shipments import DewarMoveIn, LoggersChangeIn, ShipmentOut
from api.identity.access import Principal, visible_shipments
from api.refusals import NotFound
from api.use_cases.shipments import equipment

router = APIRouter(route_class=Call, tags=["shipments"])


@router.post("/v1/shipments/{shipment_id}/loggers")
@action("shipments.change_loggers")
async def change_loggers(
    shipment_id: ShipmentKey, body: LoggersChangeIn, caller: Caller, services: Here
) -> ShipmentOut:
    """Put loggers on a shipment and take others off, from an instant on, also in the past, with the reason.

    What they measure counts while they are on it. One that was taken off can come back from when it left. At least one
    stays on. The same again changes nothing.
    """
    async with services.engine.begin() as connection:
        await equipment.change_loggers(
            connection,
            caller,
            shipment_id,
            override_reason=body.override_reason,
            add=body.add,
            remove=body.remove,
            at=body.at,
            actor=caller.actor,
            now=services.clock(),
            reason=body.reason,
        )
        return await _shown(connection, caller, shipment_id)


@router.post("/v1/shipments/{shipment_id}/dewar")
@action("shipments.change_dewar")
async def move_to_dewar(
    shipment_id: ShipmentKey, body: DewarMoveIn, caller: Caller, services: Here
) -> ShipmentOut:
    """Move a shipment to another shipper from an instant on, also in the past, with the reason; the one before is free.

    It is judged by the new one: its charges, its hold time, its qualification. The same again changes nothing.
    """
    async with services.engine.begin() as connection:
        await equipment.change_dewar(
            connection,
            caller,
            shipment_id,
            override_reason=body.override_reason,
            dewar_id=body.dewar_id,
            at=body.at,
            actor=caller.actor,
            now=services.clock(),
            reason=body.reason,
        )
        return await _shown(connection, caller, shipment_id)


async def _shown(connection: AsyncConnection, caller: Principal, shipment_id: str) -> ShipmentOut:
    seen = await views.shipment(connection, visible_shipments(caller), shipment_id)
    if seen is None:
        raise NotFound("shipment", shipment_id)
    return ShipmentOut.seen(seen)
