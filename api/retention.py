"""Remove what is past its retention: refused messages, security events and answers that are kept for a day. The outbox and webhooks have loops of their own."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

import asyncpg
from prometheus_client import Counter

from alerts.work.wakeup import first_of, outlast
from api.security import view as security
from telemetry import refusals

PRUNED = Counter("dewarwatch_pruned_total", "Rows removed after their retention", ["of"])
LOOK_EVERY_S = 60.0
_CHUNK = 1000
ANSWERS_KEPT = timedelta(hours=24)
"""For how long a call with an Idempotency-Key is answered the same."""

_PRUNE_ANSWERS = """
DELETE FROM idempotent_calls WHERE (caller, key_hash) IN (
    SELECT caller, key_hash FROM idempotent_calls WHERE made_at < clock_timestamp() - $1::interval
    ORDER BY made_at LIMIT $2 FOR UPDATE SKIP LOCKED)
RETURNING true
"""


async def run_retention(
    pool: asyncpg.Pool,
    stop: asyncio.Event,
    *,
    refused: timedelta,
    security_events: timedelta,
    may_remove: Callable[[], bool],
) -> None:
    """Remove what is older, a chunk at a time, while it `may_remove`, until `stop` is set."""
    while not stop.is_set():
        removed = None
        if may_remove():
            removed = await outlast(
                lambda: prune(pool, refused=refused, security_events=security_events), stop, "retention"
            )
        if removed is None or max(removed) < _CHUNK:
            await first_of(stop, patience_s=LOOK_EVERY_S)


async def prune(
    pool: asyncpg.Pool, *, refused: timedelta, security_events: timedelta
) -> tuple[int, int, int]:
    """Remove a chunk of each; return how many refused messages, security events and answers."""
    async with pool.acquire() as connection, connection.transaction():
        messages = await refusals.prune(connection, refused, _CHUNK)
        events = await security.prune(connection, security_events, _CHUNK)
        answers = len(await connection.fetch(_PRUNE_ANSWERS, ANSWERS_KEPT, _CHUNK))
    PRUNED.labels("refused_messages").inc(messages)
    PRUNED.labels("security_events").inc(events)
    PRUNED.labels("answers").inc(answers)
    return messages, events, answers
