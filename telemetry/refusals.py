"""Query what was refused, with the messages that are kept as evidence."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import asyncpg
from sqlalchemy import ColumnElement, RowMapping, Select, case, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from telemetry.paging import Page, SortOrder, fetch_page
from telemetry.tables import refusal_quotas, refusals, refused_messages

ORDER = SortOrder(columns=(refusals.c.id,), descending=True)
_HASHED_IN_LISTS = 64 * 1024

_PRUNE_MESSAGES = """
WITH old AS (
    SELECT id FROM refused_messages WHERE received_at < now() - $1::interval ORDER BY received_at LIMIT $2
), theirs AS (
    DELETE FROM refusals WHERE message_id IN (SELECT id FROM old)
), gone AS (
    DELETE FROM refused_messages WHERE id IN (SELECT id FROM old) RETURNING 1
)
SELECT count(*) FROM gone
"""

_PRUNE_QUOTAS = """
WITH old AS (
    SELECT id FROM refusal_quotas WHERE day < (now() - $1::interval)::date - 1 ORDER BY day LIMIT $2
), theirs AS (
    DELETE FROM refusals WHERE quota_id IN (SELECT id FROM old)
)
DELETE FROM refusal_quotas WHERE id IN (SELECT id FROM old)
"""


async def page(
    connection: AsyncConnection,
    *,
    reason: str | None,
    device_id: str | None,
    payload_bytes: int,
    after: Sequence[Any] | None,
    limit: int,
) -> Page:
    """Load a page of refusals, the latest first, each with at most the first `payload_bytes` of its message.

    A row without a message stands for all that was over the quota of an origin on a day, with their number.
    """
    query = _select(payload_bytes)
    if reason is not None:
        query = query.where(refusals.c.reason == reason)
    if device_id is not None:
        query = query.where(refusals.c.device_id == device_id)
    return await fetch_page(connection, query, ORDER, after=after, limit=limit)


async def get(connection: AsyncConnection, refusal_id: int) -> RowMapping | None:
    """Load one refusal, with all that is kept of its message."""
    query = _select(None).where(refusals.c.id == refusal_id)
    row: RowMapping | None = (await connection.execute(query)).mappings().first()
    return row


def _select(payload_bytes: int | None) -> Select[Any]:
    payload = refused_messages.c.payload
    shown = payload if payload_bytes is None else func.substring(payload, 1, payload_bytes)
    # Messages from before they were cut have no hash, and may be long: a list does not hash a gigabyte of them.
    hashed: ColumnElement[Any] = func.sha256(payload)
    if payload_bytes is not None:
        hashed = case((func.octet_length(payload) <= _HASHED_IN_LISTS, hashed))
    return (
        select(
            refusals,
            func.coalesce(refused_messages.c.received_at, refusal_quotas.c.first_not_kept_at).label(
                "received_at"
            ),
            func.coalesce(refused_messages.c.source, refusal_quotas.c.source).label("source"),
            func.coalesce(refused_messages.c.origin, refusal_quotas.c.origin).label("origin"),
            func.coalesce(shown, b"").label("payload"),
            func.coalesce(refused_messages.c.size, func.octet_length(payload), 0).label("size"),
            func.coalesce(refused_messages.c.sha256, hashed).label("sha256"),
            refusal_quotas.c.not_kept,
            refusal_quotas.c.not_kept_bytes,
            refusal_quotas.c.first_not_kept_at,
            refusal_quotas.c.last_not_kept_at,
        )
        .outerjoin(refused_messages, refused_messages.c.id == refusals.c.message_id)
        .outerjoin(refusal_quotas, refusal_quotas.c.id == refusals.c.quota_id)
    )


async def prune(
    connection: asyncpg.Connection | asyncpg.pool.PoolConnectionProxy, keep_for: timedelta, limit: int
) -> int:
    """Remove what was refused longer than `keep_for` ago, at most `limit` of each kind; return how many messages.

    Messages go with their refusals; quotas with the rows that stand for what they
    did not keep.
    """
    removed = int(await connection.fetchval(_PRUNE_MESSAGES, keep_for, limit))
    await connection.execute(_PRUNE_QUOTAS, keep_for, limit)
    return removed
