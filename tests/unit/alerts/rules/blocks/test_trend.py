"""Trends: lines and Newton's law, what is too uncertain or too far, and what slows down before the limit."""

from math import exp, inf, log

import numpy as np
import pytest

from alerts.model import SECOND
from alerts.rules.blocks.trend import time_until, trend

STEP = 300 * SECOND
HOUR = 3600 * SECOND
NOISE = np.random.default_rng(4).normal(0, 0.05, 18)


def points(of, count=18, noise=NOISE):
    return [(n * STEP, of(n * STEP / HOUR) + noise[n]) for n in range(count)]


def ends(of, limit, surroundings=None, count=18, farthest=inf):
    now = trend(points(of, count))
    assert now is not None
    found = time_until(now, limit, surroundings, 0.2, farthest)
    return None if found is None else tuple((now.at + length) / HOUR for length in found)


def test_too_few_points_are_no_trend():
    assert trend(points(lambda _: 5.0, 2)) is None


@pytest.mark.parametrize("sign", [1, -1])
def test_a_line_reaches_the_limit_when_it_does(sign):
    low, middle, high = ends(lambda hours: sign * (-190 + 17 * hours), sign * -150) or (0, 0, 0)
    assert middle == pytest.approx(40 / 17, rel=0.02)
    assert low > 17 / 12  # after now
    assert low < middle < high


def test_newtons_law_needs_longer_than_a_line_and_may_never_get_there():
    def warms(hours):
        return 20 - 15 * exp(-hours / 6)

    true = 6 * log(15 / 5)
    assert (ends(warms, 15.0, 20.0) or (0, 0))[1] == pytest.approx(true, rel=0.1)
    assert (ends(warms, 15.0) or (0, 0))[1] < true
    assert ends(warms, 25.0, 20.0) is None
    assert ends(warms, 2.0, 20.0) is None  # the other way


def test_what_settles_on_a_plateau_below_the_limit_is_not_foreseen():
    def settles(hours):
        return 5 + 0.9 * (1 - exp(-hours / 1.0))

    quiet = np.zeros(18)
    now = trend(points(settles, noise=quiet))
    assert now is not None
    assert time_until(now, 8.0, None, 0.2, inf) is None


def test_no_further_ahead_is_looked_than_the_stretch_that_is_known_allows():
    assert ends(lambda hours: -190 + 17 * hours, -150, count=6, farthest=2) is None
    assert ends(lambda hours: -190 + 17 * hours, -150, count=18, farthest=2) is not None


def test_after_a_turn_the_short_stretch_is_taken():
    now = trend(points(lambda hours: -190 + 17 * max(0, hours - 1)))
    assert now is not None
    assert now.slope * HOUR == pytest.approx(17, rel=0.1)
    assert now.span <= 5 * STEP


def test_noise_around_a_level_has_no_slope_that_could_be_trusted():
    now = trend(points(lambda _: 7.9))
    assert now is not None
    assert abs(now.slope) < 4 * now.slope_sd
