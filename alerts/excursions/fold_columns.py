"""Pure: the fold of fold.py over whole columns at once, for long traces.

Theory of operation. It follows the same table `PHASES`. A second reading in the zone of the one before it
changes no phase, so the table is followed, one by one, only where the zone changes: usually in few places.
The same holds for silences that are too long. Everything else is a sum along the trace, or an extreme of a
segment of it. So the state after any reading in the middle is known, too: those are the safe points.

The result equals that of `fold.fold` to the last bit, except for `LoggerState.exp_sum`, which is summed in
another order.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate, islice, pairwise
from math import inf, isfinite
from operator import itemgetter
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from alerts.excursions.disowned import are_disowned
from alerts.excursions.figures import add_exp_terms_by_segment, delta_h_over_r
from alerts.excursions.phases import HIGH, LOW, PHASES, LoggerState, make_run, spend_budget, zones
from alerts.excursions.plan import Plan
from alerts.excursions.trace import Celsius, Trace
from alerts.model import COLDEST_C, HOTTEST_C, Duration, EndedBy, Instant, Run, Window

Column: TypeAlias = NDArray[Any]

_COPY_BY_SEGMENT_UP_TO: Final = 32
"""Segments; picking readings individually is faster from about this number on."""

# Only places where the zone changes matter, because a second reading in a zone changes nothing.
assert all(PHASES[row[zone]][zone] == row[zone] for row in PHASES for zone in range(len(row)))


def fold_columns(
    plan: Plan, window: Window, state: LoggerState, trace: Trace, safe_after: Sequence[int] = ()
) -> tuple[LoggerState, list[Run], list[LoggerState]]:
    """Fold in a trace; return the state, the excursions that it closes, and the states at safe points.

    `safe_after` are ascending counts of readings in the window: the state after each is returned.
    Readings outside the window are ignored. A reading not after `state.seen`, or out of order, raises
    ValueError.
    """
    trace = trace.within(window.departed_at, window.delivered_at)
    if not len(trace):
        return state, [], []
    if (state.seen is not None and trace.at[0] <= state.seen) or (trace.at[1:] <= trace.at[:-1]).any():
        raise ValueError(f"readings not in order, or not after {state.seen}: fold again from before them")
    running = _ColumnFold(plan, state, trace)
    states = list(running.states([*safe_after, len(trace)]))
    closed = [run for run, end in running.ended_runs if end - run.start >= plan.on_delay]
    return states[-1], closed, states[:-1]


class _ColumnFold:
    """The running fold of one trace."""

    def __init__(self, plan: Plan, state: LoggerState, trace: Trace) -> None:
        self._plan, self._before, self._at = plan, state, trace.at
        self._disowned = are_disowned(plan, trace.celsius)
        self._is_valid = (trace.celsius >= COLDEST_C) & (trace.celsius <= HOTTEST_C) & ~self._disowned
        valid = _valid_segments(self._is_valid)
        self._valid = (
            _ValidReadings(plan, state, _valid_readings(valid, self._is_valid, trace)) if valid else None
        )
        self.ended_runs = [] if self._valid is None else self._valid.ended_runs()

    def states(self, counts: Sequence[int]) -> Iterator[LoggerState]:
        """Yield the states after ascending counts of readings, the last being all of them."""
        segments = pairwise((0, *counts))
        valid = list(accumulate(int(np.count_nonzero(self._is_valid[start:end])) for start, end in segments))
        values = iter(()) if self._valid is None else self._valid.values_after(sorted({*valid} - {0}))
        seen = self._at[np.array(counts) - 1].tolist()
        fields, taken, spent = self._before.fields(), 0, 0
        for count, fields["seen"], of_valid in zip(counts, seen, valid, strict=True):
            fields["readings"] = self._before.readings + count
            fields["disowned"] = self._before.disowned + int(np.count_nonzero(self._disowned[:count]))
            if of_valid > taken:
                fields |= next(values)
            state = LoggerState(**fields)
            now_spent = bisect_right(self.ended_runs, state.last_at, lo=spent, key=itemgetter(1))
            if now_spent > spent:
                state = spend_budget(
                    self._plan, state, ((run.start, end) for run, end in self.ended_runs[spent:now_spent])
                )
                fields["used"], fields["exhausted_at"] = state.used, state.exhausted_at
            yield state
            taken, spent = of_valid, now_spent


def _valid_segments(valid: Column) -> list[tuple[int, int]]:
    """Return the [start, end) of each segment of valid readings."""
    turns = ((valid[1:] != valid[:-1]).nonzero()[0] + 1).tolist()
    segments = list(pairwise((0, *turns, len(valid))))
    return segments[::2] if valid[0] else segments[1::2]


def _valid_readings(segments: list[tuple[int, int]], valid: Column, trace: Trace) -> Trace:
    """Return the valid readings; copying whole segments is faster unless there are very many."""
    if len(segments) == 1:
        return trace[slice(*segments[0])]
    if len(segments) > _COPY_BY_SEGMENT_UP_TO:
        return Trace(trace.at[valid], trace.celsius[valid])
    at, celsius = ([column[start:end] for start, end in segments] for column in (trace.at, trace.celsius))
    return Trace(np.concatenate(at), np.concatenate(celsius))


class _ValidReadings:
    """The valid readings; a place is the index of a reading among them."""

    def __init__(self, plan: Plan, before: LoggerState, readings: Trace) -> None:
        self._plan, self._before = plan, before
        self._at, self._celsius = readings.at, readings.celsius
        self._since = before.last_at if before.valid else int(readings.at[0])
        self._silence = silence = np.empty_like(readings.at)
        silence[0] = readings.at[0] - self._since
        np.subtract(readings.at[1:], readings.at[:-1], out=silence[1:])
        self._gaps: list[int] = []
        """Places before which the silence was longer than a reading holds."""
        self._lost = np.zeros(1, np.int64)
        """By how much longer, summed over so many first gaps."""
        if silence.max() > plan.max_gap:
            gaps = (silence > plan.max_gap).nonzero()[0]
            self._gaps = gaps.tolist()
            self._lost = np.concatenate(([0], np.cumsum(silence[gaps] - plan.max_gap)))
        self._places, self._phases = _changes(plan, before.phase, readings.celsius)
        """The readings at which the phase changed, and the new phases."""
        changed = np.array(self._places, np.intp)
        self._changed_at: list[Instant] = readings.at[changed].tolist()
        self._held_at_change = self._held_until(changed)
        self._out_at_change = self._out_at_changes()

    def values_after(self, counts: Sequence[int]) -> Iterator[dict[str, Any]]:
        """Yield the fields of the states after ascending counts of valid readings, up to all."""
        before, ends = self._before, np.array(counts)
        starts, last = [0, *counts[:-1]], ends - 1
        coldest = np.minimum.reduceat(self._celsius, starts).tolist()
        warmest = np.maximum.reduceat(self._celsius, starts).tolist()
        columns = zip(
            counts,
            self._at[last].tolist(),
            self._celsius[last].tolist(),
            self._held_until(last),
            islice(accumulate(coldest, min, initial=before.min_c), 1, None),
            islice(accumulate(warmest, max, initial=before.max_c), 1, None),
            _sums(before.sum_c, self._celsius, ends),
            self._exp_sums(starts),
            strict=True,
        )
        for count, last_at, last_c, held, min_c, max_c, sum_c, (exp_sum, warmest_c) in columns:
            phase, start, peak_c, has_gap, held_out = self._phase_after(count - 1, held)
            yield {
                "last_at": last_at,
                "last_c": last_c,
                "phase": phase,
                "start": start,
                "peak_c": peak_c,
                "has_gap": has_gap,
                "held_in": before.held_in + held - held_out,
                "held_out": before.held_out + held_out,
                "valid": before.valid + count,
                "min_c": min_c,
                "max_c": max_c,
                "sum_c": sum_c,
                "exp_sum": exp_sum,
                "warmest_c": warmest_c,
            }

    def _held_until(self, places: Column) -> list[Duration]:
        """Return for how long readings held in total until the readings at these places."""
        lost = self._lost[np.searchsorted(self._gaps, places, side="right")] if self._gaps else 0
        held: list[Duration] = (self._at[places] - self._since - lost).tolist()
        return held

    def _out_at_changes(self) -> list[Duration]:
        """Return for how long readings out of range held until each change of the phase."""
        held = zip(
            [0, *self._held_at_change],
            self._held_at_change,
            [self._before.phase, *self._phases],
            strict=False,
        )
        return list(accumulate(until - since if phase else 0 for since, until, phase in held))

    def _exp_sums(self, starts: Sequence[int]) -> Sequence[tuple[float, float]]:
        before = self._before
        if not self._plan.has_mkt:
            return [(before.exp_sum, before.warmest_c)] * len(starts)
        held = np.concatenate(([before.last_c if before.valid else self._celsius[0]], self._celsius[:-1]))
        holds = np.minimum(self._silence, self._plan.max_gap)
        return add_exp_terms_by_segment(
            delta_h_over_r(self._plan), before.exp_sum, before.warmest_c, held, holds, starts
        )

    def _phase_after(self, last: int, held: Duration) -> tuple[int, Instant, float, bool, Duration]:
        """Return the phase after a reading, its start, peak and has_gap, and the time out of range."""
        number = bisect_right(self._places, last) - 1
        if number < 0:
            phase, start, peak_c, has_gap = self._run_before(last + 1, last)
            return phase, start, peak_c, has_gap, held if phase else 0
        first, phase, out = self._places[number], self._phases[number], self._out_at_change[number]
        start = self._changed_at[number]
        if not phase:
            return phase, start, float(self._celsius[first]), False, out
        out += held - self._held_at_change[number]
        return phase, start, _peak(phase, self._celsius[first : last + 1]), self._silent(first, last), out

    def _run_before(self, end: int, last: int) -> tuple[int, Instant, float, bool]:
        """Return the phase before the trace, after the readings before `end` and the silences up to `last`."""
        before = self._before
        peak_c, has_gap = before.peak_c, before.has_gap
        if before.phase:
            has_gap = has_gap or self._silent(-1, last)
            if end:
                peak_c = _outermost(before.phase, peak_c, _peak(before.phase, self._celsius[:end]))
        return before.phase, before.start, peak_c, has_gap

    def _silent(self, first: int, last: int) -> bool:
        """Return whether there is a gap between two readings."""
        return bisect_right(self._gaps, first) < bisect_right(self._gaps, last)

    def ended_runs(self) -> list[tuple[Run, Instant]]:
        """Return the runs that the readings end, and when."""
        runs = []
        first = self._places[0] if self._places else 0
        phase, start, peak_c, has_gap = self._run_before(first, first)
        changes = zip(self._places, self._changed_at, self._phases, self._extremes(), strict=True)
        before = -1
        for place, at, after, extreme_c in changes:
            if phase:
                has_gap = has_gap or self._silent(before, place)
                by = EndedBy.REVERSAL if after else EndedBy.RECOVERY
                runs.append((make_run(self._plan, phase, start, at, by, peak_c, has_gap=has_gap), at))
            before, phase, start, peak_c, has_gap = place, after, at, extreme_c, False
        return runs

    def _extremes(self) -> list[float]:
        """Return the extreme temperature between each change of the phase and the next."""
        if not self._places:
            return []
        warmest: list[float] = np.maximum.reduceat(self._celsius, self._places).tolist()
        if LOW not in self._phases:
            return warmest
        coldest: list[float] = np.minimum.reduceat(self._celsius, self._places).tolist()
        both = zip(self._phases, coldest, warmest, strict=True)
        return [low if phase == LOW else high for phase, low, high in both]


def _changes(plan: Plan, phase: int, celsius: Celsius) -> tuple[list[int], list[int]]:
    """Return the places at which the phase changes, starting from `phase`, and the new phases."""
    limits = zones(plan)
    zone = np.full(len(celsius), limits.count(-inf), np.int8)
    for limit in limits:
        if isfinite(limit):
            zone += (celsius >= limit).view(np.int8)
    entered = [0, *((zone[1:] != zone[:-1]).nonzero()[0] + 1).tolist()]
    places, phases = [], []
    for place, into in zip(entered, zone[entered].tolist(), strict=True):
        after = PHASES[phase][into]
        if after != phase:
            phase = after
            places.append(place)
            phases.append(after)
    return places, phases


def _sums(total_c: float, celsius: Celsius, ends: Column) -> list[float]:
    """Return the sums after ascending counts of readings, added one by one as the plain fold does.

    The last count is all readings. NumPy adds pairwise, which would differ in the last bits; it subtracts
    in order.
    """
    if len(ends) == 1:
        return [0.0 - float(np.subtract.reduce(celsius, initial=-total_c))]
    sums: list[float] = np.add.accumulate(np.concatenate(([total_c], celsius)))[ends].tolist()
    return sums


def _peak(phase: int, celsius: Column) -> float:
    return float(celsius.max() if phase == HIGH else celsius.min())


def _outermost(phase: int, one: float, other: float) -> float:
    return max(one, other) if phase == HIGH else min(one, other)
