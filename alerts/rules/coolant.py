"""Pure: how much nitrogen or dry ice is left, and for how long that lasts, as an interval: a filter over bins of time.

Theory of operation. What is left is a share of the capacity, and falls linearly in time with the heat that comes in
(Spijkers, Damas, Vanapalli, IIR Congress 2023, no. 0199). How fast is known from the maker's hold time but for three
things: by how much this unit is faster or slower, how much more it loses when it does not stand upright, and what was
filled in. These are the filter's state with their covariances: an extended Kalman filter, whose measurements are the
mass, where that is measured. Without it the state is what a priori is known, carried through what is known of ambient,
tilt and lid; then that the payload is still cold says that something is left.

Time runs in shares of the hold time, so that a fleet that runs faster needs no other figures.
"""

from dataclasses import dataclass
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

    def after(self, at: Instant, hold_time: Duration, heat: float, tilt: float) -> Self:
        """Give what is left later, where so much more heat comes in than at rest in a room, at this tilt (1: on its side)."""
        spent = heat * (at - self.at) / hold_time
        by_rate, by_tilts = -spent * (1 + self.tilts * tilt), -spent * self.rate * tilt
        return self._replace(
            at=at,
            share=self.share + self.rate * by_rate,
            share_share=self.share_share
            + 2 * (by_rate * self.share_rate + by_tilts * self.share_tilts)
            + by_rate * (by_rate * self.rate_rate + 2 * by_tilts * self.rate_tilts)
            + by_tilts * by_tilts * self.tilts_tilts,
            share_rate=self.share_rate + by_rate * self.rate_rate + by_tilts * self.rate_tilts,
            share_tilts=self.share_tilts + by_rate * self.rate_tilts + by_tilts * self.tilts_tilts,
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Ahead:
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
    possible = (share > 0) & (rate > _SLOWEST)
    if possible.sum() < _FEWEST:
        return None
    heat = ahead.heat * np.exp(ahead.heat_sd * _Z[3][possible])
    share, pace = share[possible], rate[possible] * heat / hold_time
    quantiles = []
    fast = pace * (1 + np.maximum(tilts[possible], 0) * ahead.tilt)
    for quantile, tilted_for in zip(_QUANTILES, reversed(ahead.tilted_for), strict=True):
        tilted = share / fast
        if ahead.tilt and tilted_for < tilted.max():
            then = np.maximum(share - fast * tilted_for, 0) / pace
            tilted = np.where(tilted <= tilted_for, tilted, tilted_for + then)
        tilted.sort()
        quantiles.append(int(tilted[round(quantile * (len(tilted) - 1))]))
    return quantiles[0], quantiles[1], quantiles[2]


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
