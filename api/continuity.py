"""Watches whether the database is still the one that was written to, and has everybody told if it is not."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

import asyncpg
import orjson
import structlog
from prometheus_client import Counter

from alerts.continuity import restored
from alerts.work.errors import TRY_AGAIN
from alerts.work.wakeup import first_of, outlast
from api.security.events import SecurityEvent, SecurityEventType
from api.security.record import say
from telemetry.continuity.pulse import EVERY_S, Memory, Pulse, Restoration, beat, look

log = structlog.get_logger(__name__)

RESTORED = Counter(
    "dewarwatch_record_restored_total", "Times the database was found to have gone back, or to be a copy"
)

RECORD = """
INSERT INTO security_events (at, type, subject, details) VALUES ($1, $2, 'database', $3)
"""


async def run_continuity(
    pool: asyncpg.Pool,
    memory: Memory,
    stop: asyncio.Event,
    on_try: Callable[[Exception | None], None] = lambda _: None,
) -> None:
    """Look at once and every few seconds until `stop` is set; outlasts a database that is away.

    `on_try` is called with the error of each try, and with None where a pulse is committed: so every process knows
    whether the database still takes something.
    """

    async def look_once() -> None:
        try:
            await watch(pool, memory)
        except TRY_AGAIN as error:
            on_try(error)
            raise
        on_try(None)

    while not stop.is_set():
        await outlast(look_once, stop, "continuity")
        await first_of(stop, patience_s=EVERY_S)


async def watch(pool: asyncpg.Pool, memory: Memory) -> Pulse:
    """Look whether the database knows what is remembered, tell of it if not, and remember its newest pulse."""
    judged = memory.outside
    async with pool.acquire() as connection, connection.transaction():
        found = await look(connection, memory)
        for one in found:
            await restored.tell(connection, one)
            await connection.execute(
                RECORD,
                one.noticed_at,
                SecurityEventType.RECORD_RESTORED,
                orjson.dumps(_details(one)).decode(),
            )
        memory_then = await beat(connection, found)
    memory.own = memory_then
    if memory.outside is judged:
        memory.outside = None
    for one in found:
        _say(one)
    return memory_then


def _say(found: Restoration) -> None:
    RESTORED.inc()
    log.error("record_restored", **_details(found), hint="the database went back: see the operator's guide")
    say(
        SecurityEvent(
            type=SecurityEventType.RECORD_RESTORED,
            at=datetime.now(UTC),
            subject="database",
            details=_details(found),
        )
    )


def _details(found: Restoration) -> dict[str, str | None]:
    return {
        "evidence": found.evidence,
        "went_back_to": None if found.went_back_to is None else found.went_back_to.isoformat(),
        "known_until": found.known_until.isoformat(),
    }
