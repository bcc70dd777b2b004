"""Remove what is past its retention: refused messages and security events. The outbox and webhooks have loops of their own."""

import asyncio
from datetime import timedelta

import asyncpg
from prometheus_client import Counter

from alerts.work.wakeup import first_of, outlast
from api.security import view as security
from telemetry import refusals

PRUNED = Counter("dewarwatch_pruned_total", "Rows removed after their retention", ["of"])
LOOK_EVERY_S = 60.0
_CHUNK = 1000


async def run_retention(
    pool: asyncpg.Pool, stop: asyncio.Event, *, refused: timedelta, security_events: timedelta
) -> None:
    """Remove what is older, a chunk at a time, until `stop` is set."""
    while not stop.is_set():
        removed = await outlast(
            lambda: prune(pool, refused=refused, security_events=security_events), stop, "retention"
        )
        if removed is None or max(removed) < _CHUNK:
            await first_of(stop, patience_s=LOOK_EVERY_S)


async def prune(pool: asyncpg.Pool, *, refused: timedelta, security_events: timedelta) -> tuple[int, int]:
    """Remove a chunk of each; return how many refused messages and how many security events."""
    async with pool.acquire() as connection, connection.transaction():
        messages = await refusals.prune(connection, refused, _CHUNK)
        events = await security.prune(connection, security_events, _CHUNK)
    PRUNED.labels("refused_messages").inc(messages)
    PRUNED.labels("security_events").inc(events)
    return messages, events
