"""The peer of the fold: the same rule as a keyed stateful map of a stream engine, bytewax, with one worker.

Written as its users would: one mutable state a key, one function from state and value to state and what is
told, and a source and a sink in memory that take a thousand readings at a time. `_Lean` knows the band, the
deadband and the peak, and no more. `_Full` gives what our fold gives: gaps, a broken probe, time in range and
out of it, extremes and the mean.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.inputs import DynamicSource, StatelessSourcePartition
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.testing import run_main

_BATCH = 1_000

Value = tuple[int, float | None]


class Rule(NamedTuple):
    """The part of a plan that the mapper needs."""

    lower_c: float
    low_recovers: float
    high_recovers: float
    upper_c: float
    max_gap: int
    coldest_c: float
    hottest_c: float


@dataclass(slots=True)
class _Lean:
    phase: int = 0
    start: int = 0
    peak_c: float = 0.0


@dataclass(slots=True)
class _Full:
    phase: int = 0
    start: int = 0
    peak_c: float = 0.0
    has_gap: bool = False
    valid: int = 0
    readings: int = 0
    last_at: int = 0
    held_in: int = 0
    held_out: int = 0
    min_c: float = 1e9
    max_c: float = -1e9
    sum_c: float = 0.0


class Found(NamedTuple):
    """The result of a run of the dataflow."""

    cpu_s: float
    told: list[tuple[str, tuple[Any, ...]]]


def lean(rule: Rule, items: Sequence[tuple[str, Value]]) -> Found:
    """Find the excursions of readings, by key, as (start, end, peak)."""
    lower_c, low_recovers, high_recovers, upper_c = rule[:4]

    def step(state: _Lean | None, value: Value) -> tuple[_Lean, Iterable[tuple[Any, ...]]]:
        state = state or _Lean()
        at, celsius = value
        if celsius is None:
            return state, ()
        phase = state.phase
        if not phase:
            if lower_c <= celsius <= upper_c:
                return state, ()
        elif phase == 1:
            if celsius > high_recovers:
                state.peak_c = max(state.peak_c, celsius)
                return state, ()
        elif celsius < low_recovers:
            state.peak_c = min(state.peak_c, celsius)
            return state, ()
        told = ((state.start, at, state.peak_c),) if phase else ()
        state.phase = 1 if celsius > upper_c else -1 if celsius < lower_c else 0
        state.start, state.peak_c = at, celsius
        return state, told

    return _run(items, step)


def full(rule: Rule, items: Sequence[tuple[str, Value]]) -> Found:  # noqa: C901  # one function is the fastest
    """Find the excursions by key as (start, end, peak, gap), and keep all figures in the state."""
    lower_c, low_recovers, high_recovers, upper_c, max_gap, coldest_c, hottest_c = rule

    def step(state: _Full | None, value: Value) -> tuple[_Full, Iterable[tuple[Any, ...]]]:  # noqa: C901
        state = state or _Full()
        at, celsius = value
        state.readings += 1
        if celsius is None or not coldest_c <= celsius <= hottest_c:
            return state, ()
        phase = state.phase
        if state.valid:
            silence = at - state.last_at
            hold = min(silence, max_gap)
            if phase:
                state.held_out += hold
                state.has_gap = state.has_gap or silence > max_gap
            else:
                state.held_in += hold
        state.valid += 1
        state.last_at = at
        state.sum_c += celsius
        if celsius < state.min_c:  # noqa: PLR1730  # min() takes twice as long
            state.min_c = celsius
        if celsius > state.max_c:  # noqa: PLR1730
            state.max_c = celsius
        if not phase:
            if lower_c <= celsius <= upper_c:
                return state, ()
        elif phase == 1:
            if celsius > high_recovers:
                state.peak_c = max(state.peak_c, celsius)
                return state, ()
        elif celsius < low_recovers:
            state.peak_c = min(state.peak_c, celsius)
            return state, ()
        told = ((state.start, at, state.peak_c, state.has_gap),) if phase else ()
        state.phase = 1 if celsius > upper_c else -1 if celsius < lower_c else 0
        state.start, state.peak_c, state.has_gap = at, celsius, False
        return state, told

    return _run(items, step)


def _run(items: Sequence[tuple[str, Value]], step: Any) -> Found:
    told: list[tuple[str, tuple[Any, ...]]] = []
    flow = Dataflow("fold")
    readings = op.input("readings", flow, _Source(items))
    op.output("told", op.stateful_flat_map("rule", readings, step), _Sink(told))
    began = time.process_time()
    run_main(flow)
    return Found(time.process_time() - began, told)


class _Source(DynamicSource[tuple[str, Value]]):
    def __init__(self, items: Sequence[tuple[str, Value]]) -> None:
        self._items = items

    def build(self, step_id: str, worker_index: int, worker_count: int) -> "_Slices":
        assert worker_count == 1, (step_id, worker_index)
        return _Slices(self._items)


class _Slices(StatelessSourcePartition[tuple[str, Value]]):
    def __init__(self, items: Sequence[tuple[str, Value]]) -> None:
        self._items, self._place = items, 0

    def next_batch(self) -> Sequence[tuple[str, Value]]:
        if self._place >= len(self._items):
            raise StopIteration
        batch = self._items[self._place : self._place + _BATCH]
        self._place += _BATCH
        return batch


class _Sink(DynamicSink[tuple[str, tuple[Any, ...]]]):
    def __init__(self, told: list[tuple[str, tuple[Any, ...]]]) -> None:
        self._told = told

    def build(self, step_id: str, worker_index: int, worker_count: int) -> "_Collected":
        assert worker_count == 1, (step_id, worker_index)
        return _Collected(self._told)


class _Collected(StatelessSinkPartition[tuple[str, tuple[Any, ...]]]):
    def __init__(self, told: list[tuple[str, tuple[Any, ...]]]) -> None:
        self._told = told

    def write_batch(self, items: list[tuple[str, tuple[Any, ...]]]) -> None:
        self._told += items
