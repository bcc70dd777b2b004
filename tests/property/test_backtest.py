"""Invariants of comparing any two plans over any traces."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.backtest.compare import Comparison, Effect, compare
from alerts.excursions.fold import evaluate
from alerts.excursions.plan import Limits
from alerts.excursions.trace import Trace
from alerts.model import SECOND

from .traces import plans, traces

MIRRORED = {
    Effect.GAINED: Effect.LOST,
    Effect.LOST: Effect.GAINED,
    Effect.SPLIT: Effect.MERGED,
    Effect.MERGED: Effect.SPLIT,
    Effect.CHANGED: Effect.CHANGED,
    Effect.SAME: Effect.SAME,
}


def effects(found: Comparison, *wanted: Effect) -> int:
    return sum(pair.effect in wanted for pair in found.pairs)


@given(traces())
@settings(deadline=None)
def test_the_same_plan_gains_and_loses_nothing(case):
    plan, window, samples, now = case
    found = compare(plan, plan, window, {"D1": Trace.of(samples)}, now)
    assert found.differences == ()
    assert found.today == found.proposed
    assert found.alarms_today == found.alarms_proposed
    assert all(one.effect is Effect.SAME for one in found.exhaustions)


@given(traces(), plans())
@settings(deadline=None)
def test_each_plan_finds_what_the_engine_finds_and_every_excursion_once(case, other):
    plan, window, samples, now = case
    found = compare(plan, other, window, {"D1": Trace.of(samples)}, now)
    for mine, side in ((plan, "today"), (other, "proposed")):
        expected = evaluate(mine, window, samples, now)
        runs = [getattr(pair, side) for pair in found.pairs]
        assert sorted((run for run in runs if run), key=lambda r: r.start) == list(expected.excursions)
        tally = getattr(found, side)
        exhausted = expected.figures.budget_exhausted_at
        assert tally.alarms == len(expected.excursions) + (exhausted is not None)
        assert len(getattr(found, f"alarms_{side}")) == tally.alarms
        assert tally.longest <= tally.out_of_range
    assert found.proposed.excursions - found.today.excursions == (
        effects(found, Effect.GAINED, Effect.SPLIT) - effects(found, Effect.LOST, Effect.MERGED)
    )


@given(traces(), plans())
@settings(deadline=None)
def test_the_other_way_round_it_is_the_mirror_image(case, other):
    plan, window, samples, now = case
    there = compare(plan, other, window, {"D1": Trace.of(samples)}, now)
    back = compare(other, plan, window, {"D1": Trace.of(samples)}, now)
    assert (there.today, there.proposed) == (back.proposed, back.today)
    seen = {(pair.today, pair.proposed): pair.effect for pair in there.pairs}
    mirrored = {(pair.proposed, pair.today): MIRRORED[pair.effect] for pair in back.pairs}
    assert seen == mirrored


@given(traces(), st.integers(-50, 100), st.integers(0, 40), st.sampled_from([0, 0.5, 3]))
@settings(deadline=None)
def test_a_tighter_limit_never_loses_time_out_of_range(case, tenths, tighter, deadband):
    plan, window, samples, now = case
    wide = replace(plan, limits=Limits(upper_c=tenths / 10), deadband_c=deadband, on_delay=0, budget=None)
    tight = replace(wide, limits=Limits(upper_c=(tenths - tighter) / 10))
    found = compare(wide, tight, window, {"D1": Trace.of(samples)}, now)
    assert found.proposed.out_of_range >= found.today.out_of_range
    assert found.proposed.longest >= found.today.longest
    assert effects(found, Effect.LOST, Effect.SPLIT) == 0


@given(traces(), st.sampled_from([0, 1, 60, 3600]))
@settings(deadline=None)
def test_a_longer_on_delay_gains_nothing_and_moves_no_excursion(case, longer_s):
    plan, window, samples, now = case
    patient = replace(plan, on_delay=plan.on_delay + longer_s * SECOND)
    found = compare(plan, patient, window, {"D1": Trace.of(samples)}, now)
    assert effects(found, Effect.GAINED, Effect.SPLIT, Effect.CHANGED, Effect.MERGED) == 0
    # The budget counts all time out of range, whatever becomes an excursion.
    assert all(one.effect is Effect.SAME for one in found.exhaustions)


@given(traces(), plans(), st.data())
@settings(deadline=None)
def test_what_counts_from_an_instant_on_is_what_somebody_is_called_for_then(case, other, data):
    plan, window, samples, now = case
    everything = compare(plan, other, window, {"D1": Trace.of(samples)}, now)
    alarms = [*everything.alarms_today, *everything.alarms_proposed, now]
    since = data.draw(st.sampled_from(alarms))
    found = compare(plan, other, window, {"D1": Trace.of(samples)}, now, since=since)
    assert set(found.pairs) <= set(everything.pairs)
    for side in ("today", "proposed"):
        assert {at for at in getattr(everything, f"alarms_{side}") if at >= since} <= set(
            getattr(found, f"alarms_{side}")
        )
    for pair in found.pairs:
        opened = [
            run.start + mine.on_delay for mine, run in ((plan, pair.today), (other, pair.proposed)) if run
        ]
        assert max(opened) >= since
