"""Query the readings of a shipment: page by page, or downsampled for a chart.

What loggers measured and what people typed are stored apart and shown together; of one instant, the logger's comes first.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Interval,
    RowMapping,
    Select,
    Text,
    and_,
    case,
    column,
    exists,
    false,
    func,
    literal,
    literal_column,
    or_,
    select,
    true,
    tuple_,
    union_all,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, aggregate_order_by
from sqlalchemy.ext.asyncio import AsyncConnection

from telemetry.actor import Actor, ActorKind
from telemetry.model import Authority, Source
from telemetry.paging import Page, SortOrder, to_page
from telemetry.registry import shipment_revisions
from telemetry.tables import Instant, corrected_readings, device_assignments, manual_readings, readings

FIELDS_AT_MOST: Final = 500
"""Unknown fields have whatever names a logger gives them."""
_VALUES: Final = tuple(each.name for each in readings.c if each.name not in {"source", "author"})


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

    def stored(self, source: Authority = Authority.LOGGER) -> FromClause:
        """Return all readings of a source, to select from: those that are stored, or that were known then."""
        if source is Authority.MANUAL:
            return manual_readings
        if self.as_of is None:
            return readings
        columns = (column(one.name, one.type) for one in readings.c)
        return func.readings_known_at(literal(self.as_of, Instant)).table_valued(*columns, name="known")

    def conditions(self, stored: FromClause, assigned: FromClause) -> list[ColumnElement[bool]]:
        """Return the conditions that join an assignment with its readings."""
        found = [
            stored.c.device_id == assigned.c.device_id,
            stored.c.measured_at >= assigned.c.starts_at,
            or_(assigned.c.ends_at.is_(None), stored.c.measured_at < assigned.c.ends_at),
        ]
        if self.since is not None:
            found.append(stored.c.measured_at >= self.since)
        if self.until is not None:
            found.append(stored.c.measured_at < self.until)
        if self.device_id is not None:
            found.append(assigned.c.device_id == self.device_id)
        if self.as_of is not None and stored is manual_readings:
            found.append(stored.c.received_at <= self.as_of)
        return found

    def shown(self, source: Authority, stored: FromClause) -> Select[Any]:
        """Return the query for readings of a source, with all that is shown of each."""
        author: ColumnElement[str] = stored.c.author
        superseded: ColumnElement[bool] = false()
        if source is Authority.LOGGER:
            itself = case(
                (
                    stored.c.source == Source.MQTT.value,
                    func.concat(str(Actor(ActorKind.DEVICE, "")), stored.c.device_id),
                ),
                else_="unknown",
            )
            author = func.coalesce(stored.c.author, itself)
        else:
            own = self.stored(Authority.LOGGER).alias("own")
            superseded = exists(own).where(
                own.c.device_id == stored.c.device_id, own.c.measured_at == stored.c.measured_at
            )
        return select(
            *(stored.c[name] for name in _VALUES),
            literal(source.value, Text).label("source"),
            stored.c.source.label("via"),
            author.label("author"),
            superseded.label("superseded"),
        )


def _order(trace: FromClause) -> SortOrder:
    return SortOrder(columns=(trace.c.measured_at, trace.c.device_id, trace.c.source))


ORDER: Final = _order(readings)
"""The types of what a page goes on after: instant, device and source."""


async def page(
    connection: AsyncConnection, which: ReadingFilter, *, after: Sequence[Any] | None, limit: int
) -> Page:
    """Load a page of readings, oldest first; for each logger no more rows are read than fit on the page."""
    extent = await _extent(connection, which)
    parts = []
    for source in Authority:
        assigned, stored = which.assignments(), which.stored(source)
        conditions = [*which.conditions(stored, assigned), *extent.conditions(stored)]
        inner = which.shown(source, stored).where(*conditions).correlate(assigned)
        if after is not None:
            here = tuple_(stored.c.measured_at, stored.c.device_id, literal(source.value, Text))
            key = tuple_(*(literal(one, each.type) for one, each in zip(after, ORDER.columns, strict=True)))
            # The index can use the first condition; the second makes it exact.
            inner = inner.where(stored.c.measured_at >= after[0], here > key)
        each_of = inner.order_by(stored.c.measured_at).limit(limit + 1).lateral("each_of")
        parts.append(select(each_of).select_from(assigned.join(each_of, true())))
    trace = union_all(*parts).subquery("trace")
    order = _order(trace)
    query = select(trace).order_by(*order.by).limit(limit + 1)
    rows = (await connection.execute(query)).mappings().all()
    return to_page(rows, order, limit)


async def downsample(
    connection: AsyncConnection, which: ReadingFilter, *, points: int, disowned: Collection[float]
) -> tuple[Sequence[RowMapping], timedelta | None]:
    """Load about `points` readings, and return the width of the buckets; None if nothing was left out.

    For each logger, source and bucket the coldest and the warmest reading are kept, so that no peak is lost, and the first
    one that says nothing of the payload, so that a fault stays visible. `disowned` are temperatures that
    do not, though they are numbers.
    """
    extent_ = await _extent(connection, which)
    parts = []
    for source in Authority:
        assigned, stored = which.assignments(), which.stored(source)
        conditions = [*which.conditions(stored, assigned), *extent_.conditions(stored)]
        parts.append(which.shown(source, stored).join_from(stored, assigned, true()).where(*conditions))
    all_ = union_all(*parts).subquery("all_readings")
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
        return (await connection.execute(select(all_).order_by(*_order(all_).by))).mappings().all(), None
    buckets = max(1, points // (2 * extent.devices))
    width = (extent.last - extent.first) / buckets + timedelta(microseconds=1)
    found = await connection.execute(_extremes(all_, extent.first, width, disowned))
    return found.mappings().all(), width


async def corrected(
    connection: AsyncConnection, rows: Sequence[RowMapping]
) -> dict[tuple[str, datetime], tuple[datetime, UUID]]:
    """Return of which readings the time was corrected: the time that was sent, and the correction."""
    if not rows:
        return {}
    moved, instants = corrected_readings.c, [row["measured_at"] for row in rows]
    query = select(moved.device_id, moved.measured_at, moved.sent_at, moved.correction_id).where(
        moved.device_id.in_({row["device_id"] for row in rows}),
        moved.measured_at.between(min(instants), max(instants)),
    )
    return {(row[0], row[1]): (row[2], row[3]) for row in await connection.execute(query)}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Extent:
    """The bounds in time of a shipment's readings as constants, by which the planner skips all other chunks.

    What a join says of time it only learns while it runs, chunk by chunk; there may be thousands.
    """

    first: datetime | None
    until: datetime | None

    def conditions(self, stored: FromClause) -> list[ColumnElement[bool]]:
        if self.first is None:
            return []
        bounds = [stored.c.measured_at >= self.first]
        return bounds if self.until is None else [*bounds, stored.c.measured_at < self.until]


async def _extent(connection: AsyncConnection, which: ReadingFilter) -> _Extent:
    columns = which.assignments().c
    last = func.coalesce(columns.ends_at, literal_column("'infinity'::timestamptz", Instant))
    query = select(
        func.min(columns.starts_at), func.nullif(func.max(last), literal_column("'infinity'::timestamptz"))
    )
    if which.device_id is not None:
        query = query.where(columns.device_id == which.device_id)
    first, until = (await connection.execute(query)).one()
    return _Extent(first=first, until=until)


def _extremes(
    each: FromClause, first: datetime, width: timedelta, disowned: Collection[float]
) -> Select[Any]:
    celsius = each.c.temperature_c
    valid = and_(each.c.probe_ok, celsius.between(-273.15, 150), celsius.not_in(sorted(disowned)))
    bucket = func.date_bin(literal(width, Interval), each.c.measured_at, first)
    group = (each.c.device_id, each.c.source, bucket, valid)
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
    columns = [ranked.c[one.name] for one in each.c]
    return select(*columns).where(kept).order_by(*_order(ranked).by)


def _rank(group: tuple[ColumnElement[Any], ...], *by: ColumnElement[Any]) -> ColumnElement[int]:
    return func.row_number().over(partition_by=group, order_by=by)


async def set_aside(connection: AsyncConnection, which: ReadingFilter) -> Mapping[str, Sequence[RowMapping]]:
    """Count what is set aside, by logger and field, the most frequent first.

    Each with the number of its `readings`, the `first` and the `last` of them, and `newest`, as a reading has it.
    """
    assigned, stored = which.assignments(), which.stored()
    field = func.jsonb_each(stored.c.set_aside).table_valued(column("key", Text), column("value", JSONB))
    at = stored.c.measured_at
    values = func.array_agg(aggregate_order_by(field.c.value, at.desc()), type_=ARRAY(JSONB))
    here = and_(stored.c.set_aside.is_not(None), *which.conditions(stored, assigned))
    query = (
        select(
            stored.c.device_id,
            field.c.key.label("field"),
            func.count().label("readings"),
            func.min(at).label("first"),
            func.max(at).label("last"),
            values[1].label("newest"),
        )
        .select_from(assigned.join(stored, here).join(field, true()))
        .group_by(stored.c.device_id, field.c.key)
        .order_by(func.count().desc(), field.c.key)
        .limit(FIELDS_AT_MOST)
    )
    found: dict[str, list[RowMapping]] = {}
    for row in (await connection.execute(query)).mappings():
        found.setdefault(row["device_id"], []).append(row)
    return found
