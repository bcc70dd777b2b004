"""Pure: how a temperature goes on, from its last levels: a robust line or Newton's law, and when it reaches a limit.

Far from its surroundings a payload warms nearly linearly, as a dry shipper does once its nitrogen is used up (Spijkers,
Damas, Vanapalli, IIR Congress 2023, no. 0199); near them by Newton's law, which is a line in ln |surroundings - payload|.
"""

from collections.abc import Sequence
from math import exp, log, sqrt
from statistics import median
from typing import NamedTuple

from alerts.model import Duration, Instant

Point = tuple[Instant, float]
"""When, and the level in °C."""
_LENGTHS = (18, 12, 8, 6, 4, 3)
"""The longest of these stretches that is still straight is taken: after a turn the short ones follow sooner."""
_FEWEST = _LENGTHS[-1]
_Z = 1.645
"""Of a normal distribution, 90 % lie so many standard deviations around the mean."""
_STRAIGHT = 0.05
"""A course whose slope changes by less than this share is taken for straight."""
_ROUNDED_C = 0.03
"""Levels are not known better than that: readings are rounded to tenths."""


class Trend(NamedTuple):
    """Where the temperature is, in °C, how fast it moves in °C per microsecond, how sure that is, and how it slows down.

    `length` is how long the stretch is, `decays` by how much per microsecond the slope falls, as a share; 0 where it does not.
    """

    at: Instant
    celsius: float
    slope: float
    slope_sd: float
    noise_c: float
    decays: float
    length: Duration
    spacing: Duration


def trend(points: Sequence[Point]) -> Trend | None:
    """Give the trend at the last of the points, oldest first; None where they are too few."""
    if len(points) < _FEWEST:
        return None
    noise = max(_noise(points), _ROUNDED_C)
    for length in _LENGTHS:
        if length > len(points):
            continue
        part = points[-length:]
        celsius, slope, left, spread = _line(part)
        if left <= 1.3 * noise or length == _FEWEST:
            break
    else:  # pragma: no cover - the shortest always ends it
        raise AssertionError
    sd = max(left, noise)
    at = part[-1][0]
    return Trend(
        at=at,
        celsius=celsius,
        slope=slope,
        slope_sd=sd / sqrt(spread),
        noise_c=noise,
        decays=_decays(points, len(part), slope),
        length=at - part[0][0],
        spacing=at - part[-2][0],
    )


def reaches(
    now: Trend, limit_c: float, surroundings_c: float | None, model_sd: float, farthest: float
) -> tuple[Duration, Duration, Duration] | None:
    """Give when it reaches a limit on its way: at the earliest, expected, at the latest; None where it does not.

    No further ahead is looked than `farthest` times the length of the stretch that is known. The interval is lognormal: of how uncertain the slope is and, by `model_sd`, of how it will change.
    """
    ahead = limit_c - now.celsius
    if not now.slope or (ahead > 0) != (now.slope > 0) or now.slope_sd >= abs(now.slope):
        return None
    linear = ahead / now.slope
    expected = linear
    if now.decays and not _gets_there(now, ahead):
        return None
    if surroundings_c is not None:
        away, then = surroundings_c - now.celsius, surroundings_c - limit_c
        if away * now.slope <= 0 or then / away <= 0.02:
            return None  # it tends to where the limit is not reached
        # The slope is that of the middle of the stretch.
        expected = (away / now.slope + now.length / 2) * log(away / then)
    if abs(expected) > farthest * now.length:
        return None
    sd = sqrt((now.slope_sd / now.slope) ** 2 + model_sd**2)
    low, high = expected * exp(-_Z * sd), expected * exp(_Z * sd)
    # It is reached with a reading, and the next one may have to come first.
    return int(low), int(expected), int(high) + now.spacing


def _decays(points: Sequence[Point], length: int, slope: float) -> float:
    """Say how fast the slope falls, by the halves of the stretch, or by the stretch before it; 0 where it does not fall.

    The stretch was chosen for being straight: so what came before it often tells more.
    """
    part, half = points[-length:], length // 2
    return max(
        _falls(part[: half + 1], part[-half - 1 :], slope),
        _falls(points[-2 * length + 1 : 1 - length], part, slope),
    )


def _falls(first: Sequence[Point], last: Sequence[Point], slope: float) -> float:
    if len(first) < 3:
        return 0.0
    before, after = _line(first)[1], _line(last)[1]
    if before * slope <= 0 or after * slope <= 0 or before / after <= 1 + _STRAIGHT:
        return 0.0
    apart = (last[-1][0] + last[0][0] - first[-1][0] - first[0][0]) / 2
    return log(before / after) / apart


def _gets_there(now: Trend, ahead: float) -> bool:
    """Say whether a course that slows down gets as far as that."""
    return abs(now.slope / now.decays) * exp(-now.decays * now.length / 2) > abs(ahead)


def _line(points: Sequence[Point]) -> tuple[float, float, float, float]:
    """Give the end and the slope of the line of least squares, how far points lie from it, and the spread of their times."""
    count, base = len(points), points[-1][0]
    times = [at - base for at, _ in points]
    mean_at = sum(times) / count
    mean_c = sum(celsius for _, celsius in points) / count
    spread = sum((at - mean_at) ** 2 for at in times)
    slope = sum((at - mean_at) * (c - mean_c) for at, (_, c) in zip(times, points, strict=True)) / spread
    left = sum((c - mean_c - slope * (at - mean_at)) ** 2 for at, (_, c) in zip(times, points, strict=True))
    return mean_c - slope * mean_at, slope, sqrt(left / max(1, count - 2)), spread


def _noise(points: Sequence[Point]) -> float:
    """Give the standard deviation of levels around any smooth course: by second differences, which a turn leaves alone."""
    values = [celsius for _, celsius in points]
    second = [
        abs(before - 2 * here + after)
        for before, here, after in zip(values, values[1:], values[2:], strict=False)
    ]
    return median(second) / 0.6745 / sqrt(6)
