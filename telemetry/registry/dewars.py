"""Dewars: the shippers."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import RowMapping, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from telemetry.paging import Order, Page, fetch_page
from telemetry.tables import dewars

ORDER = Order(columns=(dewars.c.dewar_id,))


async def add(connection: AsyncConnection, values: Mapping[str, Any]) -> RowMapping | None:
    """Register a dewar and give its row; None where its id is taken."""
    query = insert(dewars).values(**values).on_conflict_do_nothing().returning(dewars)
    row: RowMapping | None = (await connection.execute(query)).mappings().first()
    return row


async def get(connection: AsyncConnection, dewar_id: str) -> RowMapping | None:
    """Give one dewar."""
    query = select(dewars).where(dewars.c.dewar_id == dewar_id)
    return (await connection.execute(query)).mappings().first()


async def page(connection: AsyncConnection, *, after: Sequence[Any] | None, limit: int) -> Page:
    """Give a page of dewars."""
    return await fetch_page(connection, select(dewars), ORDER, after=after, limit=limit)
