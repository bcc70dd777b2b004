import math

import pytest

from alerts.excursions.fold import evaluate
from alerts.excursions.plan import make_plan
from alerts.model import SECOND, Sample, Window

HOUR = 3600 * SECOND


def mkt(celsius, band="controlled", step=HOUR, **overrides):
    plan = make_plan(band, {"max_gap_s": 3600, **overrides})
    samples = [Sample(i * step, c) for i, c in enumerate(celsius)]
    return evaluate(plan, Window(departed_at=0), samples, len(celsius) * step).figures.mkt_c


def test_it_is_the_formula_of_usp_1079_2():
    celsius, delta_h_over_r_k = [20.0, 25.0, 30.0, 5.0], 83.144 / 8.3144e-3
    mean = sum(math.exp(-delta_h_over_r_k / (c + 273.15)) for c in celsius) / 4
    assert mkt(celsius) == pytest.approx(delta_h_over_r_k / -math.log(mean) - 273.15, abs=1e-9)


def test_it_weighs_a_reading_by_the_time_for_which_it_holds():
    # Six hours of silence, of which one is proven: as if it had been one.
    plan = make_plan("controlled", {"max_gap_s": 3600})
    silent = [Sample(0, 20.0), Sample(6 * HOUR, 25.0)]
    figures = evaluate(plan, Window(departed_at=0), silent, 7 * HOUR).figures
    assert figures.mkt_c == mkt([20.0, 25.0])


def test_it_lies_above_the_mean_and_below_the_maximum():
    assert 20.0 < mkt([10.0, 30.0]) < 30.0


def test_the_activation_energy_is_the_products_own():
    assert mkt([10.0, 30.0], delta_h_kj_mol=120) > mkt([10.0, 30.0])


@pytest.mark.parametrize(
    ("band", "overrides", "given"),
    [
        ("controlled", {}, True),
        ("custom", {"lower_c": 0}, True),  # 0 is enough
        ("custom", {"lower_c": -0.1}, False),  # a lower limit below 0
        ("controlled", {"lower_c": None}, False),  # or none
        ("ultra_low", {}, False),
        ("cryogenic", {}, False),
    ],
)
def test_it_is_refused_where_it_has_no_meaning(band, overrides, given):
    assert (mkt([20.0], band, **overrides) is not None) is given


def test_nothing_has_held_yet():
    assert mkt([20.0], step=0) is None


@pytest.mark.parametrize("celsius", [-273.15, -273.14, -270.0, -200.0, 0.0, 20.0, 150.0])
def test_of_one_temperature_it_is_that_temperature(celsius):
    # Below about 13 K, exp(-ΔH/(R·T)) is 0 in floats, and at 0 K there is nothing to divide by.
    assert mkt([celsius] * 3) == pytest.approx(celsius, abs=1e-9)


@pytest.mark.parametrize("celsius", [[-273.15, 150.0], [150.0, -273.15], [-273.15, -272.0, 150.0, -273.15]])
def test_the_extremes_of_what_a_probe_measures_overflow_nothing(celsius):
    assert 100.0 < mkt(celsius) < 150.0


def test_a_last_reading_that_holds_for_no_time_yet_weighs_nothing():
    plan = make_plan("controlled", {})
    samples = [Sample(0, -270.0), Sample(SECOND, 150.0)]
    assert evaluate(plan, Window(departed_at=0), samples, SECOND).figures.mkt_c == pytest.approx(-270.0)
