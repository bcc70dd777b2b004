"""Shipments, and the devices on each with their last known state."""

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, and_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from telemetry.paging import SortOrder
from telemetry.registry.devices import STATE_COLUMNS
from telemetry.tables import device_assignments, device_states, shipments

ORDER = SortOrder(columns=(shipments.c.created_at, shipments.c.shipment_id), descending=True)


async def add(connection: AsyncConnection, values: Mapping[str, Any]) -> RowMapping | None:
    """Store a new shipment and return its row; None if its id is taken."""
    query = insert(shipments).values(**values).on_conflict_do_nothing().returning(shipments)
    row: RowMapping | None = (await connection.execute(query)).mappings().first()
    return row


async def get(
    connection: AsyncConnection, shipment_id: str, visible: ColumnElement[bool]
) -> RowMapping | None:
    """Load a shipment, if the caller may see it."""
    found = await connection.execute(select(shipments).where(shipments.c.shipment_id == shipment_id, visible))
    return found.mappings().first()


async def lock(
    connection: AsyncConnection, shipment_id: str, visible: ColumnElement[bool]
) -> RowMapping | None:
    """Load a shipment, if the caller may see it, and lock it until the transaction ends.

    The lock does not cover the key, so that evaluation, which refers to the shipment, does not wait for it.
    """
    found = await connection.execute(
        select(shipments)
        .where(shipments.c.shipment_id == shipment_id, visible)
        .with_for_update(key_share=True)
    )
    return found.mappings().first()


async def change(connection: AsyncConnection, shipment_id: str, **values: Any) -> RowMapping:
    """Change an existing shipment, and return its row."""
    here = shipments.c.shipment_id == shipment_id
    query = update(shipments).where(here).values(**values).returning(shipments)
    row: RowMapping = (await connection.execute(query)).mappings().one()
    return row


async def devices_on(
    connection: AsyncConnection, shipment_ids: Collection[str]
) -> Mapping[str, list[RowMapping]]:
    """Load the devices of each shipment, by shipment id, with the last known state of those that are on it now.

    What a device sends before or after its assignment does not concern the shipment.
    """
    assigned, state = device_assignments, device_states
    is_current = and_(
        state.c.device_id == assigned.c.device_id,
        assigned.c.ends_at.is_(None),
        state.c.measured_at >= assigned.c.starts_at,
    )
    found = await connection.execute(
        select(
            assigned.c.shipment_id,
            assigned.c.device_id,
            assigned.c.starts_at,
            assigned.c.ends_at,
            *STATE_COLUMNS,
        )
        .outerjoin(state, is_current)
        .where(assigned.c.shipment_id.in_(shipment_ids))
        .order_by(assigned.c.device_id)
    )
    grouped: dict[str, list[RowMapping]] = {shipment_id: [] for shipment_id in shipment_ids}
    for row in found.mappings():
        grouped[row["shipment_id"]].append(row)
    return grouped
