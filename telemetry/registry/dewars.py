"""Dewars: the shippers, and the record of when each was charged with nitrogen."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, func, select, true, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from telemetry.actor import Actor
from telemetry.paging import Page, SortOrder, fetch_page
from telemetry.registry.revisioned_table import RevisionedTable
from telemetry.tables import dewar_charges as charges
from telemetry.tables import dewar_revisions, dewars

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
        await _insert_charge(connection, row["dewar_id"], row["last_charged_at"], None, actor)
    return row


async def get(connection: AsyncConnection, dewar_id: str) -> RowMapping | None:
    """Load a dewar."""
    return await DEWARS.get(connection, dewar_id, true())


async def charge(
    connection: AsyncConnection, dewar_id: str, *, at: datetime, ln2_kg: float | None, actor: Actor
) -> tuple[RowMapping, bool]:
    """Record a charge of an existing dewar; return its row, and whether it is new: an instant has one charge."""
    is_new = await _insert_charge(connection, dewar_id, at, ln2_kg, actor)
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
    connection: AsyncConnection, dewar_id: str, *, after: Sequence[Any] | None, limit: int
) -> Page:
    """Load a page of a dewar's charges, the latest first."""
    query = select(charges).where(charges.c.dewar_id == dewar_id)
    return await fetch_page(connection, query, CHARGE_ORDER, after=after, limit=limit)


async def _insert_charge(
    connection: AsyncConnection, dewar_id: str, at: datetime, ln2_kg: float | None, actor: Actor
) -> bool:
    query = (
        insert(charges)
        .values(dewar_id=dewar_id, charged_at=at, ln2_kg=ln2_kg, by=str(actor))
        .on_conflict_do_nothing()
        .returning(charges.c.dewar_id)
    )
    return (await connection.execute(query)).first() is not None
