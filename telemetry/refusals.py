"""Query what was refused, with the messages that are kept as evidence."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import RowMapping, Select, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from telemetry.paging import Page, SortOrder, fetch_page
from telemetry.tables import refusals, refused_messages

ORDER = SortOrder(columns=(refusals.c.id,), descending=True)


async def page(
    connection: AsyncConnection,
    *,
    reason: str | None,
    device_id: str | None,
    payload_bytes: int,
    after: Sequence[Any] | None,
    limit: int,
) -> Page:
    """Load a page of refusals, the latest first, each with the first `payload_bytes` of its message."""
    query = _select(payload_bytes)
    if reason is not None:
        query = query.where(refusals.c.reason == reason)
    if device_id is not None:
        query = query.where(refusals.c.device_id == device_id)
    return await fetch_page(connection, query, ORDER, after=after, limit=limit)


async def get(connection: AsyncConnection, refusal_id: int) -> RowMapping | None:
    """Load one refusal, with its whole message."""
    query = _select(None).where(refusals.c.id == refusal_id)
    row: RowMapping | None = (await connection.execute(query)).mappings().first()
    return row


def _select(payload_bytes: int | None) -> Select[Any]:
    payload = refused_messages.c.payload
    shown = payload if payload_bytes is None else func.substring(payload, 1, payload_bytes)
    return select(
        refusals,
        refused_messages.c.received_at,
        refused_messages.c.source,
        refused_messages.c.origin,
        shown.label("payload"),
        func.octet_length(payload).label("size"),
    ).join(refused_messages, refused_messages.c.id == refusals.c.message_id)
