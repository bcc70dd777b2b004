"""Adapts how much a loop takes at once to the time it takes, and to what the database can do."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Final

import asyncpg

TOO_LONG_S: Final = 30.0
"""Work that fails after this long was too much at once, whatever the error.

Half of the time after which the server ends an idle transaction.
"""


@dataclass(slots=True, kw_only=True)
class AdaptiveLimit:
    """How much a cycle takes at once: as much as fits its time, since newly due work waits for its end."""

    limit: int
    least: int
    most: int

    async def cycle(self, work: Callable[[int], Awaitable[int]], cycle_s: float) -> int:
        """Call `work` with the limit, adapt it to cycles of `cycle_s` seconds, return what `work` found."""
        started = perf_counter()
        try:
            found = await work(self.limit)
        except Exception as error:
            too_long = perf_counter() - started > TOO_LONG_S  # the server may have ended the session for it
            if too_long or isinstance(error, (TimeoutError, asyncpg.QueryCanceledError)):
                self.limit = max(self.limit // 2, 1)
            raise
        if found:
            self.limit = self.next_limit(perf_counter() - started, cycle_s)
        return found

    def next_limit(self, took_s: float, cycle_s: float) -> int:
        """Return the next cycle's limit, after a cycle of `took_s` seconds that should take `cycle_s`."""
        if took_s > 2 * cycle_s:
            return max(self.limit // 2, self.least)
        return min(self.limit + self.limit // 4 + 1, self.most) if took_s < cycle_s else self.limit
