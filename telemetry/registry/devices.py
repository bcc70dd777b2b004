"""Devices: the loggers, each with its last known state and its current shipment."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    ColumnElement,
    RowMapping,
    Select,
    and_,
    case,
    exists,
    func,
    literal,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from telemetry.battery import is_low
from telemetry.freshness import LEAST_S, MISSED_INTERVALS, fresh_for
from telemetry.paging import Page, SortOrder, fetch_page
from telemetry.registry.things import LOGGERS, Holder, held_at, lent_to
from telemetry.silence import heard_until
from telemetry.tables import (
    Instant,
    device_assignments,
    device_states,
    device_suspensions,
    devices,
    shipments,
)

ORDER = SortOrder(columns=(devices.c.device_id,))

STATE_COLUMNS = tuple(column for column in device_states.c if column.name != "device_id")
"""The columns of a device's last known state."""


async def add(connection: AsyncConnection, values: Mapping[str, Any]) -> bool:
    """Register a device; return False if its id is taken. Of two at once, the second waits for the first."""
    added = await connection.execute(
        insert(devices).values(**values).on_conflict_do_nothing().returning(devices.c.device_id)
    )
    if added.first() is None:
        return False
    await connection.execute(insert(device_states).values(device_id=values["device_id"]))
    return True


async def is_registered(connection: AsyncConnection, device_id: str) -> bool:
    """Return whether a device exists."""
    return bool(await connection.scalar(select(exists().where(devices.c.device_id == device_id))))


async def registered(connection: AsyncConnection, device_ids: Collection[str]) -> set[str]:
    """Return which of the devices exist."""
    found = await connection.scalars(select(devices.c.device_id).where(devices.c.device_id.in_(device_ids)))
    return set(found.all())


async def end_suspension(connection: AsyncConnection, device_id: str) -> None:
    """Let the suspension of a device end now, if it has one; an ingester then lets it in."""
    under_way = (device_suspensions.c.device_id == device_id) & device_suspensions.c.lifted_at.is_(None)
    await connection.execute(update(device_suspensions).where(under_way).values(until=func.now()))


async def get(
    connection: AsyncConnection, device_id: str, *, holder: Holder | None = None, now: datetime
) -> RowMapping | None:
    """Load a device; for a holder, only one that it has now, with what is known of the time in which it had it."""
    query = _devices(holder, now).where(devices.c.device_id == device_id)
    row: RowMapping | None = (await connection.execute(query)).mappings().first()
    return row


async def page(
    connection: AsyncConnection,
    *,
    holder: Holder | None,
    now: datetime,
    q: str | None,
    organization: str | None = None,
    after: Sequence[Any] | None,
    limit: int,
) -> Page:
    """Load a page of devices as `get` does each.

    Optionally of those whose id or model contains a text, and of those that are lent to an organization.
    """
    query = _devices(holder, now)
    if q is not None:
        query = query.where(
            devices.c.device_id.icontains(q, autoescape=True) | devices.c.model.icontains(q, autoescape=True)
        )
    if organization is not None:
        query = query.where(_lent_to(holder, now) == organization)
    return await fetch_page(connection, query, ORDER, after=after, limit=limit)


def _lent_to(holder: Holder | None, now: datetime) -> ColumnElement[Any]:
    return lent_to(LOGGERS, devices.c.device_id, literal(now, Instant), holder)


def _devices(holder: Holder | None, now: datetime) -> Select[Any]:
    states = device_states.c
    current = (
        select(device_assignments.c.shipment_id)
        .join(shipments, shipments.c.shipment_id == device_assignments.c.shipment_id)
        .where(
            device_assignments.c.device_id == devices.c.device_id,
            device_assignments.c.ends_at.is_(None),
            true() if holder is None else holder.shipments,
        )
        .scalar_subquery()
        .label("shipment_id")
    )
    lent = _lent_to(holder, now).label("lent_to")
    joined = states.device_id == devices.c.device_id
    suspension = (
        device_suspensions.c.until.label("suspended_until"),
        device_suspensions.c.reason.label("suspended_for"),
    )
    suspended = and_(
        device_suspensions.c.device_id == devices.c.device_id,
        device_suspensions.c.lifted_at.is_(None),
        true()
        if holder is None
        else held_at(LOGGERS, devices.c.device_id, device_suspensions.c.since, holder),
    )
    if holder is None:
        return (
            select(devices, *STATE_COLUMNS, *suspension, current, lent)
            .join(device_states, joined)
            .outerjoin(device_suspensions, suspended)
        )
    columns = [case((_is_its(column, holder), column)).label(column.name) for column in STATE_COLUMNS]
    is_held = held_at(LOGGERS, devices.c.device_id, literal(now, Instant), holder)
    return (
        select(devices, *columns, *suspension, current, lent)
        .join(device_states, joined)
        .outerjoin(device_suspensions, suspended)
        .where(is_held)
    )


def _is_its(column: ColumnElement[Any], holder: Holder) -> ColumnElement[bool]:
    """Return the condition that a value of a device's state is of a time in which the holder had the device."""
    state = device_states.c
    of_time = {
        **dict.fromkeys(("position_at", "lat", "lon"), (state.position_at,)),
        **dict.fromkeys(("connection", "connection_at"), (state.connection_at,)),
        "last_received_at": (state.measured_at, state.last_received_at),
    }
    times = of_time.get(column.name, (state.measured_at,))
    return and_(*(held_at(LOGGERS, state.device_id, at, holder) for at in times))


class DeviceHealth(StrEnum):
    """What is wrong with a device, worst first."""

    NEVER_SEEN = "never_seen"
    NO_SIGNAL = "no_signal"
    """No reading for three of its intervals, at least half an hour, and no announced silence."""
    PROBE_FAULT = "probe_fault"
    LOW_BATTERY = "low_battery"
    """Below 20 %."""
    NORMAL = "normal"


def health(row: RowMapping, now: datetime) -> DeviceHealth:
    """Return the health of a device by its row; the worst problem counts."""
    seen, announced = row["last_received_at"], row["flight_mode_until"]
    if seen is None:
        return DeviceHealth.NEVER_SEEN
    fresh_s = fresh_for(row["interval_s"], MISSED_INTERVALS, otherwise=LEAST_S, at_least=LEAST_S)
    if heard_until(seen, timedelta(seconds=fresh_s), announced) < now:
        return DeviceHealth.NO_SIGNAL
    if row["probe_ok"] is False:
        return DeviceHealth.PROBE_FAULT
    if is_low(row["battery_pct"], at_level=False):
        return DeviceHealth.LOW_BATTERY
    return DeviceHealth.NORMAL
