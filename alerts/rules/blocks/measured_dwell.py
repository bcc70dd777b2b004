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


class MeasuredEpisode(NamedTuple):
    """The current episode, if there is one, up to its newest reading; and the newest that was long enough."""

    since: Instant | None = None
    last: Instant = 0
    peak: float = 0.0
    counted_since: Instant | None = None
    counted_until: Instant | None = None
    counted_peak: float = 0.0

    def newest(self, dwell: Duration) -> tuple[Instant, Instant | None, float] | None:
        """Return start, end (None: still going on) and peak of the newest episode that lasted `dwell`."""
        if self.since is not None and self.last - self.since >= dwell:
            return self.since, None, self.peak
        return (
            None
            if self.counted_since is None
            else (self.counted_since, self.counted_until, self.counted_peak)
        )


NO_MEASURED_EPISODE = MeasuredEpisode()


def fold_measured_episode(
    levels: Levels, before: MeasuredEpisode, at: Instants, values: NDArray[np.float64]
) -> MeasuredEpisode:
    """Fold in values in order of time.

    The result does not depend on how they are cut into calls; NaN is ignored.
    """
    if len(values) == 1 and before.since is None and not values[0] >= levels.raise_at:  # or NaN
        return before
    since, last, peak, counted = before.since, before.last, before.peak, before[3:]
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
        segment_end = place + first if low[place + first] else end
        if segment_end > place:
            last = int(at[segment_end - 1])
            peak = max(peak, float(values[place:segment_end].max()))
        if segment_end < end:
            if last - since >= levels.dwell:
                counted = (since, int(at[segment_end]), peak)
            since = None
        place = segment_end
    return (
        MeasuredEpisode(None, 0, 0.0, *counted)
        if since is None
        else MeasuredEpisode(since, last, peak, *counted)
    )
