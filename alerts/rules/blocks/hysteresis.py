"""Pure: a condition with hysteresis and dwell, as many rules need it: stretches of time above a level.

It is what an excursion is to a band: a stretch begins at the first value at or above `raise_at` and ends at the first at
or below `clear_at`; in between it goes on. One that lasted `dwell` counts, and of those that counted the newest is kept.
Values that are NaN say nothing and are passed over. For what falls instead, give negated values and levels.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from alerts.excursions.trace import Instants
from alerts.model import Duration, Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Levels:
    """When a stretch begins, when it ends, and how long it must last to count; `clear_at < raise_at`."""

    raise_at: float
    clear_at: float
    dwell: Duration = 0


class Stretch(NamedTuple):
    """The stretch that is on, if one is, and the newest that counted.

    Instants, and the highest value; `peak` and `told_peak` mean nothing while their `since` is None.
    """

    since: Instant | None = None
    peak: float = 0.0
    told_since: Instant | None = None
    told_until: Instant | None = None
    told_peak: float = 0.0

    def newest(self, levels: Levels, through: Instant) -> tuple[Instant, Instant | None, float] | None:
        """Give since when, until when (None: still) and how high the newest stretch is that counts by `through`."""
        if self.since is not None and through - self.since >= levels.dwell:
            return self.since, None, self.peak
        return None if self.told_since is None else (self.told_since, self.told_until, self.told_peak)

    def counts_at(self, levels: Levels) -> Instant | None:
        """Give when the stretch that is on counts, or has counted from; None where none is on."""
        return None if self.since is None else self.since + levels.dwell


NEVER: Final = Stretch()


def stretch(levels: Levels, before: Stretch, at: Instants, values: NDArray[np.float64]) -> Stretch:
    """Bring a stretch forward by values in order of time; however they are cut into calls, the result is the same."""
    if len(values) == 1:
        return step(levels, before, int(at[0]), float(values[0]))
    since, peak, told = before.since, before.peak, before[2:]
    high = values >= levels.raise_at
    if since is None and not high.any():
        return before
    # Between two turns nothing happens but a higher peak: so only turns are looked at one by one.
    low = values <= levels.clear_at
    place, end = 0, len(values)
    while place < end:
        if since is None:
            first = int(high[place:].argmax())
            if not high[place + first]:
                break
            place += first
            since, peak = int(at[place]), float(values[place])
        first = int(low[place:].argmax())
        last = place + first if low[place + first] else end
        part = values[place:last]
        if len(part):
            peak = max(peak, float(np.nanmax(part, initial=-np.inf)))
        if last < end:
            until = int(at[last])
            if until - since >= levels.dwell:
                told = (since, until, peak)
            since = None
        place = last
    return Stretch(since, peak if since is not None else 0.0, *told)


def step(levels: Levels, before: Stretch, at: Instant, value: float) -> Stretch:
    """Bring a stretch forward by one value: the same, without the cost of columns."""
    since = before.since
    if since is None:
        return Stretch(at, value, *before[2:]) if value >= levels.raise_at else before
    if value <= levels.clear_at:
        told = (since, at, before.peak) if at - since >= levels.dwell else before[2:]
        return Stretch(None, 0.0, *told)
    return Stretch(since, value, *before[2:]) if value > before.peak else before
