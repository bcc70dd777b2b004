"""Hold time until arrival: reported in time, in steps, with reasons, and cleared with hysteresis."""

from dataclasses import replace

import numpy as np
import orjson
import pytest

from alerts.excursions.plan import Plan, make_plan
from alerts.excursions.trace import Channel, Trace
from alerts.model import SECOND, Severity, Window
from alerts.rules.blocks.coolant_left import HoldTimeTuning
from alerts.rules.facts import Charge, Dewar, Facts, Leg
from alerts.rules.kinds.hold_time_short import HOLD_TIME_SHORT, HoldTimeShortState, hold_time
from alerts.rules.place import Place
from alerts.rules.rule import LookTime, dump, load

HOUR = 3600 * SECOND
T0 = 1_790_000_000 * SECOND
TUNING = HoldTimeTuning()


def plan(band: str) -> Plan:
    made = make_plan(band, {})
    assert isinstance(made, Plan)
    return made


DEWAR = Dewar(dewar_id="D", hold_time=240 * HOUR, ln2_capacity_kg=3.3, charges=(Charge(at=T0),))
FACTS = Facts(
    plan=plan("cryogenic"), window=Window(departed_at=T0), dewar=DEWAR, planned_arrival=T0 + 72 * HOUR
)


def trace(hours: float, until: float, *, celsius=-190.0, **channels) -> Trace:
    """A reading each ten minutes; what varies is given as a function of the hours since the charge."""
    at = np.arange(round(hours * 6), round(until * 6) + 1)
    passed = at / 6
    columns = {
        Channel(name): np.array([of(h) if callable(of) else of for h in passed], np.float64)
        for name, of in channels.items()
    }
    payload = np.array([celsius(h) if callable(celsius) else celsius for h in passed], np.float64)
    return Trace(T0 + at * 600 * SECOND, payload, columns)


def folded(
    *traces: Trace, facts: Facts = FACTS, state: HoldTimeShortState | None = None
) -> HoldTimeShortState:
    state = state or HoldTimeShortState()
    for one in traces:
        state = HOLD_TIME_SHORT.fold(TUNING, facts, state, one)
    return state


def look(
    state: HoldTimeShortState, hours: float, facts: Facts = FACTS, shipment_ended_at: float | None = None
):
    look_time = LookTime(
        through=round(T0 + hours * HOUR),
        watched_from=T0,
        shipment_ended_at=None if shipment_ended_at is None else round(T0 + shipment_ended_at * HOUR),
    )
    return HOLD_TIME_SHORT.look(TUNING, facts, [state], look_time)


def test_a_full_dewar_on_its_way_is_no_worry():
    state = folded(trace(0, 24, tilt_deg=2, ambient_c=20))
    seen = look(state, 24)
    assert seen.found is None
    assert seen.again_at is not None  # when it would be short if it never arrived
    assert seen.again_at > T0 + 72 * HOUR
    left = hold_time(TUNING, FACTS, [state], T0 + 24 * HOUR)
    assert left is not None
    low, middle, high = left.left_h
    assert 110 < low < middle < high < 330
    assert left.margin_h == pytest.approx(middle - 48)
    assert not left.measured


@pytest.mark.parametrize(
    "facts",
    [
        replace(FACTS, dewar=None),
        replace(FACTS, dewar=Dewar(dewar_id="D")),
        replace(FACTS, plan=plan("controlled")),
    ],
)
def test_without_a_hold_time_or_a_coolant_that_is_used_up_nothing_is_found(facts):
    state = folded(trace(0, 24), facts=facts)
    assert look(state, 500, facts).found is None
    assert hold_time(TUNING, facts, [state], T0) is None


def test_on_its_side_it_is_short_within_hours_and_critical_when_the_median_is():
    state = folded(trace(0, 10, tilt_deg=2), trace(10.2, 16, tilt_deg=90))
    found = look(state, 16).found
    assert found is not None
    assert T0 + 10.5 * HOUR < found.since < T0 + 14 * HOUR
    assert "lying on its side" in found.message
    assert "stood upright at once" in found.message
    worse = folded(trace(16.2, 24, tilt_deg=90), state=state)
    found = look(worse, 24).found
    assert found is not None
    assert found.severity is Severity.CRITICAL
    assert "too short" in found.message


def test_a_blip_of_tilt_is_nothing():
    assert (
        look(
            folded(trace(0, 10, tilt_deg=2), trace(10.2, 10.4, tilt_deg=80), trace(10.6, 20, tilt_deg=2)), 20
        ).found
        is None
    )


def test_a_measured_mass_makes_it_certain_in_both_directions():
    fast = folded(trace(0, 24, ln2_kg=lambda h: 3.3 - 3.3 * h / 60))
    found = look(fast, 24).found
    assert found is not None
    now = hold_time(TUNING, FACTS, [fast], T0 + 24 * HOUR)
    assert now is not None
    assert now.left_h[0] < 36 < now.left_h[2]
    assert now.left_h[2] - now.left_h[0] < 25
    good = folded(trace(0, 24, ln2_kg=lambda h: 3.3 - 3.3 * h / 240))
    assert look(good, 24).found is None
    now = hold_time(TUNING, FACTS, [good], T0 + 24 * HOUR)
    assert now is not None
    assert now.measured
    assert now.left_h[1] == pytest.approx(216, rel=0.1)


def test_a_drop_may_have_cost_the_vacuum_until_the_mass_says_otherwise():
    def dropped(h):
        return 60.0 if h == 10 else 0.3

    state = folded(trace(0, 24, shock_g=dropped))
    found = look(state, 24).found
    assert found is not None
    assert found.severity is Severity.MAJOR
    assert "may have lost its vacuum" in found.message
    sound = folded(trace(0, 30, shock_g=dropped, ln2_kg=lambda h: 3.3 - 3.3 * h / 240))
    assert look(sound, 30).found is None or look(sound, 30).found.until is not None


def test_half_a_charge_is_seen_on_the_scales_and_says_nothing_of_the_rate():
    state = folded(trace(0, 6, ln2_kg=lambda h: 1.2 - 3.3 * h / 240))
    assert state.left.share == pytest.approx(1.2 / 3.3 - 6 / 240, abs=0.01)
    assert state.left.rate == pytest.approx(1.1, abs=0.25)
    assert look(state, 6).found is not None


def test_a_filling_that_nobody_recorded_ends_it():
    state = folded(trace(0, 12, ln2_kg=lambda h: 1.0 - 3.3 * h / 240))
    assert look(state, 12).found is not None
    state = folded(trace(12.2, 14, ln2_kg=lambda h: 3.3 - 3.3 * (h - 12) / 240), state=state)
    found = look(state, 14).found
    assert found is not None
    assert found.until is not None
    assert found.until < T0 + 13 * HOUR


def test_a_filling_on_record_counts_from_its_instant_on():
    late = replace(FACTS, planned_arrival=T0 + 300 * HOUR)
    filled = replace(late, dewar=replace(DEWAR, charges=(Charge(at=T0), Charge(at=T0 + 100 * HOUR))))
    whole = trace(0, 150, tilt_deg=0)
    left = hold_time(TUNING, late, [folded(whole, facts=late)], T0 + 150 * HOUR)
    more = hold_time(TUNING, filled, [folded(whole, facts=filled)], T0 + 150 * HOUR)
    assert left is not None
    assert more is not None
    assert more.left_h[1] - left.left_h[1] == pytest.approx(90, abs=25)


def test_a_filling_ends_what_was_told_at_once_and_the_fold_then_says_the_same():
    state = folded(trace(0, 24), trace(24.2, 26, celsius=lambda h: -190 + 17 * (h - 24)))
    filled = replace(
        FACTS, dewar=replace(DEWAR, charges=(Charge(at=T0), Charge(at=round(T0 + 26.05 * HOUR))))
    )
    assert look(state, 26.04, filled).found == look(state, 26.04).found
    left = hold_time(TUNING, filled, [state], round(T0 + 26.1 * HOUR))
    assert left is not None
    assert left.left_h[0] > 100
    assert left.estimated_at == T0 + 26.05 * HOUR
    ended = look(state, 26.1, filled).found
    assert ended is not None
    assert ended.until == T0 + 26.05 * HOUR
    later = look(folded(trace(26.2, 30), state=state, facts=filled), 30, filled).found
    assert later is not None
    assert (later.since, later.until) == (ended.since, ended.until)


def test_a_filling_that_is_told_ahead_is_looked_at_when_it_comes():
    ahead = replace(
        FACTS, dewar=replace(DEWAR, charges=(Charge(at=T0), Charge(at=T0 + 20 * HOUR, ln2_kg=0.4)))
    )
    state = folded(trace(0, 19), facts=ahead)
    seen = look(state, 19, ahead)
    assert (seen.found, seen.again_at) == (None, T0 + 20 * HOUR)
    assert look(state, 21, ahead).found is not None  # hardly any was put in


def test_a_payload_that_warms_steadily_says_that_the_nitrogen_is_gone():
    state = folded(trace(0, 24), trace(24.2, 26, celsius=lambda h: -190 + 17 * (h - 24)))
    found = look(state, 26).found
    assert found is not None
    assert found.severity is Severity.CRITICAL
    assert "used up" in found.message
    opened = folded(trace(0, 24), trace(24.2, 26, celsius=lambda h: -190 + 17 * (h - 24), lid_open=1))
    assert look(opened, 26).found is None


def test_what_is_overdue_slides_on_and_is_found_in_silence_where_the_fold_then_says_the_same():
    state = folded(trace(0, 100, tilt_deg=0))
    seen = look(state, 100)
    assert seen.found is None
    assert seen.again_at is not None
    begins = (look(state, (seen.again_at - T0) / HOUR).again_at or 0) - T0
    found = look(state, begins / HOUR).found
    assert found is not None
    assert found.since == T0 + begins
    later = folded(trace(begins / HOUR + 1, begins / HOUR + 1), state=state)
    again = look(later, begins / HOUR + 1).found
    assert again is not None
    assert again.since == found.since


def test_before_any_reading_the_fillings_on_record_say_it():
    soon = replace(FACTS, dewar=replace(DEWAR, charges=(Charge(at=T0 - 200 * HOUR),)))
    found = look(HoldTimeShortState(), 20, soon).found
    assert found is not None
    assert look(HoldTimeShortState(), 1).found is None


def test_the_arrival_may_be_the_last_legs():
    leg = Leg(start=Place(name="A"), end=Place(name="B"), planned_arrival=T0 + 200 * HOUR)
    by_leg = replace(FACTS, planned_arrival=None, legs=(leg,))
    state = folded(trace(0, 24), facts=by_leg)
    assert look(state, 24, by_leg).found is not None
    unknown = replace(FACTS, planned_arrival=None)
    left = hold_time(TUNING, unknown, [folded(trace(0, 24), facts=unknown)], T0 + 24 * HOUR)
    assert left is not None
    assert (left.arrival, left.margin_h) == (None, None)


def test_figures_are_told_in_steps():
    state, messages = HoldTimeShortState(), set()
    whole = trace(0, 60, ln2_kg=lambda h: 3.3 - 3.3 * h / 65)
    for n in range(len(whole)):
        state = folded(whole[n : n + 1], state=state)
        if (found := look(state, n / 6).found) is not None:
            messages.add(found.message)
    assert 1 <= len(messages) <= 15


def test_it_ends_with_the_shipment():
    state = folded(trace(0, 24, ln2_kg=lambda h: 3.3 - 3.3 * h / 60))
    found = look(state, 40, shipment_ended_at=30).found
    assert found is not None
    assert found.until == T0 + 30 * HOUR


def test_of_several_loggers_the_one_that_weighs_is_believed():
    weighs = folded(trace(0, 24, ln2_kg=lambda h: 3.3 - 3.3 * h / 60))
    blind = folded(trace(0, 24))
    look_time = LookTime(through=T0 + 24 * HOUR, watched_from=T0)
    assert HOLD_TIME_SHORT.look(TUNING, FACTS, [blind, weighs], look_time).found is not None
    assert HOLD_TIME_SHORT.look(TUNING, FACTS, [blind, HoldTimeShortState()], look_time).found is None


def test_dry_ice_is_known_by_its_band_and_by_what_it_cannot_be():
    ice = replace(FACTS, plan=plan("ultra_low"), dewar=replace(DEWAR, ln2_capacity_kg=None))
    cold = folded(trace(0, 24, celsius=lambda h: -78 - 3 * (h > 12)), facts=ice)
    assert look(cold, 24, ice).found is None
    warm = folded(trace(24.2, 26, celsius=lambda h: -78 + 6 * (h - 24)), facts=ice, state=cold)
    found = look(warm, 26, ice).found
    assert found is not None
    assert found.message.startswith("The dry ice has been used up since")


def test_every_number_can_be_tuned_within_a_range_and_the_state_can_be_stored():
    numbers = set(HoldTimeTuning.__slots__) - {"enabled"}
    assert HOLD_TIME_SHORT.ranges.keys() == numbers
    for name in numbers:
        least, most = HOLD_TIME_SHORT.ranges[name]
        assert least <= getattr(TUNING, name) <= most
    state = folded(trace(0, 24, ln2_kg=lambda h: 3.3 - 3.3 * h / 60, tilt_deg=90))
    assert load(HoldTimeShortState, orjson.loads(orjson.dumps(dump(state)))) == state


@pytest.mark.parametrize("planned_arrival", [None, T0 + 72 * HOUR])
def test_no_gap_of_nothing_is_named_when_it_becomes_critical(planned_arrival):
    """As it becomes critical, the expected end and the arrival meet; without a planned arrival they slide together."""
    facts = replace(FACTS, planned_arrival=planned_arrival)
    state, hours, found = folded(trace(0, 1), facts=facts), 1.0, None
    while found is None or found.severity is not Severity.CRITICAL:
        seen = look(state, hours, facts)
        found, hours = seen.found, hours + 1 if seen.again_at is None else (seen.again_at - T0) / HOUR
    assert "0 s too short" not in found.message
    assert "more likely than not too short. Have it charged" in found.message
