"""Backtests over stored history: loads the traces of many shipments, a set at a time, and changes nothing."""

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
from alerts.evaluation.resume import Dirty, Folding, window_of
from alerts.excursions.load_readings import Wanted, load
from alerts.excursions.plan import Plan, PlanRefused, changed_plan
from alerts.excursions.trace import Trace
from alerts.model import Instant, to_datetime
from alerts.work.errors import describe_error
from telemetry.tables import device_assignments, shipments

log = structlog.get_logger(__name__)

SET: Final = 50
"""Shipments whose traces are in memory at once."""

Changes: TypeAlias = Mapping[str, Any]
"""What is proposed: a band, and plan fields by their names in the HTTP interface; see `changed_plan`."""

_NOTHING_NEW: Final = Dirty({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """The part of history that is looked at: shipments on their way in `since <= t < until`; None is no bound."""

    since: Instant | None = None
    until: Instant | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """Give what must hold for a row of `shipments`."""
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
    stretch: Stretch,
    shipment_ids: Collection[str] | None = None,
    limit: int | None = None,
) -> list[str]:
    """Give the ids of shipments that were on their way then: of those that are named, else of all that are no drill."""
    query = select(shipments.c.shipment_id).where(visible, *stretch.conditions())
    if shipment_ids is None:
        query = query.where(~shipments.c.drill)
    else:
        query = query.where(shipments.c.shipment_id.in_(shipment_ids))
    return list((await connection.execute(query.order_by(shipments.c.shipment_id).limit(limit))).scalars())


async def unknown_shipments(
    connection: AsyncConnection, visible: ColumnElement[bool], shipment_ids: Collection[str]
) -> list[str]:
    """Give those ids of which there is no shipment, or none that the caller may see."""
    query = select(shipments.c.shipment_id).where(visible, shipments.c.shipment_id.in_(shipment_ids))
    return sorted(set(shipment_ids) - set((await connection.execute(query)).scalars()))


async def backtest(
    engine: AsyncEngine, shipment_ids: Sequence[str], changes: Changes, stretch: Stretch, now: Instant
) -> AsyncIterator[list[Outcome | Unjudged]]:
    """Compare each shipment's own plan with what the changes make of it, as of the end of the stretch or `now`.

    Each set is read in a snapshot of its own, without locks, and folded beside the event loop.
    """
    as_of = now if stretch.until is None else min(now, stretch.until)
    for start in range(0, len(shipment_ids), SET):
        histories = await _histories(engine, shipment_ids[start : start + SET], stretch)
        yield await asyncio.to_thread(_compare_each, histories, changes, stretch.since, as_of)


@dataclass(frozen=True, slots=True, kw_only=True)
class _History:
    """A shipment, and the readings of its loggers."""

    shipment: RowMapping
    traces: Mapping[str, Trace]


async def _histories(engine: AsyncEngine, shipment_ids: Sequence[str], stretch: Stretch) -> list[_History]:
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        rows = await _rows(connection, shipment_ids)
        foldings = [folding for row in rows if (folding := _folding(row)) is not None]
        driver = (await connection.get_raw_connection()).driver_connection
        assert driver is not None
        loaded = await load(driver, [_wanted(folding, stretch.until) for folding in foldings])
    traces: dict[str, dict[str, Trace]] = defaultdict(dict)
    for folding, one in zip(foldings, loaded, strict=True):
        traces[folding.shipment_id][folding.device_id] = one.trace
    by_id = {row["shipment_id"]: row for row in rows}
    return [_History(shipment=row, traces=traces[shipment_id]) for shipment_id, row in by_id.items()]


async def _rows(connection: AsyncConnection, shipment_ids: Sequence[str]) -> Sequence[RowMapping]:
    """Give a row for each logger of each shipment."""
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


def _folding(row: RowMapping) -> Folding | None:
    """Give the stretch whose readings count, as evaluation sees it; what evaluation has folded so far is not asked."""
    on = {name: row[name] for name in ("device_id", "starts_at", "ends_at")}
    return Folding.of({**on, "state": None, "plan_revision": None}, row, _NOTHING_NEW)


def _wanted(folding: Folding, until: Instant | None) -> Wanted:
    ends = [end for end in (folding.end, until) if end is not None]
    return Wanted(device_id=folding.device_id, starting=folding.start, before=min(ends, default=None))


def _compare_each(
    histories: Sequence[_History], changes: Changes, since: Instant | None, now: Instant
) -> list[Outcome | Unjudged]:
    return [_compare_one(history, changes, since, now) for history in histories]


def _compare_one(
    history: _History, changes: Changes, since: Instant | None, now: Instant
) -> Outcome | Unjudged:
    """Compare one shipment; one that cannot be judged costs the others nothing."""
    shipment_id = history.shipment["shipment_id"]
    try:
        plan, window = Plan.from_json(history.shipment["plan"]), window_of(history.shipment)
        proposed = changed_plan(plan, changes)
        if isinstance(proposed, PlanRefused):
            return Unjudged(shipment_id=shipment_id, field=proposed.field, why=proposed.why)
        assert window is not None  # it has departed
        found = compare(plan, proposed, window, history.traces, now, since=since)
    except Exception as error:
        log.exception("backtest_failed", shipment_id=shipment_id)
        return Unjudged(shipment_id=shipment_id, field=None, why=describe_error(error))
    return Outcome(shipment_id=shipment_id, comparison=found)
