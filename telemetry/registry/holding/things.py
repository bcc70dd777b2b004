"""What is lent and assigned, loggers and dewars, and who may hold it: the same rules for both.

Who holds a thing at an instant has three possible answers. A shipment, if one has it then: whose the shipment is, whose
the thing is. Else the organization to which it is lent then. Else nobody but the operating organization.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, ScalarSelect, Select, Table, and_, exists, or_, select, true
from sqlalchemy.ext.asyncio import AsyncConnection

from telemetry.tables import (
    device_assignments,
    device_loans,
    device_states,
    dewar_assignments,
    dewar_loans,
    dewars,
    shipments,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    """A kind of thing that is lent and assigned."""

    noun: str
    key: str
    """The name of the column that has its id, in every table."""
    assignments: Table
    loans: Table
    locked: Table
    """The table whose row is the lock of a thing: for assigning it, lending it, and for what only its holder may do."""


LOGGERS: Final = Thing(
    noun="logger",
    key="device_id",
    assignments=device_assignments,
    loans=device_loans,
    locked=device_states,
)
DEWARS: Final = Thing(
    noun="dewar", key="dewar_id", assignments=dewar_assignments, loans=dewar_loans, locked=dewars
)
THINGS: Final = (LOGGERS, DEWARS)
"""In the order in which they are locked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Somebody other than the operating organization, who holds things by loans and by shipments."""

    organization: str | None
    """To which things are lent; None: no loan counts, as for a key that is bound to shipments."""
    shipments: ColumnElement[bool]
    """The condition on `shipments` for those that are the holder's."""


def held_at(
    thing: Thing, id_: ColumnElement[str], at: ColumnElement[Any], holder: Holder
) -> ColumnElement[bool]:
    """Return the condition that the holder has a thing at an instant; false where the instant is null."""
    assigned, loan = thing.assignments.c, thing.loans.c
    here = and_(assigned[thing.key] == id_, covers(thing.assignments, at))
    on_its_shipment = exists().where(here, shipments.c.shipment_id == assigned.shipment_id, holder.shipments)
    if holder.organization is None:
        return on_its_shipment
    is_lent = exists().where(
        loan[thing.key] == id_, loan.organization == holder.organization, covers(thing.loans, at)
    )
    return or_(on_its_shipment, and_(is_lent, ~exists().where(here)))


def lent_to(
    thing: Thing, id_: ColumnElement[str], at: ColumnElement[Any], holder: Holder | None
) -> ScalarSelect[Any]:
    """Return the organization to which a thing is lent at an instant; a holder learns of loans to itself alone."""
    loan = thing.loans.c
    to = true() if holder is None else loan.organization == holder.organization
    return (
        select(loan.organization)
        .where(loan[thing.key] == id_, covers(thing.loans, at), to)
        .limit(1)
        .scalar_subquery()
    )


def covers(intervals: Table, at: ColumnElement[Any]) -> ColumnElement[bool]:
    """Return the condition that the interval of a row, which is half open, holds an instant."""
    return and_(intervals.c.starts_at <= at, or_(intervals.c.ends_at.is_(None), intervals.c.ends_at > at))


async def lock(
    connection: AsyncConnection, thing: Thing, ids: Collection[str] | Select[tuple[str]]
) -> set[str]:
    """Lock things until the transaction ends, in the order of their ids, and return those that exist."""
    id_ = thing.locked.c[thing.key]
    query = select(id_).where(id_.in_(ids)).order_by(id_).with_for_update(key_share=True)
    return set((await connection.scalars(query)).all())


async def is_there(connection: AsyncConnection, thing: Thing, id_: str) -> bool:
    """Return whether there is a thing of this id."""
    return bool(await connection.scalar(select(exists().where(thing.locked.c[thing.key] == id_))))
