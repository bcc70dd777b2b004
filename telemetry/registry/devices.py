"""Devices: the loggers, each with its last known state and its current shipment."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    RowMapping,
    Select,
    and_,
    case,
    cast,
    exists,
    func,
    literal,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from telemetry.actor import Actor
from telemetry.battery import is_low
from telemetry.freshness import LEAST_S, MISSED_INTERVALS, fresh_for
from telemetry.paging import Page, SortOrder, fetch_page
from telemetry.registry.holding.things import LOGGERS, Holder, held_at, lent_to
from telemetry.registry.revisioned_table import RevisionedTable
from telemetry.silence import heard_until
from telemetry.tables import (
    Identifier,
    Instant,
    device_assignments,
    device_revisions,
    device_states,
    device_suspensions,
    devices,
    refused_hours,
    shipments,
)
from telemetry.tables import device_calibrations as calibrations

ORDER = SortOrder(columns=(devices.c.device_id,))
DEVICES = RevisionedTable(
    table=devices,
    revisions=device_revisions,
    key=devices.c.device_id,
    searched=(devices.c.device_id, devices.c.model),
)
CALIBRATION_ORDER = SortOrder(
    columns=(calibrations.c.calibrated_at, calibrations.c.certificate), descending=True
)

REFUSED_FOR: Final = timedelta(hours=1)
"""For how long a logger counts as refused after something of it was."""
STATE_COLUMNS = tuple(column for column in device_states.c if column.name != "device_id")
"""The columns of a device's last known state."""


async def add(connection: AsyncConnection, values: Mapping[str, Any], *, actor: Actor) -> bool:
    """Register a device; return False if its id is taken. Of two at once, the second waits for the first."""
    if await DEVICES.add(connection, values, actor=actor) is None:
        return False
    await connection.execute(insert(device_states).values(device_id=values["device_id"]))
    return True


async def add_all(
    connection: AsyncConnection, values: Sequence[Mapping[str, Any]], *, actor: Actor
) -> set[str]:
    """Register devices, in a number of statements that does not grow with theirs; return the ids that are taken."""
    ids = [one["device_id"] for one in values]
    if taken := await registered(connection, ids):
        return taken
    by = str(actor)
    rows = [{**one, "updated_by": by} for one in values]
    await connection.execute(insert(devices).on_conflict_do_nothing(), rows)
    here = devices.c.device_id == func.any(cast(ids, ARRAY(Identifier)))
    own = select(devices.c.device_id).where(here, devices.c.created_at == func.now())
    made = set((await connection.scalars(own)).all())
    if taken := set(ids) - made:  # somebody was quicker
        return taken
    await connection.execute(insert(device_states).from_select(["device_id"], own))
    content = select(
        devices.c.device_id,
        devices.c.revision,
        devices.c.updated_at,
        literal(by),
        func.to_jsonb(devices.table_valued()),
    ).where(here)
    columns = ["device_id", "revision", "recorded_at", "by", "content"]
    await connection.execute(insert(device_revisions).from_select(columns, content))
    return set()


async def calibrate(
    connection: AsyncConnection, values: Mapping[str, Any], *, actor: Actor
) -> tuple[RowMapping, bool]:
    """Record a certificate of a device; return its row, and whether it is new."""
    query = insert(calibrations).values(**values, by=str(actor)).on_conflict_do_nothing()
    is_new = (await connection.execute(query.returning(calibrations.c.device_id))).first() is not None
    here = (
        calibrations.c.device_id == values["device_id"],
        calibrations.c.certificate == values["certificate"],
    )
    return (await connection.execute(select(calibrations).where(*here))).mappings().one(), is_new


async def newest_due(connection: AsyncConnection, device_id: str) -> datetime | None:
    """Return when the newest calibration of a device runs out."""
    query = (
        select(calibrations.c.due_at)
        .where(calibrations.c.device_id == device_id)
        .order_by(calibrations.c.calibrated_at.desc(), calibrations.c.recorded_at.desc())
        .limit(1)
    )
    due: datetime | None = await connection.scalar(query)
    return due


async def calibration_page(
    connection: AsyncConnection, device_id: str, *, after: Sequence[Any] | None, limit: int
) -> Page:
    """Load a page of a device's certificates, the latest calibration first."""
    query = select(calibrations).where(calibrations.c.device_id == device_id)
    return await fetch_page(connection, query, CALIBRATION_ORDER, after=after, limit=limit)


async def is_registered(connection: AsyncConnection, device_id: str) -> bool:
    """Return whether a device exists."""
    return bool(await connection.scalar(select(exists().where(devices.c.device_id == device_id))))


async def registered(connection: AsyncConnection, device_ids: Collection[str]) -> set[str]:
    """Return which of the devices exist."""
    found = await connection.scalars(select(devices.c.device_id).where(devices.c.device_id.in_(device_ids)))
    return set(found.all())


async def retired(connection: AsyncConnection, device_ids: Collection[str]) -> set[str]:
    """Return which of the devices are out of use."""
    query = select(devices.c.device_id).where(
        devices.c.device_id.in_(device_ids), devices.c.retired_at.is_not(None)
    )
    return set((await connection.scalars(query)).all())


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
    refused = refused_hours.c
    refused_at = (
        select(refused.last_at)
        .where(
            refused.device_id == devices.c.device_id,
            true() if holder is None else held_at(LOGGERS, devices.c.device_id, refused.last_at, holder),
        )
        .order_by(refused.hour.desc(), refused.last_at.desc())
        .limit(1)
        .scalar_subquery()
        .label("refused_at")
    )
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
            select(devices, *STATE_COLUMNS, *suspension, current, lent, refused_at)
            .join(device_states, joined)
            .outerjoin(device_suspensions, suspended)
        )
    columns = [case((_is_its(column, holder), column)).label(column.name) for column in STATE_COLUMNS]
    is_held = held_at(LOGGERS, devices.c.device_id, literal(now, Instant), holder)
    return (
        select(devices, *columns, *suspension, current, lent, refused_at)
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
    READINGS_REFUSED = "readings_refused"
    """It is heard, but something that it sent was refused within the last hour: its clock may be wrong."""
    PROBE_FAULT = "probe_fault"
    LOW_BATTERY = "low_battery"
    """Below 20 %."""
    SET_ASIDE = "set_aside"
    """Fields of its latest reading cannot count: a sensor, or the firmware, says what cannot be."""
    NORMAL = "normal"


def health(row: RowMapping, now: datetime) -> DeviceHealth:
    """Return the health of a device by its row; the worst problem counts."""
    seen, announced = row["last_received_at"], row["flight_mode_until"]
    if seen is None:
        return DeviceHealth.NEVER_SEEN
    fresh_s = fresh_for(row["interval_s"], MISSED_INTERVALS, otherwise=LEAST_S, at_least=LEAST_S)
    if heard_until(seen, timedelta(seconds=fresh_s), announced) < now:
        return DeviceHealth.NO_SIGNAL
    refused_at = row.get("refused_at")
    worst_first = (
        (refused_at is not None and now - refused_at < REFUSED_FOR, DeviceHealth.READINGS_REFUSED),
        (row["probe_ok"] is False, DeviceHealth.PROBE_FAULT),
        (is_low(row["battery_pct"], at_level=False), DeviceHealth.LOW_BATTERY),
        (row["set_aside"] is not None, DeviceHealth.SET_ASIDE),
    )
    return next((health for applies, health in worst_first if applies), DeviceHealth.NORMAL)
