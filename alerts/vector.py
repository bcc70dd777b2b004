"""Pure: the fold of excursion.py over whole columns at once, for stretches that are long.

Theory of operation. It follows the same table `PHASES`. Some zones settle the phase, whatever it was before; after the
last of them only a zone that leaves this phase can still change it, to IN_RANGE, which nothing but a settling zone
ends. So the phase after every reading follows from running maxima of positions. Everything else is a sum along the
trace, or an extreme of a stretch that is in one phase. So the state after any reading in the middle is there, too:
those are the safe points.

It gives what `excursion.fold` gives to the last bit, but for `State.weighed`: that sum is added up in another order.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from alerts.excursion import HIGH, IN_RANGE, PHASES, State, make_run, spend, zones
from alerts.figures import warmth, weigh_many
from alerts.model import COLDEST_C, HOTTEST_C, EndedBy, Instant, Run, Window
from alerts.plan import Plan
from alerts.trace import Trace

Column: TypeAlias = NDArray[Any]

_TABLE: Final = np.array(PHASES, dtype=np.int8)
_PHASES: Final = np.arange(len(PHASES), dtype=np.int8)[:, None]
_SETTLES: Final = (_TABLE[0] == _TABLE).all(axis=0)
_LEAVES: Final = (_TABLE != _PHASES) & ~_SETTLES

# What the running maxima rely on: a zone that does not settle the phase keeps it or ends it, and never begins one.
assert ((_TABLE == _PHASES) | (_TABLE == IN_RANGE) | _SETTLES).all()
assert not _LEAVES[IN_RANGE].any()


def fold_trace(
    plan: Plan, window: Window, state: State, trace: Trace, safe_after: Sequence[int] = ()
) -> tuple[State, list[Run], list[State]]:
    """Bring the state forward by a trace; give the excursions that it closes, and the states at some safe points.

    `safe_after` are counts of readings in the window, ascending: the state after so many of them is given. Readings
    outside the window are passed over. One that is not after `state.seen`, or out of order, raises ValueError.
    """
    trace = trace.within(window.departed_at, window.delivered_at)
    if not len(trace):
        return state, [], []
    if (state.seen is not None and trace.at[0] <= state.seen) or (np.diff(trace.at) <= 0).any():
        raise ValueError(f"readings not in order, or not after {state.seen}: fold again from before them")
    work = _Work(plan, state, trace)
    states = [work.state_after(count) for count in (*safe_after, len(trace))]
    closed = [run for run, end in work.ended if end - run.start >= plan.on_delay]
    return states[-1], closed, states[:-1]


class _Work:
    """One trace under way: columns over all of it, and the state after the readings so far."""

    def __init__(self, plan: Plan, state: State, trace: Trace) -> None:
        self._plan, self._before, self._state = plan, state, state
        self._at = trace.at
        valid = (trace.celsius >= COLDEST_C) & (trace.celsius <= HOTTEST_C)  # NaN is neither
        all_valid = bool(valid.all())
        self._faults = _Faults.of(state, trace.at, valid)
        self._valid_so_far = np.cumsum(valid)
        self._places = (
            0,
            0,
        )  # of the valid readings, and of the runs that have ended, up to which the state is
        counted = trace if all_valid else Trace(trace.at[valid], trace.celsius[valid])
        self._valid = _Valid.of(plan, state, counted.at, counted.celsius) if len(counted) else None
        self.ended = [] if self._valid is None else self._valid.ended(plan, state)

    def state_after(self, count: int) -> State:
        """Give the state after so many readings; to be asked in ascending order."""
        since, until = self._faults.after(count)
        self._state = replace(
            self._state,
            seen=int(self._at[count - 1]),
            fault_since=since,
            fault_until=until,
            readings=self._before.readings + count,
        )
        valid = int(self._valid_so_far[count - 1])
        if self._valid is not None and valid:
            self._bring_to(self._valid, valid)
        return self._state

    def _bring_to(self, columns: "_Valid", valid: int) -> None:
        """Account for the valid readings up to a number of them."""
        first, over = self._places
        state = replace(self._state, **columns.values_after(self._before, valid))
        celsius = columns.celsius[first:valid]
        if len(celsius):
            coldest, warmest = float(celsius.min()), float(celsius.max())
            state = replace(state, min_c=min(state.min_c, coldest), max_c=max(state.max_c, warmest))
        now_over = bisect_right(self.ended, state.last_at, lo=over, key=lambda run_and_end: run_and_end[1])
        state = spend(self._plan, state, ((run.start, end) for run, end in self.ended[over:now_over]))
        if self._plan.has_mkt:
            held, holds = columns.held[first:valid], columns.hold[first:valid]
            weighed = weigh_many(warmth(self._plan), state.weighed, state.warmest_c, held, holds)
            state = replace(state, weighed=weighed[0], warmest_c=weighed[1])
        self._state, self._places = state, (valid, now_over)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Faults:
    """Where stretches of a broken probe begin and end, as places in the trace."""

    before: State
    at: Column
    begins: list[int]
    ends: list[int]

    @classmethod
    def of(cls, state: State, at: Column, valid: Column) -> "_Faults":
        broken = ~valid
        was = state.fault_since is not None and state.fault_until is None
        before = np.concatenate(([was], broken[:-1]))
        begins, ends = np.flatnonzero(broken & ~before), np.flatnonzero(valid & before)
        return cls(before=state, at=at, begins=begins.tolist(), ends=ends.tolist())

    def after(self, count: int) -> tuple[Instant | None, Instant | None]:
        """Give when the newest stretch of a broken probe began and ended, after so many readings."""
        begun, ended = bisect_left(self.begins, count), bisect_left(self.ends, count)
        since, until = self.before.fault_since, self.before.fault_until
        if begun:
            since, until = int(self.at[self.begins[begun - 1]]), None
        if ended and (not begun or self.ends[ended - 1] > self.begins[begun - 1]):
            until = int(self.at[self.ends[ended - 1]])
        return since, until


@dataclass(frozen=True, slots=True, kw_only=True)
class _Valid:
    """Columns over the valid readings: a place in one is the place of a reading."""

    at: Column
    celsius: Column
    phase: Column
    """After the reading."""
    changes: list[int]
    """Places at which the phase became another."""
    silent: Column
    """Whether the time before the reading was longer than a reading holds."""
    hold: Column
    """For how long the reading before this one held, and its temperature:"""
    held: Column
    held_in: Column
    held_out: Column
    total_c: Column

    @classmethod
    def of(cls, plan: Plan, state: State, at: Column, celsius: Column) -> "_Valid":
        last_at, last_c = (state.last_at, state.last_c) if state.valid else (at[0], celsius[0])
        silence = np.diff(at, prepend=last_at)
        hold = np.minimum(silence, plan.max_gap)
        phase = _phases(plan, state.phase, celsius)
        before = np.concatenate((np.array([state.phase], np.int8), phase[:-1]))
        out = np.where(before, hold, 0)
        return cls(
            at=at,
            celsius=celsius,
            phase=phase,
            changes=np.flatnonzero(phase != before).tolist(),
            silent=silence > plan.max_gap,
            hold=hold,
            held=np.concatenate(([last_c], celsius[:-1])),
            held_in=state.held_in + np.cumsum(hold - out),
            held_out=state.held_out + np.cumsum(out),
            # Added up one by one, as the plain fold does: a pairwise sum would differ in the last bits.
            total_c=np.add.accumulate(np.concatenate(([state.sum_c], celsius)))[1:],
        )

    def values_after(self, before: State, valid: int) -> dict[str, Any]:
        """Give what a state is after so many of the readings, but for what runs that ended took of the budget."""
        last = valid - 1
        phase, start, peak_c, has_gap = self._phase_after(before, last)
        return {
            "last_at": int(self.at[last]),
            "last_c": float(self.celsius[last]),
            "phase": phase,
            "start": start,
            "peak_c": peak_c,
            "has_gap": has_gap,
            "held_in": int(self.held_in[last]),
            "held_out": int(self.held_out[last]),
            "valid": before.valid + valid,
            "sum_c": float(self.total_c[last]),
        }

    def _phase_after(self, before: State, last: int) -> tuple[int, Instant, float, bool]:
        """Give the phase after a reading, and of the run that is then on its start, its peak and whether it has a gap."""
        phase = int(self.phase[last])
        changed = bisect_right(self.changes, last)
        if not changed:
            if not phase:
                return phase, before.start, before.peak_c, before.has_gap
            peak_c = _outermost(phase, before.peak_c, _peak(phase, self.celsius[: last + 1]))
            return phase, before.start, peak_c, before.has_gap or bool(self.silent[: last + 1].any())
        first = self.changes[changed - 1]
        peak_c = _peak(phase, self.celsius[first : last + 1]) if phase else float(self.celsius[first])
        has_gap = bool(phase) and bool(self.silent[first + 1 : last + 1].any())
        return phase, int(self.at[first]), peak_c, has_gap

    def ended(self, plan: Plan, before: State) -> list[tuple[Run, Instant]]:
        """Give the runs that the readings end, and when."""
        if not self.changes:
            return []
        ends = self.at[self.changes].tolist()
        after = self.phase[self.changes].tolist()
        runs = []
        if before.phase:
            _, start, peak_c, has_gap = self._before_change(before)
            by = EndedBy.REVERSAL if after[0] else EndedBy.RECOVERY
            run = make_run(plan, before.phase, start, ends[0], by, peak_c, has_gap=has_gap)
            runs.append((run, ends[0]))
        coldest = np.minimum.reduceat(self.celsius, self.changes).tolist()
        warmest = np.maximum.reduceat(self.celsius, self.changes).tolist()
        # The silence before the reading that ends a run belongs to the run.
        silent = np.logical_or.reduceat(np.concatenate((self.silent[1:], [False])), self.changes).tolist()
        for number, phase in enumerate(after[:-1]):
            if phase:
                by = EndedBy.REVERSAL if after[number + 1] else EndedBy.RECOVERY
                start, end = ends[number], ends[number + 1]
                peak_c = warmest[number] if phase == HIGH else coldest[number]
                run = make_run(plan, phase, start, end, by, peak_c, has_gap=silent[number])
                runs.append((run, end))
        return runs

    def _before_change(self, before: State) -> tuple[int, Instant, float, bool]:
        """Give what is known of the run that was on before the trace, when the first change ends it."""
        first = self.changes[0]
        has_gap = before.has_gap or bool(self.silent[: first + 1].any())
        if not first:
            return before.phase, before.start, before.peak_c, has_gap
        peak_c = _outermost(before.phase, before.peak_c, _peak(before.phase, self.celsius[:first]))
        return before.phase, before.start, peak_c, has_gap


def _phases(plan: Plan, phase: int, celsius: Column) -> Column:
    """Give the phase after each reading, the one before the first being `phase`."""
    limits = zones(plan)
    if celsius.min() >= limits[1] and celsius.max() < limits[2]:  # well inside, as most are
        return np.full(len(celsius), IN_RANGE, np.int8)
    zone = np.zeros(len(celsius), np.intp)
    for limit in limits:
        zone += celsius >= limit
    place = np.arange(len(celsius))
    settled = np.maximum.accumulate(np.where(_SETTLES[zone], place, -1))
    base = np.where(settled < 0, np.int8(phase), _TABLE[0][zone[settled]])
    for each in range(len(PHASES)):
        if _LEAVES[each].any() and (base == each).any():
            left = np.maximum.accumulate(np.where(_LEAVES[each][zone], place, -1))
            base = np.where((base == each) & (left > settled), np.int8(IN_RANGE), base)
    return base


def _peak(phase: int, celsius: Column) -> float:
    return float(celsius.max() if phase == HIGH else celsius.min())


def _outermost(phase: int, one: float, other: float) -> float:
    return max(one, other) if phase == HIGH else min(one, other)
