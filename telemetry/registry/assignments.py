"""Assign devices to shipments: half-open intervals, and a device is never on two shipments at once.

Every change first locks the devices' `device_states` rows, in the order of their ids. Storing readings updates the same
rows, and only then looks up which shipments to mark as due. So a reading is stored either before an assignment begins
or moves, and that marks the whole shipment, or after it, and then the reading marks the shipment.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, RowMapping, and_, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from telemetry.tables import device_assignments as assignments
from telemetry.tables import device_states, shipments


@dataclass(frozen=True, slots=True, kw_only=True)
class UnregisteredDevices:
    """Devices that do not exist."""

    device_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceOccupied:
    """A device that is on another shipment at that time; `ends_at` is None if it still is."""

    device_id: str
    shipment_id: str
    ends_at: datetime | None


async def assign(
    connection: AsyncConnection, *, shipment_id: str, device_ids: Collection[str], starts_at: datetime
) -> UnregisteredDevices | DeviceOccupied | None:
    """Assign devices to a shipment from an instant on; if that is impossible, change nothing and return why."""
    known = await _lock(connection, device_ids)
    if missing := tuple(device_id for device_id in device_ids if device_id not in known):
        return UnregisteredDevices(device_ids=missing)
    if occupied := await _find_occupied(connection, shipment_id, known, _ends_after(starts_at)):
        return occupied
    await connection.execute(
        insert(assignments),
        [
            {"device_id": device_id, "shipment_id": shipment_id, "starts_at": starts_at}
            for device_id in device_ids
        ],
    )
    return None


async def start_earlier(
    connection: AsyncConnection, shipment_id: str, starts_at: datetime
) -> DeviceOccupied | None:
    """Move the start of a shipment's assignments to an earlier instant, unless a device was on another one then."""
    query = select(assignments).where(assignments.c.shipment_id == shipment_id)
    current = (await connection.execute(query)).mappings().all()
    await _lock(connection, [row["device_id"] for row in current])
    for row in current:
        if starts_at >= row["starts_at"]:
            continue
        between = _ends_after(starts_at) & (assignments.c.starts_at < row["starts_at"])
        if occupied := await _find_occupied(connection, shipment_id, {row["device_id"]}, between):
            return occupied
    await connection.execute(
        update(assignments)
        .where(assignments.c.shipment_id == shipment_id, assignments.c.starts_at > starts_at)
        .values(starts_at=starts_at)
    )
    return None


async def release(connection: AsyncConnection, shipment_id: str, ends_at: datetime | None) -> None:
    """End a shipment's assignments: what the devices measure from this instant on no longer belongs to it.

    With None the assignments become empty, as if they had never been, and the devices are free for others.
    """
    query = select(assignments.c.device_id).where(assignments.c.shipment_id == shipment_id)
    await _lock(connection, (await connection.scalars(query)).all())
    await connection.execute(
        update(assignments)
        .where(assignments.c.shipment_id == shipment_id)
        .values(ends_at=func.greatest(assignments.c.starts_at, ends_at))  # greatest ignores null
    )


async def between(
    connection: AsyncConnection,
    device_ids: Collection[str],
    since: datetime,
    until: datetime,
    visible: ColumnElement[bool],
) -> Sequence[RowMapping]:
    """Load the assignments of devices that hold between two instants, the last one included, and whose they are.

    Each row has `id`, `device_id`, `starts_at`, `ends_at`, and whether its shipment meets the condition `visible`.
    """
    on = assignments.c
    found = await connection.execute(
        select(on.id, on.device_id, on.starts_at, on.ends_at, visible.label("visible"))
        .join(shipments, shipments.c.shipment_id == on.shipment_id)
        .where(
            on.device_id.in_(device_ids), on.starts_at <= until, or_(on.ends_at.is_(None), on.ends_at > since)
        )
    )
    return found.mappings().all()


def _ends_after(instant: datetime) -> ColumnElement[bool]:
    is_not_empty = assignments.c.ends_at > assignments.c.starts_at  # empty: cancelled before the departure
    return or_(assignments.c.ends_at.is_(None), and_(is_not_empty, assignments.c.ends_at > instant))


async def _lock(connection: AsyncConnection, device_ids: Collection[str]) -> set[str]:
    """Lock the devices' rows until the transaction ends, and return the devices that exist."""
    locked = await connection.scalars(
        select(device_states.c.device_id)
        .where(device_states.c.device_id.in_(device_ids))
        .order_by(device_states.c.device_id)
        .with_for_update(key_share=True)
    )
    return set(locked.all())


async def _find_occupied(
    connection: AsyncConnection, shipment_id: str, device_ids: Collection[str], when: ColumnElement[bool]
) -> DeviceOccupied | None:
    found = await connection.execute(
        select(assignments.c.device_id, assignments.c.shipment_id, assignments.c.ends_at)
        .where(assignments.c.device_id.in_(device_ids), assignments.c.shipment_id != shipment_id, when)
        .order_by(assignments.c.device_id, assignments.c.starts_at)
        .limit(1)
    )
    row = found.first()
    return None if row is None else DeviceOccupied(**row._asdict())
