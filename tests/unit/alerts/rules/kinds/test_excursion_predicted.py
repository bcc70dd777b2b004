"""Predictions: excursions before they begin, and budgets before they are used up."""

from dataclasses import replace

import numpy as np
import orjson
import pytest

from alerts.excursions.plan import Plan, make_plan
from alerts.excursions.trace import Channel, Trace
from alerts.model import SECOND, Severity, Window
from alerts.rules.facts import Facts
from alerts.rules.kinds.excursion_predicted import (
    EXCURSION_PREDICTED,
    ExcursionPredictedState,
    ExcursionPredictedTuning,
    time_to_limit,
)
from alerts.rules.rule import LookTime, dump, load

MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
T0 = 1_790_000_000 * SECOND
TUNING = ExcursionPredictedTuning()


def facts(band: str, **overrides) -> Facts:
    made = make_plan(band, overrides)
    assert isinstance(made, Plan)
    return Facts(plan=made, window=Window(departed_at=T0))


CRYO = facts("cryogenic")


def trace(of, hours: float, until: float, ambient=20.0) -> Trace:
    """A reading a minute with a noise of 0.1 °C."""
    minutes = np.arange(round(hours * 60), round(until * 60))
    noise = np.random.default_rng(1).normal(0, 0.1, 100_000)[minutes]
    celsius = np.array([of(m / 60) for m in minutes]) + noise
    channels = {} if ambient is None else {Channel.AMBIENT_C: np.full(len(minutes), ambient)}
    return Trace(T0 + minutes * MINUTE, celsius, channels)


def folded(
    one: Trace, of: Facts = CRYO, state: ExcursionPredictedState | None = None
) -> ExcursionPredictedState:
    return EXCURSION_PREDICTED.fold(TUNING, of, state or ExcursionPredictedState(), one)


def look(
    state: ExcursionPredictedState, hours: float, of: Facts = CRYO, shipment_ended_at: float | None = None
):
    look_time = LookTime(
        through=round(T0 + hours * HOUR),
        watched_from=T0,
        shipment_ended_at=None if shipment_ended_at is None else round(T0 + shipment_ended_at * HOUR),
    )
    return EXCURSION_PREDICTED.look(TUNING, of, state, look_time)


def runs_dry(hours: float) -> float:
    return -190 + 17 * max(0.0, hours - 10)


def test_a_dewar_that_has_run_dry_is_told_hours_before_the_limit():
    state = folded(trace(runs_dry, 0, 11, ambient=None))
    found = look(state, 11).found
    assert found is not None
    assert found.severity is Severity.MAJOR
    assert found.since < T0 + 11 * HOUR
    low, _middle, high = found.details["time_to_limit_h"]
    told_at = (found.since - T0) / HOUR
    assert low < 10 + 40 / 17 - told_at < high
    assert "warming" in found.message
    soon = time_to_limit(CRYO, state, T0 + 11 * HOUR)
    assert soon is not None
    assert soon.hours[1] == pytest.approx(40 / 17 - 1, rel=0.15)


def test_it_ends_when_the_excursion_begins_exact_to_the_reading():
    whole = trace(runs_dry, 0, 13)
    state = folded(whole)
    found = look(state, 13).found
    assert found is not None
    assert found.until == int(whole.at[int(np.argmax(whole.celsius > -150))])
    assert time_to_limit(CRYO, state, T0 + 13 * HOUR) is None


def test_it_ends_when_the_trend_turns():
    state = folded(trace(lambda h: -190 + 17 * min(max(0, h - 10), 1) - 17 * max(0, h - 11), 0, 11.6))
    found = look(state, 11.6).found
    assert found is not None
    assert found.until is not None
    assert T0 + 11 * HOUR < found.until < T0 + 11.6 * HOUR


@pytest.mark.parametrize(
    ("of", "band"),
    [
        (lambda h: -190 + 0.01 * h, "cryogenic"),  # dries out over days
        (lambda h: -190 + 0.8 * np.sin(h), "cryogenic"),
        (lambda h: 20 + 1.5 * np.sin(h / 24 * 2 * np.pi), "controlled"),  # day and night
        (lambda h: 5 + 0.9 * (1 - np.exp(-h / 1.5)), "refrigerated"),  # a box settles
        (lambda h: -81 + 3 * (1 - np.exp(-max(0, h - 5) * 2)), "ultra_low"),  # dry ice after a flight
        (lambda h: -190 + 30 * (round(h * 60) % 37 == 0), "cryogenic"),  # spikes
    ],
)
def test_what_stays_in_range_is_not_told(of, band):
    plain = facts(band)
    one = trace(of, 0, 20, ambient=22.0)
    state = ExcursionPredictedState()
    for n in range(0, len(one), 5):
        state = folded(one[n : n + 5], plain, state)
        assert look(state, n / 60, plain).found is None


def test_cold_is_foreseen_too():
    of = facts("refrigerated")
    state = folded(trace(lambda h: 5 - 2 * max(0, h - 3), 0, 4, ambient=-15.0), of)
    found = look(state, 4, of).found
    assert found is not None
    assert "cooling, expected below 2 °C" in found.message


def test_outside_of_the_window_nothing_counts():
    late = replace(CRYO, window=Window(departed_at=T0 + 20 * HOUR))
    assert look(folded(trace(runs_dry, 0, 12), late), 12, late).found is None


BUDGET = facts("refrigerated", budget_s=7200)


def test_that_the_budget_will_be_used_up_is_told_when_half_of_it_is_and_ends_with_it():
    state = folded(trace(lambda h: 12.0 if h >= 2 else 5.0, 0, 2.6), BUDGET)
    seen = look(state, 2.6, BUDGET)
    assert seen.found is None
    assert seen.again_at == T0 + 3 * HOUR  # nobody has to send a reading for that
    found = look(state, 3, BUDGET).found
    assert found is not None
    assert found.severity is Severity.CRITICAL
    assert found.details["foreseen"] == "budget_exhausted"
    assert "2 h will be used up" in found.message
    found = look(state, 9, BUDGET).found
    assert found is not None
    assert (found.since, found.until) == (T0 + 3 * HOUR, T0 + 4 * HOUR)


def test_a_payload_on_its_way_back_does_not_use_up_its_budget():
    def recovers(h):
        return 5.0 if h < 2 else max(5.0, 12.0 - 6.0 * (h - 2))

    state = folded(trace(recovers, 0, 3), BUDGET)
    assert look(state, 3, BUDGET).found is None


def test_runs_before_count_against_the_budget():
    def twice(h):
        return 12.0 if 2 <= h < 2.9 or h >= 5 else 5.0

    state = folded(trace(twice, 0, 5.5), BUDGET)
    found = look(state, 5.5, BUDGET).found
    assert found is not None
    assert found.details["exhausted_at"].endswith("Z")
    assert state.run.used == pytest.approx(0.9 * HOUR, abs=MINUTE)


def test_it_ends_with_the_shipment():
    found = look(folded(trace(runs_dry, 0, 11)), 40, shipment_ended_at=11).found
    assert found is not None
    assert found.until == T0 + 11 * HOUR


def test_every_number_can_be_tuned_within_a_range_and_the_state_can_be_stored():
    numbers = set(ExcursionPredictedTuning.__slots__) - {"enabled"}
    assert EXCURSION_PREDICTED.ranges.keys() == numbers
    for name in numbers:
        least, most = EXCURSION_PREDICTED.ranges[name]
        assert least <= getattr(TUNING, name) <= most
    state = folded(trace(runs_dry, 0, 11))
    assert load(ExcursionPredictedState, orjson.loads(orjson.dumps(dump(state)))) == state
