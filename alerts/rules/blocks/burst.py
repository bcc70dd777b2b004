"""Pure: things that happen at an instant, joined to bursts: one lasts while the next comes within a quiet time.

A burst begins at a value at or above `raise_at`. Values at or above `keep_at` keep it on; once there was none for
`quiet`, it is over. Values that are NaN say nothing.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from alerts.excursions.trace import Instants
from alerts.model import Duration, Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class BurstTiming:
    """When a burst begins, what keeps it on, and after how long without it is over; `keep_at <= raise_at`."""

    raise_at: float
    keep_at: float
    quiet: Duration


class Burst(NamedTuple):
    """The newest burst: since when, its newest value, its peak and how many there were; over or not."""

    since: Instant | None = None
    last: Instant = 0
    peak: float = 0.0
    times: int = 0

    def until(self, pace: BurstTiming, through: Instant) -> Instant | None:
        """Give when it was over; None while it is on at `through`."""
        return self.last + pace.quiet if through - self.last >= pace.quiet else None


NO_BURST = Burst()


def burst(pace: BurstTiming, before: Burst, at: Instants, values: NDArray[np.float64]) -> Burst:
    """Bring it forward by values in order of time; however they are cut into calls, the result is the same."""
    if len(values) == 1 and not values[0] >= pace.keep_at:  # or NaN
        return before
    keep = values >= pace.keep_at
    if not keep.any():
        return before
    since, last, peak, times = before
    for place in np.flatnonzero(keep).tolist():
        now, value = int(at[place]), float(values[place])
        if since is None or now - last >= pace.quiet:
            if value >= pace.raise_at:
                since, last, peak, times = now, now, value, 1
        else:
            last, peak, times = now, max(peak, value), times + 1
    return Burst(since, last, peak, times)
