"""Pure: buckets that are full at first, that callers take from, and that fill up again at a steady rate."""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """So many units at once at most; an empty bucket is full again after so many seconds."""

    most: int
    within_s: float

    @property
    def per_s(self) -> float:
        """How many units come back each second."""
        return self.most / self.within_s

    def __str__(self) -> str:
        return f"{self.most}/{self.within_s:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """It was there, and is taken; `left` is what remains in the bucket that has the smallest share left."""

    rate: Rate
    left: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Empty:
    """It was not there, and nothing is taken; it will be in so many seconds. `place` is that of the rate in the call."""

    rate: Rate
    place: int
    wait_s: float


def retry_after(wait_s: float) -> int:
    """Return whole seconds after which something is there for certain."""
    return max(1, math.ceil(wait_s))


class Buckets:
    """The buckets of everybody. Whoever has not come for long has a full one, and needs no memory.

    `now` is in seconds of a clock that never goes back.
    """

    def __init__(self, *, remembered: int = 10_000) -> None:
        self._levels: dict[tuple[Hashable, Rate], tuple[float, float]] = {}
        """How much was in a bucket at what time."""
        self._remembered = remembered
        self._tidy_at = remembered

    def __len__(self) -> int:
        return len(self._levels)

    def level(self, who: Hashable, rate: Rate, now: float) -> float:
        """Return how much is in a bucket; below zero if more was taken by force."""
        level, at = self._levels.get((who, rate), (float(rate.most), now))
        return min(float(rate.most), level + max(0.0, now - at) * rate.per_s)

    def take(self, of: Sequence[tuple[Hashable, Rate]], cost: float, now: float) -> Taken | Empty:
        """Take from all of these buckets, or from none. What no bucket could ever hold costs a whole one."""
        levels = [self.level(who, rate, now) for who, rate in of]
        costs = [min(cost, rate.most) for _, rate in of]
        empty = [
            Empty(rate=rate, place=place, wait_s=(costs[place] - levels[place]) / rate.per_s)
            for place, (_, rate) in enumerate(of)
            if levels[place] < costs[place]
        ]
        if empty:
            return max(empty, key=lambda one: one.wait_s)
        left = [
            self._put(who, rate, level - taken, now)
            for (who, rate), level, taken in zip(of, levels, costs, strict=True)
        ]
        return min(left, key=lambda one: one.left / one.rate.most)

    def force(self, who: Hashable, rate: Rate, cost: float, now: float) -> float:
        """Take, whether it is there or not, and return what is left: down to `-rate.most`, and no lower.

        A cost below zero gives back.
        """
        level = max(-float(rate.most), min(float(rate.most), self.level(who, rate, now) - cost))
        return self._put(who, rate, level, now).left

    def _put(self, who: Hashable, rate: Rate, level: float, now: float) -> Taken:
        self._levels[who, rate] = (level, now)
        if len(self._levels) > self._tidy_at:
            self._tidy(now)
        return Taken(rate=rate, left=level)

    def _tidy(self, now: float) -> None:
        """Forget full buckets; if that is not enough, those nearest to full: they lose the least by it."""
        levels = {key: self.level(*key, now) for key in self._levels}
        emptiest = sorted(
            (key for key, level in levels.items() if level < key[1].most),
            key=lambda key: levels[key] / key[1].most,
        )
        self._levels = {key: (levels[key], now) for key in emptiest[: self._remembered]}
        self._tidy_at = max(self._remembered, 2 * len(self._levels))
