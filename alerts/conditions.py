"""Pure: what the rules find about a shipment and its loggers, each as the condition that an alert stands for."""

from dataclasses import replace

from alerts import wording
from alerts.alert import Alert, AlertKind, AlertState, Condition
from alerts.excursion import Evaluation
from alerts.model import LIVE, SECOND, Duration, Excursion, ExcursionState, Instant, Severity, to_datetime
from alerts.plan import Plan
from alerts.state import State

EVALUATION_FAILED = "evaluation_failed"
"""The subject of the alert for a shipment that could not be judged; it has one at most."""
LONGEST_SILENCE: Duration = 24 * 3600 * SECOND
"""So long a silence may be announced: no flight lasts longer, and a logger that is confused must not hide itself."""


def excursion_condition(plan: Plan, device_id: str, excursion: Excursion) -> Condition | None:
    """Give the condition that an excursion's alert stands for; None for one that is live no longer.

    A plan that has changed may have no words for that one: it may have no limit on its side.
    """
    if excursion.state not in LIVE:
        return None
    return Condition(
        subject=f"excursion:{excursion.id}",
        kind=AlertKind.EXCURSION,
        severity=excursion.run.severity,
        device_id=device_id,
        message=wording.excursion(plan, excursion.run),
        since=excursion.run.start,
        until=excursion.run.end if excursion.state is ExcursionState.CLOSED else None,
        excursion_id=excursion.id,
    )


def budget_condition(plan: Plan, device_id: str, evaluation: Evaluation) -> Condition | None:
    """Give the exhausted stability budget as a condition; None while some of it is left."""
    at = evaluation.figures.budget_exhausted_at
    if at is None or plan.budget is None:
        return None
    return Condition(
        subject=f"budget_exhausted:{device_id}",
        kind=AlertKind.BUDGET_EXHAUSTED,
        severity=Severity.CRITICAL,
        device_id=device_id,
        message=f"Stability budget of {wording.duration(plan.budget)} out of range used up",
        since=at,
    )


def probe_condition(device_id: str, state: State, over: Instant | None) -> Condition | None:
    """Give the newest stretch of a broken probe as a condition; None where there never was one.

    `over` is when the shipment ended, if it has: from then on the probe is not on it.
    """
    if state.fault_since is None:
        return None
    return Condition(
        subject=f"probe_fault:{device_id}",
        kind=AlertKind.PROBE_FAULT,
        severity=Severity.MAJOR,
        device_id=device_id,
        message="The probe is broken: the payload's temperature is not known",
        since=state.fault_since,
        until=over if state.fault_until is None else state.fault_until,
    )


def withdrawn(condition: Condition) -> Condition:
    """Give a condition that its rule finds no longer, although it has not ended."""
    return replace(condition, withdrawn=True)


def heard_until(plan: Plan, state: State, watched_from: Instant) -> Instant:
    """Give the instant up to which a logger is not missed: its newest reading holds, or announced a silence.

    Where there is no reading yet, it is not missed before it has been watched for as long as a reading holds.
    """
    if state.seen is None:
        return watched_from + plan.max_gap
    announced = min(state.quiet_until or state.seen, state.seen + LONGEST_SILENCE)
    return max(state.seen + plan.max_gap, announced)


def signal_condition(
    plan: Plan,
    device_id: str,
    state: State,
    *,
    watched_from: Instant,
    through: Instant,
    over: Instant | None,
    alert: Alert | None,
) -> Condition | None:
    """Give the silence of a logger as a condition; None where it is heard and no alert says otherwise.

    It is about now alone: a gap that stored readings have filled, or that was over before anybody looked, raises
    nothing (the time proof shows it). So it needs `alert`, the one on record, to know that a silence has ended.
    `over` is when the shipment ended, if it has.
    """
    since = heard_until(plan, state, watched_from)
    if through >= since and over is None:
        return Condition(
            subject=f"signal_lost:{device_id}",
            kind=AlertKind.SIGNAL_LOST,
            severity=Severity.MAJOR,
            device_id=device_id,
            message=f"No reading since {'departure' if state.seen is None else wording.time(to_datetime(state.seen))}",
            since=since,
        )
    if alert is None or alert.state is AlertState.RESOLVED:
        return None
    before = alert.condition
    if over is not None:
        return replace(before, until=max(over, before.since))
    if state.seen is None or state.seen < before.since:
        return withdrawn(before)  # it turned out that it was heard
    return replace(before, until=state.seen)


def failed_condition(error: str, now: Instant) -> Condition:
    """Give the failure of a judgement as a condition: what it would have found is not known."""
    return Condition(
        subject=EVALUATION_FAILED,
        kind=AlertKind.EVALUATION_FAILED,
        severity=Severity.CRITICAL,
        device_id=None,
        message=f"This shipment could not be judged, excursions may be missing: {error}",
        since=now,
    )
