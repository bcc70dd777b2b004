"""However a trace arrives, the engine finds what the plain batch oracle finds over the sorted readings."""

from collections.abc import Iterable
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.excursions.fold import Evaluation, evaluate, finish, fold
from alerts.excursions.phases import LoggerState
from alerts.excursions.plan import Plan
from alerts.excursions.reconcile import reconcile, unsettled
from alerts.model import (
    LIVE,
    SECOND,
    ChangeKind,
    Excursion,
    Instant,
    Sample,
    Window,
    to_datetime,
    to_instant,
)
from simulators.truth.oracle import TruePlan, TrueReading, true_excursions, true_summary

from .traces import DEPARTED, MINUTE, traces


def oracle(plan: Plan, window: Window, samples: Iterable[Sample], now: Instant):
    """What the oracle says, in the engine's terms."""
    limits = plan.limits
    true_plan = TruePlan(
        lower_c=limits.lower_c,
        upper_c=limits.upper_c,
        critical_low_c=limits.critical_low_c,
        critical_high_c=limits.critical_high_c,
        deadband_c=plan.deadband_c,
        on_delay_s=plan.on_delay / SECOND,
        budget_s=None if plan.budget is None else plan.budget / SECOND,
        max_gap_s=plan.max_gap / SECOND,
        departed_at=to_datetime(window.departed_at),
        delivered_at=None if window.delivered_at is None else to_datetime(window.delivered_at),
    )
    readings = [
        TrueReading(measured_at=to_datetime(at), temperature_c=c, probe_ok=c is not None) for at, c in samples
    ]
    excursions = [
        (
            e.side,
            to_instant(e.start),
            None if e.end is None else to_instant(e.end),
            e.ended_by,
            e.peak_c,
            e.severity,
            e.has_gap,
        )
        for e in true_excursions(true_plan, readings, to_datetime(now))
    ]
    return excursions, true_summary(true_plan, readings, to_datetime(now))


def as_rows(runs):
    return [(r.side, r.start, r.end, r.ended_by, r.peak_c, r.severity, r.has_gap) for r in runs]


def assert_equal_to_oracle(found: Evaluation, plan, window, samples, now):
    excursions, summary = oracle(plan, window, samples, now)
    assert as_rows(found.excursions) == excursions
    figures = found.figures
    assert figures.in_range == summary.in_range_us
    assert figures.out_of_range == summary.out_of_range_us
    assert figures.unobserved == summary.unobserved_us
    assert figures.in_range + figures.out_of_range + figures.unobserved == found.through - DEPARTED
    assert figures.budget_used == summary.budget_used_us
    exhausted_at = summary.budget_exhausted_at
    assert figures.budget_exhausted_at == (None if exhausted_at is None else to_instant(exhausted_at))
    assert (figures.readings, figures.disowned, figures.min_c, figures.max_c) == (
        summary.readings,
        summary.disowned,
        summary.min_c,
        summary.max_c,
    )
    for mine, theirs in ((figures.mean_c, summary.mean_c), (figures.mkt_c, summary.mkt_c)):
        assert mine == (theirs if theirs is None else pytest.approx(theirs, rel=1e-9, abs=1e-6))


@given(traces())
@settings(deadline=None)
def test_the_engine_equals_the_oracle(trace):
    plan, window, samples, now = trace
    assert_equal_to_oracle(evaluate(plan, window, samples, now), plan, window, samples, now)


@given(traces(), st.data())
@settings(deadline=None)
def test_the_cut_makes_no_difference_not_even_in_the_last_bit(trace, data):
    plan, window, samples, now = trace
    state, closed = LoggerState(), []
    rest = samples
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        state, more = fold(plan, window, LoggerState.from_json(state.to_json()), rest[:size])
        closed, rest = closed + more, rest[size:]
    assert finish(plan, window, state, now, closed) == evaluate(plan, window, samples, now)


@given(traces())
@settings(deadline=None)
def test_nothing_changes_before_the_deadline_and_something_does_at_it(trace):
    plan, window, samples, now = trace
    at_now = evaluate(plan, window, samples, now)
    through, deadline = at_now.through, at_now.next_deadline

    def seen(instant):
        found = evaluate(plan, window, samples, instant)
        return found.excursions, found.figures.budget_exhausted_at

    if deadline is None:
        assert seen(through + 10_000 * MINUTE) == seen(through)
    else:
        assert deadline > through
        assert seen(deadline - 1) == seen(through)
        assert seen(deadline) != seen(through)


class Service:
    """What the evaluation loop does for one device: goes on from its state, or folds again when it must."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.window, self.clock = plan, Window(departed_at=DEPARTED), DEPARTED
        self.known: dict[Instant, Sample] = {}
        self.state: LoggerState | None = None
        self.history: dict[str, list[Excursion]] = {}
        self.ids = count()

    def live(self) -> list[Excursion]:
        newest = [revisions[-1] for revisions in self.history.values()]
        return sorted((e for e in newest if e.state in LIVE), key=lambda e: e.run.start)

    def arrive(self, batch: list[Sample]) -> None:
        new = sorted({sample for sample in batch if sample.at not in self.known})
        self.known |= {sample.at: sample for sample in new}
        counts = [sample.at for sample in new if sample.at >= self.window.departed_at]
        if self.state is not None and self.state.seen is not None and counts and counts[0] <= self.state.seen:
            self.state = None
        self.judge(new)

    def deliver(self, window: Window) -> None:
        self.window, self.state = window, None
        self.judge([])

    def judge(self, new: list[Sample]) -> None:
        began_after = None if self.state is None else self.state.seen
        samples = sorted(self.known.values()) if self.state is None else new
        self.state, closed = fold(self.plan, self.window, self.state or LoggerState(), samples)
        found = finish(self.plan, self.window, self.state, self.clock, closed)
        record = unsettled(self.live(), began_after)
        for change in reconcile(
            record, found.excursions, now=self.clock, new_id=lambda: f"{next(self.ids):04}"
        ):
            revisions = self.history.setdefault(change.after.id, [])
            assert change.before == (revisions[-1] if revisions else None)
            assert change.after.revision == len(revisions) + 1
            assert (change.kind is ChangeKind.OPENED) == (not revisions)
            revisions.append(change.after)
        batch = evaluate(self.plan, self.window, sorted(self.known.values()), self.clock)
        assert [e.run for e in self.live()] == list(batch.excursions)


@given(traces(), st.data())
@settings(deadline=None)
def test_the_record_follows_readings_in_any_order(trace, data):
    # Late, twice and in any cuts, while the clock goes on; delivery is told at last, and once more changes nothing.
    plan, window, samples, now = trace
    twice = data.draw(st.lists(st.sampled_from(samples))) if samples else []
    arrivals = data.draw(st.permutations(samples + twice))
    service = Service(plan)
    while arrivals:
        size = data.draw(st.integers(1, len(arrivals)))
        service.arrive(arrivals[:size])
        arrivals = arrivals[size:]
        service.clock += data.draw(st.sampled_from([0, MINUTE, 31 * MINUTE]))
    service.clock = max(service.clock, now)
    service.deliver(window)
    revisions_before = {id_: len(revisions) for id_, revisions in service.history.items()}
    service.judge([])
    assert {id_: len(revisions) for id_, revisions in service.history.items()} == revisions_before
    excursions, _ = oracle(plan, window, samples, service.clock)
    assert as_rows(e.run for e in service.live()) == excursions
