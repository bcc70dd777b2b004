"""A shipment's figures at this moment: what evaluation has folded so far, finished at now."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import RowMapping, and_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.excursion import State, finish, fold
from alerts.figures import Figures
from alerts.judge import Device
from alerts.model import Instant, Sample, Window, to_datetime, to_instant
from alerts.plan import Plan
from alerts.rows import instant
from alerts.tables import evaluation_states
from telemetry.tables import device_assignments, evaluation_marks, readings


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceSummary:
    """One logger's figures, up to `evaluated_through`; `pending` while not all stored readings are evaluated."""

    device_id: str
    figures: Figures
    evaluated_through: Instant
    last_measured_at: Instant | None
    pending: bool


async def summarize(connection: AsyncConnection, shipment: RowMapping, now: datetime) -> list[DeviceSummary]:
    """Give the figures of each logger of a shipment, by device id; of one that has not departed, none."""
    window = window_of(shipment)
    if window is None:
        return []
    plan = Plan.from_json(shipment["plan"])
    marked = await _marked(connection, shipment["shipment_id"])
    found = []
    for row in await _devices(connection, shipment["shipment_id"]):
        device = Device(
            device_id=row["device_id"],
            starts_at=to_instant(row["starts_at"]),
            ends_at=instant(row["ends_at"]),
            state=_state(row, shipment["plan_revision"], window),
        )
        state = device.state
        if state is None:
            samples = await _samples(connection, device, window)
            state, _ = fold(plan, window, State(), samples)
        evaluation = finish(plan, window, state, to_instant(now))
        found.append(
            DeviceSummary(
                device_id=device.device_id,
                figures=evaluation.figures,
                evaluated_through=evaluation.through,
                last_measured_at=state.seen,
                pending=None in marked
                or device.device_id in marked
                or (device.state is None and state.seen is not None),
            )
        )
    return found


def worst(devices: Sequence[DeviceSummary]) -> DeviceSummary | None:
    """Give the logger that speaks most against the product: by budget used, then by time that is not proven."""
    return max(
        devices,
        key=lambda device: (
            device.figures.budget_used,
            device.figures.out_of_range,
            device.figures.unobserved,
        ),
        default=None,
    )


def window_of(shipment: RowMapping) -> Window | None:
    """Give the time in which readings count; None before departure, and for a shipment cancelled before it."""
    if shipment["departed_at"] is None:
        return None
    ended_at = shipment["delivered_at"] or shipment["cancelled_at"]
    return Window(departed_at=to_instant(shipment["departed_at"]), delivered_at=instant(ended_at))


def _state(row: RowMapping, plan_revision: int, window: Window) -> State | None:
    """Give the folded state, unless the plan or the window has changed since."""
    if row["state"] is None or row["plan_revision"] != plan_revision:
        return None
    state = State.from_json(row["state"])
    over = window.delivered_at
    if state is None or (over is not None and state.seen is not None and state.seen >= over):
        return None
    return state


async def _marked(connection: AsyncConnection, shipment_id: str) -> set[str | None]:
    """Give the devices with readings that are not evaluated yet; None stands for all of them."""
    marks = select(evaluation_marks.c.device_id).where(evaluation_marks.c.shipment_id == shipment_id)
    return set(await connection.scalars(marks.distinct()))


async def _devices(connection: AsyncConnection, shipment_id: str) -> Sequence[RowMapping]:
    on, folded = device_assignments, evaluation_states
    same = and_(folded.c.shipment_id == on.c.shipment_id, folded.c.device_id == on.c.device_id)
    found = await connection.execute(
        select(on.c.device_id, on.c.starts_at, on.c.ends_at, folded.c.state, folded.c.plan_revision)
        .outerjoin(folded, same)
        .where(on.c.shipment_id == shipment_id)
        .order_by(on.c.device_id)
    )
    return found.mappings().all()


async def _samples(connection: AsyncConnection, device: Device, window: Window) -> list[Sample]:
    start, end = device.admits(window)
    query = select(readings.c.measured_at, readings.c.temperature_c, readings.c.probe_ok).where(
        readings.c.device_id == device.device_id, readings.c.measured_at >= to_datetime(start)
    )
    if end is not None:
        query = query.where(readings.c.measured_at < to_datetime(end))
    rows = await connection.execute(query.order_by(readings.c.measured_at))
    return [Sample(to_instant(at), celsius if probe_ok else None) for at, celsius, probe_ok in rows]
