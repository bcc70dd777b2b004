"""Loans of loggers and dewars to organizations: half-open intervals, and nothing is ever lent twice at one instant.

Every change first locks the thing's row, as every assignment of it does.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import RowMapping, and_, func, insert, or_, select, true, update
from sqlalchemy.ext.asyncio import AsyncConnection

from telemetry.actor import Actor
from telemetry.paging import Page, SortOrder, fetch_page
from telemetry.registry.holding.things import Thing
from telemetry.tables import Instant, shipments


@dataclass(frozen=True, slots=True)
class Stretch:
    """A time from an instant on: until another one, or up to now, that included."""

    starts_at: datetime
    ends_at: datetime
    up_to_now: bool = False


def order(thing: Thing) -> SortOrder:
    """Return the order of the loans of a thing, the latest first."""
    return SortOrder(columns=(thing.loans.c.starts_at, thing.loans.c.id), descending=True)


async def lent(
    connection: AsyncConnection,
    thing: Thing,
    ids: Collection[str],
    organization: str | None,
    stretch: Stretch,
) -> set[str]:
    """Return which of the things are lent to an organization for the whole of a stretch, by one loan or by several.

    A stretch up to now needs one that nobody has ended yet. That is told by when it was ended, too: whoever waited for
    the lock meanwhile took the time before that, and would find the loan as it still was then.
    """
    loan = thing.loans.c
    lent_for = func.range_agg(func.tstzrange(loan.starts_at, loan.ends_at))
    asked_for = func.tstzrange(stretch.starts_at, stretch.ends_at, "[]" if stretch.up_to_now else "[)")
    changed_at = func.coalesce(loan.changes[-1]["changed_at"].astext.cast(Instant), loan.recorded_at)
    goes_on = and_(
        loan.starts_at <= stretch.ends_at,
        or_(loan.ends_at.is_(None), loan.ends_at > func.greatest(changed_at, stretch.ends_at)),
    )
    query = (
        select(loan[thing.key])
        .where(loan[thing.key].in_(ids), loan.organization == organization)
        .group_by(loan[thing.key])
        .having(lent_for.op("@>")(asked_for), func.bool_or(goes_on) if stretch.up_to_now else true())
    )
    return set((await connection.scalars(query)).all())


async def not_lent_to_others(
    connection: AsyncConnection,
    thing: Thing,
    ids: Collection[str],
    organization: str | None,
    stretch: Stretch,
) -> set[str]:
    """Return which of the things are lent to no other organization at any instant of a stretch."""
    loan = thing.loans.c
    during = func.tstzrange(stretch.starts_at, stretch.ends_at, "[]" if stretch.up_to_now else "[)")
    query = select(loan[thing.key]).where(
        loan[thing.key].in_(ids),
        loan.organization.is_distinct_from(organization),
        func.tstzrange(loan.starts_at, loan.ends_at).op("&&")(during),
    )
    return set(ids) - set((await connection.scalars(query)).all())


async def lend(
    connection: AsyncConnection,
    thing: Thing,
    id_: str,
    *,
    organization: str,
    starts_at: datetime,
    ends_at: datetime | None,
    actor: Actor,
    reason: str | None,
) -> RowMapping:
    """Record a loan of a thing that is locked, and free then; return its row."""
    values = {
        thing.key: id_,
        "organization": organization,
        "starts_at": starts_at,
        "ends_at": ends_at,
        "by": str(actor),
        "reason": reason,
    }
    query = insert(thing.loans).values(**values).returning(thing.loans)
    row: RowMapping = (await connection.execute(query)).mappings().one()
    return row


async def overlapping(
    connection: AsyncConnection, thing: Thing, id_: str, starts_at: datetime, ends_at: datetime | None
) -> RowMapping | None:
    """Return the first loan of a thing that holds at any instant from `starts_at` until `ends_at`."""
    loan = thing.loans.c
    query = (
        select(thing.loans)
        .where(
            loan[thing.key] == id_,
            func.tstzrange(loan.starts_at, loan.ends_at).op("&&")(func.tstzrange(starts_at, ends_at)),
        )
        .order_by(loan.starts_at)
        .limit(1)
    )
    return (await connection.execute(query)).mappings().first()


async def first_after(
    connection: AsyncConnection,
    thing: Thing,
    ids: Collection[str],
    organization: str | None,
    instant: datetime,
) -> Mapping[str, datetime]:
    """Return when the first loan to an organization begins after an instant, of each of the things that has one."""
    loan = thing.loans.c
    query = (
        select(loan[thing.key], func.min(loan.starts_at))
        .where(loan[thing.key].in_(ids), loan.organization == organization, loan.starts_at > instant)
        .group_by(loan[thing.key])
    )
    return {row[0]: row[1] for row in await connection.execute(query)}


async def get(connection: AsyncConnection, thing: Thing, id_: str, loan_id: UUID) -> RowMapping | None:
    """Load a loan of a thing."""
    loan = thing.loans.c
    query = select(thing.loans).where(loan.id == loan_id, loan[thing.key] == id_)
    return (await connection.execute(query)).mappings().first()


async def end(
    connection: AsyncConnection,
    thing: Thing,
    loan_id: UUID,
    *,
    ends_at: datetime,
    actor: Actor,
    reason: str,
) -> RowMapping:
    """Give a loan of a thing that is locked another end; until when it was to last stays on record."""
    loan = thing.loans.c
    change = func.jsonb_build_object(
        *("changed_at", func.clock_timestamp(), "by", str(actor), "reason", reason),
        *("was", func.jsonb_build_object("ends_at", loan.ends_at)),
    )
    query = (
        update(thing.loans)
        .where(loan.id == loan_id)
        .values(ends_at=ends_at, changes=loan.changes.concat(func.jsonb_build_array(change)))
        .returning(thing.loans)
    )
    row: RowMapping = (await connection.execute(query)).mappings().one()
    return row


async def used_after(
    connection: AsyncConnection, thing: Thing, loan: RowMapping, instant: datetime
) -> RowMapping | None:
    """Return the last assignment by which the borrower has the thing after an instant within its loan; None if none."""
    assigned = thing.assignments.c
    during = func.tstzrange(assigned.starts_at, assigned.ends_at)
    query = (
        select(assigned.shipment_id, assigned.ends_at)
        .join(shipments, shipments.c.shipment_id == assigned.shipment_id)
        .where(
            assigned[thing.key] == loan[thing.key],
            shipments.c.organization == loan["organization"],
            during.op("&&")(func.tstzrange(instant, loan["ends_at"])),
        )
        .order_by(assigned.ends_at.desc().nulls_first())
        .limit(1)
    )
    return (await connection.execute(query)).mappings().first()


async def page(
    connection: AsyncConnection,
    thing: Thing,
    id_: str,
    *,
    organization: str | None,
    after: Sequence[Any] | None,
    limit: int,
) -> Page:
    """Load a page of the loans of a thing, the latest first: all of them, or those to one organization."""
    loan = thing.loans.c
    of = true() if organization is None else loan.organization == organization
    query = select(thing.loans).where(loan[thing.key] == id_, of)
    return await fetch_page(connection, query, order(thing), after=after, limit=limit)
