"""A shipment's figures as they were known at an instant: judged anew, from what had been received and recorded then."""

from collections.abc import Iterator
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, func, literal_column, select
from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.excursion import evaluate
from alerts.model import Sample, Window, to_datetime, to_instant
from alerts.plan import Plan
from alerts.summary import DeviceSummary, window_of
from telemetry.registry import revisions
from telemetry.tables import readings

_FOR_EVER: ColumnElement[datetime] = literal_column("'infinity'::timestamptz")


async def summarize(connection: AsyncConnection, shipment_id: str, as_of: datetime) -> list[DeviceSummary]:
    """Give the figures of each logger that was on the shipment then, by device id; before departure, none."""
    shipment = await revisions.known(connection, shipment_id, as_of)
    window = None if shipment is None else window_of(shipment)
    if shipment is None or window is None:
        return []
    plan, now = Plan.from_json(shipment["plan"]), to_instant(as_of)
    found = []
    rows = (await connection.execute(_readings(shipment_id, window, as_of))).all()
    for device_id, of_device in groupby(rows, key=itemgetter(0)):
        samples = list(_samples(of_device))
        evaluation = evaluate(plan, window, samples, now)
        found.append(
            DeviceSummary(
                device_id=device_id,
                figures=evaluation.figures,
                evaluated_through=evaluation.through,
                last_measured_at=samples[-1].at if samples else None,
                pending=False,
            )
        )
    return found


def _readings(shipment_id: str, window: Window, as_of: datetime) -> Select[Any]:
    """Select what counts of each logger: a row a reading, and one without a reading for a logger that has none."""
    on = revisions.assigned(shipment_id, as_of)
    ends = [on.c.ends_at] if window.delivered_at is None else [on.c.ends_at, to_datetime(window.delivered_at)]
    belongs = and_(
        readings.c.device_id == on.c.device_id,
        readings.c.measured_at >= func.greatest(on.c.starts_at, to_datetime(window.departed_at)),
        readings.c.measured_at < func.coalesce(func.least(*ends), _FOR_EVER),  # least passes over null
        readings.c.received_at <= as_of,
    )
    celsius = case((readings.c.probe_ok, readings.c.temperature_c))
    return (
        select(on.c.device_id, readings.c.measured_at, celsius)
        .select_from(on.outerjoin(readings, belongs))
        .order_by(on.c.device_id.collate("C"), readings.c.measured_at)
    )


def _samples(rows: Iterator[Any]) -> Iterator[Sample]:
    return (Sample(to_instant(at), celsius) for _, at, celsius in rows if at is not None)
