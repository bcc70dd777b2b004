"""Notices that the database's clock was set, and mends the deadlines that it set while it was ahead.

All deadlines of queues are instants of the database's clock. A deadline that was set while the clock was an hour
ahead would be an hour late once it is right again. So each deadline stands beside the instant as of which it was
set. If that lies in the future, the clock has gone back since, and the deadline is wrong.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Final, TypeAlias

import asyncpg
import structlog

from alerts import metrics
from alerts.work.wakeup import first_of, outlast

log = structlog.get_logger(__name__)

LOOK_EVERY_S: Final = 5.0
STEP_S: Final = 1.0
"""The least step that is told: clocks are corrected by less all the time."""
THOROUGH_LOOKS: Final = 12
STUCK_AFTER_S: Final = 90.0
"""No statement of ours takes longer than 45 s: one that still waits for its client has none that reads."""

SET_IN_THE_FUTURE: Final = f"set_at > now() + interval '{STEP_S} seconds'"
"""The condition that a deadline was set by a clock that has gone back since."""

Mend: TypeAlias = Callable[[asyncpg.Pool], Awaitable[Sequence[float]]]
"""Mends the deadlines of one queue; returns by how many seconds the clock was ahead that set each."""

# A backend that waits for its client to read notices no time-out of ours, and keeps its locks; it can be ended.
END_STUCK = """
SELECT pid, extract(epoch FROM clock_timestamp() - query_start)::float8 AS seconds, pg_terminate_backend(pid)
FROM pg_stat_activity
WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()
    AND application_name LIKE 'dewarwatch%' AND state = 'active' AND wait_event = 'ClientWrite'
    AND query_start < clock_timestamp() - $1 * interval '1 second'
"""


@dataclass(slots=True)
class ClockSteps:
    """Compares the database's clock with one that nobody sets."""

    _offset_s: float | None = None
    _net_s: float = 0.0
    """By how much it was set in all since the first look."""

    def see(self, clock_s: float, steady_s: float, doubt_s: float = 0.0) -> float | None:
        """Return by how many seconds the clock was set since the last look; None for less than a second.

        `doubt_s` is how long the look took: the clock was read at some instant meanwhile. One that took long says
        nothing.
        """
        if doubt_s > STEP_S / 2:
            return None
        offset_s = clock_s - steady_s
        before_s, self._offset_s = self._offset_s, offset_s
        step_s = 0.0 if before_s is None else offset_s - before_s
        if abs(step_s) <= STEP_S + doubt_s:
            return None
        self._net_s += step_s
        return step_s

    def is_as_it_was(self, clock_s: float, steady_s: float, doubt_s: float = 0.0) -> bool:
        """Return, after a look, whether the clock is what it was at the first one: never set, or set and set back."""
        self.see(clock_s, steady_s, doubt_s)
        return doubt_s <= STEP_S / 2 and abs(self._net_s) <= STEP_S


async def watch_clock(
    pool: asyncpg.Pool,
    stop: asyncio.Event,
    mends: Mapping[str, Mend],
    after_a_step_back: Mapping[str, Mend] | None = None,
    every_s: float = LOOK_EVERY_S,
) -> None:
    """Look at the clock and at the queues' deadlines, and end stuck connections, until `stop` is set.

    For some looks after the clock went back, `after_a_step_back` takes the place of what it names among `mends`: whoever
    read the clock before may commit after.
    """
    steps, thorough = ClockSteps(), 0
    while not stop.is_set():
        step_s = await outlast(partial(_look_at_clock, pool, steps), stop, "clock")
        thorough = THOROUGH_LOOKS if step_s is not None and step_s < 0 else max(0, thorough - 1)
        now = {**mends, **(after_a_step_back or {})} if thorough else mends
        for work in (
            *(partial(mend_clock, pool, queue, mend) for queue, mend in now.items()),
            partial(end_stuck, pool),
        ):
            await outlast(work, stop, "clock")
        await first_of(stop, patience_s=every_s)


async def _look_at_clock(pool: asyncpg.Pool, steps: ClockSteps) -> float | None:
    async with pool.acquire() as connection:
        began = monotonic()
        clock = await connection.fetchval("SELECT extract(epoch FROM clock_timestamp())::float8")
        step_s = steps.see(clock, began, monotonic() - began)
    if step_s is not None:
        metrics.CLOCK_STEPS.labels("back" if step_s < 0 else "ahead").inc()
        log.error("database_clock_was_set", by_s=round(step_s, 1))
    return step_s


async def mend_clock(pool: asyncpg.Pool, queue: str, mend: Mend) -> None:
    """Mend the deadlines of one queue, and say so."""
    ahead_s = await mend(pool)
    if ahead_s:
        metrics.DEADLINES_MENDED.labels(queue).inc(len(ahead_s))
        log.error(
            "deadlines_of_a_clock_ahead", queue=queue, count=len(ahead_s), ahead_s=round(max(ahead_s), 1)
        )


async def end_stuck(pool: asyncpg.Pool, after_s: float = STUCK_AFTER_S) -> None:
    """End the service's connections whose client has not read for so long: their process stands still."""
    for row in await pool.fetch(END_STUCK, after_s):
        metrics.STUCK_ENDED.inc()
        log.error("stuck_connection_ended", backend=row["pid"], seconds=round(row["seconds"], 1))
