"""Pure: hysteresis and dwell: episodes in which a value is above a level.

An episode is what an excursion is for a band. It begins at the first value at or above `raise_at`, goes on in
between, and ends at the first value at or below `clear_at`. It counts once it has lasted `dwell`; the newest
that counted is kept. NaN values are ignored. For values that fall, negate values and levels.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from alerts.excursions.trace import Instants
from alerts.model import Duration, Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Levels:
    """When an episode begins, when it ends, and how long it must last to count; `clear_at < raise_at`."""

    raise_at: float
    clear_at: float
    dwell: Duration = 0


class Episode(NamedTuple):
    """The current episode, if there is one, and the newest that counted: instants and the highest value.

    `peak` and `counted_peak` mean nothing while their `since` is None.
    """

    since: Instant | None = None
    peak: float = 0.0
    counted_since: Instant | None = None
    counted_until: Instant | None = None
    counted_peak: float = 0.0

    def newest(self, levels: Levels, through: Instant) -> tuple[Instant, Instant | None, float] | None:
        """Return start, end (None: still going on) and peak of the newest episode that counts by `through`."""
        if self.since is not None and through - self.since >= levels.dwell:
            return self.since, None, self.peak
        return (
            None
            if self.counted_since is None
            else (self.counted_since, self.counted_until, self.counted_peak)
        )

    def counts_at(self, levels: Levels) -> Instant | None:
        """Return when the current episode counts, or began to count; None if there is none."""
        return None if self.since is None else self.since + levels.dwell


NO_EPISODE: Final = Episode()


def fold_episode(levels: Levels, before: Episode, at: Instants, values: NDArray[np.float64]) -> Episode:
    """Fold in values in order of time; the result does not depend on how they are cut into calls."""
    if len(values) == 1:
        return fold_value(levels, before, int(at[0]), float(values[0]))
    since, peak, counted = before.since, before.peak, before[2:]
    high = values >= levels.raise_at
    if since is None and not high.any():
        return before
    # Between two crossings only the peak can change, so only crossings are visited one by one.
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
                counted = (since, until, peak)
            since = None
        place = last
    return Episode(since, peak if since is not None else 0.0, *counted)


def fold_value(levels: Levels, before: Episode, at: Instant, value: float) -> Episode:
    """Fold in one value: the same, without the cost of columns."""
    since = before.since
    if since is None:
        return Episode(at, value, *before[2:]) if value >= levels.raise_at else before
    if value <= levels.clear_at:
        counted = (since, at, before.peak) if at - since >= levels.dwell else before[2:]
        return Episode(None, 0.0, *counted)
    return Episode(since, value, *before[2:]) if value > before.peak else before
