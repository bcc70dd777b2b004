"""Which device was on which shipment when: half-open intervals, never two at one instant for one device.

Everything that changes them first locks the devices' `device_states` rows, in the order of their ids. Storing
readings updates the same rows, and only then looks which shipments to mark as due. So a reading is stored either
before an assignment begins or moves, and that marks the whole shipment, or after it, and finds it.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, func, insert, literal, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from telemetry.channels import NotifyChannel
from telemetry.tables import device_assignments as on
from telemetry.tables import device_states, evaluation_marks, shipments


@dataclass(frozen=True, slots=True, kw_only=True)
class Unregistered:
    """Devices that do not exist."""

    device_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Occupied:
    """A device that is on another shipment at that time; `ends_at` is null where it still is."""

    device_id: str
    shipment_id: str
    ends_at: datetime | None


async def assign(
    connection: AsyncConnection, *, shipment_id: str, device_ids: Collection[str], starts_at: datetime
) -> Unregistered | Occupied | None:
    """Put devices on a shipment from an instant on; where that cannot be, nothing is done and the answer says why."""
    known = await _lock(connection, device_ids)
    if missing := tuple(device_id for device_id in device_ids if device_id not in known):
        return Unregistered(device_ids=missing)
    if occupied := await _occupied(connection, shipment_id, known, _ends_after(starts_at)):
        return occupied
    await connection.execute(
        insert(on),
        [
            {"device_id": device_id, "shipment_id": shipment_id, "starts_at": starts_at}
            for device_id in device_ids
        ],
    )
    return None


async def start_earlier(
    connection: AsyncConnection, shipment_id: str, starts_at: datetime
) -> Occupied | None:
    """Let a shipment's devices be on it from an earlier instant on, unless one of them was elsewhere then."""
    mine = (await connection.execute(select(on).where(on.c.shipment_id == shipment_id))).mappings().all()
    await _lock(connection, [row["device_id"] for row in mine])
    for row in mine:
        if starts_at >= row["starts_at"]:
            continue
        between = _ends_after(starts_at) & (on.c.starts_at < row["starts_at"])
        if occupied := await _occupied(connection, shipment_id, {row["device_id"]}, between):
            return occupied
    await connection.execute(
        update(on)
        .where(on.c.shipment_id == shipment_id, on.c.starts_at > starts_at)
        .values(starts_at=starts_at)
    )
    return None


async def release(connection: AsyncConnection, shipment_id: str, ends_at: datetime | None) -> None:
    """Take a shipment's devices off it: what they measure from this instant on belongs to it no longer.

    Without an instant they never were on it, and their time is free for another.
    """
    mine = await connection.scalars(select(on.c.device_id).where(on.c.shipment_id == shipment_id))
    await _lock(connection, mine.all())
    await connection.execute(
        update(on)
        .where(on.c.shipment_id == shipment_id)
        .values(ends_at=func.greatest(on.c.starts_at, ends_at))  # which passes over null
    )


async def devices_of(
    connection: AsyncConnection, device_ids: Collection[str], visible: ColumnElement[bool]
) -> set[str]:
    """Give those of the devices that are or were on a shipment for which `visible` holds."""
    found = await connection.scalars(
        select(on.c.device_id)
        .join(shipments, shipments.c.shipment_id == on.c.shipment_id)
        .where(on.c.device_id.in_(device_ids), visible)
    )
    return set(found.all())


async def mark(connection: AsyncConnection, shipment_id: str, dirty_from: datetime | None) -> None:
    """Make a shipment due for evaluation, all of its devices, from an instant on or, with None, from the start."""
    await connection.execute(insert(evaluation_marks).values(shipment_id=shipment_id, dirty_from=dirty_from))
    await connection.execute(select(func.pg_notify(NotifyChannel.EVALUATION.value, "")))


async def mark_under_way(connection: AsyncConnection, which: ColumnElement[bool], since: datetime) -> None:
    """Make those shipments due, from an instant on, that are planned or on their way and for which `which` holds."""
    due = select(shipments.c.shipment_id, literal(since)).where(
        shipments.c.status.in_(("planned", "in_transit")), which
    )
    await connection.execute(insert(evaluation_marks).from_select(["shipment_id", "dirty_from"], due))
    await connection.execute(select(func.pg_notify(NotifyChannel.EVALUATION.value, "")))


def _ends_after(instant: datetime) -> ColumnElement[bool]:
    lasted = on.c.ends_at > on.c.starts_at  # not so where the shipment was called off before it departed
    return or_(on.c.ends_at.is_(None), and_(lasted, on.c.ends_at > instant))


async def _lock(connection: AsyncConnection, device_ids: Collection[str]) -> set[str]:
    """Lock the devices' rows until the transaction ends, and tell which devices there are."""
    locked = await connection.scalars(
        select(device_states.c.device_id)
        .where(device_states.c.device_id.in_(device_ids))
        .order_by(device_states.c.device_id)
        .with_for_update(key_share=True)
    )
    return set(locked.all())


async def _occupied(
    connection: AsyncConnection, shipment_id: str, device_ids: Collection[str], when: ColumnElement[bool]
) -> Occupied | None:
    found = await connection.execute(
        select(on.c.device_id, on.c.shipment_id, on.c.ends_at)
        .where(on.c.device_id.in_(device_ids), on.c.shipment_id != shipment_id, when)
        .order_by(on.c.device_id, on.c.starts_at)
        .limit(1)
    )
    row = found.first()
    return None if row is None else Occupied(**row._asdict())
