"""A shipment's figures as known at an instant: evaluated anew from what had been received and recorded by then."""

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.evaluation.judging.stretch import stretch_of, window_of_device
from alerts.evaluation.resume import window_of
from alerts.excursions.fold_trace import evaluate_trace
from alerts.excursions.load_readings import count_manual, load_readings
from alerts.excursions.plan import Plan
from alerts.model import to_instant
from alerts.views.figures import DeviceSummary
from telemetry.registry import shipment_revisions


async def summarize(connection: AsyncConnection, shipment_id: str, as_of: datetime) -> list[DeviceSummary]:
    """Return the figures of each logger on the shipment then, by device id; none before departure."""
    shipment = await shipment_revisions.get_as_of(connection, shipment_id, as_of)
    window = None if shipment is None else window_of(shipment)
    if shipment is None or window is None:
        return []
    plan, now = Plan.from_json(shipment["plan"]), to_instant(as_of)
    windows = [window_of_device(device, window) for device in shipment["devices"]]
    stretches = [stretch_of(device, window, manual_only=plan.manual_only) for device in shipment["devices"]]
    driver = (await connection.get_raw_connection()).driver_connection
    assert driver is not None
    found = []
    typed = await count_manual(driver, stretches, as_of)
    for on_it, stretch, loaded, manual in zip(
        windows, stretches, await load_readings(driver, stretches, known_at=as_of), typed, strict=True
    ):
        evaluation = evaluate_trace(plan, on_it, loaded.trace, now)
        found.append(
            DeviceSummary(
                device_id=stretch.device_id,
                window=on_it,
                shipment=window,
                figures=evaluation.figures,
                evaluated_through=evaluation.through,
                last_measured_at=int(loaded.trace.at[-1]) if len(loaded.trace) else None,
                pending=False,
                manual_readings=manual,
            )
        )
    return found
