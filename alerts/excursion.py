"""Pure: the fold that turns one device's readings, oldest first, into runs out of range, figures and deadlines.

Theory of operation. The limits of a plan and their deadbands cut the scale of temperatures into five zones. A run
is a phase of the device: `PHASES` says which zone leads from which phase to which, and all else is book-keeping.
`fold` brings a `State` forward by readings; `finish` judges it at an instant and leaves it as it was. Both depend on
nothing but the set of readings: however a trace is cut into calls of `fold`, the state is the same to the last bit.
A reading that arrives late, not after `State.seen`, cannot be folded in: the caller folds again from a state before it.
For long stretches vector.py gives the same, some fifteen times as fast.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from functools import lru_cache, reduce
from math import inf, nextafter
from operator import add, attrgetter
from typing import Any, Final

from alerts.figures import Figures, exhaustion, mean_kinetic_c, warmth, weigh
from alerts.model import COLDEST_C, HOTTEST_C, Duration, EndedBy, Instant, Run, Sample, Side, Window
from alerts.plan import Plan

IN_RANGE: Final = 0
LOW: Final = 1
HIGH: Final = 2

# A row for each phase, a column for the zone of the next reading. Inside its own deadband a run goes on.
PHASES: Final = (
    # below, low deadband, well inside, high deadband, above
    (LOW, IN_RANGE, IN_RANGE, IN_RANGE, HIGH),  # IN_RANGE
    (LOW, LOW, IN_RANGE, IN_RANGE, HIGH),  # LOW
    (LOW, IN_RANGE, IN_RANGE, HIGH, HIGH),  # HIGH
)

STATE_VERSION: Final = 3
_NEVER: Final[Instant] = 2**63


@lru_cache(maxsize=1024)
def zones(plan: Plan) -> tuple[float, float, float, float]:
    """Give the lowest temperature of each zone but the first, so that `bisect_right` finds a reading's zone."""
    lower_c, upper_c = plan.limits.lower_c, plan.limits.upper_c
    low_recovers, high_recovers = plan.recovery_points()
    # Limits are inclusive: what lies beyond an upper one begins at the next float.
    return (
        -inf if lower_c is None else lower_c,
        low_recovers,
        nextafter(high_recovers, inf),
        inf if upper_c is None else nextafter(upper_c, inf),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """All that the fold needs to go on, in plain numbers.

    While `valid` is 0, what describes the last valid reading means nothing; while `phase` is IN_RANGE, what
    describes the run.
    """

    seen: Instant | None = None  # the newest reading, of a broken probe too
    fault_since: Instant | None = None  # the first reading of the newest stretch of a broken probe,
    fault_until: Instant | None = None  # and the first valid one after it
    last_at: Instant = 0
    last_c: float = 0.0
    phase: int = IN_RANGE
    start: Instant = 0
    peak_c: float = 0.0
    has_gap: bool = False
    held_in: Duration = 0  # what all readings but the last prove: time in range,
    held_out: Duration = 0  # and time in runs
    used: Duration = 0  # what closed runs took of the budget,
    exhausted_at: Instant | None = None  # and where one exhausted it
    readings: int = 0  # all of them, and the valid ones:
    valid: int = 0
    min_c: float = HOTTEST_C
    max_c: float = COLDEST_C
    sum_c: float = 0.0
    weighed: float = 0.0
    warmest_c: float = COLDEST_C

    def to_json(self) -> dict[str, Any]:
        """Give the state for storage."""
        return {"version": STATE_VERSION, **dict(zip(_FIELDS, _values(self), strict=True))}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "State | None":
        """Read a stored state back; None if another version of the fold wrote it: then fold from the start."""
        values = dict(data)
        written_by = values.pop("version", None)
        return cls(**values) if written_by == STATE_VERSION and values.keys() == set(_FIELDS) else None


_FIELDS: Final = tuple(field.name for field in fields(State))
_values: Final = attrgetter(*_FIELDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What holds at `through`: the runs that are excursions, oldest first, and the figures up to there.

    `next_deadline` is the earliest later instant at which any of it changes although no reading arrives.
    """

    excursions: tuple[Run, ...]
    figures: Figures
    through: Instant
    next_deadline: Instant | None


def evaluate(plan: Plan, window: Window, samples: Iterable[Sample], now: Instant) -> Evaluation:
    """Judge a whole trace at once."""
    state, closed = fold(plan, window, State(), samples)
    return finish(plan, window, state, now, closed)


def step(plan: Plan, window: Window, state: State, sample: Sample) -> tuple[State, Run | None]:
    """Bring the state forward by one reading; give the excursion that it closes, if it does."""
    state, closed = fold(plan, window, state, (sample,))
    return state, closed[0] if closed else None


def fold(plan: Plan, window: Window, state: State, samples: Iterable[Sample]) -> tuple[State, list[Run]]:
    """Bring the state forward by readings in strict order of time; give the excursions that they close.

    Readings outside the window are passed over. One that is not after `state.seen` raises ValueError.
    """
    state, valid = _admit(window, state, samples)
    if not valid:
        return state, []
    if not state.valid:
        state = replace(state, last_at=valid[0][0], last_c=valid[0][1])
    state, ended = _run_through(plan, state, valid)
    state = _measure(state, [celsius for _, celsius in valid])
    if ended:
        state = spend(plan, state, ((run.start, end) for run, end in ended))
    return state, [run for run, end in ended if end - run.start >= plan.on_delay]


def finish(plan: Plan, window: Window, state: State, now: Instant, closed: Iterable[Run] = ()) -> Evaluation:
    """Judge a folded trace at `now`, or at its last reading if the device's clock runs ahead of it.

    `closed` are the excursions that folding gave; the one that is still on comes after them.
    """
    through = _through(window, state, now)
    next_deadline = _next_deadline(plan, window, state, through)
    if state.valid:  # the last reading holds on, just as if it were made again
        state, _ = _run_through(plan, state, [(through, state.last_c)])
    excursions = tuple(closed)
    if state.phase:
        state = spend(plan, state, [(state.start, through)])
        if through - state.start >= plan.on_delay:
            end, ended_by = (through, EndedBy.DELIVERY) if through == window.delivered_at else (None, None)
            run = make_run(plan, state.phase, state.start, end, ended_by, state.peak_c, has_gap=state.has_gap)
            excursions = (*excursions, run)
    return Evaluation(
        excursions=excursions,
        figures=_figures(plan, state, through - window.departed_at),
        through=through,
        next_deadline=next_deadline,
    )


def _admit(
    window: Window, state: State, samples: Iterable[Sample]
) -> tuple[State, list[tuple[Instant, float]]]:
    """Note what was seen, and pick the readings that count: in the window, and of a probe that works."""
    departed_at = window.departed_at
    delivered_at = _NEVER if window.delivered_at is None else window.delivered_at
    readings, seen = state.readings, state.seen
    since, until = state.fault_since, state.fault_until
    valid: list[tuple[Instant, float]] = []
    for at, celsius in samples:
        if not departed_at <= at < delivered_at:
            continue
        if seen is not None and at <= seen:
            raise ValueError(f"a reading of {at} after one of {seen}: fold again from before it")
        readings += 1
        seen = at
        if celsius is not None and COLDEST_C <= celsius <= HOTTEST_C:
            valid.append((at, celsius))
            if since is not None and until is None:
                until = at
        elif since is None or until is not None:
            since, until = at, None
    return replace(state, readings=readings, seen=seen, fault_since=since, fault_until=until), valid


def _run_through(
    plan: Plan, state: State, valid: Iterable[tuple[Instant, float]]
) -> tuple[State, list[tuple[Run, Instant]]]:
    """Bring the phase, and what the readings prove, forward by valid readings; give the runs that end, and when."""
    # Locals, since an evaluation spends most of its time in this loop.
    limits, max_gap, has_mkt, warmth_k = zones(plan), plan.max_gap, plan.has_mkt, warmth(plan)
    _, well_inside, no_longer, _ = limits
    last_at, last_c, phase = state.last_at, state.last_c, state.phase
    start, peak_c, has_gap = state.start, state.peak_c, state.has_gap
    held_in, held_out, weighed, warmest_c = state.held_in, state.held_out, state.weighed, state.warmest_c
    ended: list[tuple[Run, Instant]] = []
    for at, celsius in valid:
        # The reading before this one has held until now...
        hold = at - last_at
        if hold > max_gap:
            hold, has_gap = max_gap, has_gap or phase != IN_RANGE
        if phase:
            held_out += hold
        else:
            held_in += hold
        if has_mkt and hold:
            weighed, warmest_c = weigh(warmth_k, weighed, warmest_c, last_c, hold)
        last_at, last_c = at, celsius
        # ... and this one ends a run, starts one or goes on with one.
        if not phase and well_inside <= celsius < no_longer:
            continue
        after = PHASES[phase][bisect_right(limits, celsius)]
        if after != phase:
            if phase:
                ended_by = EndedBy.REVERSAL if after else EndedBy.RECOVERY
                ended.append((make_run(plan, phase, start, at, ended_by, peak_c, has_gap=has_gap), at))
            phase, start, peak_c, has_gap = after, at, celsius, False
        elif phase and (celsius > peak_c if phase == HIGH else celsius < peak_c):
            peak_c = celsius
    state = replace(
        state,
        last_at=last_at,
        last_c=last_c,
        phase=phase,
        start=start,
        peak_c=peak_c,
        has_gap=has_gap,
        held_in=held_in,
        held_out=held_out,
        weighed=weighed,
        warmest_c=warmest_c,
    )
    return state, ended


def make_run(
    plan: Plan,
    phase: int,
    start: Instant,
    end: Instant | None,
    ended_by: EndedBy | None,
    peak_c: float,
    *,
    has_gap: bool,
) -> Run:
    """Make a run of what is known of a phase that is not IN_RANGE."""
    side = Side.HIGH if phase == HIGH else Side.LOW
    severity = plan.severity(side, peak_c)
    return Run(
        side=side, start=start, end=end, ended_by=ended_by, peak_c=peak_c, severity=severity, has_gap=has_gap
    )


def _measure(state: State, celsius: list[float]) -> State:
    """Take valid readings into the plain figures."""
    return replace(
        state,
        valid=state.valid + len(celsius),
        min_c=min(state.min_c, *celsius),
        max_c=max(state.max_c, *celsius),
        # Not sum(): from Python 3.12 on it rounds differently for different cuts of the same trace.
        sum_c=reduce(add, celsius, state.sum_c),
    )


def spend(plan: Plan, state: State, runs: Iterable[tuple[Instant, Instant]]) -> State:
    """Take the lengths of runs, given as start and end, from the budget."""
    used, exhausted_at = state.used, state.exhausted_at
    for start, end in runs:
        if exhausted_at is None and plan.budget is not None and used + end - start >= plan.budget:
            exhausted_at = exhaustion(plan.budget, used, start)
        used += end - start
    return replace(state, used=used, exhausted_at=exhausted_at)


def _through(window: Window, state: State, now: Instant) -> Instant:
    """Give the end of the window so far."""
    seen = window.departed_at if state.seen is None else state.seen
    if window.delivered_at is None:
        return max(now, seen)
    if state.seen is not None and seen >= window.delivered_at:
        raise ValueError(
            f"folded up to {seen}, delivered at {window.delivered_at}: fold again from the start"
        )
    return min(max(now, seen), window.delivered_at)


def _next_deadline(plan: Plan, window: Window, state: State, through: Instant) -> Instant | None:
    """Give when the run that is on becomes an excursion, has a gap, exhausts the budget or ends by delivery."""
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


def _figures(plan: Plan, state: State, length: Duration) -> Figures:
    held = state.held_in + state.held_out
    return Figures(
        in_range=state.held_in,
        out_of_range=state.held_out,
        unobserved=length - held,
        budget_used=state.used,
        budget_exhausted_at=state.exhausted_at,
        readings=state.readings,
        min_c=state.min_c if state.valid else None,
        max_c=state.max_c if state.valid else None,
        mean_c=state.sum_c / state.valid if state.valid else None,
        mkt_c=mean_kinetic_c(plan, state.weighed, state.warmest_c, held),
    )
