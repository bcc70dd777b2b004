"""How much a loop takes at once: as much as it has time for, and less where the database cannot do so much."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Final

import asyncpg

TOO_LONG_S: Final = 30.0
"""What fails after so long was too much at once, whatever it fails with: half of what the server leaves a transaction alone."""


@dataclass(slots=True, kw_only=True)
class AdaptiveLimit:
    """How much a cycle takes at once: as much as it has time for, since whoever becomes due meanwhile waits for its end."""

    limit: int
    least: int
    most: int

    async def cycle(self, work: Callable[[int], Awaitable[int]], cycle_s: float) -> int:
        """Do some of what is due, at most so much, which should take `cycle_s` seconds; return how much there was."""
        started = perf_counter()
        try:
            found = await work(self.limit)
        except Exception as error:
            too_long = (
                perf_counter() - started > TOO_LONG_S
            )  # for which the server may have ended the session
            if too_long or isinstance(error, (TimeoutError, asyncpg.QueryCanceledError)):
                self.limit = max(self.limit // 2, 1)
            raise
        if found:
            self.limit = self.next_limit(perf_counter() - started, cycle_s)
        return found

    def next_limit(self, took_s: float, cycle_s: float) -> int:
        """Return how much the next cycle may take, after one that took so long and should take `cycle_s` seconds."""
        if took_s > 2 * cycle_s:
            return max(self.limit // 2, self.least)
        return min(self.limit + self.limit // 4 + 1, self.most) if took_s < cycle_s else self.limit
