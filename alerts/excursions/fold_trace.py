"""Pure: folds a trace, short or long, and keeps safe points on the way."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from alerts.excursions.fold import Evaluation, finish, fold
from alerts.excursions.fold_columns import fold_columns
from alerts.excursions.phases import LoggerState
from alerts.excursions.plan import Plan
from alerts.excursions.trace import Trace
from alerts.model import Instant, Run, Window

SAFE_POINT_EVERY: Final = 256
"""Readings between two safe points: late data costs at most this many more than those after it."""
COLUMNS_FROM: Final = 320
"""From this number of readings on, folding by columns is faster than one by one, as `bench fold` shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldedTrace:
    """The state after a trace, the excursions that were closed on the way, and the safe points passed."""

    state: LoggerState
    closed: tuple[Run, ...]
    safe_points: tuple[LoggerState, ...]


def fold_trace(plan: Plan, window: Window, state: LoggerState, trace: Trace) -> FoldedTrace:
    """Fold in readings in strict order of time and after `state.seen`; anything else raises ValueError."""
    trace = trace.within(window.departed_at, window.delivered_at)
    counts = safe_counts(state, trace)
    if len(trace) >= COLUMNS_FROM:
        state, closed, safe_points = fold_columns(plan, window, state, trace, counts)
        return FoldedTrace(state=state, closed=tuple(closed), safe_points=tuple(safe_points))
    states, closed = [state], []
    for start, end in pairwise((0, *counts, len(trace))):
        state, more = fold(plan, window, states[-1], trace[start:end].samples())
        states.append(state)
        closed += more
    return FoldedTrace(state=states[-1], closed=tuple(closed), safe_points=tuple(states[1:-1]))


def safe_counts(state: LoggerState, trace: Trace) -> range:
    """Return the counts of readings of a trace within the window after which there are safe points."""
    return range(SAFE_POINT_EVERY - state.readings % SAFE_POINT_EVERY, len(trace) + 1, SAFE_POINT_EVERY)


def evaluate_trace(plan: Plan, window: Window, trace: Trace, now: Instant) -> Evaluation:
    """Judge a whole trace at once, as `fold.evaluate` does with samples."""
    folded = fold_trace(plan, window, LoggerState(), trace)
    return finish(plan, window, folded.state, now, folded.closed)
