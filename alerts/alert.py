"""Pure: alerts, and how a condition that begins, changes and ends moves them."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TypeAlias

from alerts import wording
from alerts.excursion import Evaluation, State
from alerts.model import (
    LIVE,
    Excursion,
    ExcursionId,
    ExcursionState,
    Instant,
    Severity,
)
from alerts.plan import Plan

AlertId: TypeAlias = str


class AlertKind(StrEnum):
    """What an alert is about."""

    EXCURSION = "excursion"
    BUDGET_EXHAUSTED = "budget_exhausted"
    PROBE_FAULT = "probe_fault"


class AlertState(StrEnum):
    """Where an alert stands between its condition and the people who own it."""

    FIRING = "firing"
    ACKNOWLEDGED = "acknowledged"
    SNOOZED = "snoozed"
    RESOLVED = "resolved"


class AlertReason(StrEnum):
    """Why an alert was raised or changed; each decision to tell somebody carries one."""

    CONDITION_BEGAN = "condition_began"
    CONDITION_CAME_BACK = "condition_came_back"
    SEVERITY_ROSE = "severity_rose"
    DETAILS_CHANGED = "details_changed"
    CONDITION_ENDED = "condition_ended"
    CONDITION_WITHDRAWN = "condition_withdrawn"
    ACKNOWLEDGED = "acknowledged"


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """What a rule finds about one subject, whether it holds now or has ended."""

    subject: str
    kind: AlertKind
    severity: Severity
    device_id: str
    message: str
    since: Instant
    until: Instant | None = None
    """When it ended; None while it holds."""
    withdrawn: bool = False
    """It turned out that it never was."""
    excursion_id: ExcursionId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One alert for one subject of one shipment, over its whole life."""

    id: AlertId
    shipment_id: str
    condition: Condition
    state: AlertState
    raised_at: Instant
    acknowledged_at: Instant | None = None
    acknowledged_by: str | None = None
    resolved_at: Instant | None = None
    revision: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertChange:
    """An alert after one decision, and why it was made."""

    alert: Alert
    reason: AlertReason


def raise_alert(id_: AlertId, shipment_id: str, condition: Condition, now: Instant) -> list[AlertChange]:
    """Raise the alert of a new condition; one found when it was already over fires too, and then resolves."""
    alert = Alert(
        id=id_, shipment_id=shipment_id, condition=condition, state=AlertState.FIRING, raised_at=now
    )
    raised = AlertChange(alert=alert, reason=AlertReason.CONDITION_BEGAN)
    return [raised] if condition.until is None else [raised, *advance(alert, condition, now)]


def advance(alert: Alert, condition: Condition, now: Instant) -> list[AlertChange]:
    """Move an alert to what its condition is now; no change gives an empty list.

    It ends with its condition, whether or not somebody acknowledged it. It fires anew, needing a new
    acknowledgement, where the condition comes back or becomes critical.
    """
    over = condition.withdrawn or condition.until is not None
    if over and alert.state is not AlertState.RESOLVED:
        reason = AlertReason.CONDITION_WITHDRAWN if condition.withdrawn else AlertReason.CONDITION_ENDED
        return [_changed(alert, condition, reason, state=AlertState.RESOLVED, resolved_at=now)]
    if alert.state is AlertState.RESOLVED and (not over or _came_anew(alert.condition, condition)):
        again = _refired(alert, condition, AlertReason.CONDITION_CAME_BACK)
        return [again, *(advance(again.alert, condition, now) if over else ())]
    rose = condition.severity is Severity.CRITICAL and alert.condition.severity is not Severity.CRITICAL
    if not over and rose:
        return [_refired(alert, condition, AlertReason.SEVERITY_ROSE)]
    if condition != alert.condition:
        return [_changed(alert, condition, AlertReason.DETAILS_CHANGED)]
    return []


def _came_anew(before: Condition, after: Condition) -> bool:
    """Tell a condition that came again, and went, from the same one whose times were corrected."""
    return not after.withdrawn and before.until is not None and after.since >= before.until


def _changed(
    alert: Alert,
    condition: Condition,
    reason: AlertReason,
    *,
    state: AlertState | None = None,
    resolved_at: Instant | None = None,
) -> AlertChange:
    changed = replace(
        alert,
        condition=condition,
        state=state or alert.state,
        resolved_at=resolved_at or alert.resolved_at,
        revision=alert.revision + 1,
    )
    return AlertChange(alert=changed, reason=reason)


def _refired(alert: Alert, condition: Condition, reason: AlertReason) -> AlertChange:
    fired = replace(
        alert,
        condition=condition,
        state=AlertState.FIRING,
        acknowledged_at=None,
        acknowledged_by=None,
        resolved_at=None,
        revision=alert.revision + 1,
    )
    return AlertChange(alert=fired, reason=reason)


def excursion_condition(plan: Plan, device_id: str, excursion: Excursion) -> Condition:
    """Give the condition that an excursion's alert stands for."""
    return Condition(
        subject=f"excursion:{excursion.id}",
        kind=AlertKind.EXCURSION,
        severity=excursion.run.severity,
        device_id=device_id,
        message=wording.excursion(plan, excursion.run),
        since=excursion.run.start,
        until=excursion.run.end if excursion.state is ExcursionState.CLOSED else None,
        withdrawn=excursion.state not in LIVE,
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
