"""Pure: an episode whose dwell is measured between readings, so that silence after a reading does not count.

As in hysteresis.py, it begins at the first value at or above `raise_at` and ends at the first at or below
`clear_at`. But it lasts only from its first reading to its newest: a single outlier before a long silence
does not count.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from alerts.excursions.trace import Instants
from alerts.model import Duration, Instant
from alerts.rules.blocks.hysteresis import Levels


class Held(NamedTuple):
    """The current episode, if there is one, up to its newest reading; and the newest that was long enough."""

    since: Instant | None = None
    last: Instant = 0
    peak: float = 0.0
    told_since: Instant | None = None
    told_until: Instant | None = None
    told_peak: float = 0.0

    def newest(self, dwell: Duration) -> tuple[Instant, Instant | None, float] | None:
        """Return start, end (None: still going on) and peak of the newest episode that lasted `dwell`."""
        if self.since is not None and self.last - self.since >= dwell:
            return self.since, None, self.peak
        return None if self.told_since is None else (self.told_since, self.told_until, self.told_peak)


NOT_HELD = Held()


def held(levels: Levels, before: Held, at: Instants, values: NDArray[np.float64]) -> Held:
    """Fold in values in order of time.

    The result does not depend on how they are cut into calls; NaN is ignored.
    """
    if len(values) == 1 and before.since is None and not values[0] >= levels.raise_at:  # or NaN
        return before
    since, last, peak, told = before.since, before.last, before.peak, before[3:]
    high = values >= levels.raise_at
    if since is None and not high.any():
        return before
    known = np.flatnonzero(~np.isnan(values))
    at, values, high = at[known], values[known], high[known]
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
        stop = place + first if low[place + first] else end
        if stop > place:
            last = int(at[stop - 1])
            peak = max(peak, float(values[place:stop].max()))
        if stop < end:
            if last - since >= levels.dwell:
                told = (since, int(at[stop]), peak)
            since = None
        place = stop
    return Held(None, 0, 0.0, *told) if since is None else Held(since, last, peak, *told)
