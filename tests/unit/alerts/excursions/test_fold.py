"""What an excursion is, a case for each sentence of the definition.

Times are minutes since departure. The plan is `refrigerated` unless a case says otherwise: 2 to 8 °C, critical
below 0 or above 25, recovered at 2.5 and 7.5.
"""

import json
from dataclasses import replace

import pytest

from alerts.excursions.fold import Evaluation, evaluate, finish, fold, fold_reading
from alerts.excursions.phases import HIGH, IN_RANGE, LOW, PHASES, STATE_VERSION, LoggerState, zones
from alerts.excursions.plan import Plan, make_plan
from alerts.model import SECOND, EndedBy, Run, Sample, Severity, Side, Window

MINUTE = 60 * SECOND
HIGH_SIDE, LOW_SIDE = Side.HIGH, Side.LOW
MAJOR, CRITICAL = Severity.MAJOR, Severity.CRITICAL
RECOVERY, REVERSAL, DELIVERY = EndedBy.RECOVERY, EndedBy.REVERSAL, EndedBy.DELIVERY


def plan(band="refrigerated", **overrides) -> Plan:
    made = make_plan(band, overrides)
    assert isinstance(made, Plan), made
    return made


def window(delivered=None) -> Window:
    return Window(departed_at=0, delivered_at=None if delivered is None else round(delivered * MINUTE))


def samples(readings) -> list[Sample]:
    return [Sample(round(minute * MINUTE), celsius) for minute, celsius in readings.items()]


def judge(readings, now, *, delivered=None, band="refrigerated", **overrides) -> Evaluation:
    return evaluate(plan(band, **overrides), window(delivered), samples(readings), round(now * MINUTE))


def high(start, end=None, ended_by=None, peak=9.0, severity=MAJOR, *, gap=False, side=HIGH_SIDE) -> Run:
    return Run(
        side=side,
        start=round(start * MINUTE),
        end=None if end is None else round(end * MINUTE),
        ended_by=ended_by,
        peak_c=peak,
        severity=severity,
        has_gap=gap,
    )


def low(*args, **kwargs) -> Run:
    return high(*args, **kwargs, side=LOW_SIDE)


RUNS = [
    # All limits are inclusive: a reading on the limit is in range.
    ("on the limits", {0: 2.0, 1: 8.0}, 2, {}, []),
    # A run starts at the first reading outside the band.
    ("high", {0: 5.0, 1: 9.0}, 2, {}, [high(1)]),
    ("low", {0: 5.0, 1: 1.0}, 2, {}, [low(1, peak=1.0)]),
    # It ends at the first reading back inside by the deadband; on that point counts.
    ("recovers at upper - deadband", {0: 9.0, 1: 7.5}, 2, {}, [high(0, 1, RECOVERY)]),
    ("recovers at lower + deadband", {0: 1.0, 1: 2.5}, 2, {}, [low(0, 1, RECOVERY, 1.0)]),
    ("goes on inside the deadband", {0: 9.0, 1: 7.6, 2: 8.0}, 3, {}, [high(0)]),
    ("no deadband: the limit itself recovers", {0: 9.0, 1: 8.0}, 2, {"deadband_c": 0}, [high(0, 1, RECOVERY)]),
    # The deadband matters to a run only: a reading in it does not start one.
    ("starts nothing in the deadband", {0: 7.9, 1: 2.1}, 2, {}, []),
    # Decimals as people write them: 8.2 - 0.3 is 7.9, though floats say 7.899999999999999.
    (
        "recovery point in decimals",
        {0: 9.0, 1: 7.9},
        2,
        {"upper_c": 8.2, "deadband_c": 0.3},
        [high(0, 1, RECOVERY)],
    ),
    # Too narrow a band: its middle is the recovery point of both sides.
    ("narrow, not yet", {0: 9.0, 1: 5.1}, 2, {"deadband_c": 4}, [high(0)]),
    ("narrow, high recovers", {0: 9.0, 1: 5.0}, 2, {"deadband_c": 4}, [high(0, 1, RECOVERY)]),
    ("narrow, low recovers", {0: 1.0, 1: 4.9, 2: 5.0}, 3, {"deadband_c": 4}, [low(0, 2, RECOVERY, 1.0)]),
    ("exactly wide enough", {0: 9.0, 1: 5.1, 2: 5.0}, 3, {"deadband_c": 3}, [high(0, 2, RECOVERY)]),
    # One-sided bands have no other side, and no middle.
    ("no lower limit", {0: -200.0, 1: 9.0, 2: -200.0}, 3, {"lower_c": None}, [high(1, 2, RECOVERY)]),
    ("no upper limit", {0: 100.0, 1: 1.0, 2: 100.0}, 3, {"upper_c": None}, [low(1, 2, RECOVERY, 1.0)]),
    ("one-sided, wide deadband", {0: 9.0, 1: -91.9, 2: -92.0}, 3, {"lower_c": None, "deadband_c": 100},
     [high(0, 2, RECOVERY)]),
    # Beyond the other limit, the run ends and one starts on the other side at the same instant.
    ("reversal", {0: 9.0, 1: 1.0}, 2, {}, [high(0, 1, REVERSAL), low(1, peak=1.0)]),
    ("reversal and back", {0: 1.0, 1: 9.0, 2: 1.0}, 2.5, {},
     [low(0, 1, REVERSAL, 1.0), high(1, 2, REVERSAL), low(2, peak=1.0)]),
    # Silence never ends a run: it lasts until now.
    ("silence", {0: 9.0}, 10_000, {}, [high(0, gap=True)]),
    # Or until delivery, whichever is earlier.
    ("delivery ends a run", {0: 9.0}, 20, {"delivered": 10}, [high(0, 10, DELIVERY)]),
    ("at the instant of delivery", {0: 9.0}, 10, {"delivered": 10}, [high(0, 10, DELIVERY)]),
    ("delivery still to come", {0: 9.0}, 5, {"delivered": 10}, [high(0)]),
    # The extreme reading of the run on its side; the recovering reading is no part of it, nor the reversing one.
    ("peak", {0: 9.0, 1: 12.0, 2: 10.0, 3: 7.0}, 4, {}, [high(0, 3, RECOVERY, 12.0)]),
    ("peak of a low run", {0: 1.0, 1: 0.5, 2: 0.75, 3: 9.0}, 3.5, {},
     [low(0, 3, REVERSAL, 0.5), high(3)]),
    # Critical beyond the critical limit, on it not yet.
    ("on the critical limit", {0: 25.0}, 1, {}, [high(0, peak=25.0)]),
    ("critical", {0: 25.1, 1: 9.0}, 2, {}, [high(0, peak=25.1, severity=CRITICAL)]),
    ("critical low", {0: -0.1}, 1, {}, [low(0, peak=-0.1, severity=CRITICAL)]),
    ("critical only where the peak is", {0: 30.0, 1: 1.0}, 2, {},
     [high(0, 1, REVERSAL, 30.0, CRITICAL), low(1, peak=1.0)]),
    # An excursion as soon as the length is at least the on-delay.
    ("shorter than the on-delay", {0: 9.0, 1: 5.0}, 9, {"on_delay_s": 61}, []),
    ("exactly the on-delay", {0: 9.0, 1: 5.0}, 9, {"on_delay_s": 60}, [high(0, 1, RECOVERY)]),
    ("no on-delay: at once", {0: 9.0}, 0, {}, [high(0)]),
    ("open, before the on-delay", {0: 9.0}, 0.99, {"on_delay_s": 60}, []),
    ("open, by the clock alone", {0: 9.0}, 1, {"on_delay_s": 60}, [high(0)]),
    ("delivered before the on-delay", {0: 9.0}, 9, {"on_delay_s": 300, "delivered": 4}, []),
    ("delivered at the on-delay", {0: 9.0}, 9, {"on_delay_s": 300, "delivered": 5}, [high(0, 5, DELIVERY)]),
    # A reversal starts a new run, with an on-delay of its own.
    ("reversed before the on-delay", {0: 9.0, 1: 1.0}, 5, {"on_delay_s": 120}, [low(1, peak=1.0)]),
    # A gap: two neighbouring readings of the run more than max_gap apart...
    ("exactly max_gap", {0: 9.0, 30: 9.0}, 31, {}, [high(0)]),
    ("more than max_gap", {0: 9.0, 30.01: 9.0}, 31, {}, [high(0, gap=True)]),
    # ... or its last reading and its end, be that recovery, reversal, delivery or, so far, now.
    ("gap before the recovery", {0: 9.0, 31: 5.0}, 32, {}, [high(0, 31, RECOVERY, gap=True)]),
    ("gap before the reversal", {0: 9.0, 31: 1.0}, 32, {},
     [high(0, 31, REVERSAL, gap=True), low(31, peak=1.0)]),
    ("gap before delivery", {0: 9.0}, 99, {"delivered": 31}, [high(0, 31, DELIVERY, gap=True)]),
    ("gap until now", {0: 9.0}, 30.01, {}, [high(0, gap=True)]),
    ("no gap until now", {0: 9.0}, 30, {}, [high(0)]),
    # Before the run and after it, silence is no gap of the run.
    ("gaps around", {0: 5.0, 60: 9.0, 61: 5.0, 200: 5.0}, 300, {}, [high(60, 61, RECOVERY)]),
    ("each run has gaps of its own", {0: 9.0, 40: 5.0, 41: 9.0, 42: 5.0}, 43, {},
     [high(0, 40, RECOVERY, gap=True), high(41, 42, RECOVERY)]),
    # A broken probe is never part of a run, holds for no time, and bridges no gap.
    ("broken probe starts no run", {0: 5.0, 1: None}, 2, {}, []),
    ("broken probe ends no run", {0: 9.0, 1: None}, 2, {}, [high(0)]),
    ("broken probe bridges no gap", {0: 9.0, 20: None, 40: 9.0}, 41, {}, [high(0, gap=True)]),
    # Outside -273.15 to 150 it is the probe that is broken.
    ("hotter than a probe measures", {0: 5.0, 1: 150.1}, 2, {}, []),
    ("colder than anything is", {0: 5.0, 1: -273.2}, 2, {}, []),
    ("not a number", {0: 5.0, 1: float("nan")}, 2, {}, []),
    ("as hot and cold as a probe measures", {0: 150.0, 1: -273.15}, 2, {},
     [high(0, 1, REVERSAL, 150.0, CRITICAL), low(1, peak=-273.15, severity=CRITICAL)]),
    # Readings outside the window never make an excursion: before departure, from delivery on.
    ("pre-conditioning", {-1: 30.0, 0: 5.0}, 1, {}, []),
    ("at departure", {-1: 5.0, 0: 30.0}, 1, {}, [high(0, peak=30.0, severity=CRITICAL)]),
    ("unpacking", {0: 5.0, 10: 30.0}, 20, {"delivered": 10}, []),
    ("a run before departure is none", {-2: 30.0, 1: 7.9}, 2, {}, []),
    ("unpacking ends no run", {0: 9.0, 10: 5.0}, 20, {"delivered": 10}, [high(0, 10, DELIVERY)]),
    ("delivered before any reading", {20: 30.0}, 30, {"delivered": 10}, []),
    ("window not begun", {}, -5, {}, []),
]  # fmt: skip


@pytest.mark.parametrize(
    ("readings", "now", "options", "runs"), [c[1:] for c in RUNS], ids=[c[0] for c in RUNS]
)
def test_excursions(readings, now, options, runs):
    assert list(judge(readings, now, **options).excursions) == runs


PROOF = [
    # name, readings, now, options, (in range, out of range, unobserved) in minutes
    # A valid reading holds until the next valid one, until delivery or until now...
    ("until now", {0: 5.0}, 10, {}, (10, 0, 0)),
    ("until delivery", {0: 5.0}, 99, {"delivered": 10}, (10, 0, 0)),
    ("until the next", {0: 5.0, 10: 9.0}, 15, {}, (10, 5, 0)),
    # ... but for at most max_gap.
    ("at most max_gap", {0: 5.0, 40: 5.0}, 100, {}, (60, 0, 40)),
    ("exactly max_gap", {0: 5.0}, 30, {}, (30, 0, 0)),
    ("max_gap of its own", {0: 9.0}, 30, {"max_gap_s": 60}, (0, 1, 29)),
    # Out of range if the reading is part of a run, also inside the deadband.
    ("inside the deadband of a run", {0: 9.0, 10: 7.9}, 20, {}, (0, 20, 0)),
    ("inside the deadband without one", {0: 7.9}, 20, {}, (20, 0, 0)),
    ("runs too short to be excursions", {0: 9.0, 1: 5.0}, 3, {"on_delay_s": 600}, (2, 1, 0)),
    ("a low run", {0: 1.0}, 3, {}, (0, 3, 0)),
    # What is not proven is never reported as in range: before the first reading, and under a broken probe.
    ("before the first reading", {10: 5.0}, 15, {}, (5, 0, 10)),
    ("a reading before departure proves nothing", {-1: 5.0}, 15, {}, (0, 0, 15)),
    ("no reading at all", {}, 15, {}, (0, 0, 15)),
    ("a broken probe holds for no time", {0: None}, 15, {}, (0, 0, 15)),
    ("a broken probe does not end a hold", {0: 5.0, 1: None}, 15, {}, (15, 0, 0)),
    ("a broken probe does not prolong one", {0: 5.0, 29: None}, 40, {}, (30, 0, 10)),
    # The length of the window so far.
    ("window not begun", {}, -5, {}, (0, 0, 0)),
    ("delivered at departure", {0: 5.0}, 9, {"delivered": 0}, (0, 0, 0)),
    ("delivered before any reading", {20: 5.0}, 99, {"delivered": 10}, (0, 0, 10)),
    ("delivery still to come", {0: 5.0}, 5, {"delivered": 10}, (5, 0, 0)),
    # A logger whose clock runs ahead is judged at once, a broken probe's too.
    ("clock ahead", {0: 5.0, 4: 9.0}, 1, {}, (4, 0, 0)),
    ("clock ahead, broken probe", {0: 5.0, 4: None}, 1, {}, (4, 0, 0)),
    ("clock ahead, after delivery", {0: 5.0, 4: 9.0}, 1, {"delivered": 3}, (1, 0, 0)),
]


@pytest.mark.parametrize(
    ("readings", "now", "options", "minutes"), [c[1:] for c in PROOF], ids=[c[0] for c in PROOF]
)
def test_time_proof(readings, now, options, minutes):
    figures = judge(readings, now, **options).figures
    assert (figures.in_range, figures.out_of_range, figures.unobserved) == tuple(m * MINUTE for m in minutes)


BUDGET = [
    # name, readings, now, options, budget used, exhausted at, in minutes
    # The sum of the lengths of all runs...
    ("closed and open runs", {0: 9.0, 1: 5.0, 2: 1.0}, 4, {}, 3, None),
    # ... also of those too short to be an excursion...
    ("short runs", {0: 9.0, 1: 5.0}, 4, {"on_delay_s": 600}, 1, None),
    # ... with unobserved time inside a run counted against the product.
    ("unobserved", {0: 9.0, 100: 5.0}, 200, {}, 100, None),
    ("until delivery", {0: 9.0}, 200, {"delivered": 50}, 50, None),
    # Exhausted at the instant at which the sum reaches budget_s.
    ("not yet", {0: 9.0}, 9, {"budget_s": 600}, 9, None),
    ("just now", {0: 9.0}, 10, {"budget_s": 600}, 10, 10),
    ("a while ago", {0: 9.0}, 20, {"budget_s": 600}, 20, 10),
    ("by the second run", {0: 9.0, 6: 5.0, 20: 1.0}, 30, {"budget_s": 600}, 16, 24),
    ("in a run that closed long ago", {0: 9.0, 20: 5.0, 50: 9.0, 60: 5.0}, 99, {"budget_s": 600}, 30, 10),
    ("by the end of a run exactly", {0: 9.0, 10: 5.0, 20: 9.0}, 30, {"budget_s": 600}, 20, 10),
    ("at delivery exactly", {0: 9.0}, 99, {"budget_s": 600, "delivered": 10}, 10, 10),
    ("by a reversal", {0: 9.0, 6: 1.0}, 20, {"budget_s": 600}, 20, 10),
    # A budget of 0 tolerates no time at all, but is not exhausted before anything went wrong.
    ("budget 0, in range", {0: 5.0}, 10, {"budget_s": 0}, 0, None),
    ("budget 0", {3: 9.0}, 3, {"budget_s": 0}, 0, 3),
    ("budget 0, closed", {3: 9.0, 4: 5.0}, 9, {"budget_s": 0}, 1, 3),
]


@pytest.mark.parametrize(
    ("readings", "now", "options", "used", "exhausted"), [c[1:] for c in BUDGET], ids=[c[0] for c in BUDGET]
)
def test_budget(readings, now, options, used, exhausted):
    figures = judge(readings, now, **options).figures
    assert figures.budget_used == used * MINUTE
    assert figures.budget_exhausted_at == (None if exhausted is None else exhausted * MINUTE)


DEADLINES = [
    # name, readings, now, options, next deadline in minutes (+ 1 µs for a gap, which is *more* than max_gap)
    ("in range", {0: 5.0}, 1, {"on_delay_s": 600, "budget_s": 60}, None),
    ("on-delay", {0: 9.0}, 1, {"on_delay_s": 600}, 10),
    ("gap, once it is an excursion", {0: 9.0}, 10, {"on_delay_s": 600}, 30 + 1 / MINUTE),
    ("no gap to come before it is one", {0: 9.0}, 1, {"on_delay_s": 6000}, 100),
    ("gap counts from the last valid reading", {0: 9.0, 5: 9.0, 6: None}, 10, {}, 35 + 1 / MINUTE),
    ("the gap is there already", {0: 9.0, 31: 9.0}, 32, {}, None),
    ("the gap has just come", {0: 9.0}, 31, {}, None),
    ("budget", {0: 9.0}, 1, {"budget_s": 300}, 5),
    ("rest of the budget", {0: 9.0, 2: 5.0, 10: 9.0}, 11, {"budget_s": 300}, 13),
    ("budget exhausted before", {0: 9.0, 6: 5.0, 10: 9.0, 50: 9.0}, 51, {"budget_s": 300}, None),
    ("on-delay at delivery", {0: 9.0}, 1, {"delivered": 4, "on_delay_s": 240}, 4),
    ("delivered", {0: 9.0}, 5, {"delivered": 4, "on_delay_s": 600}, None),
    ("delivery ends an excursion", {0: 9.0}, 1, {"delivered": 4}, 4),
    ("delivery comes before the on-delay", {0: 9.0}, 1, {"delivered": 4, "on_delay_s": 600}, None),
    ("no run, delivery to come", {0: 5.0}, 1, {"delivered": 4}, None),
    ("no reading", {}, 1, {}, None),
    ("seen from a clock that runs ahead", {4: 9.0}, 1, {"on_delay_s": 120}, 6),
]


@pytest.mark.parametrize(
    ("readings", "now", "options", "minutes"), [c[1:] for c in DEADLINES], ids=[c[0] for c in DEADLINES]
)
def test_next_deadline(readings, now, options, minutes):
    deadline = judge(readings, now, **options).next_deadline
    assert deadline == (None if minutes is None else round(minutes * MINUTE))


def test_extremes_and_mean_are_of_the_valid_readings_in_the_window():
    figures = judge({-1: 99.0, 0: 4.0, 1: None, 2: 6.0, 30: 8.0, 50: -9.0}, 60, delivered=50).figures
    assert (figures.readings, figures.min_c, figures.max_c, figures.mean_c) == (4, 4.0, 8.0, 6.0)


def test_without_a_valid_reading_there_are_no_temperatures():
    figures = judge({0: None}, 60).figures
    assert (figures.readings, figures.min_c, figures.max_c, figures.mean_c, figures.mkt_c) == (1, *[None] * 4)


def test_what_comes_next_is_decided_by_the_five_zones():
    assert zones(plan())[:2] == (2.0, 2.5)
    for phase in (IN_RANGE, LOW, HIGH):
        assert PHASES[phase][0] == LOW
        assert PHASES[phase][2] == IN_RANGE
        assert PHASES[phase][4] == HIGH


def test_step_gives_the_excursion_that_a_reading_closes():
    state, closed = fold_reading(plan(), window(), LoggerState(), Sample(0, 9.0))
    assert closed is None
    _, closed = fold_reading(plan(), window(), state, Sample(MINUTE, 5.0))
    assert closed == high(0, 1, RECOVERY)


def test_a_state_survives_storage_to_the_last_bit():
    state, _ = fold(plan(), window(), LoggerState(), samples({0: 9.1, 1: 8.3, 40: 2.7, 41: None, 50: 0.1}))
    assert LoggerState.from_json(json.loads(json.dumps(state.to_json(), allow_nan=False))) == state
    assert (
        LoggerState.from_json(json.loads(json.dumps(LoggerState().to_json(), allow_nan=False)))
        == LoggerState()
    )


def test_a_state_of_another_version_is_not_used():
    assert LoggerState.from_json({**LoggerState().to_json(), "version": 0, "other": 1}) is None
    assert LoggerState.from_json({}) is None
    assert LoggerState.from_json({"version": STATE_VERSION, "seen": 1}) is None


@pytest.mark.parametrize("again", [0, 1])
def test_a_reading_out_of_order_is_refused(again):
    state, _ = fold(plan(), window(), LoggerState(), samples({0: 5.0, 1: None}))
    with pytest.raises(ValueError, match="fold again"):
        fold_reading(plan(), window(), state, Sample(again * MINUTE, 5.0))


def test_a_state_that_went_past_delivery_is_refused():
    state, _ = fold(plan(), window(), LoggerState(), samples({0: 5.0, 10: 5.0}))
    finish(plan(), window(10.1), state, 0)
    with pytest.raises(ValueError, match="fold again"):
        finish(plan(), window(10), state, 0)


def test_finish_leaves_the_state_alone():
    state, closed = fold(plan(), window(), LoggerState(), samples({0: 9.0}))
    before = replace(state)
    assert finish(plan(), window(), state, MINUTE, closed) == finish(plan(), window(), state, MINUTE, closed)
    assert state == before


def test_no_delivery_before_departure():
    with pytest.raises(ValueError, match="before departed"):
        window(-1)
