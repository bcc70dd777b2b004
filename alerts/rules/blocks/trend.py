"""Pure: extrapolates a temperature from its last levels, by a robust line or by Newton's law, up to a limit.

Far from ambient a payload warms nearly linearly, as a dry shipper does once its nitrogen is used up
(Spijkers, Damas, Vanapalli, IIR Congress 2023, no. 0199). Near ambient it follows Newton's law, which is a
line in ln |ambient - payload|.
"""

from collections.abc import Sequence
from functools import lru_cache
from math import exp, log, sqrt
from operator import mul
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from alerts.model import Duration, Instant

Point = tuple[Instant, float]
"""When, and the level in °C."""
_WINDOWS = (18, 12, 8, 6, 4, 3)
"""The longest of these windows that is still straight is used: after a turn, the short ones respond
sooner."""
MAX_POINTS, _MIN_POINTS = _WINDOWS[0], _WINDOWS[-1]
_ROUNDING_MARGIN = 1 + 1e-6
_Z = 1.645
"""90 % of a normal distribution is within this many standard deviations of the mean."""
_MIN_DECAY = 0.05
"""A curve whose slope changes by less than this share counts as straight."""
_MIN_NOISE_C = 0.03
"""Readings are rounded to tenths, so levels are not known better than this."""


class Trend(NamedTuple):
    """The level in °C, its slope in °C per microsecond with standard deviation, and how the slope decays.

    `span` is the length of the window. `decay_rate` is the relative fall of the slope per microsecond; 0
    if it does not fall.
    """

    at: Instant
    celsius: float
    slope: float
    slope_sd: float
    noise_c: float
    decay_rate: float
    span: Duration
    spacing: Duration


def trend(points: Sequence[Point]) -> Trend | None:
    """Return the trend at the last of the points, which are oldest first; None if there are too few."""
    at, celsius = [at for at, _ in points], [celsius for _, celsius in points]
    now = linear_trend(at, celsius)
    return None if now is None else with_decay(now, at, celsius)


def linear_trend(at: Sequence[Instant], celsius: Sequence[float]) -> Trend | None:
    """Return the trend without decay, which is usually all that is needed."""
    count = len(at)
    if count < _MIN_POINTS:
        return None
    noise = max(_noise(celsius), _MIN_NOISE_C)
    for length in _WINDOWS:
        if length > count:
            continue
        level, slope, residual, spread = _least_squares(at[-length:], celsius[-length:])
        if residual <= 1.3 * noise or length == _MIN_POINTS:
            break
    else:  # the shortest window always breaks
        raise AssertionError
    return Trend(
        at=at[-1],
        celsius=level,
        slope=slope,
        slope_sd=max(residual, noise) / sqrt(spread),
        noise_c=noise,
        decay_rate=0.0,
        span=at[-1] - at[-length],
        spacing=at[-1] - at[-2],
    )


def surely_meaningless(
    at: Sequence[Instant], celsius: Sequence[float], sure: float, moved: float
) -> NDArray[np.bool_]:
    """For each longest window, oldest first, return whether `linear_trend` surely gives a meaningless trend.

    That is one whose slope is at most `sure` times its standard deviation, or that moves by at most
    `moved` times its noise.
    """
    levels, times = np.array(celsius), np.array(at)
    second = np.abs(np.diff(levels, 2))
    half = (MAX_POINTS - 2) // 2
    sorted_ = np.partition(sliding_window_view(second, MAX_POINTS - 2), (half - 1, half), axis=1)
    noise = np.maximum((sorted_[:, half - 1] + sorted_[:, half]) / 2 / 0.6745 / sqrt(6), _MIN_NOISE_C)
    ends, levels = sliding_window_view(times, MAX_POINTS), sliding_window_view(levels, MAX_POINTS)
    deviations = ends - ends.mean(axis=1, keepdims=True)
    offsets = levels - levels.mean(axis=1, keepdims=True)
    spread = np.einsum("ij,ij->i", deviations, deviations)
    slope = np.abs(np.einsum("ij,ij->i", deviations, offsets)) / spread
    residual = np.sqrt(
        np.maximum(np.einsum("ij,ij->i", offsets, offsets) - slope * slope * spread, 0) / (MAX_POINTS - 2)
    )
    # With a margin for rounding: what is near the edge is examined individually.
    is_straight = residual * _ROUNDING_MARGIN <= 1.3 * noise
    unsure = slope * _ROUNDING_MARGIN <= sure * np.maximum(residual, noise) / np.sqrt(spread)
    length = ends[:, -1] - ends[:, 0]
    barely_moved = slope * length * _ROUNDING_MARGIN <= moved * noise
    meaningless: NDArray[np.bool_] = is_straight & (unsure | barely_moved)
    return meaningless


def with_decay(now: Trend, at: Sequence[Instant], celsius: Sequence[float]) -> Trend:
    """Add how fast a trend slows down, by the halves of its window, or by the window before it.

    The window was chosen for being straight, so what came before it often tells more.
    """
    length = len(at) - at.index(now.at - now.span)
    half = length // 2
    first, last = slice(-length, half + 1 - length), slice(-half - 1, None)
    before, part = slice(max(0, len(at) - 2 * length + 1), len(at) - length + 1), slice(-length, None)
    decay_rate = max(
        _decay_between(at[first], celsius[first], at[last], celsius[last], now.slope),
        _decay_between(at[before], celsius[before], at[part], celsius[part], now.slope),
    )
    return now._replace(decay_rate=decay_rate)


def time_until(
    now: Trend, limit_c: float, ambient_c: float | None, model_sd: float, farthest: float
) -> tuple[Duration, Duration, Duration] | None:
    """Return how long until it reaches a limit: earliest, expected, latest; None if it does not.

    It looks no further ahead than `farthest` times the window. The interval is lognormal: it combines the
    uncertainty of the slope and, by `model_sd`, of how the slope will change.
    """
    distance_c = limit_c - now.celsius
    if not now.slope or (distance_c > 0) != (now.slope > 0) or now.slope_sd >= abs(now.slope):
        return None
    linear = distance_c / now.slope
    expected = linear
    if now.decay_rate and not _gets_that_far(now, distance_c):
        return None
    if ambient_c is not None:
        from_ambient, from_ambient_at_limit = ambient_c - now.celsius, ambient_c - limit_c
        if from_ambient * now.slope <= 0 or from_ambient_at_limit / from_ambient <= 0.02:
            return None  # its asymptote is before the limit
        # The slope is that of the middle of the window.
        expected = (from_ambient / now.slope + now.span / 2) * log(from_ambient / from_ambient_at_limit)
    if abs(expected) > farthest * now.span:
        return None
    sd = sqrt((now.slope_sd / now.slope) ** 2 + model_sd**2)
    low, high = expected * exp(-_Z * sd), expected * exp(_Z * sd)
    # A reading reaches the limit, and the next one may have to come first.
    return int(low), int(expected), int(high) + now.spacing


def _decay_between(
    first_at: Sequence[Instant],
    first_c: Sequence[float],
    last_at: Sequence[Instant],
    last_c: Sequence[float],
    slope: float,
) -> float:
    """Return the relative decay of the slope per microsecond between two windows; 0 if it does not fall."""
    if len(first_at) < 3:
        return 0.0
    before, after = _least_squares(first_at, first_c)[1], _least_squares(last_at, last_c)[1]
    if before * slope <= 0 or after * slope <= 0 or before / after <= 1 + _MIN_DECAY:
        return 0.0
    deviations = (last_at[-1] + last_at[0] - first_at[-1] - first_at[0]) / 2
    return log(before / after) / deviations


def _gets_that_far(now: Trend, distance_c: float) -> bool:
    """Return whether a decaying trend gets that far."""
    return abs(now.slope / now.decay_rate) * exp(-now.decay_rate * now.span / 2) > abs(distance_c)


def _least_squares(at: Sequence[Instant], celsius: Sequence[float]) -> tuple[float, float, float, float]:
    """Return end and slope of the least-squares line, residual deviation and the spread of times."""
    count, base = len(at), at[-1]
    mean_at, deviations, spread = _centred_times(tuple([instant - base for instant in at]))
    mean_c = sum(celsius) / count
    offsets = [level - mean_c for level in celsius]
    slope = sum(map(mul, deviations, offsets)) / spread
    residual = max(0.0, sum(map(mul, offsets, offsets)) - slope * slope * spread)
    return mean_c - slope * mean_at, slope, sqrt(residual / max(1, count - 2)), spread


@lru_cache(maxsize=4096)
def _centred_times(at: tuple[int, ...]) -> tuple[float, tuple[float, ...], float]:
    """Return the mean of instants, the deviations from it and the sum of their squares; loggers are regular."""
    mean = sum(at) / len(at)
    deviations = tuple(instant - mean for instant in at)
    return mean, deviations, sum(map(mul, deviations, deviations))


def _noise(celsius: Sequence[float]) -> float:
    """Return the standard deviation of levels around a smooth curve; second differences ignore turns."""
    second = sorted(
        [
            abs(before - 2 * here + after)
            for before, here, after in zip(celsius, celsius[1:], celsius[2:], strict=False)
        ]
    )
    half = len(second) // 2
    median = second[half] if len(second) % 2 else (second[half - 1] + second[half]) / 2
    return median / 0.6745 / sqrt(6)
