"""Dewars: the shippers, and the record of when each was charged with nitrogen."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, and_, any_, func, literal, or_, select, true, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from telemetry.actor import Actor
from telemetry.paging import Page, SortOrder, fetch_page
from telemetry.registry.holding import things
from telemetry.registry.holding.things import Holder, held_at
from telemetry.registry.revisioned_table import RevisionedTable
from telemetry.tables import Instant, dewar_revisions, dewars, shipments
from telemetry.tables import dewar_charges as charges

DEWARS = RevisionedTable(
    table=dewars,
    revisions=dewar_revisions,
    key=dewars.c.dewar_id,
    searched=(dewars.c.dewar_id, dewars.c.model),
)
CHARGE_ORDER = SortOrder(columns=(charges.c.charged_at,), descending=True)


async def add(connection: AsyncConnection, values: Mapping[str, Any], *, actor: Actor) -> RowMapping | None:
    """Register a dewar with its last charge, and return its row; None if its id is taken."""
    row = await DEWARS.add(connection, values, actor=actor)
    if row is not None and row["last_charged_at"] is not None:
        await _insert_charge(connection, row["dewar_id"], row["last_charged_at"], None, actor, None)
    return row


async def get(
    connection: AsyncConnection, dewar_id: str, *, holder: Holder | None = None, now: datetime
) -> RowMapping | None:
    """Load a dewar; for a holder, only one that it has now, with the last charge of the time in which it had it."""
    query = select(*_columns(holder, now)).where(dewars.c.dewar_id == dewar_id, _is_held(holder, now))
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
    """Load a page of dewars, as `get` does each, optionally of those that are lent to an organization."""
    query = select(*_columns(holder, now)).where(_is_held(holder, now), DEWARS.mentions(q))
    if organization is not None:
        query = query.where(_lent_to(holder, now) == organization)
    return await fetch_page(connection, query, DEWARS.order, after=after, limit=limit)


def _is_held(holder: Holder | None, now: datetime) -> ColumnElement[bool]:
    return (
        true() if holder is None else held_at(things.DEWARS, dewars.c.dewar_id, literal(now, Instant), holder)
    )


def _lent_to(holder: Holder | None, now: datetime) -> ColumnElement[Any]:
    return things.lent_to(things.DEWARS, dewars.c.dewar_id, literal(now, Instant), holder)


def _columns(holder: Holder | None, now: datetime) -> list[ColumnElement[Any]]:
    """Return the columns of a dewar, without what was done to it while somebody else had it, and to whom it is lent."""
    lent = _lent_to(holder, now).label("lent_to")
    if holder is None:
        return [*dewars.c, lent]
    last = (
        select(func.max(charges.c.charged_at))
        .where(charges.c.dewar_id == dewars.c.dewar_id, charges.c.withdrawn.is_(False), _while_held(holder))
        .scalar_subquery()
        .label("last_charged_at")
    )
    own = [last if column.name == "last_charged_at" else column for column in dewars.c]
    return [*own, lent]


def _while_held(holder: Holder | None) -> ColumnElement[bool]:
    """Return the condition on charges that the dewar was the holder's then, and that no other organization told them.

    What another told of its own time can lie in the holder's: a little ahead, or where times were corrected since.
    """
    if holder is None:
        return true()
    organization = (
        holder.organization
        if holder.organization is not None
        else any_(select(shipments.c.organization).where(holder.shipments).scalar_subquery())
    )
    by = charges.c.organization
    held = held_at(things.DEWARS, charges.c.dewar_id, charges.c.charged_at, holder)
    return and_(held, or_(by.is_(None), by == organization))


async def lock(connection: AsyncConnection, dewar_id: str) -> RowMapping | None:
    """Load a dewar, and lock it until the transaction ends."""
    return await DEWARS.lock(connection, dewar_id, true())


async def charge(
    connection: AsyncConnection,
    dewar_id: str,
    *,
    at: datetime,
    ln2_kg: float | None,
    actor: Actor,
    organization: str | None,
) -> tuple[RowMapping, bool]:
    """Record a charge of an existing dewar; return its row, and whether it is new: an instant has one charge.

    `organization` had the dewar then, and tells of it; None: the operating organization does.
    """
    is_new = await _insert_charge(connection, dewar_id, at, ln2_kg, actor, organization)
    if is_new:
        # A charge reported late does not replace a later one; greatest ignores null.
        await connection.execute(
            update(dewars)
            .where(dewars.c.dewar_id == dewar_id)
            .values(last_charged_at=func.greatest(dewars.c.last_charged_at, at))
        )
    query = select(charges).where(charges.c.dewar_id == dewar_id, charges.c.charged_at == at)
    return (await connection.execute(query)).mappings().one(), is_new


async def correct_charge(
    connection: AsyncConnection,
    dewar_id: str,
    *,
    charged_at: datetime,
    changes: Mapping[str, Any],
    actor: Actor,
    reason: str,
) -> tuple[RowMapping, bool] | None:
    """Correct `ln2_kg` or `withdrawn` of a charge; return its row, and whether anything changed.

    The previous values stay on record. Returns None if there is no charge at that instant.
    """
    here = (charges.c.dewar_id == dewar_id, charges.c.charged_at == charged_at)
    row = (await connection.execute(select(charges).where(*here).with_for_update())).mappings().first()
    if row is None:
        return None
    if all(row[name] == value for name, value in changes.items()):
        return row, False
    correction = func.jsonb_build_object(
        *("corrected_at", func.clock_timestamp(), "by", str(actor), "reason", reason),
        *("was", func.jsonb_build_object("ln2_kg", charges.c.ln2_kg, "withdrawn", charges.c.withdrawn)),
    )
    corrections = charges.c.corrections.concat(func.jsonb_build_array(correction))
    query = update(charges).where(*here).values(**changes, corrections=corrections).returning(charges)
    corrected: RowMapping = (await connection.execute(query)).mappings().one()
    last = select(func.max(charges.c.charged_at)).where(
        charges.c.dewar_id == dewar_id, charges.c.withdrawn.is_(False)
    )
    await connection.execute(
        update(dewars).where(dewars.c.dewar_id == dewar_id).values(last_charged_at=last.scalar_subquery())
    )
    return corrected, True


async def charge_page(
    connection: AsyncConnection,
    dewar_id: str,
    *,
    holder: Holder | None,
    after: Sequence[Any] | None,
    limit: int,
) -> Page:
    """Load a page of a dewar's charges, the latest first; for a holder, those while the dewar was its."""
    query = select(charges).where(charges.c.dewar_id == dewar_id, _while_held(holder))
    return await fetch_page(connection, query, CHARGE_ORDER, after=after, limit=limit)


async def _insert_charge(
    connection: AsyncConnection,
    dewar_id: str,
    at: datetime,
    ln2_kg: float | None,
    actor: Actor,
    organization: str | None,
) -> bool:
    query = (
        insert(charges)
        .values(dewar_id=dewar_id, charged_at=at, ln2_kg=ln2_kg, by=str(actor), organization=organization)
        .on_conflict_do_nothing()
        .returning(charges.c.dewar_id)
    )
    return (await connection.execute(query)).first() is not None
