"""Pure: joins momentary events into bursts, each of which lasts while events follow each other within `quiet`.

It begins at a value at or above `raise_at`. Values at or above `keep_at` keep it going; after none for
`quiet` it is over. NaN values are ignored.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from alerts.excursions.trace import Instants
from alerts.model import Duration, Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class BurstTiming:
    """When a burst begins, what keeps it going, and how long without that ends it; `keep_at <= raise_at`."""

    raise_at: float
    keep_at: float
    quiet: Duration


class Burst(NamedTuple):
    """The newest burst, over or not: its start, its newest event, its peak and its number of events."""

    since: Instant | None = None
    last: Instant = 0
    peak: float = 0.0
    times: int = 0

    def ended_at(self, timing: BurstTiming, through: Instant) -> Instant | None:
        """Return when the burst was over; None if it is still going on at `through`."""
        return self.last + timing.quiet if through - self.last >= timing.quiet else None


NO_BURST = Burst()


def fold_burst(timing: BurstTiming, before: Burst, at: Instants, values: NDArray[np.float64]) -> Burst:
    """Fold in values in order of time; the result does not depend on how they are cut into calls."""
    if len(values) == 1 and not values[0] >= timing.keep_at:  # or NaN
        return before
    keep = values >= timing.keep_at
    if not keep.any():
        return before
    since, last, peak, times = before
    for place in np.flatnonzero(keep).tolist():
        now, value = int(at[place]), float(values[place])
        if since is None or now - last >= timing.quiet:
            if value >= timing.raise_at:
                since, last, peak, times = now, now, value, 1
        else:
            last, peak, times = now, max(peak, value), times + 1
    return Burst(since, last, peak, times)
