"""Prunes the outbox and measures its age; streams and webhooks read it."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

import asyncpg
import structlog

from alerts import metrics
from alerts.work.wakeup import first_of, outlast

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 5.0
_CHUNK = 10_000

AGE = """
SELECT coalesce(extract(epoch FROM clock_timestamp() - (
    SELECT created_at FROM outbox WHERE position > (SELECT position FROM webhook_fanout) ORDER BY position LIMIT 1)), 0)
"""

# Only what is handed on to all endpoints, however old it is: a fan-out that is behind has not sent it to anybody. The
# position reached is recorded, for consumers that want to go on from before it.
PRUNE = """
WITH old AS (
    DELETE FROM outbox WHERE id IN (
        SELECT id FROM outbox WHERE created_at < now() - $1::interval
            AND coalesce(position, 0) <= (SELECT position FROM webhook_fanout)
        ORDER BY id LIMIT $2)
    RETURNING position
), noted AS (
    INSERT INTO outbox_pruned AS p (position) SELECT max(position) FROM old HAVING count(position) > 0
    ON CONFLICT (one) DO UPDATE SET position = greatest(p.position, EXCLUDED.position)
)
SELECT count(*) FROM old
"""

# The events after the position that is handed on, and among them the past of the retention: those it cannot remove.
KEPT_BACK = """
SELECT count(*) FROM outbox WHERE position > (SELECT position FROM webhook_fanout) AND created_at < now() - $1::interval
"""

NOBODY_TO_TELL = "SELECT count(*) FROM escalations WHERE nobody_to_tell"

MARKS = "SELECT count(*) FROM evaluation_marks"


async def run_deliver(
    pool: asyncpg.Pool,
    stop: asyncio.Event,
    retention: timedelta,
    may_remove: Callable[[], bool] = lambda: True,
) -> None:
    """Watch the outbox and remove what is older than `retention` while it `may_remove`, until `stop` is set.

    The event stream and the webhooks read the outbox by themselves: see api/http/event_hub.py and alerts/webhooks.
    """
    while not stop.is_set():
        removed = await outlast(lambda: look_after(pool, retention, may_remove=may_remove()), stop, "deliver")
        if removed != _CHUNK:
            await first_of(stop, patience_s=LOOK_EVERY_S)


async def look_after(pool: asyncpg.Pool, retention: timedelta, *, may_remove: bool = True) -> int:
    """Measure the outbox's age, delete a chunk of what is past retention, and return how many were deleted."""
    async with pool.acquire() as connection:
        metrics.OUTBOX_AGE_SECONDS.set(float(await connection.fetchval(AGE)))
        metrics.MARKS_WAITING.set(await connection.fetchval(MARKS))
        removed = int(await connection.fetchval(PRUNE, retention, _CHUNK)) if may_remove else 0
        kept_back = int(await connection.fetchval(KEPT_BACK, retention))
        metrics.NOBODY_TO_TELL.set(await connection.fetchval(NOBODY_TO_TELL))
    metrics.OUTBOX_PRUNED.inc(removed)
    metrics.OUTBOX_KEPT_BACK.set(kept_back)
    if kept_back:
        log.warning("outbox_kept_back", events=kept_back, why="not handed on to webhooks yet")
    if removed:
        log.info("outbox_pruned", events=removed)
    return removed
