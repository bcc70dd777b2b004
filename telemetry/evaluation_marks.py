"""Marks that make shipments due for evaluation: the seam between storing readings and evaluating them.

Ingest and the use cases append marks, evaluation removes them, and neither waits for the other.
"""

from datetime import datetime

from sqlalchemy import ColumnElement, func, insert, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from telemetry.channels import NotifyChannel
from telemetry.tables import evaluation_marks, shipments


async def mark(connection: AsyncConnection, shipment_id: str, dirty_from: datetime | None) -> None:
    """Mark a shipment as due, with all of its devices, from an instant on; None means from the start."""
    await connection.execute(insert(evaluation_marks).values(shipment_id=shipment_id, dirty_from=dirty_from))
    await connection.execute(select(func.pg_notify(NotifyChannel.EVALUATION.value, "")))


async def mark_active(connection: AsyncConnection, condition: ColumnElement[bool], since: datetime) -> None:
    """Mark the planned and in-transit shipments that meet a condition as due, from an instant on."""
    due = select(shipments.c.shipment_id, literal(since)).where(
        shipments.c.status.in_(("planned", "in_transit")), condition
    )
    await connection.execute(insert(evaluation_marks).from_select(["shipment_id", "dirty_from"], due))
    await connection.execute(select(func.pg_notify(NotifyChannel.EVALUATION.value, "")))
