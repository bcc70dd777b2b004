"""A shipment's figures now: the folded state, plus readings not evaluated yet, finished at `now`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import RowMapping, and_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.evaluation.resume import Dirty, PendingFold, resume, window_of
from alerts.excursions.figures import Figures
from alerts.excursions.fold import finish
from alerts.excursions.fold_trace import fold_trace
from alerts.excursions.load_readings import ReadingRange, count_manual
from alerts.excursions.plan import Plan
from alerts.model import Duration, EndedBy, Instant, Window, to_instant
from alerts.tables import evaluation_states, evaluations
from telemetry.tables import device_assignments, evaluation_marks


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceSummary:
    """One logger's figures, up to `evaluated_through`, over all stored readings.

    `pending` while some of them are not evaluated yet: the excursions and alerts do not know of them.
    """

    device_id: str
    window: Window
    """When it was on the shipment, within that one's window,"""
    shipment: Window
    """which is this."""
    figures: Figures
    evaluated_through: Instant
    last_measured_at: Instant | None
    pending: bool
    manual_readings: int = 0
    """What people typed in that time. It counts only where the plan has no logger."""


async def summarize(connection: AsyncConnection, shipment: RowMapping, now: datetime) -> list[DeviceSummary]:
    """Return the figures of each logger of a shipment, by device id; none before departure.

    The connection should be at REPEATABLE READ: what is folded and what is not are read one after the other.
    """
    window = window_of(shipment)
    if window is None:
        return []
    plan = Plan.from_json(shipment["plan"])
    dirty = Dirty.of(await _marks(connection, shipment["shipment_id"]))
    failing = await _failing(connection, shipment["shipment_id"])
    rows = await _devices(connection, shipment["shipment_id"])
    foldings = [folding for row in rows if (folding := PendingFold.of(row, shipment, dirty)) is not None]
    driver = (await connection.get_raw_connection()).driver_connection
    assert driver is not None
    on_each = [
        ReadingRange(device_id=one.device_id, starting=one.window.departed_at, before=one.window.delivered_at)
        for one in foldings
    ]
    typed = await count_manual(driver, on_each)
    found = []
    for one, manual in zip(await resume(driver, foldings), typed, strict=True):
        on_it = one.pending.window
        folded = fold_trace(plan, on_it, one.state, one.loaded.trace)
        evaluation = finish(plan, on_it, folded.state, to_instant(now))
        found.append(
            DeviceSummary(
                device_id=one.pending.device_id,
                window=on_it,
                shipment=window,
                figures=evaluation.figures,
                evaluated_through=evaluation.through,
                last_measured_at=folded.state.seen,
                pending=failing or one.pending.dirty_from is not None,
                manual_readings=manual,
            )
        )
    return found


def worst(devices: Sequence[DeviceSummary]) -> DeviceSummary | None:
    """Return the worst logger: by budget used, then by unproven time."""
    return max(
        devices,
        key=lambda device: (
            device.figures.budget_used,
            device.figures.out_of_range,
            device.figures.unobserved,
        ),
        default=None,
    )


def evaluated_through(devices: Sequence[DeviceSummary]) -> Instant | None:
    """Return up to when all loggers are evaluated that were not taken off before."""
    stayed = [one for one in devices if one.window.ended_by is not EndedBy.REMOVAL]
    return min((one.evaluated_through for one in stayed or devices), default=None)


def without_logger(devices: Sequence[DeviceSummary]) -> Duration:
    """Return how long no logger was on a shipment, from its departure to where its loggers are evaluated."""
    if not devices:
        return 0
    through = max(device.evaluated_through for device in devices)
    covered, alone = devices[0].shipment.departed_at, 0
    for on in sorted((device.window for device in devices), key=lambda on: on.departed_at):
        alone += max(0, min(on.departed_at, through) - covered)
        covered = max(covered, through if on.delivered_at is None else on.delivered_at)
    return alone + max(0, through - covered)


async def _marks(connection: AsyncConnection, shipment_id: str) -> Sequence[RowMapping]:
    marks = select(evaluation_marks).where(evaluation_marks.c.shipment_id == shipment_id)
    return (await connection.execute(marks)).mappings().all()


async def _failing(connection: AsyncConnection, shipment_id: str) -> bool:
    """Return whether it was set aside: its marks are gone, and their readings are not evaluated."""
    failures = select(evaluations.c.failures).where(evaluations.c.shipment_id == shipment_id)
    return bool(await connection.scalar(failures))


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
