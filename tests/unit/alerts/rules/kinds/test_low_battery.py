"""Batteries that are low, that will not last, that are only cold, or that nobody can judge yet."""

import numpy as np
import pytest

from alerts.excursions.trace import Channel
from alerts.model import Severity
from alerts.rules.blocks.battery_discharge import BatteryLevels
from alerts.rules.kinds.low_battery import LOW_BATTERY
from tests.unit.alerts.rules.readings import DAY, HOUR, NAN, START, facts, found, look, trace


def battery(*pct: float, every: int = HOUR):
    return trace({Channel.BATTERY_PCT: pct}, every=every)


ARRIVES = facts(planned_arrival=START + 4 * DAY)


@pytest.mark.parametrize(
    ("pct", "severity"),
    [
        ([21], None),
        ([20], Severity.MAJOR),
        ([9], Severity.MAJOR),
        ([8], Severity.CRITICAL),
        ([NAN], None),
    ],
)
def test_how_low_is_low(pct, severity):
    what = look(LOW_BATTERY, battery(*pct)).found
    assert (what and what.severity) == severity


def test_a_level_that_swings_about_its_limit_is_one_alert():
    assert found(LOW_BATTERY, battery(30, 20, 22, 19, 24)).since == START + HOUR
    assert found(LOW_BATTERY, battery(30, 20, 22, 25)).until == START + 3 * HOUR


def falling(per_hour: float, hours: int, start: float = 80.0, step: float = 1.0):
    return battery(*np.round((start - per_hour * np.arange(hours)) / step) * step)


@pytest.mark.parametrize(
    ("readings", "severity"),
    [
        (falling(0.1, 48), None),  # 30 days
        (falling(2.0, 12), Severity.CRITICAL),  # 38 hours
        (falling(2.0, 12, step=5), Severity.CRITICAL),  # the same, told in steps of 5 %
        (falling(0.75, 48), Severity.MAJOR),  # 103 hours: after the arrival, but not by the margin
        (falling(2.0, 5), None),  # four hours are no trend
        (battery(*[80] * 8, *[74] * 8), None),  # it got cold
        (battery(*[80] * 6, *[75] * 6), None),  # one step of a coarse scale
        (falling(-1.0, 12, start=40), None),  # it is being charged
    ],
)
def test_a_forecast_says_whether_it_lasts_until_arrival(readings, severity):
    what = look(LOW_BATTERY, readings, ARRIVES).found
    assert (what and what.severity) == severity


def test_the_forecast_names_both_times_and_what_to_do():
    what = found(LOW_BATTERY, falling(2.0, 12), ARRIVES)
    assert what.details == {"empty_at": "2024-10-05T12:00:00Z"}
    assert what.message == (
        "Logger's battery will be empty about 2024-10-05 12:00 UTC, before the planned arrival at "
        "2024-10-08 00:00 UTC: nothing will be known of the payload from then on; charge or change it on the way"
    )


def test_without_a_planned_arrival_there_is_no_forecast():
    assert look(LOW_BATTERY, falling(2.0, 12)).found is None


def test_a_new_battery_ends_it():
    pct = [*np.round(80 - 2.0 * np.arange(12)), 100]
    assert found(LOW_BATTERY, battery(*pct), ARRIVES).until == START + 12 * HOUR


def levels_of(pct):
    levels = BatteryLevels()
    for place, one in enumerate(pct):
        levels = levels.with_level(START + 2 * place * HOUR, one)
    return levels


def test_a_trend_is_robust_to_one_odd_level():
    falls = [80.0 - 2 * place for place in range(10)]
    assert levels_of(falls).empty_at(0.0) == START + 80 * HOUR
    assert levels_of([*falls[:5], 65.0, *falls[6:]]).empty_at(0.0) == pytest.approx(
        START + 80 * HOUR, abs=2 * HOUR
    )


def test_what_was_before_a_charge_tells_nothing():
    assert levels_of([50.0, 40.0, 30.0, 60.0, 58.0]).at == (START + 6 * HOUR, START + 8 * HOUR)
