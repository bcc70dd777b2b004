"""The figures of a shipment."""

from fastapi import APIRouter

from alerts import summary
from alerts.events import instant_text
from api.access import visible_shipments
from api.problems import not_found
from api.routing import Call, Caller, Here
from api.schemas.fields import Id
from api.schemas.summary import DeviceSummaryOut, SummaryOut
from telemetry.registry import shipments

router = APIRouter(route_class=Call, tags=["shipments"])


@router.get("/v1/shipments/{shipment_id}/summary")
async def get_summary(shipment_id: Id, caller: Caller, services: Here) -> SummaryOut:
    """Give the time proof: in range, out of range, unobserved, and what of the budget is used; for each logger."""
    async with services.engine.connect() as connection:
        await connection.execution_options(isolation_level="REPEATABLE READ")
        row = await shipments.get(connection, shipment_id, visible_shipments(caller))
        if row is None:
            raise not_found("shipment", shipment_id)
        devices = await summary.summarize(connection, row, services.clock())
    worst = summary.worst(devices)
    return SummaryOut(
        shipment_id=shipment_id,
        pending=any(device.pending for device in devices),
        evaluated_through=instant_text(min((d.evaluated_through for d in devices), default=None)),
        devices=[DeviceSummaryOut.of(device) for device in devices],
        worst=None if worst is None else DeviceSummaryOut.of(worst),
    )
