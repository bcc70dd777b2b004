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

NEVER_EMPTY: Instant = 2**53
"""Later than any instant that is asked for."""


class CoolantLeft(NamedTuple):
    """The state of the filter at `at`: what is left, its loss rate, the effect of tilt, and their covariances.

    `share` is a share of the capacity, `rate` a multiple of the maker's loss rate, and `tilt_gain` the
    further multiple that is lost on its side.
    """

    at: Instant = 0
    share: float = 1.0
    rate: float = 1.0
    tilt_gain: float = 0.0
    share_var: float = 0.0
    share_rate_cov: float = 0.0
    share_tilt_cov: float = 0.0
    rate_var: float = 0.0
    rate_tilt_cov: float = 0.0
    tilt_var: float = 0.0

    def predicted(self, at: Instant, hold_time: Duration, heat: float, tilt: float) -> "CoolantLeft":
        """Predict the state at `at`. `heat` is relative to rest in a room, `tilt` is 1 on its side."""
        before, share, rate, tilt_gain, share_var, share_rate_cov, share_tilt_cov, *rate_covs = self
        rate_var, rate_tilt_cov, tilt_var = rate_covs
        spent = heat * (at - before) / hold_time
        per_rate, per_tilt_gain = -spent * (1 + tilt_gain * tilt), -spent * rate * tilt
        variance = (
            share_var
            + 2 * (per_rate * share_rate_cov + per_tilt_gain * share_tilt_cov)
            + per_rate * (per_rate * rate_var + 2 * per_tilt_gain * rate_tilt_cov)
            + per_tilt_gain * per_tilt_gain * tilt_var
        )
        return CoolantLeft(
            *(at, share + rate * per_rate, rate, tilt_gain, variance),
            share_rate_cov + per_rate * rate_var + per_tilt_gain * rate_tilt_cov,
            share_tilt_cov + per_rate * rate_tilt_cov + per_tilt_gain * tilt_var,
            *rate_covs,
        )

    def updated(self, share: float, variance: float, rate_noise: float) -> Self:
        """Update by a measurement; `rate_noise` is added to the variance of the rate, which drifts in time."""
        total = self.share_var + variance
        gain = self.share_var / total, self.share_rate_cov / total, self.share_tilt_cov / total
        innovation = share - self.share
        return self._replace(
            share=self.share + gain[0] * innovation,
            rate=max(0.1, self.rate + gain[1] * innovation),
            tilt_gain=max(0.0, self.tilt_gain + gain[2] * innovation),
            share_var=self.share_var - gain[0] * self.share_var,
            share_rate_cov=self.share_rate_cov - gain[0] * self.share_rate_cov,
            share_tilt_cov=self.share_tilt_cov - gain[0] * self.share_tilt_cov,
            rate_var=self.rate_var - gain[1] * self.share_rate_cov + rate_noise,
            rate_tilt_cov=self.rate_tilt_cov - gain[1] * self.share_tilt_cov,
            tilt_var=self.tilt_var - gain[2] * self.share_tilt_cov,
        )

    def refilled(self, at: Instant, share: float, variance: float) -> Self:
        """Return the state after a filling, which keeps what was learnt about the unit."""
        return self._replace(at=at, share=share, share_var=variance, share_rate_cov=0.0, share_tilt_cov=0.0)


class Conditions(NamedTuple):
    """Conditions assumed from now on: the heat, the tilt, and how long the tilt lasts: least, median, most.

    `heat_sd` is the relative standard deviation of the heat.
    """

    heat: float
    heat_sd: float = 0.0
    tilt: float = 0.0
    tilted_for: tuple[Duration, Duration, Duration] = (0, 0, 0)


def time_left(
    state: CoolantLeft, hold_time: Duration, conditions: Conditions
) -> tuple[Duration, Duration, Duration] | None:
    """Return how long it lasts: the 5th, 50th and 95th percentile; None if nothing can be left.

    Only states with something left count, because the payload was just seen to be cold.
    """
    share, rate, tilt_gain = _samples(state)
    heat = _heat_factors(conditions.heat_sd) * conditions.heat
    if not (share.min() > 0 and rate.min() > _MIN_RATE):
        remaining = (share > 0) & (rate > _MIN_RATE)
        if remaining.sum() < _MIN_SAMPLES:
            return None
        share, rate, tilt_gain, heat = (
            share[remaining],
            rate[remaining],
            tilt_gain[remaining],
            heat[remaining],
        )
    loss = rate * heat / hold_time
    if not conditions.tilt:
        times = share / loss
        places = [round(quantile * (len(times) - 1)) for quantile in _QUANTILES]
        times.partition(places)
        low, middle, high = times[places].tolist()
        return int(low), int(middle), int(high)
    quantiles = []
    tilted_loss = loss * (1 + np.maximum(tilt_gain, 0) * conditions.tilt)
    for quantile, tilted_for in zip(_QUANTILES, reversed(conditions.tilted_for), strict=True):
        times_tilted = share / tilted_loss
        if tilted_for < times_tilted.max():
            after_tilt = np.maximum(share - tilted_loss * tilted_for, 0) / loss
            times_tilted = np.where(times_tilted <= tilted_for, times_tilted, tilted_for + after_tilt)
        times_tilted.sort()
        quantiles.append(int(times_tilted[round(quantile * (len(times_tilted) - 1))]))
    return quantiles[0], quantiles[1], quantiles[2]


def least_time_left(state: CoolantLeft, hold_time: Duration, conditions: Conditions) -> Duration:
    """Return a time that it lasts in every sampled state: what is left, lost at the fastest rate.

    This is far shorter than `time_left` and costs a fraction of it: enough to see that there is no hurry.
    """
    share = state.share - 2 * _MAX_Z * max(state.share_var, 0.0) ** 0.5
    rate = state.rate + _MAX_Z * max(state.rate_var, 0.0) ** 0.5
    tilt_gain = max(state.tilt_gain, 0.0) + 3 * _MAX_Z * max(state.tilt_var, 0.0) ** 0.5
    heat = conditions.heat * exp(conditions.heat_sd * _MAX_Z)
    if share <= 0 or state.rate <= _MIN_RATE:
        return 0
    return int(share / (rate * heat * (1 + tilt_gain * conditions.tilt)) * hold_time)


_QUANTILES = (0.05, 0.5, 0.95)
_MIN_RATE = 0.25
_MIN_SAMPLES = 8


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
_MAX_Z = float(np.abs(_Z).max())


@lru_cache(maxsize=64)
def _heat_factors(sd: float) -> NDArray[np.float64]:
    """Return factors by which the heat may differ."""
    factors: NDArray[np.float64] = np.exp(sd * _Z[3])
    return factors


def _samples(state: CoolantLeft) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return evenly spread samples of the state, by the Cholesky factor of its covariance matrix.

    The rate comes first: it is the least certain, and gets the most even sequence.
    """
    rate = state.rate_var**0.5
    share_by_rate = state.share_rate_cov / rate if rate else 0.0
    tilts_by_rate = state.rate_tilt_cov / rate if rate else 0.0
    share = max(state.share_var - share_by_rate**2, 0.0) ** 0.5
    tilts_by_share = (state.share_tilt_cov - share_by_rate * tilts_by_rate) / share if share > 1e-9 else 0.0
    tilt_gain = max(state.tilt_var - tilts_by_rate**2 - tilts_by_share**2, 0.0) ** 0.5
    first, second, third = _Z[:3]
    return (
        state.share + share_by_rate * first + share * second,
        state.rate + rate * first,
        state.tilt_gain + tilts_by_rate * first + tilts_by_share * second + tilt_gain * third,
    )
