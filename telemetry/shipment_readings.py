"""Query the readings of a shipment: page by page, or downsampled for a chart.

What loggers measured and what people typed are stored apart and shown together; of one instant, the logger's comes first.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Interval,
    RowMapping,
    Select,
    Table,
    Text,
    and_,
    case,
    exists,
    false,
    func,
    literal,
    or_,
    select,
    true,
    tuple_,
    union_all,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from telemetry.actor import Actor, ActorKind
from telemetry.model import Authority, Source
from telemetry.paging import Page, SortOrder, to_page
from telemetry.registry import shipment_revisions
from telemetry.tables import device_assignments, manual_readings, readings

_TABLES: Final = {Authority.LOGGER: readings, Authority.MANUAL: manual_readings}
_VALUES: Final = tuple(column.name for column in readings.c if column.name not in {"source", "author"})


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

    def conditions(self, assigned: FromClause, table: Table = readings) -> list[ColumnElement[bool]]:
        """Return the conditions that join an assignment with its readings in a table."""
        found = [
            table.c.device_id == assigned.c.device_id,
            table.c.measured_at >= assigned.c.starts_at,
            or_(assigned.c.ends_at.is_(None), table.c.measured_at < assigned.c.ends_at),
        ]
        if self.since is not None:
            found.append(table.c.measured_at >= self.since)
        if self.until is not None:
            found.append(table.c.measured_at < self.until)
        if self.device_id is not None:
            found.append(assigned.c.device_id == self.device_id)
        if self.as_of is not None:
            found.append(table.c.received_at <= self.as_of)
        return found

    def shown(self, source: Authority) -> Select[Any]:
        """Return the query for readings of a source, with all that is shown of each."""
        table = _TABLES[source]
        author: ColumnElement[str] = table.c.author
        superseded: ColumnElement[bool] = false()
        if source is Authority.LOGGER:
            itself = case(
                (
                    table.c.source == Source.MQTT.value,
                    func.concat(str(Actor(ActorKind.DEVICE, "")), table.c.device_id),
                ),
                else_="unknown",
            )
            author = func.coalesce(table.c.author, itself)
        else:
            own = readings.alias("own")
            same = [own.c.device_id == table.c.device_id, own.c.measured_at == table.c.measured_at]
            superseded = exists().where(
                *same, *([] if self.as_of is None else [own.c.received_at <= self.as_of])
            )
        return select(
            *(table.c[name] for name in _VALUES),
            literal(source.value, Text).label("source"),
            table.c.source.label("via"),
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
    parts = []
    for source, table in _TABLES.items():
        assigned = which.assignments()
        inner = which.shown(source).where(*which.conditions(assigned, table)).correlate(assigned)
        if after is not None:
            here = tuple_(table.c.measured_at, table.c.device_id, literal(source.value, Text))
            key = tuple_(
                *(literal(one, column.type) for one, column in zip(after, ORDER.columns, strict=True))
            )
            # The index can use the first condition; the second makes it exact.
            inner = inner.where(table.c.measured_at >= after[0], here > key)
        each = inner.order_by(table.c.measured_at).limit(limit + 1).lateral("each")
        parts.append(select(each).select_from(assigned.join(each, true())))
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
    parts = []
    for source, table in _TABLES.items():
        assigned = which.assignments()
        parts.append(
            which.shown(source).join_from(table, assigned, true()).where(*which.conditions(assigned, table))
        )
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
    columns = [ranked.c[column.name] for column in each.c]
    return select(*columns).where(kept).order_by(*_order(ranked).by)


def _rank(group: tuple[ColumnElement[Any], ...], *by: ColumnElement[Any]) -> ColumnElement[int]:
    return func.row_number().over(partition_by=group, order_by=by)
