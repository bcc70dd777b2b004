"""Pure: compares the excursions on record with the runs that hold now, and returns the changes to make."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields, replace
from math import inf

from alerts.model import (
    LIVE,
    Change,
    ChangeKind,
    EndedBy,
    Excursion,
    ExcursionId,
    ExcursionState,
    Instant,
    Reason,
    Run,
    Severity,
    Side,
)

CLOSING = {
    EndedBy.RECOVERY: Reason.RECOVERED,
    EndedBy.REVERSAL: Reason.REVERSED,
    EndedBy.DELIVERY: Reason.DELIVERED,
    EndedBy.REMOVAL: Reason.LOGGER_REMOVED,
}


def reconcile(
    stored: Iterable[Excursion],
    runs: Iterable[Run],
    *,
    now: Instant,
    new_id: Callable[[], ExcursionId],
    cause: Reason = Reason.LATE_DATA,
) -> list[Change]:
    """Return the changes that make the live excursions of one device exactly `runs`.

    `stored` are its live excursions that `runs` covers: those that are `unsettled` by the state that the
    fold started from. `cause` is why an excursion that was already reported may change, and `now` dates
    new records. Removals come first, so that at no step two excursions claim the same run.
    """
    stored, runs = list(stored), sorted(runs, key=lambda run: run.start)
    if any(excursion.state not in LIVE for excursion in stored):
        raise ValueError("an excursion that was withdrawn or superseded is no longer reconciled")
    keepers: list[Excursion | None] = []
    heir: dict[
        ExcursionId, ExcursionId
    ] = {}  # the keeper of the first run that each stored excursion overlaps
    kept: set[ExcursionId] = set()
    for touching in _overlapping(stored, runs):
        free = [excursion for excursion in touching if excursion.id not in kept]
        keeper = min(free, key=lambda excursion: (excursion.opened_at, excursion.id), default=None)
        keepers.append(keeper)
        if keeper is not None:
            kept.add(keeper.id)
            for excursion in touching:
                heir.setdefault(excursion.id, keeper.id)
    removed = [
        _retired(excursion, heir.get(excursion.id), cause) for excursion in stored if excursion.id not in kept
    ]
    kept_or_new = [
        _opened(run, now, new_id) if keeper is None else _followed(keeper, run, cause)
        for run, keeper in zip(runs, keepers, strict=True)
    ]
    return removed + [change for change in kept_or_new if change is not None]


def unsettled(stored: Iterable[Excursion], seen: Instant | None) -> list[Excursion]:
    """Return the excursions that no reading up to `seen` has ended: folding on from there finds them again.

    A delivery ends a run after all readings, and so is settled by none.
    """
    return [e for e in stored if seen is None or e.run.end is None or e.run.end > seen]


def _overlapping(stored: Iterable[Excursion], runs: Iterable[Run]) -> Iterator[list[Excursion]]:
    """Yield for each run, by start, the excursions of its side that share an instant with it."""
    by_start = sorted(stored, key=lambda excursion: excursion.run.start)
    pending = {side: deque(e for e in by_start if e.run.side == side) for side in Side}
    for run in runs:
        queue = pending[run.side]
        while queue and _end(queue[0].run) <= run.start:  # and so before all later runs too
            queue.popleft()
        touching = []
        for excursion in queue:
            if excursion.run.start >= _end(run):
                break
            if run.start < _end(excursion.run):
                touching.append(excursion)
        yield touching


def _end(run: Run) -> float:
    return inf if run.end is None else run.end


def _state(run: Run) -> ExcursionState:
    return ExcursionState.OPEN if run.end is None else ExcursionState.CLOSED


def _opened(run: Run, now: Instant, new_id: Callable[[], ExcursionId]) -> Change:
    after = Excursion(id=new_id(), opened_at=now, revision=1, state=_state(run), run=run)
    return Change(kind=ChangeKind.OPENED, reason=Reason.LIMIT_EXCEEDED, before=None, after=after)


def _retired(before: Excursion, heir: ExcursionId | None, cause: Reason) -> Change:
    state = ExcursionState.WITHDRAWN if heir is None else ExcursionState.SUPERSEDED
    after = replace(before, revision=before.revision + 1, state=state, superseded_by=heir)
    if heir is None:
        return Change(kind=ChangeKind.WITHDRAWN, reason=cause, before=before, after=after)
    return Change(kind=ChangeKind.SUPERSEDED, reason=Reason.MERGED, before=before, after=after)


def _followed(before: Excursion, run: Run, cause: Reason) -> Change | None:
    """Return the change of an excursion that keeps a run; None if nothing that was reported has changed."""
    changed = tuple(f.name for f in fields(Run) if getattr(before.run, f.name) != getattr(run, f.name))
    if not changed:
        return None
    after = replace(before, revision=before.revision + 1, state=_state(run), run=run)
    kind, reason = _development(before.run, run, cause)
    return Change(kind=kind, reason=reason, before=before, after=after, fields=changed)


def _development(reported: Run, run: Run, cause: Reason) -> tuple[ChangeKind, Reason]:
    """Tell a run's natural development from the correction of something already reported."""
    outermost = max if run.side is Side.HIGH else min
    natural = (
        reported.end is None
        and run.start == reported.start
        and run.peak_c == outermost(run.peak_c, reported.peak_c)
        and (run.has_gap or not reported.has_gap)
        and (run.severity is Severity.CRITICAL or reported.severity is Severity.MAJOR)
    )
    if not natural:
        return ChangeKind.AMENDED, cause
    if run.ended_by is not None:
        return ChangeKind.CLOSED, CLOSING[run.ended_by]
    if run.severity != reported.severity:
        return ChangeKind.WORSENED, Reason.BECAME_CRITICAL
    # A gap is worse in kind, and is told at once; a peak moves with each reading.
    return (
        ChangeKind.WORSENED,
        Reason.GAP_IN_READINGS if run.has_gap != reported.has_gap else Reason.PEAK_MOVED,
    )
