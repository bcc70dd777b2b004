"""Marks that make shipments due for evaluation: the seam between storing readings and evaluating them.

Ingest and the use cases append marks, evaluation removes them, and neither waits for the other.
"""

from datetime import datetime

from sqlalchemy import ColumnElement, and_, func, insert, literal, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from telemetry.channels import NotifyChannel
from telemetry.tables import dewar_assignments, evaluation_marks, shipments


async def mark(connection: AsyncConnection, shipment_id: str, dirty_from: datetime | None) -> None:
    """Mark a shipment as due, with all of its devices, from an instant on; None means from the start."""
    await connection.execute(insert(evaluation_marks).values(shipment_id=shipment_id, dirty_from=dirty_from))
    await connection.execute(select(func.pg_notify(NotifyChannel.EVALUATION.value, "")))


async def mark_active(
    connection: AsyncConnection, condition: ColumnElement[bool], since: datetime | None = None
) -> None:
    """Mark the planned and in-transit shipments that meet a condition as due, from an instant on; None: from the start.

    The start is told by its instant: there may be many, and what is live does not wait for them.
    """
    begun = func.coalesce(shipments.c.departed_at, func.clock_timestamp())
    await _mark_all(
        connection,
        and_(shipments.c.status.in_(("planned", "in_transit")), condition),
        begun if since is None else literal(since),
    )


async def mark_in_dewar(connection: AsyncConnection, dewar_id: str, since: datetime) -> None:
    """Mark the shipments as due from an instant on that were in a dewar after it, also those that are over."""
    on = dewar_assignments.c
    had_it = select(on.shipment_id).where(
        on.dewar_id == dewar_id, or_(on.ends_at.is_(None), on.ends_at > since)
    )
    shipment = shipments.c
    condition = and_(shipment.dewar_id == dewar_id, shipment.shipment_id.in_(had_it))
    await _mark_all(connection, condition, literal(since))


async def _mark_all(
    connection: AsyncConnection, condition: ColumnElement[bool], since: ColumnElement[datetime]
) -> None:
    due = select(shipments.c.shipment_id, since).where(condition)
    await connection.execute(insert(evaluation_marks).from_select(["shipment_id", "dirty_from"], due))
    await connection.execute(select(func.pg_notify(NotifyChannel.EVALUATION.value, "")))
