"""Assign loggers and dewars to shipments: half-open intervals, and nothing is ever on two shipments at once.

Every change first locks the things' rows (`Thing.locked`): loggers before dewars, each in the order of their ids.
Storing readings updates the rows of loggers too, and only then looks up which shipments to mark as due. So a reading is
stored either before an assignment begins or moves, and that marks the whole shipment, or after it, and then the reading
marks the shipment. Recording a charge locks the dewar's row, and only then looks up who holds it.

Whoever is not of the operating organization may assign only what is lent to its organization for the time that the
assignment begins with. What is not is neither locked nor looked at, so that the time of the answer says nothing of it.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, Select, Table, and_, func, insert, or_, select, true, update
from sqlalchemy.ext.asyncio import AsyncConnection

from telemetry.registry.holding import ahead, loans
from telemetry.registry.holding.loans import Stretch
from telemetry.registry.holding.things import DEWARS, LOGGERS, THINGS, Holder, Thing, lock
from telemetry.tables import shipments


@dataclass(frozen=True, slots=True, kw_only=True)
class Unregistered:
    """Things that do not exist; told to the operating organization only."""

    thing: Thing
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Occupied:
    """A thing that is on another shipment at that time, one that the caller may know; `ends_at` is None if it still is."""

    thing: Thing
    id_: str
    shipment_id: str
    ends_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NotAvailable:
    """Things that the caller may not assign: they do not exist, are not lent to it then, or are another's then."""

    thing: Thing
    ids: tuple[str, ...]
    lent_from: Mapping[str, datetime]
    """From when on those are lent to the caller's organization that are so only later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WasHere:
    """A thing that was on this shipment until an instant, and would come back later: it is on it for one stretch."""

    thing: Thing
    id_: str
    ends_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NotOn:
    """A thing that is not on this shipment then; `ends_at` is until when it was, None if it never was."""

    thing: Thing
    id_: str
    ends_at: datetime | None


Obstacle = Unregistered | Occupied | NotAvailable | WasHere | NotOn


async def assign(
    connection: AsyncConnection,
    *,
    shipment_id: str,
    device_ids: Sequence[str],
    dewar_id: str | None,
    starts_at: datetime,
    holder: Holder | None,
    now: datetime,
) -> Obstacle | None:
    """Assign loggers and a dewar to a shipment from an instant on; if that is impossible, change nothing and return why.

    `holder` is who assigns them, None the operating organization. Its loans must hold from `starts_at` to `now`.
    """
    wanted = ((LOGGERS, tuple(device_ids)), (DEWARS, () if dewar_id is None else (dewar_id,)))
    begins = Stretch(starts_at, now, up_to_now=True)
    for thing, ids in wanted:
        hindrance = await obstacle(
            connection, thing, ids, holder, begins, shipment_id, ends_after(thing, starts_at)
        )
        if hindrance is not None:
            return hindrance
    for thing, ids in wanted:
        if ids:
            rows = [{thing.key: id_, "shipment_id": shipment_id, "starts_at": starts_at} for id_ in ids]
            await connection.execute(insert(thing.assignments), rows)
    await ahead.set_aside(connection, shipment_id, device_ids, starts_at)
    return None


async def start_earlier(
    connection: AsyncConnection,
    shipment_id: str,
    starts_at: datetime,
    *,
    holder: Holder | None,
    begun_by: datetime | None = None,
) -> Obstacle | None:
    """Move the start of a shipment's assignments to an earlier instant, unless a thing was on another one then.

    What was put on after `begun_by`, on the way, keeps its start. What is not of the operating organization can do so
    only as far back as its loans go.
    """

    def moved(assigned: Table) -> ColumnElement[bool]:
        begun = true() if begun_by is None else assigned.c.starts_at <= begun_by
        return and_(assigned.c.shipment_id == shipment_id, assigned.c.starts_at > starts_at, begun)

    for thing in THINGS:
        here = thing.assignments.c.shipment_id == shipment_id
        await lock(connection, thing, select(thing.assignments.c[thing.key]).where(here))
        query = select(thing.assignments).where(moved(thing.assignments))
        for row in (await connection.execute(query.order_by(thing.key))).mappings().all():
            then = ends_after(thing, starts_at) & (thing.assignments.c.starts_at < row["starts_at"])
            more = Stretch(starts_at, row["starts_at"])
            hindrance = await obstacle(connection, thing, (row[thing.key],), holder, more, shipment_id, then)
            if hindrance is not None:
                return hindrance
    for thing in THINGS:
        assigned = thing.assignments
        begun_earlier = await connection.scalars(
            update(assigned)
            .where(moved(assigned))
            .values(starts_at=starts_at)
            .returning(assigned.c[thing.key])
        )
        if thing is LOGGERS:
            await ahead.set_aside(connection, shipment_id, begun_earlier.all(), starts_at)
    return None


async def release(connection: AsyncConnection, shipment_id: str, ends_at: datetime | None) -> None:
    """End a shipment's assignments: its loggers' readings from this instant on are not its, and its dewar is free.

    With None the assignments become empty, as if they had never been, and the things are free for others. What was
    taken off before stays as it is.
    """
    for thing in THINGS:
        assigned = thing.assignments
        here = assigned.c.shipment_id == shipment_id
        await lock(connection, thing, select(assigned.c[thing.key]).where(here))
        await connection.execute(
            update(assigned)
            .where(here)
            # Both ignore null.
            .values(
                ends_at=assigned.c.starts_at
                if ends_at is None
                else func.greatest(assigned.c.starts_at, func.least(assigned.c.ends_at, ends_at))
            )
        )


async def between(
    connection: AsyncConnection,
    device_ids: Collection[str],
    since: datetime,
    until: datetime,
    visible: ColumnElement[bool],
) -> Sequence[RowMapping]:
    """Load the assignments of devices that hold between two instants, the last one included.

    Only those to shipments that meet the condition `visible`: how many others there are costs no time, either.
    """
    on = LOGGERS.assignments.c
    found = await connection.execute(
        select(on.id, on.device_id, on.starts_at, on.ends_at)
        .join(shipments, shipments.c.shipment_id == on.shipment_id)
        .where(on.device_id.in_(device_ids), visible)
        .where(on.starts_at <= until, or_(on.ends_at.is_(None), on.ends_at > since))
    )
    return found.mappings().all()


async def obstacle(
    connection: AsyncConnection,
    thing: Thing,
    ids: tuple[str, ...],
    holder: Holder | None,
    stretch: Stretch,
    shipment_id: str,
    when: ColumnElement[bool],
    *,
    stays: bool = False,
) -> Obstacle | None:
    """Lock things and return what keeps them from being assigned for a time, the loan of which is asked for in `stretch`.

    What `stays` where it is needs no loan, but must not have been lent to others then.
    """
    if holder is None:
        known = await lock(connection, thing, ids)
        if missing := tuple(id_ for id_ in ids if id_ not in known):
            return Unregistered(thing=thing, ids=missing)
        occupied = await _occupied(connection, thing, shipment_id, known, when, true())
        return next((_told(thing, row) for row in occupied), None)
    usable = loans.not_lent_to_others if stays else loans.lent
    lent = await usable(connection, thing, ids, holder.organization, stretch)
    await lock(connection, thing, lent)
    lent = await usable(connection, thing, lent, holder.organization, stretch)  # ended before the lock?
    occupied = await _occupied(connection, thing, shipment_id, lent, when, holder.shipments)
    free = lent - {row["id"] for row in occupied if not row["own"]}
    if missing := tuple(id_ for id_ in ids if id_ not in free):
        later = await loans.first_after(connection, thing, missing, holder.organization, stretch.starts_at)
        return NotAvailable(thing=thing, ids=missing, lent_from=later)
    return next((_told(thing, row) for row in occupied), None)


def _told(thing: Thing, row: RowMapping) -> Occupied:
    return Occupied(thing=thing, id_=row["id"], shipment_id=row["shipment_id"], ends_at=row["ends_at"])


async def _occupied(
    connection: AsyncConnection,
    thing: Thing,
    shipment_id: str,
    ids: Collection[str],
    when: ColumnElement[bool],
    own: ColumnElement[bool],
) -> Sequence[RowMapping]:
    """Return the other shipments that have the things then, and whether each meets the condition `own`."""
    assigned = thing.assignments.c
    id_ = assigned[thing.key]
    query: Select[Any] = (
        select(id_.label("id"), assigned.shipment_id, assigned.ends_at, own.label("own"))
        .join(shipments, shipments.c.shipment_id == assigned.shipment_id)
        .where(id_.in_(ids), assigned.shipment_id != shipment_id, when)
        .order_by(id_, assigned.starts_at)
    )
    rows: Sequence[RowMapping] = (await connection.execute(query)).mappings().all()
    return rows


def ends_after(thing: Thing, instant: datetime) -> ColumnElement[bool]:
    assigned = thing.assignments.c
    is_not_empty = assigned.ends_at > assigned.starts_at  # empty: cancelled before the departure
    return or_(assigned.ends_at.is_(None), and_(is_not_empty, assigned.ends_at > instant))
