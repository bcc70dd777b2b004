"""Pure: how much nitrogen or dry ice is left, and for how long that lasts, as an interval: a filter over bins of time.

Theory of operation. What is left is a share of the capacity, and falls linearly in time with the heat that comes in
(Spijkers, Damas, Vanapalli, IIR Congress 2023, no. 0199). How fast is known from the maker's hold time but for three
things: by how much this unit is faster or slower, how much more it loses when it does not stand upright, and what was
filled in. These are the filter's state with their covariances: an extended Kalman filter, whose measurements are the
mass, where that is measured. Without it the state is what a priori is known, carried through what is known of ambient,
tilt and lid; then that the payload is still cold says that something is left.

Time runs in shares of the hold time, so that a fleet that runs faster needs no other figures.
"""

from functools import lru_cache
from math import exp
from statistics import NormalDist
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from alerts.model import Duration, Instant

NEVER: Instant = 2**53
"""Later than anything that is asked for."""


class Left(NamedTuple):
    """What is left at `at`, how fast it goes, and how much faster on its side, with variances and covariances.

    `share` is of the capacity, `rate` a multiple of what the maker says, and `tilts` is so many times more on its side.
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
        """Give what is left later, where so much more heat comes in than at rest in a room, at this tilt (1: on its side)."""
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
        """Give what is known after a measurement; `forgets` is added to the variance of the rate, which changes in time."""
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
        """Give what is known after a filling; what was learnt of the unit stays."""
        return self._replace(at=at, share=share, share_share=variance, share_rate=0.0, share_tilts=0.0)


class Ahead(NamedTuple):
    """What is assumed of the time to come: the heat, the tilt, and for how long it stays so: at least, as a median, at most.

    `heat_sd` is by how much the heat will be another, as a share of it.
    """

    heat: float
    heat_sd: float = 0.0
    tilt: float = 0.0
    tilted_for: tuple[Duration, Duration, Duration] = (0, 0, 0)


def lasts(left: Left, hold_time: Duration, ahead: Ahead) -> tuple[Duration, Duration, Duration] | None:
    """Give for how long it lasts: the 5th percentile, the median and the 95th; None where nothing can be left.

    Of the possible states only those count that have something left: somebody has just seen that it is still cold.
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
    """Give a time for which it lasts in each of the possible states, and so for sure: what is there, spent by the fastest.

    Far less than what `lasts` gives, for a fraction of its cost: enough to see that there is no hurry.
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
    """Give the first numbers of a sequence that fills (0, 1) evenly (Halton, 1960)."""
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
    """Give by how much the heat may be another, as factors."""
    factors: NDArray[np.float64] = np.exp(sd * _Z[3])
    return factors


def _points(left: Left) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Give evenly chosen states of the distribution, by the Cholesky factor of its covariances.

    The rate goes first: it is what is least known, and gets the most even of the sequences.
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
