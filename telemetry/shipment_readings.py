"""Query the readings of a shipment: page by page, or downsampled for a chart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Interval,
    RowMapping,
    Select,
    Text,
    and_,
    column,
    func,
    literal,
    or_,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, aggregate_order_by
from sqlalchemy.ext.asyncio import AsyncConnection

from telemetry.paging import Page, SortOrder, to_page
from telemetry.registry import shipment_revisions
from telemetry.tables import device_assignments, readings

FIELDS_AT_MOST: Final = 500
"""Unknown fields have whatever names a logger gives them."""
ORDER = SortOrder(columns=(readings.c.measured_at, readings.c.device_id))


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingFilter:
    """Selects readings of a shipment: `since <= measured_at < until`, from one logger or from all."""

    shipment_id: str
    since: datetime | None = None
    until: datetime | None = None
    device_id: str | None = None
    as_of: datetime | None = None
    """Only what was known at that time; None means all that is known now."""

    def assignments(self) -> FromClause:
        """Return the shipment's assignments, to select from."""
        if self.as_of is not None:
            return shipment_revisions.assignments_as_of(self.shipment_id, self.as_of)
        of_shipment = device_assignments.c.shipment_id == self.shipment_id
        return select(device_assignments).where(of_shipment).subquery("assigned")

    def conditions(self, assigned: FromClause) -> list[ColumnElement[bool]]:
        """Return the conditions that join an assignment with its readings."""
        found = [
            readings.c.device_id == assigned.c.device_id,
            readings.c.measured_at >= assigned.c.starts_at,
            or_(assigned.c.ends_at.is_(None), readings.c.measured_at < assigned.c.ends_at),
        ]
        if self.since is not None:
            found.append(readings.c.measured_at >= self.since)
        if self.until is not None:
            found.append(readings.c.measured_at < self.until)
        if self.device_id is not None:
            found.append(assigned.c.device_id == self.device_id)
        if self.as_of is not None:
            found.append(readings.c.received_at <= self.as_of)
        return found


async def page(
    connection: AsyncConnection, which: ReadingFilter, *, after: Sequence[Any] | None, limit: int
) -> Page:
    """Load a page of readings, oldest first; for each logger no more rows are read than fit on the page."""
    assigned = which.assignments()
    inner = select(readings).where(*which.conditions(assigned)).correlate(assigned)
    if after is not None:
        # The index can use the first condition; the second makes it exact.
        inner = inner.where(readings.c.measured_at >= after[0], ORDER.after(after))
    each = inner.order_by(readings.c.measured_at).limit(limit + 1).lateral("each")
    order = SortOrder(columns=(each.c.measured_at, each.c.device_id))
    query = select(each).select_from(assigned.join(each, true()))
    rows = (await connection.execute(query.order_by(*order.by).limit(limit + 1))).mappings().all()
    return to_page(rows, order, limit)


async def downsample(
    connection: AsyncConnection, which: ReadingFilter, *, points: int
) -> tuple[Sequence[RowMapping], timedelta | None]:
    """Load about `points` readings, and return the width of the buckets; None if nothing was left out.

    For each logger and bucket the coldest and the warmest reading are kept, so that no peak is lost, and the first
    one with a broken probe, so that a fault stays visible.
    """
    assigned = which.assignments()
    selected = select(readings).join(assigned, true()).where(*which.conditions(assigned))
    all_ = selected.subquery()
    extent = (
        await connection.execute(
            select(
                func.count().label("readings"),
                func.min(all_.c.measured_at).label("first"),
                func.max(all_.c.measured_at).label("last"),
                func.count(all_.c.device_id.distinct()).label("devices"),
            )
        )
    ).one()
    if extent.readings <= points:
        return (await connection.execute(selected.order_by(*ORDER.by))).mappings().all(), None
    buckets = max(1, points // (2 * extent.devices))
    width = (extent.last - extent.first) / buckets + timedelta(microseconds=1)
    found = await connection.execute(_extremes(all_.select(), extent.first, width))
    return found.mappings().all(), width


def _extremes(trace: Select[Any], first: datetime, width: timedelta) -> Select[Any]:
    each = trace.subquery()
    valid = and_(each.c.probe_ok, each.c.temperature_c.between(-273.15, 150))
    bucket = func.date_bin(literal(width, Interval), each.c.measured_at, first)
    group = (each.c.device_id, bucket, valid)
    ranked = select(
        each,
        valid.label("valid"),
        _rank(group, each.c.temperature_c.asc(), each.c.measured_at).label("coldest"),
        _rank(group, each.c.temperature_c.desc(), each.c.measured_at).label("warmest"),
        _rank(group, each.c.measured_at).label("earliest"),
    ).subquery()
    kept = or_(
        and_(ranked.c.valid, or_(ranked.c.coldest == 1, ranked.c.warmest == 1)),
        and_(ranked.c.valid.is_not(true()), ranked.c.earliest == 1),
    )
    columns = [ranked.c[each_of.name] for each_of in readings.c]
    return select(*columns).where(kept).order_by(ranked.c.measured_at, ranked.c.device_id)


def _rank(group: tuple[ColumnElement[Any], ...], *by: ColumnElement[Any]) -> ColumnElement[int]:
    return func.row_number().over(partition_by=group, order_by=by)


async def set_aside(connection: AsyncConnection, which: ReadingFilter) -> Mapping[str, Sequence[RowMapping]]:
    """Count what is set aside, by logger and field, the most frequent first.

    Each with the number of its `readings`, the `first` and the `last` of them, and `newest`, as a reading has it.
    """
    assigned = which.assignments()
    field = func.jsonb_each(readings.c.set_aside).table_valued(column("key", Text), column("value", JSONB))
    at = readings.c.measured_at
    values = func.array_agg(aggregate_order_by(field.c.value, at.desc()), type_=ARRAY(JSONB))
    here = and_(readings.c.set_aside.is_not(None), *which.conditions(assigned))
    query = (
        select(
            readings.c.device_id,
            field.c.key.label("field"),
            func.count().label("readings"),
            func.min(at).label("first"),
            func.max(at).label("last"),
            values[1].label("newest"),
        )
        .select_from(assigned.join(readings, here).join(field, true()))
        .group_by(readings.c.device_id, field.c.key)
        .order_by(func.count().desc(), field.c.key)
        .limit(FIELDS_AT_MOST)
    )
    found: dict[str, list[RowMapping]] = {}
    for row in (await connection.execute(query)).mappings():
        found.setdefault(row["device_id"], []).append(row)
    return found
