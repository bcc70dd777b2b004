"""Pure: how fast a battery drains, from levels in whole percents that a logger reports now and then."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from alerts.excursions.trace import Instants
from alerts.model import Duration, Instant

HOUR: Duration = 3_600_000_000
SAMPLE_EVERY: Duration = 2 * HOUR
MAX_LEVELS = 25
"""So many levels, two hours apart, are kept: two days show what nights and flights cost."""
MIN_LEVELS, MIN_SPAN, MIN_STEPS = 4, 6 * HOUR, 2.5
"""With fewer levels, a shorter time or fewer steps of the scale, a single step would look like a trend."""
MIN_HALF_SHARE = 0.2
"""Each half of the time must have this share of the loss: a battery that gets cold drops once, without a
trend."""
RECHARGED_PCT = 10.0
"""A rise by this much means that the battery was charged or changed, so that earlier levels say nothing."""


class BatteryLevels(NamedTuple):
    """The first level of each two-hour period that has one, oldest first: instants and percents."""

    at: tuple[Instant, ...] = ()
    pct: tuple[float, ...] = ()

    def with_level(self, at: Instant, pct: float) -> "BatteryLevels":
        """Append the newest level; start again if the battery was charged."""
        if self.pct and pct >= self.pct[-1] + RECHARGED_PCT:
            return BatteryLevels((at,), (pct,))
        return BatteryLevels((*self.at, at)[-MAX_LEVELS:], (*self.pct, pct)[-MAX_LEVELS:])

    def empty_at(self, empty_pct: float) -> Instant | None:
        """Forecast when the battery is empty; None if there is too little data, or no loss.

        The loss is the median over all pairs at least half of the time span apart (Theil 1950, Sen
        1968). One outlier does not move it, and a coarse scale hardly does.
        """
        if len(self.at) < MIN_LEVELS or self.at[-1] - self.at[0] < MIN_SPAN:
            return None
        at, pct = np.array(self.at), np.array(self.pct)
        steps = np.abs(np.diff(pct))
        if pct[0] - pct[-1] < MIN_STEPS * steps.min(where=steps > 0, initial=100.0):
            return None
        half = len(pct) // 2
        middle = float(np.median(pct[half - 1 : half + 2]))
        if min(pct[0] - middle, middle - pct[-1]) < MIN_HALF_SHARE * (pct[0] - pct[-1]):
            return None
        elapsed = at[None, :] - at[:, None]
        pairs = elapsed >= (at[-1] - at[0]) / 2
        loss = float(np.median((pct[:, None] - pct[None, :])[pairs] / elapsed[pairs]))
        # The newest level may be one step of the scale, or an outlier; the trend's value is known better.
        level = float(np.median(pct - loss * (at[-1] - at)))
        if loss <= 0:
            return None
        return round(self.at[-1] + max(level - empty_pct, 0.0) / loss)


def first_levels(last: Instant | None, at: Instants, values: NDArray[np.float64]) -> list[int]:
    """Return the positions of the first known value of each two-hour period after that of `last`."""
    known = np.flatnonzero(~np.isnan(values))
    spans = at[known] // SAMPLE_EVERY
    new = np.diff(spans, prepend=-1 if last is None else last // SAMPLE_EVERY) > 0
    places: list[int] = known[new].tolist()
    return places
