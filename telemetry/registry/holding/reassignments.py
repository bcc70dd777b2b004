"""Change what is on a shipment after it was planned: put things on and take them off under way, and set its end anew.

The locks are those of `assignments`, and so is what must hold: nothing is ever on two shipments at once. A thing is on a
shipment for one stretch: one that was taken off and comes back continues that stretch, if it comes back by its end.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, and_, bindparam, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from telemetry.registry.holding import loans
from telemetry.registry.holding.assignments import NotOn, Obstacle, WasHere, ends_after, obstacle
from telemetry.registry.holding.loans import Stretch
from telemetry.registry.holding.things import THINGS, Holder, Thing, lock


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """Things of a kind that are put on a shipment and taken off it at an instant."""

    thing: Thing
    shipment_id: str
    at: datetime
    until: datetime | None
    """Until when those that are put on stay: the end of the shipment; None while it has none."""
    add: Sequence[str] = ()
    remove: Sequence[str] = ()


async def move(
    connection: AsyncConnection, wanted: Move, *, holder: Holder | None, now: datetime
) -> Obstacle | bool:
    """Put things on a shipment and take others off; return whether anything changed, or change nothing and return why.

    What `holder` puts on must be lent to it, as for `assign`.
    """
    thing = wanted.thing
    await _lock(connection, wanted, holder, now)
    rows = await _here(connection, wanted)
    removed = [id_ for id_ in wanted.remove if not _is_off(rows.get(id_), wanted.at)]
    for id_ in removed:
        row = rows.get(id_)
        if row is None or not _holds(row) or (row["ends_at"] is not None and row["ends_at"] < wanted.at):
            return NotOn(thing=thing, id_=id_, ends_at=None if row is None else row["ends_at"])
    new = [id_ for id_ in wanted.add if (row := rows.get(id_)) is None or not _holds(row)]
    kept = {id_: rows[id_] for id_ in wanted.add if id_ not in new}
    found = await obstacle(
        connection,
        thing,
        tuple(new),
        holder,
        _asked(wanted.at, wanted, now),
        wanted.shipment_id,
        _overlaps(thing, wanted.at, wanted.until),
    )
    if found is None:
        found = await _hindrance(connection, wanted, kept, holder, now)
    if found is not None:
        return found
    spans = dict.fromkeys(new, (wanted.at, wanted.until))
    spans |= {id_: (min(row["starts_at"], wanted.at), wanted.until) for id_, row in kept.items()}
    spans |= {id_: (rows[id_]["starts_at"], max(rows[id_]["starts_at"], wanted.at)) for id_ in removed}
    return await _write(connection, wanted, rows, spans)


async def end_anew(
    connection: AsyncConnection,
    shipment_id: str,
    *,
    was: datetime | None,
    ends_at: datetime | None,
    holder: Holder | None,
    now: datetime,
) -> Obstacle | None:
    """Give what stayed on a shipment until its end, `was`, another end; None: it is on it still.

    `was` is None for a shipment that was cancelled before it departed, whose assignments are empty since. What is on
    another shipment meanwhile stands in the way. What was taken off on the way stays off.
    """
    for thing in THINGS:
        stayed = _stayed(thing, shipment_id, was)
        await lock(connection, thing, select(thing.assignments.c[thing.key]).where(stayed))
        rows = (await connection.execute(select(thing.assignments).where(stayed))).mappings().all()
        for row in rows:
            free_from = row["ends_at"]
            if ends_at is None or ends_at > free_from:
                then = _overlaps(thing, free_from, ends_at)
                more = Stretch(free_from, ends_at or max(now, free_from), up_to_now=ends_at is None)
                found = await obstacle(
                    connection, thing, (row[thing.key],), holder, more, shipment_id, then, stays=True
                )
                if found is not None:
                    return found
    for thing in THINGS:
        assigned = thing.assignments
        end = None if ends_at is None else func.greatest(assigned.c.starts_at, ends_at)
        await connection.execute(update(assigned).where(_stayed(thing, shipment_id, was)).values(ends_at=end))
        if ends_at is not None:  # what was taken off after the new end
            late = and_(assigned.c.shipment_id == shipment_id, assigned.c.ends_at > ends_at)
            await connection.execute(update(assigned).where(late).values(ends_at=end))
    return None


def _stayed(thing: Thing, shipment_id: str, was: datetime | None) -> ColumnElement[bool]:
    assigned = thing.assignments.c
    end = assigned.starts_at if was is None else was
    return and_(assigned.shipment_id == shipment_id, assigned.ends_at == end)


async def _lock(connection: AsyncConnection, wanted: Move, holder: Holder | None, now: datetime) -> None:
    """Lock what is moved in one order, whoever moves it; of what others may not use, nothing."""
    add = set(wanted.add)
    if holder is not None:
        asked = _asked(wanted.at, wanted, now)
        add = await loans.lent(connection, wanted.thing, add, holder.organization, asked)
    here = wanted.thing.assignments.c
    on = select(here[wanted.thing.key]).where(here.shipment_id == wanted.shipment_id)
    await lock(connection, wanted.thing, {*add, *(await connection.scalars(on)).all()})


async def _here(connection: AsyncConnection, wanted: Move) -> Mapping[str, RowMapping]:
    assigned = wanted.thing.assignments
    ids = [*wanted.add, *wanted.remove]
    query = select(assigned).where(
        assigned.c.shipment_id == wanted.shipment_id, assigned.c[wanted.thing.key].in_(ids)
    )
    rows = (await connection.execute(query)).mappings().all()
    return {row[wanted.thing.key]: row for row in rows}


async def _hindrance(
    connection: AsyncConnection,
    wanted: Move,
    kept: Mapping[str, RowMapping],
    holder: Holder | None,
    now: datetime,
) -> Obstacle | None:
    """Return why things that have been on the shipment cannot be on it for longer."""
    thing = wanted.thing
    for id_, row in kept.items():
        left = row["ends_at"]
        longer = left is not None and (wanted.until is None or left < wanted.until)
        if longer and wanted.at > left:
            return WasHere(thing=thing, id_=id_, ends_at=left)
        asked = []
        if wanted.at < row["starts_at"]:
            earlier = _overlaps(thing, wanted.at, row["starts_at"])
            asked.append((Stretch(wanted.at, row["starts_at"]), earlier))
        if longer:
            asked.append((_asked(left, wanted, now), _overlaps(thing, left, wanted.until)))
        for stretch, when in asked:
            found = await obstacle(connection, thing, (id_,), holder, stretch, wanted.shipment_id, when)
            if found is not None:
                return found
    return None


async def _write(
    connection: AsyncConnection,
    wanted: Move,
    rows: Mapping[str, RowMapping],
    spans: Mapping[str, tuple[datetime, datetime | None]],
) -> bool:
    assigned, key = wanted.thing.assignments, wanted.thing.key
    new: list[dict[str, Any]] = []
    changed: list[dict[str, Any]] = []
    for id_, (starts_at, ends_at) in spans.items():
        values = {"starts_at": starts_at, "ends_at": ends_at}
        if id_ not in rows:
            new.append({key: id_, "shipment_id": wanted.shipment_id, **values})
        elif values != {name: rows[id_][name] for name in values}:
            changed.append({"row": rows[id_]["id"], **values})
    if new:
        await connection.execute(insert(assigned), new)
    if changed:
        which = update(assigned).where(assigned.c.id == bindparam("row"))
        await connection.execute(
            which.values(starts_at=bindparam("starts_at"), ends_at=bindparam("ends_at")), changed
        )
    return bool(new or changed)


def _asked(since: datetime, wanted: Move, now: datetime) -> Stretch:
    """Return for which time a loan must hold: up to now, or to the end of a shipment that is over."""
    if wanted.until is None:
        return Stretch(since, max(now, since), up_to_now=True)
    return Stretch(since, wanted.until)


def _overlaps(thing: Thing, starts_at: datetime, ends_at: datetime | None) -> ColumnElement[bool]:
    """Return the condition that an assignment has an instant of a time in it."""
    after = ends_after(thing, starts_at)
    return after if ends_at is None else and_(after, thing.assignments.c.starts_at < ends_at)


def _holds(row: RowMapping) -> bool:
    return row["ends_at"] is None or bool(row["ends_at"] > row["starts_at"])


def _is_off(row: RowMapping | None, at: datetime) -> bool:
    return row is not None and row["ends_at"] == at
