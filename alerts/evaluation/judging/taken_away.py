"""Pure: which act of a person took away from what was on record of a shipment, if any did.

People change what a shipment is judged by: its plan, its times, its loggers. An act takes something away where, by the
same readings, what it made of the shipment shows less than what the shipment was before: no excursion, a shorter one,
a milder one. So what late readings have shown is nobody's act, whatever was done at the same moment.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Final, NamedTuple

from alerts import wording
from alerts.evaluation.judging.judgement import DeviceVerdict, Verdict
from alerts.excursions.fold_trace import evaluate_trace
from alerts.excursions.plan import Plan
from alerts.excursions.trace import Trace
from alerts.model import (
    SECOND,
    Act,
    AlertKind,
    Change,
    ChangeKind,
    Duration,
    EndedBy,
    Instant,
    Run,
    Severity,
    Side,
    Window,
)
from alerts.triage.alert import AlertReason, AlertStep

LEAST: Final[Duration] = 900 * SECOND
"""An excursion that an end makes shorter by less has not been taken away from: so much everybody sets a delivery back by.

Only an end, of which there is one. Plans change as often as somebody likes, and many small cuts would be a large one.
"""
_ENDS: Final = frozenset({"delivered", "cancelled"})
MAY_TAKE: Final = frozenset(
    {ChangeKind.WITHDRAWN, ChangeKind.SUPERSEDED, ChangeKind.AMENDED, ChangeKind.CLOSED}
)
BY_SCHEDULE: Final = frozenset(
    {
        AlertKind.LATE,
        AlertKind.USE_BY_AT_RISK,
        AlertKind.SITE_NOT_READY,
        AlertKind.HOLD_TIME_SHORT,
        AlertKind.LOW_BATTERY,
        AlertKind.OFF_ROUTE,
    }
)
"""Kinds that compare with what is planned: another schedule ends them."""


BY_DEWAR: Final = frozenset({AlertKind.HOLD_TIME_SHORT, AlertKind.TILTED, AlertKind.LID_OPEN})
"""Kinds that reckon with the dewar: another one ends them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A shipment as it was judged after one step of its life."""

    act: Act
    """The step."""
    plan: Plan
    window: Window | None
    schedule: Mapping[str, Any]
    """All that is planned of its way."""
    dewar_id: str | None
    devices: frozenset[Any]
    """Its loggers with when they were put on, and when they were taken off before it ended."""
    windows: Mapping[str, Window]
    """The part of the window in which each logger was on it."""
    traces: Mapping[str, Trace]
    """All that is known by now of each logger while it was on the shipment; only of those that are looked at."""


class _Weight(NamedTuple):
    """What is known of an excursion; less in any of these is less."""

    critical: bool
    peak: float
    length: Duration


_NOTHING: Final = _Weight(critical=False, peak=float("-inf"), length=0)


def is_candidate(verdict: Verdict) -> bool:
    """Return whether a verdict ends or changes anything that was on record."""
    changed = any(c.kind in MAY_TAKE for device in verdict.devices for c in device.changes)
    return changed or any(_is_over(step) for step in verdict.alerts)


def devices_of_interest(verdict: Verdict) -> list[str]:
    """Return the loggers whose readings are needed to tell."""
    return [one.device.device_id for one in verdict.devices]


def attribute(verdict: Verdict, versions: Sequence[Version], now: Instant) -> Verdict:
    """Return a verdict with the act behind each change that takes away from the record.

    `versions` are the shipment as it was last judged, and after each step since then.
    """
    devices = [replace(one, changes=_changes(one, versions, now)) for one in verdict.devices]
    behind = {
        f"excursion:{change.after.id}": change.act
        for device in devices
        for change in device.changes
        if change.kind is ChangeKind.WITHDRAWN
    }
    ended = {step.change.alert.condition.subject for step in verdict.alerts}
    for one in devices:
        if (subject := f"budget_exhausted:{one.device.device_id}") in ended:
            behind[subject] = _behind_budget(one, versions, now)
    steps = tuple(_step(step, versions, behind) for step in verdict.alerts)
    return replace(verdict, devices=tuple(devices), alerts=steps)


def _changes(device: DeviceVerdict, versions: Sequence[Version], now: Instant) -> tuple[Change, ...]:
    if not any(change.kind in MAY_TAKE for change in device.changes):
        return device.changes
    runs = [_runs(version, device.device.device_id, now) for version in versions]
    return tuple(
        replace(change, act=_behind(change, runs, versions)) if change.kind in MAY_TAKE else change
        for change in device.changes
    )


class _Runs(NamedTuple):
    runs: tuple[Run, ...]
    last: Instant
    """The last reading: nothing is proven of what comes after it."""


def _runs(version: Version, device_id: str, now: Instant) -> _Runs:
    trace, window = version.traces.get(device_id), version.windows.get(device_id)
    if window is None or trace is None or not len(trace):
        return _Runs((), 0)
    evaluation = evaluate_trace(version.plan, window, trace, now)
    return _Runs(evaluation.excursions, int(trace.at[-1]))


def _behind(change: Change, runs: Sequence[_Runs], versions: Sequence[Version]) -> Act | None:
    assert change.before is not None  # what takes away is about something that was on record
    weights = [_weight(one, change.before.run) for one in runs]
    if not _is_less(weights[-1], weights[0], 0):
        return None
    steps = range(len(weights) - 1, 0, -1)
    return next(
        (
            versions[k].act
            for k in steps
            if _is_less(weights[k], weights[k - 1], LEAST if versions[k].act.step in _ENDS else 0)
        ),
        None,
    )


def _weight(found: _Runs, of: Run) -> _Weight:
    """Weigh the runs that share an instant with a run that was on record."""
    end = float("inf") if of.end is None else of.end
    same = [
        run
        for run in found.runs
        if run.side is of.side and run.start < end and (run.end is None or run.end > of.start)
    ]
    sign = 1 if of.side is Side.HIGH else -1
    return _Weight(
        critical=any(run.severity is Severity.CRITICAL for run in same),
        peak=max((sign * run.peak_c for run in same), default=_NOTHING.peak),
        length=sum(_length(run, found.last) for run in same),
    )


def _length(run: Run, last: Instant) -> Duration:
    """Return how long a run is known to last: one that is open, until the last reading."""
    return (max(last, run.start) if run.end is None else run.end) - run.start


def _is_less(after: _Weight, before: _Weight, least: Duration) -> bool:
    gone = after.peak == _NOTHING.peak < before.peak
    return (
        gone
        or after.critical < before.critical
        or after.peak < before.peak
        or after.length < before.length - least
    )


def _behind_budget(device: DeviceVerdict, versions: Sequence[Version], now: Instant) -> Act | None:
    exhausted = [_exhausted(version, device.device.device_id, now) for version in versions]
    if exhausted[-1] or not exhausted[0]:
        return None
    return next(versions[k].act for k in range(len(versions) - 1, 0, -1) if exhausted[k - 1])


def _exhausted(version: Version, device_id: str, now: Instant) -> bool:
    trace, window = version.traces.get(device_id), version.windows.get(device_id)
    if window is None or trace is None:
        return False
    figures = evaluate_trace(version.plan, window, trace, now).figures
    return figures.budget_exhausted_at is not None


def _is_over(step: AlertStep) -> bool:
    before = step.before is not None and step.before.condition
    return bool(before) and before.holds and not step.change.alert.condition.holds  # type: ignore[union-attr]


def _step(step: AlertStep, versions: Sequence[Version], behind: Mapping[str, Act | None]) -> AlertStep:
    """Return the end of an alert with a line that says who ended it, where somebody did."""
    if not _was_withdrawn(step) and not _is_over(step):
        return step
    condition = step.change.alert.condition
    if condition.withdrawn:
        own = condition.subject in behind
        act = behind[condition.subject] if own else _behind_rule(condition.kind, versions)
        if act is None:
            return step
        told = replace(condition, details={**condition.details, "act": act.to_json()})
        alert = replace(step.change.alert, condition=told)
        return replace(step, change=replace(step.change, alert=alert, note=_line("Withdrawn", act)))
    act = _ended_by(condition.kind, condition.until, versions)
    if act is None or step.change.reason is not AlertReason.CONDITION_ENDED:
        return step
    return replace(step, change=replace(step.change, note=_line("Ended", act)))


def _was_withdrawn(step: AlertStep) -> bool:
    """Return whether a step withdraws what was on record, also of an alert that was over or resolved by hand."""
    before = step.before
    return before is not None and step.change.alert.condition.withdrawn and not before.condition.withdrawn


def _line(what: str, act: Act) -> str:
    return f"{what}: {wording.act(act)}"


def _behind_rule(kind: AlertKind, versions: Sequence[Version]) -> Act | None:
    """Return the act for which a rule does not find any more what it had found.

    What a rule finds can be withdrawn by late readings, too; who changed the plan or cut the window off is named.
    """
    for before, after in _pairs(versions):
        rescheduled = kind in BY_SCHEDULE and before.schedule != after.schedule
        moved = kind in BY_DEWAR and before.dewar_id != after.dewar_id
        changed = before.plan != after.plan or before.devices != after.devices
        if changed or rescheduled or moved or _cuts(before, after):
            return after.act
    return None


def _cuts(before: Version, after: Version) -> bool:
    """Return whether a step left out readings that had counted."""
    if before.window is None or after.window is None:
        return before.window is not after.window
    end = after.window.delivered_at
    later = any(end is not None and len(t) and int(t.at[-1]) >= end for t in before.traces.values())
    return later or after.window.departed_at > before.window.departed_at


def _ended_by(kind: AlertKind, until: Instant | None, versions: Sequence[Version]) -> Act | None:
    """Return the act that ended what holds: the end of the shipment, or another schedule."""
    for before, after in _pairs(versions):
        ends = None if after.window is None else after.window.delivered_at
        was = None if before.window is None else before.window.delivered_at
        if ends is not None and ends != was and ends == until:
            return after.act
        if kind in BY_SCHEDULE and before.schedule != after.schedule:
            return after.act
        if kind in BY_DEWAR and before.dewar_id != after.dewar_id:
            return after.act
        if until is not None and until in _removals(after) - _removals(before):
            return after.act
        if kind is AlertKind.LATE and after.act.step == "cancelled":
            return after.act
    return None


def _removals(version: Version) -> set[Instant | None]:
    """Return when loggers were taken off a shipment on its way."""
    on = version.windows.values()
    return {one.delivered_at for one in on if one.ended_by is EndedBy.REMOVAL}


def _pairs(versions: Sequence[Version]) -> Iterable[tuple[Version, Version]]:
    """Return each step with what was before it, the latest first."""
    return reversed(list(pairwise(versions)))
