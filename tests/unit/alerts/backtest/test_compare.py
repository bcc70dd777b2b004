from datetime import UTC, date, datetime

import pytest

from alerts.backtest.compare import Effect, compare
from alerts.backtest.totals import BacktestTotals, Outcome, Unjudged
from alerts.excursions.plan import PlanRefused, changed_plan, make_plan, refused_change
from alerts.excursions.trace import Trace
from alerts.model import SECOND, EndedBy, Severity, Window, to_instant

MINUTE = 60 * SECOND
DEPARTED = to_instant(datetime(2026, 11, 1, tzinfo=UTC))  # a Sunday
WINDOW = Window(departed_at=DEPARTED)
TODAY = make_plan("cryogenic", {"on_delay_s": 0})


def trace(*celsius: float | None, every: int = 10) -> Trace:
    return Trace.of([(DEPARTED + n * every * MINUTE, c) for n, c in enumerate(celsius)])


def found(changes, *celsius, plan=TODAY, minutes=1000, since=None):
    return compare(
        plan,
        changed_plan(plan, changes),
        WINDOW,
        {"D1": trace(*celsius)},
        DEPARTED + minutes * MINUTE,
        since=since,
    )


@pytest.mark.parametrize(
    ("changes", "celsius", "expected"),
    [
        ({"upper_c": -160}, [-190, -155, -190], [Effect.GAINED]),
        ({"upper_c": -140}, [-190, -145, -190], [Effect.LOST]),
        ({"on_delay_s": 900}, [-190, -145, -190, -145, -145, -190], [Effect.LOST, Effect.SAME]),
        # Longer to both ends, beyond another critical limit, or over earlier: found by both, and told otherwise.
        ({"upper_c": -160}, [-190, -155, -145, -155, -190], [Effect.CHANGED]),
        ({"critical_high_c": -146}, [-190, -145, -190], [Effect.CHANGED]),
        ({"deadband_c": 10}, [-190, -145, -155, -190], [Effect.CHANGED]),
        # With a deadband of 10 a recovery to -155 is none, and two become one.
        ({"deadband_c": 10}, [-190, -145, -155, -145, -190], [Effect.CHANGED, Effect.MERGED]),
        # What is no plan's business changes nothing.
        ({"max_gap_s": 60}, [-190, -145, -190], [Effect.SAME]),
        ({"upper_c": -140}, [-190, None, -190], []),
    ],
)
def test_what_becomes_of_each_excursion(changes, celsius, expected):
    assert [pair.effect for pair in found(changes, *celsius).pairs] == expected


def test_one_that_falls_apart_is_kept_once_and_split():
    slow = make_plan("cryogenic", {"deadband_c": 10})
    pairs = found({"deadband_c": 0.5}, -190, -145, -155, -145, -190, plan=slow).pairs
    assert [pair.effect for pair in pairs] == [Effect.CHANGED, Effect.SPLIT]
    assert pairs[1].today is None


def test_what_both_plans_come_to():
    plan = make_plan("cryogenic", {"budget_s": 1500})
    one = found(
        {"upper_c": -160, "budget_s": 3000}, -155, -145, -130, -190, -190, -155, plan=plan, minutes=65
    )
    assert (one.today.excursions, one.today.critical, one.today.exhaustions, one.today.alarms) == (1, 1, 0, 1)
    assert (one.today.out_of_range, one.today.longest) == (20 * MINUTE, 20 * MINUTE)
    # 30 minutes, and 15 that still go on; a budget of 50 minutes is not used up by that.
    assert (one.proposed.excursions, one.proposed.critical, one.proposed.alarms) == (2, 1, 2)
    assert (one.proposed.out_of_range, one.proposed.longest) == (45 * MINUTE, 30 * MINUTE)
    assert one.exhaustions == ()
    assert one.readings == 6


def test_a_budget_that_is_exhausted_by_one_plan_alone_or_at_another_time():
    plan = make_plan("cryogenic", {"budget_s": 600})
    celsius = [-190, -145, -145, -190]
    cases = {
        1200: (Effect.CHANGED, 20),
        1201: (Effect.LOST, None),
        None: (Effect.LOST, None),
        600: (Effect.SAME, 10),
    }
    for budget_s, (effect, minutes) in cases.items():
        [exhaustion] = found({"budget_s": budget_s}, *celsius, plan=plan).exhaustions
        at = None if minutes is None else DEPARTED + (10 + minutes) * MINUTE
        assert (exhaustion.effect, exhaustion.today, exhaustion.proposed) == (
            effect,
            DEPARTED + 20 * MINUTE,
            at,
        )
    [gained] = found({"budget_s": 600}, *celsius).exhaustions
    assert (gained.effect, gained.today) == (Effect.GAINED, None)


def test_an_alarm_comes_when_the_on_delay_is_over_and_counts_from_since_on():
    changes, celsius = {"on_delay_s": 900}, [-190, -145, -145, -145, -190]
    one = found(changes, *celsius)
    assert one.alarms_today == (DEPARTED + 10 * MINUTE,)
    assert one.alarms_proposed == (DEPARTED + 25 * MINUTE,)
    # Counted under both plans where one of them calls in time: else it would look gained.
    assert found(changes, *celsius, since=DEPARTED + 25 * MINUTE).pairs == one.pairs
    assert found(changes, *celsius, since=DEPARTED + 25 * MINUTE + 1).pairs == ()


def test_loggers_are_compared_one_by_one():
    traces = {"D1": trace(-145, -190), "D2": trace(-190, -145)}
    one = compare(TODAY, changed_plan(TODAY, {"upper_c": -140}), WINDOW, traces, DEPARTED + 20 * MINUTE)
    assert [(pair.device_id, pair.effect) for pair in one.pairs] == [("D1", Effect.LOST), ("D2", Effect.LOST)]
    [_, run] = [pair.today for pair in one.pairs]
    assert (run.end, run.ended_by, run.severity) == (None, None, Severity.MAJOR)


def test_a_window_that_ended_closes_what_was_on():
    window = Window(departed_at=DEPARTED, delivered_at=DEPARTED + 30 * MINUTE)
    one = compare(TODAY, TODAY, window, {"D1": trace(-190, -145)}, DEPARTED + 99 * MINUTE)
    assert one.pairs[0].today.ended_by is EndedBy.DELIVERY
    assert one.today.longest == 20 * MINUTE


def test_findings_add_up_and_keep_what_is_worst():
    quiet, loud = found({"upper_c": -140}, -190, -190), found({"upper_c": -140}, -145, -190, -145, -190)
    findings = BacktestTotals(keep_shipments=2, keep_differences=1)
    for number, comparison in enumerate([quiet, loud, quiet]):
        findings.add(Outcome(shipment_id=f"S{number}", comparison=comparison))
    findings.add(Unjudged(shipment_id="S9", field="upper_c", why="is wrong"))
    assert (findings.shipments, findings.seen, findings.affected, findings.readings) == (3, 4, 1, 8)
    assert [one.shipment_id for one in findings.worst()] == ["S1", "S0"]
    assert findings.excursions == {Effect.LOST: 2}
    assert [one.shipment_id for one in findings.differences] == ["S1"]
    assert (findings.today.tally.alarms, findings.proposed.tally.alarms) == (2, 0)
    assert (findings.today.longest_on, findings.proposed.longest_on) == ("S1", None)


def test_weeks_begin_on_monday_in_utc_and_none_is_left_out():
    plan = make_plan("cryogenic", {})
    minutes = {0: -145, 23 * 60 + 50: -190, 24 * 60: -145, 24 * 60 + 1: -190, 15 * 24 * 60: -145}
    samples = Trace.of([(DEPARTED + at * MINUTE, celsius) for at, celsius in minutes.items()])
    one = compare(plan, plan, WINDOW, {"D1": samples}, DEPARTED + 16 * 24 * 60 * MINUTE)
    findings = BacktestTotals()
    findings.add(Outcome(shipment_id="S1", comparison=one))
    mondays = [date(2026, 10, 26), date(2026, 11, 2), date(2026, 11, 9), date(2026, 11, 16)]
    assert findings.weeks() == mondays
    assert [findings.today.alarms_in[monday] for monday in mondays] == [1, 1, 0, 1]
    assert BacktestTotals().weeks() == []


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"uper_c": 1}, "uper_c"),
        ({"band": "hot"}, "band"),
        ({"band": ["room"]}, "band"),
        ({"band": None}, "band"),
        ({"upper_c": "8"}, "upper_c"),
        ({"on_delay_s": None}, "on_delay_s"),
        ({"band": "room", "max_gap_s": 0}, "max_gap_s"),
    ],
)
def test_a_change_that_is_wrong_whatever_plan_it_is_laid_over(changes, field):
    refused = refused_change(changes)
    assert isinstance(refused, PlanRefused)
    assert refused.field == field


def test_a_change_that_makes_sense_by_itself():
    assert refused_change({"band": "custom", "upper_c": None, "on_delay_s": 5}) is None
