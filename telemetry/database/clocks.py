"""Compares the service's clock with the database's, at start and all along.

Readings are refused for a time ahead of the service's clock. Where that clock is wrong, they would be lost: refused,
acknowledged, and deleted by their loggers. So nothing is refused for its time unless two clocks agree.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic, time
from typing import Final

import asyncpg
import structlog

from telemetry import metrics

log = structlog.get_logger(__name__)

MOST_APART_S: Final = 1.0
COMPARE_EVERY_S: Final = 2.0
REMIND_EVERY_S: Final = 600.0
SURE_BEFORE_REMOVAL_S: Final = 3600.0
"""For how long the clocks must have agreed, and not have been set, before anything is removed for its age."""
_ANSWER_TIMEOUT_S: Final = 5.0
_FAULTS: Final = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One comparison of the two clocks."""

    ahead_s: float
    """How far the database's clock is ahead of the service's."""
    unsure_s: float
    """By how much that may be wrong: half of the time that the answer took."""

    @property
    def agrees(self) -> bool:
        """Whether the clocks are no further apart than is allowed, as far as can be told."""
        return abs(self.ahead_s) - self.unsure_s <= MOST_APART_S


class Clocks:
    """Whether the service's clock can be trusted now.

    A clock that is set in between two comparisons is noticed at once: a steady clock runs beside it.
    """

    def __init__(self, wall: Callable[[], float] = time, steady: Callable[[], float] = monotonic) -> None:
        self._wall, self._steady = wall, steady
        self._apart: float | None = None
        self._told_at: float | None = None
        self._wrong_since: float | None = None
        self._sure_since: float | None = None
        self.last: Comparison | None = None
        """None before the first comparison."""

    def are_sure(self) -> bool:
        """Return whether the clocks agreed when they were compared last, and ours has not been set since."""
        if self.last is None or not self.last.agrees or self._apart is None:
            return False
        return abs(self._wall() - self._steady() - self._apart) <= MOST_APART_S

    def wrong_for_s(self) -> float | None:
        """Return for how long the clocks have differed, by a steady clock; None if they agree."""
        return None if self._wrong_since is None else self._steady() - self._wrong_since

    def may_remove(self) -> bool:
        """Return whether something may be removed for its age.

        A clock that is ahead by months for a moment makes everything old, and what is removed does not come back.
        """
        return (
            self._sure_since is not None
            and self._steady() - self._sure_since >= SURE_BEFORE_REMOVAL_S
            and self.are_sure()
        )

    async def compare(self, pool: asyncpg.Pool) -> Comparison:
        """Compare the clocks now; raises what the database raises."""
        async with asyncio.timeout(_ANSWER_TIMEOUT_S), pool.acquire() as connection:
            asked, asked_at = self._wall(), self._steady()
            answer: datetime = await connection.fetchval("SELECT clock_timestamp()")
            took_s = self._steady() - asked_at
        theirs = (answer - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()
        return self.note(
            Comparison(ahead_s=theirs - asked - took_s / 2, unsure_s=took_s / 2), asked - asked_at
        )

    def note(self, comparison: Comparison, apart: float) -> Comparison:
        """Take a comparison, made while the wall clock was `apart` from the steady one, and tell of a difference."""
        was_set = self._apart is not None and abs(apart - self._apart) > MOST_APART_S
        self.last, self._apart = comparison, apart
        metrics.CLOCK_AHEAD.set(comparison.ahead_s)
        now = self._steady()
        if was_set or not comparison.agrees:
            self._sure_since = None
        elif self._sure_since is None:
            self._sure_since = now
        if comparison.agrees:
            if self._wrong_since is not None:
                log.info("clocks_agree_again", after_s=round(now - self._wrong_since))
            self._wrong_since = self._told_at = None
            return comparison
        self._wrong_since = self._wrong_since if self._wrong_since is not None else now
        if self._told_at is None or now - self._told_at >= REMIND_EVERY_S:
            self._told_at = now
            log.error(
                "clocks_differ",
                database_ahead_s=round(comparison.ahead_s, 3),
                hint="set the clock of this machine, or of the database's; until then no reading is refused as clock_ahead",
            )
        return comparison

    async def watch(self, pool: asyncpg.Pool, stop: asyncio.Event) -> None:
        """Compare the clocks until `stop` is set."""
        while not stop.is_set():
            try:
                await self.compare(pool)
            except _FAULTS as error:
                log.debug("clocks_not_compared", error=repr(error))
            stopped = asyncio.ensure_future(stop.wait())
            await asyncio.wait([stopped], timeout=COMPARE_EVERY_S)
            stopped.cancel()
