"""What is left and how long it lasts: the closed forms, the interval, and the effect of a measurement."""

import pytest

from alerts.rules.blocks.coolant_filter import Conditions, CoolantLeft, time_left

HOLD = 240_000
SURE = CoolantLeft(at=1, share=1.0, rate=1.0, tilt_gain=23.0)


def test_at_rest_in_a_room_it_lasts_as_long_as_the_maker_says():
    assert time_left(SURE, HOLD, Conditions(heat=1.0)) == (HOLD, HOLD, HOLD)
    half = SURE.predicted(1 + HOLD // 2, HOLD, 1.0, 0.0)
    assert half.share == pytest.approx(0.5)
    assert time_left(half, HOLD, Conditions(heat=2.0)) == pytest.approx((HOLD // 4,) * 3, abs=1)


def test_on_its_side_six_hours_cost_sixty_per_cent():
    """O'Donnell's figure: 24 times the loss at rest."""
    assert SURE.predicted(1 + 6 * HOLD // 240, HOLD, 1.0, 1.0).share == pytest.approx(0.4)


def test_a_tilt_ahead_shortens_it_for_as_long_as_it_is_thought_to_last():
    hour = HOLD // 240
    found = time_left(SURE, HOLD, Conditions(heat=1.0, tilt=1.0, tilted_for=(0, hour, 5 * hour)))
    assert found is not None
    low, middle, high = found
    assert high == pytest.approx(HOLD)
    assert middle == pytest.approx(hour + (1 - 24 / 240) * HOLD, abs=2)
    assert low == pytest.approx(5 * hour + (1 - 120 / 240) * HOLD, abs=2)


def test_units_that_differ_make_an_interval_and_what_is_known_to_be_cold_still_has_something_left():
    unsure = SURE._replace(rate_var=0.15**2)
    low, middle, high = time_left(unsure, HOLD, Conditions(heat=1.0)) or (0, 0, 0)
    assert low == pytest.approx(HOLD / (1 + 1.645 * 0.15), rel=0.02)
    assert middle == pytest.approx(HOLD, rel=0.01)
    assert high == pytest.approx(HOLD / (1 - 1.645 * 0.15), rel=0.03)
    beyond = unsure.predicted(1 + round(1.1 * HOLD), HOLD, 1.0, 0.0)
    assert beyond.share < 0
    left = time_left(beyond, HOLD, Conditions(heat=1.0))
    assert left is not None  # a good unit
    assert 0 < left[0] < left[1] < left[2] < 0.5 * HOLD
    assert (
        time_left(unsure.predicted(1 + 3 * HOLD, HOLD, 1.0, 0.0), HOLD, Conditions(heat=1.0)) is None
    )  # no unit is so good


def test_a_measured_mass_tells_how_fast_it_goes():
    unsure = SURE._replace(rate_var=0.2**2, share_var=0.03**2, tilt_gain=0.0)
    before = time_left(unsure, HOLD, Conditions(heat=1.0))
    for step in range(1, 49):
        unsure = unsure.predicted(1 + step * HOLD // 240, HOLD, 1.0, 0.0)
        unsure = unsure.updated(1 - 1.4 * step / 240, 0.005**2, 0.0)
    assert unsure.rate == pytest.approx(1.4, rel=0.03)
    after = time_left(unsure, HOLD, Conditions(heat=1.0))
    assert before is not None
    assert after is not None
    assert after[2] - after[0] < 0.3 * (before[2] - before[0])
