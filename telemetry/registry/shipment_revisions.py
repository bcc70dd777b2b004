"""Revisions of shipments: each step in the life of a shipment stores a whole revision, which is never changed."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import FromClause, RowMapping, Select, Text, column, func, select, text, true
from sqlalchemy.ext.asyncio import AsyncConnection

from telemetry.actor import Actor
from telemetry.paging import Page, SortOrder, fetch_page
from telemetry.tables import Instant
from telemetry.tables import shipment_revisions as revisions

ORDER = SortOrder(columns=(revisions.c.revision,))


class ShipmentStep(StrEnum):
    """What happened to a shipment."""

    CREATED = "created"
    DEPARTED = "departed"
    DELIVERED = "delivered"
    CANCELLED = "cancelled"
    PLAN_CHANGED = "plan_changed"
    SCHEDULE_CHANGED = "schedule_changed"
    CORRECTED = "corrected"
    LOGGERS_CHANGED = "loggers_changed"
    DEWAR_CHANGED = "dewar_changed"
    CLOCK_CORRECTED = "clock_corrected"
    """The times of readings of one of its loggers were corrected, or that was taken back."""


# All processes share the database's clock; it may be set back, but the time of a shipment never goes back.
_ADD = text(
    """
    INSERT INTO shipment_revisions (shipment_id, revision, recorded_at, step, "by", reason, plan, plan_revision, schedule_revision,
        dewar_id, origin, destination, legs, planned_departure, planned_arrival, packed_out_at, use_by, departed_at, delivered_at, cancelled_at, overrides, devices)
    SELECT s.shipment_id, coalesce(max(r.revision), 0) + 1, greatest(clock_timestamp(), max(r.recorded_at)),
        :step, :by, :reason, s.plan, s.plan_revision, s.schedule_revision, s.dewar_id, s.origin, s.destination, s.legs,
        s.planned_departure, s.planned_arrival, s.packed_out_at, s.use_by, s.departed_at, s.delivered_at, s.cancelled_at, s.overrides,
        coalesce((
            SELECT jsonb_agg(jsonb_build_object('device_id', a.device_id, 'starts_at', a.starts_at,
                                                'ends_at', a.ends_at) ORDER BY a.device_id)
            FROM device_assignments AS a WHERE a.shipment_id = s.shipment_id
        ), '[]')
    FROM shipments AS s LEFT JOIN shipment_revisions AS r USING (shipment_id)
    WHERE s.shipment_id = :shipment_id GROUP BY s.shipment_id
    """
)


async def add(
    connection: AsyncConnection,
    shipment_id: str,
    *,
    step: ShipmentStep,
    actor: Actor,
    reason: str | None = None,
) -> None:
    """Store a revision of the shipment and its devices after a step; the caller holds the lock on the shipment."""
    await connection.execute(
        _ADD, {"shipment_id": shipment_id, "step": str(step), "by": str(actor), "reason": reason}
    )


async def page(
    connection: AsyncConnection, shipment_id: str, *, after: Sequence[Any] | None, limit: int
) -> Page:
    """Load a page of a shipment's revisions, the first one first."""
    query = select(revisions).where(revisions.c.shipment_id == shipment_id)
    return await fetch_page(connection, query, ORDER, after=after, limit=limit)


async def get_as_of(connection: AsyncConnection, shipment_id: str, as_of: datetime) -> RowMapping | None:
    """Load the revision that was the newest at an instant; None before the shipment was created."""
    row: RowMapping | None = (await connection.execute(_newest(shipment_id, as_of))).mappings().first()
    return row


def assignments_as_of(shipment_id: str, as_of: datetime) -> FromClause:
    """Return the shipment's assignments as they were known at an instant, to select from."""
    newest = _newest(shipment_id, as_of).subquery()
    each = (
        func.jsonb_to_recordset(newest.c.devices)
        .table_valued(column("device_id", Text), column("starts_at", Instant), column("ends_at", Instant))
        .render_derived("each", with_types=True)
    )
    return select(each).select_from(newest.join(each, true())).subquery("assigned")


def _newest(shipment_id: str, as_of: datetime) -> Select[Any]:
    return (
        select(revisions)
        .where(revisions.c.shipment_id == shipment_id, revisions.c.recorded_at <= as_of)
        .order_by(revisions.c.revision.desc())
        .limit(1)
    )
