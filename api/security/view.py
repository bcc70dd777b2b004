"""Query the security log, and remove what is past its retention."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import asyncpg
from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from api.security.events import SecurityEventType
from api.security.tables import security_events
from telemetry.paging import Page, SortOrder, fetch_page

ORDER = SortOrder(columns=(security_events.c.at, security_events.c.id), descending=True)

_PRUNE = """
DELETE FROM security_events WHERE id IN (
    SELECT id FROM security_events WHERE at < now() - $1::interval ORDER BY at LIMIT $2)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    """Which events; None leaves nothing out."""

    types: Sequence[SecurityEventType] | None = None
    actor: str | None = None
    key_prefix: str | None = None
    address: str | None = None
    subject: str | None = None
    status: int | None = None
    since: datetime | None = None
    until: datetime | None = None


async def page(
    connection: AsyncConnection, which: EventFilter, *, after: Sequence[Any] | None, limit: int
) -> Page:
    """Load a page of events, the latest first."""
    query, of = select(security_events), security_events.c
    if which.types:
        query = query.where(of.type.in_(which.types))
    for column, value in (
        (of.actor, which.actor),
        (of.key_prefix, which.key_prefix),
        (of.status, which.status),
    ):
        if value is not None:
            query = query.where(column == value)
    # Keys have rows of their own; what one key did from where, and to what, may be among what a row counts.
    for column, value in ((of.address, which.address), (of.subject, which.subject)):
        if value is not None:
            counted = of.details["counted"][column.name].has_key(value)
            query = query.where(or_(column == value, counted))
    if which.since is not None:
        query = query.where(of.at >= which.since)
    if which.until is not None:
        query = query.where(of.at < which.until)
    return await fetch_page(connection, query, ORDER, after=after, limit=limit)


async def prune(
    connection: asyncpg.Connection | asyncpg.pool.PoolConnectionProxy, keep_for: timedelta, limit: int
) -> int:
    """Remove at most `limit` events that are older than `keep_for`; return how many."""
    async with connection.transaction():
        await connection.execute("SET LOCAL dewarwatch.retention = 'on'")
        done = await connection.execute(_PRUNE, keep_for, limit)
    return int(done.split()[-1])
