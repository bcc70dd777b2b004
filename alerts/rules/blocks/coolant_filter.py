"""Pure: how much nitrogen or dry ice is left, and how long it lasts, as an interval: a filter over bins of time.

Theory of operation. What is left is a share of the capacity. It falls linearly in time with the heat that
comes in (Spijkers, Damas, Vanapalli, IIR Congress 2023, no. 0199). The maker's hold time says how fast,
except for three unknowns: by how much this unit is faster or slower, how much more it loses when it does not
stand upright, and what was filled in. They and their covariances are the state of an extended Kalman filter,
whose measurements are the mass, where it is measured. Without them the state is the prior, propagated with
what is known of ambient, tilt and lid. A payload that is still cold then shows that something is left.

Time is measured in shares of the hold time, so that a simulation that runs faster needs no other figures.
"""

from functools import lru_cache
from math import exp
from statistics import NormalDist
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from alerts.model import Duration, Instant

NEVER: Instant = 2**53
"""Later than any instant that is asked for."""


class Left(NamedTuple):
    """The state of the filter at `at`: what is left, its loss rate, the effect of tilt, and their covariances.

    `share` is a share of the capacity, `rate` a multiple of the maker's loss rate, and `tilt_gain` the
    further multiple that is lost on its side.
    """

    at: Instant = 0
    share: float = 1.0
    rate: float = 1.0
    tilts: float = 0.0
    share_share: float = 0.0
    share_rate: float = 0.0
    share_tilts: float = 0.0
    rate_rate: float = 0.0
    rate_tilts: float = 0.0
    tilts_tilts: float = 0.0

    def after(self, at: Instant, hold_time: Duration, heat: float, tilt: float) -> "Left":
        """Predict the state at `at`. `heat` is relative to rest in a room, `tilt` is 1 on its side."""
        before, share, rate, tilts, share_share, share_rate, share_tilts, *of_rates = self
        rate_rate, rate_tilts, tilts_tilts = of_rates
        spent = heat * (at - before) / hold_time
        by_rate, by_tilts = -spent * (1 + tilts * tilt), -spent * rate * tilt
        variance = (
            share_share
            + 2 * (by_rate * share_rate + by_tilts * share_tilts)
            + by_rate * (by_rate * rate_rate + 2 * by_tilts * rate_tilts)
            + by_tilts * by_tilts * tilts_tilts
        )
        return Left(
            *(at, share + rate * by_rate, rate, tilts, variance),
            share_rate + by_rate * rate_rate + by_tilts * rate_tilts,
            share_tilts + by_rate * rate_tilts + by_tilts * tilts_tilts,
            *of_rates,
        )

    def measured(self, share: float, variance: float, forgets: float) -> Self:
        """Update by a measurement; `rate_noise` is added to the variance of the rate, which drifts in time."""
        total = self.share_share + variance
        by = self.share_share / total, self.share_rate / total, self.share_tilts / total
        off = share - self.share
        return self._replace(
            share=self.share + by[0] * off,
            rate=max(0.1, self.rate + by[1] * off),
            tilts=max(0.0, self.tilts + by[2] * off),
            share_share=self.share_share - by[0] * self.share_share,
            share_rate=self.share_rate - by[0] * self.share_rate,
            share_tilts=self.share_tilts - by[0] * self.share_tilts,
            rate_rate=self.rate_rate - by[1] * self.share_rate + forgets,
            rate_tilts=self.rate_tilts - by[1] * self.share_tilts,
            tilts_tilts=self.tilts_tilts - by[2] * self.share_tilts,
        )

    def filled(self, at: Instant, share: float, variance: float) -> Self:
        """Return the state after a filling, which keeps what was learnt about the unit."""
        return self._replace(at=at, share=share, share_share=variance, share_rate=0.0, share_tilts=0.0)


class Ahead(NamedTuple):
    """Conditions assumed from now on: the heat, the tilt, and how long the tilt lasts: least, median, most.

    `heat_sd` is the relative standard deviation of the heat.
    """

    heat: float
    heat_sd: float = 0.0
    tilt: float = 0.0
    tilted_for: tuple[Duration, Duration, Duration] = (0, 0, 0)


def lasts(left: Left, hold_time: Duration, ahead: Ahead) -> tuple[Duration, Duration, Duration] | None:
    """Return how long it lasts: the 5th, 50th and 95th percentile; None if nothing can be left.

    Only states with something left count, because the payload was just seen to be cold.
    """
    share, rate, tilts = _points(left)
    heat = _heats(ahead.heat_sd) * ahead.heat
    if not (share.min() > 0 and rate.min() > _SLOWEST):
        possible = (share > 0) & (rate > _SLOWEST)
        if possible.sum() < _FEWEST:
            return None
        share, rate, tilts, heat = share[possible], rate[possible], tilts[possible], heat[possible]
    pace = rate * heat / hold_time
    if not ahead.tilt:
        lengths = share / pace
        places = [round(quantile * (len(lengths) - 1)) for quantile in _QUANTILES]
        lengths.partition(places)
        low, middle, high = lengths[places].tolist()
        return int(low), int(middle), int(high)
    quantiles = []
    fast = pace * (1 + np.maximum(tilts, 0) * ahead.tilt)
    for quantile, tilted_for in zip(_QUANTILES, reversed(ahead.tilted_for), strict=True):
        tilted = share / fast
        if tilted_for < tilted.max():
            then = np.maximum(share - fast * tilted_for, 0) / pace
            tilted = np.where(tilted <= tilted_for, tilted, tilted_for + then)
        tilted.sort()
        quantiles.append(int(tilted[round(quantile * (len(tilted) - 1))]))
    return quantiles[0], quantiles[1], quantiles[2]


def lasts_at_least(left: Left, hold_time: Duration, ahead: Ahead) -> Duration:
    """Return a time that it lasts in every sampled state: what is left, lost at the fastest rate.

    This is far shorter than `time_left` and costs a fraction of it: enough to see that there is no hurry.
    """
    share = left.share - 2 * _FARTHEST * max(left.share_share, 0.0) ** 0.5
    rate = left.rate + _FARTHEST * max(left.rate_rate, 0.0) ** 0.5
    tilts = max(left.tilts, 0.0) + 3 * _FARTHEST * max(left.tilts_tilts, 0.0) ** 0.5
    heat = ahead.heat * exp(ahead.heat_sd * _FARTHEST)
    if share <= 0 or left.rate <= _SLOWEST:
        return 0
    return int(share / (rate * heat * (1 + tilts * ahead.tilt)) * hold_time)


_QUANTILES = (0.05, 0.5, 0.95)
_SLOWEST = 0.25
_FEWEST = 8


def _halton(base: int, count: int) -> list[float]:
    """Return the first numbers of a low-discrepancy sequence in (0, 1) (Halton, 1960)."""
    numbers = []
    for index in range(1, count + 1):
        fraction, number, rest = 1.0, 0.0, index
        while rest:
            fraction /= base
            number += fraction * (rest % base)
            rest //= base
        numbers.append(number)
    return numbers


_NORMAL = NormalDist()
_Z: NDArray[np.float64] = np.array(
    [[_NORMAL.inv_cdf(number) for number in _halton(base, 255)] for base in (2, 3, 5, 7)]
)
_FARTHEST = float(np.abs(_Z).max())


@lru_cache(maxsize=64)
def _heats(sd: float) -> NDArray[np.float64]:
    """Return factors by which the heat may differ."""
    factors: NDArray[np.float64] = np.exp(sd * _Z[3])
    return factors


def _points(left: Left) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return evenly spread samples of the state, by the Cholesky factor of its covariance matrix.

    The rate comes first: it is the least certain, and gets the most even sequence.
    """
    rate = left.rate_rate**0.5
    share_by_rate = left.share_rate / rate if rate else 0.0
    tilts_by_rate = left.rate_tilts / rate if rate else 0.0
    share = max(left.share_share - share_by_rate**2, 0.0) ** 0.5
    tilts_by_share = (left.share_tilts - share_by_rate * tilts_by_rate) / share if share > 1e-9 else 0.0
    tilts = max(left.tilts_tilts - tilts_by_rate**2 - tilts_by_share**2, 0.0) ** 0.5
    first, second, third = _Z[:3]
    return (
        left.share + share_by_rate * first + share * second,
        left.rate + rate * first,
        left.tilts + tilts_by_rate * first + tilts_by_share * second + tilts * third,
    )
