"""Pure: folds one device's readings, oldest first, into runs out of range, figures and deadlines.

Theory of operation. The limits of a plan and their deadbands divide the temperature scale into five zones. A
run is a phase of the device: `PHASES` says which zone leads from which phase to which; everything else is
bookkeeping. `fold` moves a `LoggerState` forward by readings; `finish` judges it at an instant and does not
change it. Both depend only on the set of readings: however a trace is cut into calls of `fold`, the state is
the same to the last bit. A late reading, not after `LoggerState.seen`, cannot be folded in: the caller folds
again from a state before it.

Most readings change nothing: the probe still works, the silence before was not too long, and the phase stays.
So they are only told apart from the others, and their effect is computed afterwards. `_Ranges` says
between which temperatures a phase stays, `_Fold._full_rule` handles all other readings, and time is booked as
the difference of two instants. For long traces fold_columns.py gives the same result some twelve times as
fast.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate
from math import inf, nextafter
from typing import Final, TypeAlias

from alerts.excursions.disowned import disowned_values
from alerts.excursions.figures import Figures, add_exp_terms, delta_h_over_r, exhaustion, mean_kinetic_c
from alerts.excursions.phases import HIGH, IN_RANGE, PHASES, LoggerState, make_run, spend_budget, zones
from alerts.excursions.plan import Plan
from alerts.model import COLDEST_C, HOTTEST_C, Duration, EndedBy, Instant, Run, Sample, Window

_NEVER: Final[Instant] = 2**63
_NO_RANGE: Final = (inf, -inf)

_ZONES_OF_PHASE: Final = [
    [zone for zone, to in enumerate(row) if to == phase] for phase, row in enumerate(PHASES)
]
"""For each phase, the zones in which it stays."""

# Two temperatures can only bound them because they are adjacent.
assert all(own == list(range(own[0], own[-1] + 1)) for own in _ZONES_OF_PHASE)

_Samples: TypeAlias = Sequence[tuple[Instant, float | None]]


@dataclass(frozen=True, slots=True)
class _Ranges:
    """What a plan makes of a temperature, looked up at once because a plan is long to hash."""

    limits: tuple[float, float, float, float]
    """As `zones` gives them."""
    stays: tuple[tuple[float, float], ...]
    """For each phase temperatures [from, below), all valid, in which it stays; beyond the coldest and the hottest of them it
    may stay, too."""
    disowned: frozenset[float]
    """The temperatures that are none; they lie in no range of `stays`."""


@lru_cache(maxsize=1024)
def _ranges(plan: Plan) -> _Ranges:
    limits, disowned = zones(plan), disowned_values(plan)
    coldest_c, beyond_c = COLDEST_C, nextafter(HOTTEST_C, inf)
    for celsius in disowned:
        if celsius < 0:
            coldest_c = nextafter(celsius, inf)
        else:
            beyond_c = celsius
    bounds = [coldest_c, *(float(min(max(limit, coldest_c), beyond_c)) for limit in limits), beyond_c]
    stays = tuple((bounds[own[0]], bounds[own[-1] + 1]) for own in _ZONES_OF_PHASE)
    return _Ranges(limits, stays, disowned)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What holds at `through`: the runs that are excursions, oldest first, and the figures up to there.

    `next_deadline` is the earliest later instant at which any of it changes even if no reading arrives.
    """

    excursions: tuple[Run, ...]
    figures: Figures
    through: Instant
    next_deadline: Instant | None


def evaluate(plan: Plan, window: Window, samples: Iterable[Sample], now: Instant) -> Evaluation:
    """Judge a whole trace at once."""
    state, closed = fold(plan, window, LoggerState(), samples)
    return finish(plan, window, state, now, closed)


def fold_reading(
    plan: Plan, window: Window, state: LoggerState, sample: Sample
) -> tuple[LoggerState, Run | None]:
    """Fold in one reading; return the state, and the excursion that the reading closes, if any."""
    state, closed = fold(plan, window, state, (sample,))
    return state, closed[0] if closed else None


def fold(
    plan: Plan, window: Window, state: LoggerState, samples: Iterable[tuple[Instant, float | None]]
) -> tuple[LoggerState, list[Run]]:
    """Fold in readings in strict order of time; return the state, and the excursions that they close.

    Readings outside the window are ignored. A reading not after `state.seen` raises ValueError.
    """
    in_window = _in_window(window, samples)
    if not in_window:
        return state, []
    running = _Fold(plan, state)
    after = _add_exp_terms(plan, running.fold_in(in_window), _held_readings(plan, state, in_window))
    if running.ended_runs:
        after = spend_budget(plan, after, ((run.start, end) for run, end in running.ended_runs))
    return after, [run for run, end in running.ended_runs if end - run.start >= plan.on_delay]


def finish(
    plan: Plan, window: Window, state: LoggerState, now: Instant, closed: Iterable[Run] = ()
) -> Evaluation:
    """Judge a folded trace at `now`, or at its last reading if the device's clock runs ahead.

    `closed` are the excursions that folding returned; one that is still open comes after them.
    """
    through = _through(window, state, now)
    next_deadline = _next_deadline(plan, window, state, through)
    if state.valid:
        state = _extend_last_reading(plan, state, through)
    excursions = tuple(closed)
    if state.phase:
        state = spend_budget(plan, state, [(state.start, through)])
        if through - state.start >= plan.on_delay:
            end, ended_by = (through, window.ended_by) if through == window.delivered_at else (None, None)
            run = make_run(plan, state.phase, state.start, end, ended_by, state.peak_c, has_gap=state.has_gap)
            excursions = (*excursions, run)
    return Evaluation(
        excursions=excursions,
        figures=_figures(plan, state, through - window.departed_at),
        through=through,
        next_deadline=next_deadline,
    )


def _in_window(window: Window, samples: Iterable[tuple[Instant, float | None]]) -> _Samples:
    """Return the readings in the window, without a copy if the first and the last are in it."""
    readings = samples if isinstance(samples, list | tuple) else list(samples)
    departed_at = window.departed_at
    delivered_at = _NEVER if window.delivered_at is None else window.delivered_at
    if not readings or (departed_at <= readings[0][0] and readings[-1][0] < delivered_at):
        return readings
    return [reading for reading in readings if departed_at <= reading[0] < delivered_at]


class _Fold:
    """The variables of a running fold."""

    def __init__(self, plan: Plan, before: LoggerState) -> None:
        self._plan, self._before = plan, before
        self._ranges = _ranges(plan)
        self._stays = self._ranges.stays
        self._disowned = before.disowned
        self._probe_works = before.valid > 0 and before.last_at == before.seen
        """Whether the newest reading is valid."""
        self._last_at = before.last_at
        self._phase, self._start = before.phase, before.start
        self._peak_c, self._has_gap = before.peak_c, before.has_gap
        self._held_in, self._held_out = before.held_in, before.held_out
        self._held_since = before.last_at
        """Since when readings have held that are in neither sum yet; moved later by silences that were too
        long."""
        self._valid: list[float] = []
        self._phase_starts_at = 0
        """The number of valid readings before the current phase."""
        self.ended_runs: list[tuple[Run, Instant]] = []

    def fold_in(self, samples: _Samples) -> LoggerState:
        """Return the state after readings in the window, without budget and mean kinetic temperature."""
        max_gap, valid = self._plan.max_gap, self._valid
        seen = -_NEVER if self._before.seen is None else self._before.seen
        lowest_c, below_c = self._stays[self._phase] if self._probe_works else _NO_RANGE
        for at, celsius in samples:
            # Most readings change nothing, so an evaluation spends its time on these two lines.
            if celsius is not None and lowest_c <= celsius < below_c and 0 < at - seen <= max_gap:
                valid.append(celsius)
            elif at > seen:
                lowest_c, below_c = self._full_rule(seen, at, celsius)
            else:
                raise ValueError(f"a reading of {at} after one of {seen}: fold again from before it")
            seen = at
        return self._state_after(seen, len(samples))

    def _full_rule(self, seen: Instant, at: Instant, celsius: float | None) -> tuple[float, float]:
        """Process one reading by the full rule; return the range in which the next changes nothing."""
        if self._probe_works:
            self._last_at = seen
        is_disowned = celsius in self._ranges.disowned
        self._disowned += is_disowned
        self._probe_works = not is_disowned and celsius is not None and COLDEST_C <= celsius <= HOTTEST_C
        if celsius is None or not self._probe_works:
            return _NO_RANGE
        self._bridge_silence(at)
        after = PHASES[self._phase][bisect_right(self._ranges.limits, celsius)]
        if after != self._phase:
            self._change_phase(after, at, celsius)
        self._valid.append(celsius)
        return self._stays[after]

    def _bridge_silence(self, at: Instant) -> None:
        """Let the valid reading before this one hold until now, but no longer than the plan's `max_gap`."""
        if not self._before.valid and not self._valid:
            self._held_since = at
        elif (lost := at - self._last_at - self._plan.max_gap) > 0:
            self._held_since += lost
            self._has_gap = self._has_gap or self._phase != IN_RANGE

    def _change_phase(self, after: int, at: Instant, celsius: float) -> None:
        """End a run, start one, or both."""
        if self._phase:
            by = EndedBy.REVERSAL if after else EndedBy.RECOVERY
            peak_c, has_gap = self._current_peak(), self._has_gap
            run = make_run(self._plan, self._phase, self._start, at, by, peak_c, has_gap=has_gap)
            self.ended_runs.append((run, at))
        self._book_time(at)
        self._phase, self._start, self._peak_c, self._has_gap = after, at, celsius, False
        self._phase_starts_at = len(self._valid)

    def _book_time(self, until: Instant) -> None:
        """Add the time that readings have held in this phase."""
        if self._phase:
            self._held_out += until - self._held_since
        else:
            self._held_in += until - self._held_since
        self._held_since = until

    def _current_peak(self) -> float:
        """Return the extreme reading of the current run; in range, the reading that began the phase."""
        if not self._phase:
            return self._peak_c
        return (max if self._phase == HIGH else min)((self._peak_c, *self._valid[self._phase_starts_at :]))

    def _state_after(self, seen: Instant, readings: int) -> LoggerState:
        """Return the state after so many readings, the newest at `seen`."""
        before, valid = self._before, self._valid
        last_at = seen if self._probe_works else self._last_at
        self._book_time(last_at)
        return replace(
            before,
            seen=seen,
            last_at=last_at,
            last_c=valid[-1] if valid else before.last_c,
            phase=self._phase,
            start=self._start,
            peak_c=self._current_peak(),
            has_gap=self._has_gap,
            held_in=self._held_in,
            held_out=self._held_out,
            readings=before.readings + readings,
            disowned=self._disowned,
            valid=before.valid + len(valid),
            min_c=min((before.min_c, *valid)),
            max_c=max((before.max_c, *valid)),
            # One after the other, so that any cut of a trace gives the same; from Python 3.12 on sum() does
            # not.
            sum_c=deque(accumulate(valid, initial=before.sum_c), maxlen=1).pop(),
        )


def _extend_last_reading(plan: Plan, state: LoggerState, through: Instant) -> LoggerState:
    """Let the last valid reading hold until `through`, as if it were measured again then."""
    silence = through - state.last_at
    hold = min(silence, plan.max_gap)
    state = replace(
        state,
        last_at=through,
        has_gap=state.has_gap or (state.phase != IN_RANGE and silence > hold),
        held_in=state.held_in + (0 if state.phase else hold),
        held_out=state.held_out + (hold if state.phase else 0),
    )
    return _add_exp_terms(plan, state, [(state.last_c, hold)])


def _held_readings(
    plan: Plan, state: LoggerState, samples: Iterable[tuple[Instant, float | None]]
) -> Iterator[tuple[float, Duration]]:
    """Yield the valid readings and how long each held, starting with the last one of the state."""
    last_at, last_c, max_gap = state.last_at, state.last_c if state.valid else None, plan.max_gap
    disowned = disowned_values(plan)
    for at, celsius in samples:
        if celsius is not None and COLDEST_C <= celsius <= HOTTEST_C and celsius not in disowned:
            if last_c is not None:
                hold = at - last_at
                yield last_c, max_gap if hold > max_gap else hold  # noqa: FURB136  # min() takes twice as long
            last_at, last_c = at, celsius


def _add_exp_terms(plan: Plan, state: LoggerState, held: Iterable[tuple[float, Duration]]) -> LoggerState:
    """Add readings, with how long each held, to the sum of the mean kinetic temperature, if the plan has one."""
    if not plan.has_mkt:
        return state
    exp_sum, warmest_c = add_exp_terms(delta_h_over_r(plan), state.exp_sum, state.warmest_c, held)
    return replace(state, exp_sum=exp_sum, warmest_c=warmest_c)


def _through(window: Window, state: LoggerState, now: Instant) -> Instant:
    """Return the end of the window so far."""
    seen = window.departed_at if state.seen is None else state.seen
    if window.delivered_at is None:
        return max(now, seen)
    if state.seen is not None and seen >= window.delivered_at:
        raise ValueError(
            f"folded up to {seen}, delivered at {window.delivered_at}: fold again from the start"
        )
    return min(max(now, seen), window.delivered_at)


def _next_deadline(plan: Plan, window: Window, state: LoggerState, through: Instant) -> Instant | None:
    """Return when the current run becomes an excursion, has a gap, exhausts the budget or ends by delivery."""
    if not state.phase or through == window.delivered_at:
        return None
    becomes_excursion = state.start + plan.on_delay
    changes = [becomes_excursion]
    if becomes_excursion <= through:
        if window.delivered_at is not None:
            changes.append(window.delivered_at)
        if not state.has_gap:
            changes.append(state.last_at + plan.max_gap + 1)  # a gap is more than max_gap
    if plan.budget is not None and state.exhausted_at is None:
        changes.append(exhaustion(plan.budget, state.used, state.start))
    delivered_at = inf if window.delivered_at is None else window.delivered_at
    return min((at for at in changes if through < at <= delivered_at), default=None)


def _figures(plan: Plan, state: LoggerState, length: Duration) -> Figures:
    held = state.held_in + state.held_out
    return Figures(
        in_range=state.held_in,
        out_of_range=state.held_out,
        unobserved=length - held,
        budget_used=state.used,
        budget_exhausted_at=state.exhausted_at,
        readings=state.readings,
        disowned=state.disowned,
        min_c=state.min_c if state.valid else None,
        max_c=state.max_c if state.valid else None,
        mean_c=state.sum_c / state.valid if state.valid else None,
        mkt_c=mean_kinetic_c(plan, state.exp_sum, state.warmest_c, held),
    )
