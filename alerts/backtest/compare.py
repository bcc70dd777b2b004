"""Pure: compares what another plan would have found in the same readings with what today's plan finds.

Both plans are judged by the fold that judges live data, over the same traces. Their results are matched by
time: runs of one logger and one side that share an instant are the same event. The record is not used,
because it also holds what late data has corrected since.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import reduce
from math import inf
from typing import TypeAlias

from alerts.excursions.fold import Evaluation
from alerts.excursions.fold_trace import evaluate_trace
from alerts.excursions.plan import Plan
from alerts.excursions.trace import Trace
from alerts.model import Duration, Instant, Run, Severity, Side, Window

DeviceId: TypeAlias = str


class Effect(StrEnum):
    """What becomes of an excursion under another plan."""

    GAINED = "gained"
    """Found by the proposed plan alone,"""
    LOST = "lost"
    """or by today's alone."""
    SPLIT = "split"
    """A further excursion of the proposed plan within a single one of today's,"""
    MERGED = "merged"
    """or a further one of today's within a single one of the proposed plan."""
    CHANGED = "changed"
    """Found by both, with another start, end or severity."""
    SAME = "same"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """An excursion as both plans find it; None if one does not."""

    device_id: DeviceId
    effect: Effect
    today: Run | None
    proposed: Run | None

    @property
    def start(self) -> Instant:
        """When it begins under the plan that finds it first."""
        return min(run.start for run in (self.today, self.proposed) if run is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exhaustion:
    """When a logger's stability budget is exhausted under both plans; None if it is not."""

    device_id: DeviceId
    effect: Effect
    today: Instant | None
    proposed: Instant | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """The totals of one plan."""

    excursions: int = 0
    critical: int = 0
    exhaustions: int = 0
    out_of_range: Duration = 0
    """The length of all its excursions together, and of the longest of them:"""
    longest: Duration = 0

    @property
    def alarms(self) -> int:
        """How often somebody would have been called: for each excursion, and for each exhausted budget."""
        return self.excursions + self.exhaustions

    def plus(self, other: "Tally") -> "Tally":
        """Return the sum of both."""
        return Tally(
            excursions=self.excursions + other.excursions,
            critical=self.critical + other.critical,
            exhaustions=self.exhaustions + other.exhaustions,
            out_of_range=self.out_of_range + other.out_of_range,
            longest=max(self.longest, other.longest),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One shipment under both plans."""

    today: Tally
    proposed: Tally
    pairs: tuple[Pair, ...]
    """Every excursion, oldest first, including unchanged ones."""
    exhaustions: tuple[Exhaustion, ...]
    alarms_today: tuple[Instant, ...]
    """When somebody would have been called, in event time: once an excursion lasted its on-delay."""
    alarms_proposed: tuple[Instant, ...]
    readings: int

    @property
    def differences(self) -> tuple[Pair, ...]:
        """The excursions that differ between the plans."""
        return tuple(pair for pair in self.pairs if pair.effect is not Effect.SAME)


def compare(
    plan_today: Plan,
    plan_proposed: Plan,
    window: Window,
    traces: Mapping[DeviceId, Trace],
    now: Instant,
    *,
    since: Instant | None = None,
    windows: Mapping[DeviceId, Window] | None = None,
) -> Comparison:
    """Judge the loggers of a shipment by today's plan and by a proposed one, both as of `now`.

    `windows` has when each logger was on the shipment; of one that is not in it, it was all of `window`. With `since`, only what somebody would have been called for from then on, under at least one of the
    plans, counts. The whole trace is folded nevertheless: what came before decides what is found after
    it.
    """
    first = -inf if since is None else since
    loggers = [
        _compare_logger(
            plan_today, plan_proposed, (windows or {}).get(device_id, window), device_id, trace, now, first
        )
        for device_id, trace in traces.items()
    ]
    return Comparison(
        today=total(logger.today for logger in loggers),
        proposed=total(logger.proposed for logger in loggers),
        pairs=tuple(
            sorted((pair for logger in loggers for pair in logger.pairs), key=lambda pair: pair.start)
        ),
        exhaustions=tuple(exhaustion for logger in loggers for exhaustion in logger.exhaustions),
        alarms_today=tuple(at for logger in loggers for at in logger.alarms_today),
        alarms_proposed=tuple(at for logger in loggers for at in logger.alarms_proposed),
        readings=sum(logger.readings for logger in loggers),
    )


def total(tallies: Iterable[Tally]) -> Tally:
    """Sum the tallies of one plan."""
    return reduce(Tally.plus, tallies, Tally())


def _compare_logger(
    plan_today: Plan,
    plan_proposed: Plan,
    window: Window,
    device_id: DeviceId,
    trace: Trace,
    now: Instant,
    first: float,
) -> Comparison:
    today, proposed = (evaluate_trace(plan, window, trace, now) for plan in (plan_today, plan_proposed))

    def counts(ours: Instant | None, theirs: Instant | None) -> bool:
        return any(at is not None and at >= first for at in (ours, theirs))

    pairs = tuple(
        pair
        for pair in _pairs(device_id, today.excursions, proposed.excursions)
        if counts(_opened_at(plan_today, pair.today), _opened_at(plan_proposed, pair.proposed))
    )
    exhausted = today.figures.budget_exhausted_at, proposed.figures.budget_exhausted_at
    budget = [_exhaustion(device_id, *exhausted)] if counts(*exhausted) else []
    runs_today = [pair.today for pair in pairs if pair.today is not None]
    runs_proposed = [pair.proposed for pair in pairs if pair.proposed is not None]
    exhausted_today = [e.today for e in budget if e.today is not None]
    exhausted_proposed = [e.proposed for e in budget if e.proposed is not None]
    return Comparison(
        today=_tally(runs_today, exhausted_today, today),
        proposed=_tally(runs_proposed, exhausted_proposed, proposed),
        pairs=pairs,
        exhaustions=tuple(budget),
        alarms_today=(*(run.start + plan_today.on_delay for run in runs_today), *exhausted_today),
        alarms_proposed=(*(run.start + plan_proposed.on_delay for run in runs_proposed), *exhausted_proposed),
        readings=today.figures.readings,
    )


def _opened_at(plan: Plan, run: Run | None) -> Instant | None:
    return None if run is None else run.start + plan.on_delay


def _tally(runs: Sequence[Run], exhausted: Sequence[Instant], evaluation: Evaluation) -> Tally:
    lengths = [(evaluation.through if run.end is None else run.end) - run.start for run in runs]
    return Tally(
        excursions=len(runs),
        critical=sum(run.severity is Severity.CRITICAL for run in runs),
        exhaustions=len(exhausted),
        out_of_range=sum(lengths),
        longest=max(lengths, default=0),
    )


def _exhaustion(device_id: DeviceId, today: Instant | None, proposed: Instant | None) -> Exhaustion:
    if today is None:
        effect = Effect.GAINED
    elif proposed is None:
        effect = Effect.LOST
    else:
        effect = Effect.SAME if today == proposed else Effect.CHANGED
    return Exhaustion(device_id=device_id, effect=effect, today=today, proposed=proposed)


def _pairs(device_id: DeviceId, today: Sequence[Run], proposed: Sequence[Run]) -> Iterator[Pair]:
    """Match the runs of both plans, per side: the first run that overlaps one of the other plan's."""
    for side in Side:
        ours = [run for run in today if run.side is side]
        theirs = [run for run in proposed if run.side is side]
        for ours_run, theirs_run in _match(ours, theirs):
            if ours_run is None or theirs_run is None:
                alone, others = (ours_run, theirs) if theirs_run is None else (theirs_run, ours)
                assert alone is not None
                effect = _ALONE[ours_run is not None, _overlaps_any(alone, others)]
            else:
                effect = (
                    Effect.SAME
                    if _start_end_severity(ours_run) == _start_end_severity(theirs_run)
                    else Effect.CHANGED
                )
            yield Pair(device_id=device_id, effect=effect, today=ours_run, proposed=theirs_run)


_ALONE = {
    # today's, and overlapping one of the other plan
    (True, False): Effect.LOST,
    (True, True): Effect.MERGED,
    (False, False): Effect.GAINED,
    (False, True): Effect.SPLIT,
}


def _match(ours: Sequence[Run], theirs: Sequence[Run]) -> Iterator[tuple[Run | None, Run | None]]:
    """Walk along both in parallel; each is in order of time and without overlaps."""
    left, right = 0, 0
    while left < len(ours) and right < len(theirs):
        one, other = ours[left], theirs[right]
        if _overlap(one, other):
            yield one, other
            left, right = left + 1, right + 1
        elif one.start < other.start:
            yield one, None
            left += 1
        else:
            yield None, other
            right += 1
    yield from ((one, None) for one in ours[left:])
    yield from ((None, other) for other in theirs[right:])


def _overlaps_any(run: Run, others: Sequence[Run]) -> bool:
    """Return whether a run overlaps any of several in order of time: if so, also the last that it can."""
    last = bisect_left(others, _end(run), key=lambda other: other.start) - 1
    return last >= 0 and _overlap(run, others[last])


def _overlap(one: Run, other: Run) -> bool:
    return one.start < _end(other) and other.start < _end(one)


def _end(run: Run) -> float:
    return inf if run.end is None else run.end


def _start_end_severity(run: Run) -> tuple[Instant, Instant | None, Severity]:
    return run.start, run.end, run.severity
