"""Runs backtests over stored history: loads the traces of many shipments in batches, and changes nothing."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import structlog
from sqlalchemy import ColumnElement, RowMapping, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from alerts.backtest.compare import compare
from alerts.backtest.totals import Outcome, Unjudged
from alerts.evaluation.resume import Dirty, PendingFold, window_of
from alerts.excursions.load_readings import ReadingRange, load_readings
from alerts.excursions.plan import Plan, PlanRefused, changed_plan
from alerts.excursions.trace import Trace
from alerts.model import Instant, Window, to_datetime
from alerts.work.errors import describe_error
from telemetry.tables import device_assignments, shipments

log = structlog.get_logger(__name__)

BATCH_SIZE: Final = 50
"""Shipments whose traces are in memory at once."""

Changes: TypeAlias = Mapping[str, Any]
"""The proposal: a band, and plan fields by their names in the HTTP interface; see `changed_plan`."""

_NOT_DIRTY: Final = Dirty({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """The part of history to look at: shipments in transit in `since <= t < until`; None is no bound."""

    since: Instant | None = None
    until: Instant | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """Return the conditions for a row of `shipments`."""
        ended_at = func.coalesce(shipments.c.delivered_at, shipments.c.cancelled_at)
        found: list[ColumnElement[bool]] = [shipments.c.departed_at.is_not(None)]
        if self.since is not None:
            found.append(or_(ended_at.is_(None), ended_at > to_datetime(self.since)))
        if self.until is not None:
            found.append(shipments.c.departed_at < to_datetime(self.until))
        return found


async def shipments_in(
    connection: AsyncConnection,
    visible: ColumnElement[bool],
    period: Period,
    shipment_ids: Collection[str] | None = None,
    limit: int | None = None,
) -> list[str]:
    """Return the ids of shipments in transit in a period: of those named, or of all except drills."""
    query = select(shipments.c.shipment_id).where(visible, *period.conditions())
    if shipment_ids is None:
        query = query.where(~shipments.c.drill)
    else:
        query = query.where(shipments.c.shipment_id.in_(shipment_ids))
    return list((await connection.execute(query.order_by(shipments.c.shipment_id).limit(limit))).scalars())


async def unknown_shipments(
    connection: AsyncConnection, visible: ColumnElement[bool], shipment_ids: Collection[str]
) -> list[str]:
    """Return the ids of which there is no shipment, or none that the caller may see."""
    query = select(shipments.c.shipment_id).where(visible, shipments.c.shipment_id.in_(shipment_ids))
    return sorted(set(shipment_ids) - set((await connection.execute(query)).scalars()))


async def backtest(
    engine: AsyncEngine, shipment_ids: Sequence[str], changes: Changes, period: Period, now: Instant
) -> AsyncIterator[list[Outcome | Unjudged]]:
    """Compare each shipment's own plan with the changed one, as of the end of the period or `now`.

    Each batch is read in a snapshot of its own, without locks, and folded in a thread.
    """
    as_of = now if period.until is None else min(now, period.until)
    for start in range(0, len(shipment_ids), BATCH_SIZE):
        histories = await _histories(engine, shipment_ids[start : start + BATCH_SIZE], period)
        yield await asyncio.to_thread(_compare_each, histories, changes, period.since, as_of)


@dataclass(frozen=True, slots=True, kw_only=True)
class _History:
    """A shipment, and the readings of its loggers."""

    shipment: RowMapping
    traces: Mapping[str, Trace]
    windows: Mapping[str, Window]
    """When each logger was on it."""


async def _histories(engine: AsyncEngine, shipment_ids: Sequence[str], period: Period) -> list[_History]:
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        rows = await _rows(connection, shipment_ids)
        pending_folds = [pending for row in rows if (pending := _folding(row)) is not None]
        driver = (await connection.get_raw_connection()).driver_connection
        assert driver is not None
        loaded = await load_readings(driver, [_range_of(pending, period.until) for pending in pending_folds])
    traces: dict[str, dict[str, Trace]] = defaultdict(dict)
    windows: dict[str, dict[str, Window]] = defaultdict(dict)
    for pending, readings in zip(pending_folds, loaded, strict=True):
        traces[pending.shipment_id][pending.device_id] = readings.trace
        windows[pending.shipment_id][pending.device_id] = pending.window
    by_id = {row["shipment_id"]: row for row in rows}
    return [
        _History(shipment=row, traces=traces[shipment_id], windows=windows[shipment_id])
        for shipment_id, row in by_id.items()
    ]


async def _rows(connection: AsyncConnection, shipment_ids: Sequence[str]) -> Sequence[RowMapping]:
    """Return a row for each logger of each shipment."""
    of, on = shipments.c, device_assignments.c
    found = await connection.execute(
        select(
            *(of.shipment_id, of.plan, of.plan_revision, of.departed_at, of.delivered_at, of.cancelled_at),
            *(on.device_id, on.starts_at, on.ends_at),
        )
        .join(device_assignments, on.shipment_id == of.shipment_id)
        .where(of.shipment_id.in_(shipment_ids))
        .order_by(of.shipment_id, on.device_id)
    )
    return found.mappings().all()


def _folding(row: RowMapping) -> PendingFold | None:
    """Return the readings that count, as evaluation sees them, ignoring what evaluation has folded so far."""
    on = {name: row[name] for name in ("device_id", "starts_at", "ends_at")}
    return PendingFold.of({**on, "state": None, "plan_revision": None}, row, _NOT_DIRTY)


def _range_of(pending: PendingFold, until: Instant | None) -> ReadingRange:
    ends = [end for end in (pending.window.delivered_at, until) if end is not None]
    return ReadingRange(
        device_id=pending.device_id,
        starting=pending.window.departed_at,
        before=min(ends, default=None),
        manual=pending.manual,
    )


def _compare_each(
    histories: Sequence[_History], changes: Changes, since: Instant | None, now: Instant
) -> list[Outcome | Unjudged]:
    return [_compare_one(history, changes, since, now) for history in histories]


def _compare_one(
    history: _History, changes: Changes, since: Instant | None, now: Instant
) -> Outcome | Unjudged:
    """Compare one shipment; a failure affects no other."""
    shipment_id = history.shipment["shipment_id"]
    try:
        plan, window = Plan.from_json(history.shipment["plan"]), window_of(history.shipment)
        proposed = changed_plan(plan, changes)
        if isinstance(proposed, PlanRefused):
            return Unjudged(shipment_id=shipment_id, field=proposed.field, why=proposed.why)
        assert window is not None  # it has departed
        found = compare(plan, proposed, window, history.traces, now, since=since, windows=history.windows)
    except Exception as error:
        log.exception("backtest_failed", shipment_id=shipment_id)
        return Unjudged(shipment_id=shipment_id, field=None, why=describe_error(error))
    return Outcome(shipment_id=shipment_id, comparison=found)
