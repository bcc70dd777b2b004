"""The oracle itself, sentence by sentence of the definition of an excursion."""

import math
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from simulators.truth.oracle import TrueExcursion, TruePlan, TrueReading, true_excursions, true_summary

START = datetime(2026, 3, 1, 8, tzinfo=UTC)
MINUTE = 60_000_000  # in microseconds

FRIDGE = TruePlan(
    lower_c=2,
    upper_c=8,
    critical_low_c=0,
    critical_high_c=25,
    deadband_c=0.5,
    on_delay_s=0,
    budget_s=None,
    max_gap_s=1800,
    departed_at=START,
    delivered_at=None,
)
CRYO = replace(FRIDGE, lower_c=None, upper_c=-150, critical_low_c=None, critical_high_c=-135)
NARROW = replace(FRIDGE, lower_c=4, upper_c=4.6)  # 0.6 wide, so 4.3 recovers both sides


def at(minute):
    return START + timedelta(minutes=minute)


def trace(*points):
    """Readings from (minute, temperature) pairs; None stands for a broken probe."""
    return [TrueReading(at(minute), celsius, celsius is not None) for minute, celsius in points]


def found(plan, readings, now=60):
    """Excursions as short tuples: side, start and end in minutes, ended_by."""
    return [
        (
            e.side,
            (e.start - START) / timedelta(minutes=1),
            e.end and (e.end - START) / timedelta(minutes=1),
            e.ended_by,
        )
        for e in true_excursions(plan, readings, at(now))
    ]


DELIVERED_AT_30 = replace(FRIDGE, delivered_at=at(30))

RUNS = {
    # Limits are inclusive: a reading on the limit is in range.
    "on the upper limit": (FRIDGE, [(0, 8)], []),
    "on the lower limit": (FRIDGE, [(0, 2)], []),
    "just above": (FRIDGE, [(0, math.nextafter(8, 9))], [("high", 0, None, None)]),
    "just below": (FRIDGE, [(0, math.nextafter(2, 1))], [("low", 0, None, None)]),
    "no limit on that side": (CRYO, [(0, -196)], []),
    # The window is half open.
    "before departure": (FRIDGE, [(-1, 9), (1, 5)], []),
    "at departure": (FRIDGE, [(0, 9), (1, 5)], [("high", 0, 1, "recovery")]),
    "at delivery": (DELIVERED_AT_30, [(29, 5), (30, 9)], []),
    "recovers after delivery": (DELIVERED_AT_30, [(20, 9), (30, 5)], [("high", 20, 30, "delivery")]),
    # Ordered by measured_at; between two readings the earlier holds, nothing is interpolated.
    "any order": (FRIDGE, [(3, 5), (1, 9), (2, 9.5)], [("high", 1, 3, "recovery")]),
    "earlier holds": (FRIDGE, [(0, 5), (10, 9), (20, 5)], [("high", 10, 20, "recovery")]),
    # A run starts at the first reading outside while no run is on.
    "one run for many readings": (FRIDGE, [(1, 9), (2, 10), (3, 9)], [("high", 1, None, None)]),
    "two runs": (
        FRIDGE,
        [(1, 9), (2, 5), (3, 9), (4, 5)],
        [("high", 1, 2, "recovery"), ("high", 3, 4, "recovery")],
    ),
    # Recovery at the limit less the deadband, also inclusive.
    "inside the deadband, high": (FRIDGE, [(1, 9), (2, 7.6)], [("high", 1, None, None)]),
    "recovered, high": (FRIDGE, [(1, 9), (2, 7.5)], [("high", 1, 2, "recovery")]),
    "inside the deadband, low": (FRIDGE, [(1, 1), (2, 2.4)], [("low", 1, None, None)]),
    "recovered, low": (FRIDGE, [(1, 1), (2, 2.5)], [("low", 1, 2, "recovery")]),
    "no deadband": (replace(FRIDGE, deadband_c=0), [(1, 9), (2, 8)], [("high", 1, 2, "recovery")]),
    "cryogenic": (CRYO, [(1, -149), (2, -150.4), (3, -150.5)], [("high", 1, 3, "recovery")]),
    # A band too narrow for the deadband recovers in its middle; one just wide enough does not.
    "narrow, high": (NARROW, [(1, 5), (2, 4.4), (3, 4.25)], [("high", 1, 3, "recovery")]),
    "narrow, low": (NARROW, [(1, 3), (2, 4.2), (3, 4.35)], [("low", 1, 3, "recovery")]),
    "exactly twice the deadband": (
        replace(NARROW, upper_c=5),
        [(1, 6), (2, 4.6), (3, 4.5)],
        [("high", 1, 3, "recovery")],
    ),
    # Beyond the other limit: reversal at the same instant.
    "reversal": (FRIDGE, [(1, 9), (2, 1), (3, 5)], [("high", 1, 2, "reversal"), ("low", 2, 3, "recovery")]),
    # Silence never ends a run; delivery in the future does not either.
    "silence": (FRIDGE, [(1, 9)], [("high", 1, None, None)]),
    "delivery still to come": (
        replace(FRIDGE, delivered_at=at(61)),
        [(1, 9)],
        [("high", 1, None, None)],
    ),
    "delivery just now": (replace(FRIDGE, delivered_at=at(60)), [(1, 9)], [("high", 1, 60, "delivery")]),
    # The length must reach the on-delay, inclusive; runs too short leave nothing behind.
    "too short": (replace(FRIDGE, on_delay_s=601), [(1, 9), (11, 5)], []),
    "just long enough": (replace(FRIDGE, on_delay_s=600), [(1, 9), (11, 5)], [("high", 1, 11, "recovery")]),
    "open, too short": (replace(FRIDGE, on_delay_s=601), [(50, 9)], []),
    "open, by the clock": (replace(FRIDGE, on_delay_s=600), [(50, 9)], [("high", 50, None, None)]),
    "reversal before the delay": (
        replace(FRIDGE, on_delay_s=600),
        [(1, 9), (5, 1), (20, 5)],
        [("low", 5, 20, "recovery")],
    ),
    # A broken probe is never part of a run, and does not end one.
    "broken probe": (FRIDGE, [(1, 9), (2, None), (3, 5)], [("high", 1, 3, "recovery")]),
    "below absolute zero": (FRIDGE, [(1, -273.16)], []),
    "absolute zero": (FRIDGE, [(1, -273.15)], [("low", 1, None, None)]),
    "above what a probe can tell": (FRIDGE, [(1, 150.01)], []),
    "150": (FRIDGE, [(1, 150)], [("high", 1, None, None)]),
    # The first of two with one measured_at stays.
    "conflict": (FRIDGE, [(1, 5), (1, 9)], []),
    "duplicate": (FRIDGE, [(1, 9), (1, 9), (2, 5), (2, 5)], [("high", 1, 2, "recovery")]),
    "first was broken": (FRIDGE, [(1, None), (1, 9)], []),
    "empty": (FRIDGE, [], []),
}


@pytest.mark.parametrize("case", RUNS)
def test_runs(case):
    plan, points, expected = RUNS[case]
    assert found(plan, trace(*points)) == expected


DETAILS = {
    # peak_c: the extreme on the run's side, without the recovering reading.
    "peak, high": (FRIDGE, [(1, 9), (2, 11), (3, 10), (4, 2)], 11, "major", False),
    "peak, low": (FRIDGE, [(1, 1), (2, 0.5), (3, 7)], 0.5, "major", False),
    # Severity: critical beyond the critical limit, major on it.
    "on the critical limit": (FRIDGE, [(1, 9), (2, 25), (3, 5)], 25, "major", False),
    "beyond it": (FRIDGE, [(1, 9), (2, 25.1), (3, 9), (4, 5)], 25.1, "critical", False),
    "below the low one": (FRIDGE, [(1, -0.1), (3, 5)], -0.1, "critical", False),
    "no critical limit": (replace(FRIDGE, critical_high_c=None), [(1, 99), (2, 5)], 99, "major", False),
    # has_gap: neighbours, or the last reading and the end, more than max_gap_s apart.
    "exactly the longest gap": (FRIDGE, [(1, 9), (31, 9), (60, 5)], 9, "major", False),
    "gap between neighbours": (FRIDGE, [(1, 9), (31.01, 9), (60, 5)], 9, "major", True),
    "gap before the recovery": (FRIDGE, [(1, 9), (32, 5)], 9, "major", True),
    "gap before now": (FRIDGE, [(29, 9)], 9, "major", True),
    "no gap before now": (FRIDGE, [(30, 9)], 9, "major", False),
    "gap before delivery": (replace(FRIDGE, delivered_at=at(50)), [(1, 9)], 9, "major", True),
    "a broken probe fills no gap": (FRIDGE, [(1, 9), (20, None), (40, 5)], 9, "major", True),
    "a gap before the run is none of it": (FRIDGE, [(0, 5), (59, 9)], 9, "major", False),
}


@pytest.mark.parametrize("case", DETAILS)
def test_peak_severity_and_gap(case):
    plan, points, peak_c, severity, has_gap = DETAILS[case]
    (excursion,) = true_excursions(plan, trace(*points), at(60))
    assert (excursion.peak_c, excursion.severity, excursion.has_gap) == (peak_c, severity, has_gap)


PROOFS = {
    # In range, out of range, unobserved and budget used, in minutes of 60.
    "nothing proves nothing": (FRIDGE, [], (0, 0, 60, 0)),
    "until now": (FRIDGE, [(40, 5)], (20, 0, 40, 0)),
    "for at most max_gap_s": (FRIDGE, [(0, 5)], (30, 0, 30, 0)),
    "until the next valid one": (FRIDGE, [(0, 5), (10, None), (20, 5)], (50, 0, 10, 0)),
    "before departure proves nothing": (FRIDGE, [(-1, 5), (45, 5)], (15, 0, 45, 0)),
    "deadband is out of range": (FRIDGE, [(0, 9), (10, 7.9), (20, 5), (40, 5)], (40, 20, 0, 20)),
    "unobserved counts against the product": (FRIDGE, [(0, 9), (50, 5)], (10, 30, 20, 50)),
    "an open run counts until now": (FRIDGE, [(0, 5), (20, 9)], (20, 30, 10, 40)),
    "runs too short count": (replace(FRIDGE, on_delay_s=1e6), [(35, 9), (40, 5)], (20, 5, 35, 5)),
    "until delivery": (replace(FRIDGE, delivered_at=at(30)), [(10, 9), (30, 9)], (0, 20, 10, 20)),
    "delivery still to come": (replace(FRIDGE, delivered_at=at(90)), [(40, 5)], (20, 0, 40, 0)),
    "departure still to come": (replace(FRIDGE, departed_at=at(70)), [(40, 5)], (0, 0, 0, 0)),
    "newest reading is ahead of now": (FRIDGE, [(40, 5), (64, 5)], (24, 0, 40, 0)),
}


@pytest.mark.parametrize("case", PROOFS)
def test_time_proof_and_budget(case):
    plan, points, expected = PROOFS[case]
    summary = true_summary(plan, trace(*points), at(60))
    assert (
        summary.in_range_us / MINUTE,
        summary.out_of_range_us / MINUTE,
        summary.unobserved_us / MINUTE,
        summary.budget_used_us / MINUTE,
    ) == expected


@pytest.mark.parametrize(
    ("budget_s", "minute"),
    [
        (None, None),
        (0, 5),  # no tolerance at all: exhausted with the first run
        (60, 6),
        (300, 10),  # reached at the very end of the first run
        (301, 40 + 1 / 60),
        (25 * 60, 60),  # reached by the open run just now
        (25 * 60 + 1, None),
    ],
)
def test_budget_is_exhausted_when_the_sum_reaches_it(budget_s, minute):
    readings = trace((5, 9), (10, 5), (40, 1))
    summary = true_summary(replace(FRIDGE, budget_s=budget_s), readings, at(60))
    assert summary.budget_exhausted_at == (None if minute is None else at(minute))


def test_figures_are_of_the_valid_readings_in_the_window():
    plan = replace(FRIDGE, delivered_at=at(30))
    summary = true_summary(plan, trace((-1, 90), (0, 4), (5, None), (10, 7), (20, 10), (30, -90)), at(60))
    assert (summary.min_c, summary.max_c, summary.mean_c, summary.readings) == (4, 10, 7, 4)


def test_no_reading_no_figures():
    summary = true_summary(FRIDGE, trace((1, None)), at(60))
    assert (summary.min_c, summary.max_c, summary.mean_c, summary.mkt_c, summary.readings) == (None,) * 4 + (
        1,
    )


@pytest.mark.parametrize("plan", [CRYO, replace(FRIDGE, lower_c=-0.1), replace(FRIDGE, lower_c=None)])
def test_mkt_is_refused_below_zero(plan):
    assert true_summary(plan, trace((0, 5)), at(60)).mkt_c is None


def test_mkt_of_a_constant_temperature_is_that_temperature():
    mkt_c = true_summary(replace(FRIDGE, lower_c=0), trace((0, 5), (10, 5)), at(60)).mkt_c
    assert mkt_c == pytest.approx(5)


def test_mkt_by_hand():
    # 20 °C for 30 min and 30 °C for 10 min, delta H / R = 10,000 K:
    # 0.75 · e^(-10000/293.15) + 0.25 · e^(-10000/303.15) = 0.75 · 1.53196e-15 + 0.25 · 4.71999e-15 = 2.32897e-15,
    # whose logarithm is -33.69335, and 10,000 / 33.69335 = 296.7945 K = 23.6445 °C.
    mkt_c = true_summary(replace(FRIDGE, upper_c=40), trace((0, 20), (30, 30), (40, 20)), at(40)).mkt_c
    assert mkt_c == pytest.approx(23.6445, abs=1e-4)


def test_mkt_of_a_broken_plan_stays_a_number():
    for celsius in (-273.15, -270, 150):
        mkt_c = true_summary(replace(FRIDGE, lower_c=0), trace((0, celsius)), at(60)).mkt_c
        assert mkt_c == pytest.approx(celsius)


def test_order_duplicates_and_zones_change_nothing():
    readings = trace(*((minute, 5 + 6 * math.sin(minute / 7)) for minute in range(60)))
    elsewhere = timezone(timedelta(hours=-5))
    again = readings + [replace(r, measured_at=r.measured_at.astimezone(elsewhere)) for r in readings]
    random.Random(1).shuffle(again)
    assert true_excursions(FRIDGE, again, at(60)) == true_excursions(FRIDGE, readings, at(60))
    assert true_summary(FRIDGE, again, at(60)) == true_summary(FRIDGE, readings, at(60))


def test_a_worked_example():
    """A dewar that runs dry, cools again, and is delivered while it warms a second time, computed by hand.

    Limit -150 °C, recovery at -150.5 °C, critical above -135 °C, on-delay 10 min, budget 90 min, gap 30 min.
    First run 60 to 120 min: 60 min long, peak -140, major; its readings hold 10 + 10 + 30 min, and the 10 min
    before the recovery are unobserved, a gap of 40. A blip at 150 lasts 5 min: no excursion, but budget.
    Second run 200 min to delivery at 240: peak -130, critical. Budget: 60 + 5 = 65, exhausted at 225.
    Unobserved besides: the last reading, at 205, holds 30 min of 35; the reading at 120 holds all 30 to 150, the
    one at 155 holds 30 of 45; the one at 0 holds 30 of 60.
    """
    plan = replace(CRYO, on_delay_s=600, budget_s=5400, delivered_at=at(240))
    readings = trace(
        (0, -190), (60, -149), (70, -140), (80, -150.2), (120, -151),
        (150, -149.9), (155, -160), (200, -148), (205, -130), (240, -196),
    )  # fmt: skip
    assert true_excursions(plan, readings, at(600)) == [
        TrueExcursion(
            side="high",
            start=at(60),
            end=at(120),
            ended_by="recovery",
            peak_c=-140,
            severity="major",
            has_gap=True,
        ),
        TrueExcursion(
            side="high",
            start=at(200),
            end=at(240),
            ended_by="delivery",
            peak_c=-130,
            severity="critical",
            has_gap=True,
        ),
    ]
    summary = true_summary(plan, readings, at(600))
    assert summary.in_range_us == (30 + 30 + 30) * MINUTE
    assert summary.out_of_range_us == (50 + 5 + 35) * MINUTE
    assert summary.unobserved_us == (30 + 10 + 15 + 5) * MINUTE
    assert summary.budget_used_us == (60 + 5 + 40) * MINUTE
    assert summary.budget_exhausted_at == at(225)
    assert (summary.min_c, summary.max_c, summary.mkt_c, summary.readings) == (-190, -130, None, 9)
    assert summary.mean_c == pytest.approx(-1368.1 / 9)
