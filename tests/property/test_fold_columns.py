"""By columns, plainly, cut anywhere or resumed from any safe point: the fold gives the same."""

from dataclasses import replace

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.excursions import fold_columns as by_columns_module
from alerts.excursions import fold_trace as folding
from alerts.excursions.fold import evaluate, fold
from alerts.excursions.fold_columns import fold_columns
from alerts.excursions.fold_trace import evaluate_trace, fold_trace
from alerts.excursions.phases import LoggerState
from alerts.excursions.plan import Plan, make_plan
from alerts.excursions.trace import Trace
from alerts.model import Window

from .traces import traces


def assert_same(one: LoggerState, other: LoggerState) -> None:
    """Equal to the last bit, but for the one sum that is added up in another order."""
    assert replace(one, exp_sum=0.0) == replace(other, exp_sum=0.0)
    assert one.exp_sum == pytest.approx(other.exp_sum, rel=1e-12)
    for state in (one, other):  # in plain numbers, as they are stored
        assert LoggerState.from_json(orjson.loads(orjson.dumps(state.to_json()))) == state


@given(traces(), st.data())
@settings(deadline=None)
def test_columns_give_what_the_plain_fold_gives(trace, data):
    plan, window, samples, _ = trace
    cut = data.draw(st.integers(0, len(samples)))
    began, _ = fold(plan, window, LoggerState(), samples[:cut])
    rest = samples[cut:]
    counted = Trace.of(rest).within(window.departed_at, window.delivered_at)
    counts = sorted(data.draw(st.sets(st.integers(1, len(counted))))) if len(counted) else []
    expected, closed = fold(plan, window, began, rest)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(by_columns_module, "_COPY_BY_SEGMENT_UP_TO", data.draw(st.sampled_from([1, 1000])))
        state, by_columns, safe_points = fold_columns(plan, window, began, Trace.of(rest), counts)
    assert by_columns == closed
    assert_same(state, expected)
    for count, safe_point in zip(counts, safe_points, strict=True):
        assert_same(safe_point, fold(plan, window, began, counted[:count].samples())[0])


@given(traces(), st.integers(1, 5), st.sampled_from([1, 4, 1000]))
@settings(deadline=None)
def test_a_fold_that_resumes_from_a_safe_point_ends_where_one_from_the_start_does(trace, every, columns_from):
    plan, window, samples, now = trace
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folding, "SAFE_POINT_EVERY", every)
        patch.setattr(folding, "COLUMNS_FROM", columns_from)
        whole = fold_trace(plan, window, LoggerState(), Trace.of(samples))
        state, safe_points = LoggerState(), []
        for begin in range(
            0, len(samples), every
        ):  # as they arrive, no more than one safe point's worth at a time
            folded = fold_trace(plan, window, state, Trace.of(samples[begin : begin + every]))
            state, safe_points = folded.state, [*safe_points, *folded.safe_points]
        assert [point.readings for point in safe_points] == list(range(every, state.readings + 1, every))
        assert_same(whole.state, state)
        for point, expected in zip(whole.safe_points, safe_points, strict=True):
            assert_same(point, expected)
        for point in safe_points:
            later = Trace.of([sample for sample in samples if sample.at > (point.seen or 0)])
            assert_same(fold_trace(plan, window, point, later).state, state)
        found, expected = (
            evaluate_trace(plan, window, Trace.of(samples), now),
            evaluate(plan, window, samples, now),
        )
        assert found.excursions == expected.excursions
        assert replace(found.figures, mkt_c=None) == replace(expected.figures, mkt_c=None)


def test_readings_out_of_order_are_refused():
    trace = Trace.of([(1, -190.0), (3, -190.0), (2, -190.0)])
    plan, window = make_plan("cryogenic", {}), Window(departed_at=0)
    assert isinstance(plan, Plan)
    with pytest.raises(ValueError, match="not in order"):
        fold_columns(plan, window, LoggerState(), trace)
    state, _, _ = fold_columns(plan, window, LoggerState(), trace[:2])
    with pytest.raises(ValueError, match="not after 3"):
        fold_columns(plan, window, state, trace[1:2])
