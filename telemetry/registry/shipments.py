"""Shipments: the rows, and the devices on each with their last known state."""

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, and_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from telemetry.paging import Order
from telemetry.registry.devices import STATE_COLUMNS
from telemetry.tables import device_assignments, device_states, shipments

ORDER = Order(columns=(shipments.c.created_at, shipments.c.shipment_id), descending=True)


async def add(connection: AsyncConnection, values: Mapping[str, Any]) -> RowMapping | None:
    """Store a new shipment and give its row; None where its id is taken."""
    query = insert(shipments).values(**values).on_conflict_do_nothing().returning(shipments)
    row: RowMapping | None = (await connection.execute(query)).mappings().first()
    return row


async def get(
    connection: AsyncConnection, shipment_id: str, visible: ColumnElement[bool]
) -> RowMapping | None:
    """Give one shipment's row, if the caller may see it."""
    found = await connection.execute(select(shipments).where(shipments.c.shipment_id == shipment_id, visible))
    return found.mappings().first()


async def lock(
    connection: AsyncConnection, shipment_id: str, visible: ColumnElement[bool]
) -> RowMapping | None:
    """Give one shipment's row, which nobody else changes until the transaction ends.

    The lock leaves the key alone, so that evaluating, which refers to the shipment, does not wait for it.
    """
    found = await connection.execute(
        select(shipments)
        .where(shipments.c.shipment_id == shipment_id, visible)
        .with_for_update(key_share=True)
    )
    return found.mappings().first()


async def change(connection: AsyncConnection, shipment_id: str, **values: Any) -> RowMapping:
    """Change a shipment that exists, and give its row."""
    here = shipments.c.shipment_id == shipment_id
    query = update(shipments).where(here).values(**values).returning(shipments)
    row: RowMapping = (await connection.execute(query)).mappings().one()
    return row


async def devices_on(
    connection: AsyncConnection, shipment_ids: Collection[str]
) -> Mapping[str, list[RowMapping]]:
    """Give the devices of each shipment, by id, with the last known state of those that are on it now.

    What a device tells before or after it is on a shipment is the business of another one.
    """
    on, state = device_assignments, device_states
    here = and_(
        state.c.device_id == on.c.device_id, on.c.ends_at.is_(None), state.c.measured_at >= on.c.starts_at
    )
    found = await connection.execute(
        select(on.c.shipment_id, on.c.device_id, on.c.starts_at, on.c.ends_at, *STATE_COLUMNS)
        .outerjoin(state, here)
        .where(on.c.shipment_id.in_(shipment_ids))
        .order_by(on.c.device_id)
    )
    grouped: dict[str, list[RowMapping]] = {shipment_id: [] for shipment_id in shipment_ids}
    for row in found.mappings():
        grouped[row["shipment_id"]].append(row)
    return grouped
