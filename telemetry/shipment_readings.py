"""What was stored, read back: a shipment's trace, whole or thinned out for a chart, and what was refused."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Interval,
    RowMapping,
    Select,
    and_,
    func,
    literal,
    or_,
    select,
    true,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from telemetry.paging import Order, Page, fetch_page, page_of
from telemetry.registry import shipment_revisions as revisions
from telemetry.tables import device_assignments, readings, refusals, refused_messages

TRACE_ORDER = Order(columns=(readings.c.measured_at, readings.c.device_id))
REFUSAL_ORDER = Order(columns=(refusals.c.id,), descending=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Which part of a shipment's trace: `since <= measured_at < until`, of one logger or of all, as known when."""

    shipment_id: str
    since: datetime | None = None
    until: datetime | None = None
    device_id: str | None = None
    as_of: datetime | None = None
    """Only what was known then; None: all that is known."""

    def assigned(self) -> FromClause:
        """Give the shipment's assignments, to select from."""
        if self.as_of is not None:
            return revisions.assigned(self.shipment_id, self.as_of)
        mine = device_assignments.c.shipment_id == self.shipment_id
        return select(device_assignments).where(mine).subquery("assigned")

    def conditions(self, on: FromClause) -> list[ColumnElement[bool]]:
        """Give what holds for one of the assignments and for each reading that belongs to the shipment by it."""
        found = [
            readings.c.device_id == on.c.device_id,
            readings.c.measured_at >= on.c.starts_at,
            or_(on.c.ends_at.is_(None), readings.c.measured_at < on.c.ends_at),
        ]
        if self.since is not None:
            found.append(readings.c.measured_at >= self.since)
        if self.until is not None:
            found.append(readings.c.measured_at < self.until)
        if self.device_id is not None:
            found.append(on.c.device_id == self.device_id)
        if self.as_of is not None:
            found.append(readings.c.received_at <= self.as_of)
        return found


async def trace_page(
    connection: AsyncConnection, stretch: Stretch, *, after: Sequence[Any] | None, limit: int
) -> Page:
    """Give a page of the trace, oldest first; of each logger no more is read than the page can hold."""
    on = stretch.assigned()
    inner = select(readings).where(*stretch.conditions(on)).correlate(on)
    if after is not None:
        # The first condition is what the index can use, the second what makes it exact.
        inner = inner.where(readings.c.measured_at >= after[0], TRACE_ORDER.after(after))
    each = inner.order_by(readings.c.measured_at).limit(limit + 1).lateral("each")
    order = Order(columns=(each.c.measured_at, each.c.device_id))
    query = select(each).select_from(on.join(each, true()))
    rows = (await connection.execute(query.order_by(*order.by).limit(limit + 1))).mappings().all()
    return page_of(rows, order, limit)


async def thinned(
    connection: AsyncConnection, stretch: Stretch, *, points: int
) -> tuple[Sequence[RowMapping], timedelta | None]:
    """Give about `points` readings of the trace, and the length of the buckets; None where nothing was left out.

    Of each logger and bucket the coldest and the warmest reading are kept, so that no peak is lost, and the
    first one of a broken probe, so that a fault stays visible.
    """
    on = stretch.assigned()
    whole = select(readings).join(on, true()).where(*stretch.conditions(on))
    all_ = whole.subquery()
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
        return (await connection.execute(whole.order_by(*TRACE_ORDER.by))).mappings().all(), None
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
    columns = [ranked.c[column.name] for column in readings.c]
    return select(*columns).where(kept).order_by(ranked.c.measured_at, ranked.c.device_id)


def _rank(group: tuple[ColumnElement[Any], ...], *by: ColumnElement[Any]) -> ColumnElement[int]:
    return func.row_number().over(partition_by=group, order_by=by)


def _refusals(payload_bytes: int | None) -> Select[Any]:
    payload = refused_messages.c.payload
    shown = payload if payload_bytes is None else func.substring(payload, 1, payload_bytes)
    return select(
        refusals,
        refused_messages.c.received_at,
        refused_messages.c.source,
        refused_messages.c.origin,
        shown.label("payload"),
        func.octet_length(payload).label("size"),
    ).join(refused_messages, refused_messages.c.id == refusals.c.message_id)


async def refusal_page(
    connection: AsyncConnection,
    *,
    reason: str | None,
    device_id: str | None,
    payload_bytes: int,
    after: Sequence[Any] | None,
    limit: int,
) -> Page:
    """Give a page of what was refused, the latest first, each with the first `payload_bytes` of its message."""
    query = _refusals(payload_bytes)
    if reason is not None:
        query = query.where(refusals.c.reason == reason)
    if device_id is not None:
        query = query.where(refusals.c.device_id == device_id)
    return await fetch_page(connection, query, REFUSAL_ORDER, after=after, limit=limit)


async def refusal(connection: AsyncConnection, refusal_id: int) -> RowMapping | None:
    """Give one refusal, with all bytes of its message."""
    query = _refusals(None).where(refusals.c.id == refusal_id)
    row: RowMapping | None = (await connection.execute(query)).mappings().first()
    return row
