"""Pure: alerts, and how a condition that begins, changes and ends moves them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TypeAlias

from alerts.kinds import KINDS
from alerts.model import Condition, Instant, Severity

AlertId: TypeAlias = str


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
    ASSIGNED = "assigned"
    UNASSIGNED = "unassigned"
    SNOOZED = "snoozed"
    SNOOZE_ENDED = "snooze_ended"
    RESOLVED_BY_HAND = "resolved_by_hand"
    ACKNOWLEDGEMENT_EXPIRED = "acknowledgement_expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One alert for one subject of one shipment, over its whole life."""

    id: AlertId
    shipment_id: str | None
    """None for the whole fleet."""
    condition: Condition
    state: AlertState
    raised_at: Instant
    acknowledged_at: Instant | None = None
    acknowledged_by: str | None = None
    resolved_at: Instant | None = None
    owner: str | None = None
    """Who sees to it; None: nobody yet. One that is acknowledged has an owner."""
    assigned_at: Instant | None = None
    assigned_by: str | None = None
    snoozed_until: Instant | None = None
    """None unless it is snoozed."""
    snoozed_by: str | None = None
    snooze_reason: str | None = None
    last_action_at: Instant | None = None
    """When a person last did something about it."""
    incident_id: str | None = None
    """None until it was attended to."""
    revision: int = 1

    @property
    def open(self) -> bool:
        """Whether it is not resolved."""
        return self.state is not AlertState.RESOLVED


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertChange:
    """An alert after one decision, who made it, and why."""

    alert: Alert
    reason: AlertReason
    by: str | None = None
    """None: the rule that found the condition."""
    note: str | None = None
    """Why, in the words of the person."""


def raise_alert(
    id_: AlertId, shipment_id: str | None, condition: Condition, now: Instant
) -> list[AlertChange]:
    """Raise the alert of a new condition; one found when it was already over fires too, and then resolves."""
    alert = Alert(
        id=id_, shipment_id=shipment_id, condition=condition, state=AlertState.FIRING, raised_at=now
    )
    raised = AlertChange(alert=alert, reason=AlertReason.CONDITION_BEGAN)
    return [raised] if condition.until is None else [raised, *advance(alert, condition, now)]


def advance(alert: Alert, condition: Condition, now: Instant) -> list[AlertChange]:
    """Move an alert to what its condition is now; no change gives an empty list.

    It ends with its condition, whether or not somebody acknowledged it. It fires anew, needing a new acknowledgement,
    where the condition comes back or becomes critical. One that a person resolved while its condition held stays
    quiet until one of these happens.
    """
    over = not condition.holds
    ended = AlertReason.CONDITION_WITHDRAWN if condition.withdrawn else AlertReason.CONDITION_ENDED
    if over and alert.open:
        awake = replace(alert, snoozed_until=None, snoozed_by=None, snooze_reason=None)
        return [_changed(awake, condition, ended, state=AlertState.RESOLVED, resolved_at=now)]
    if not alert.open and _came_back(alert.condition, condition):
        again = fired(replace(alert, condition=condition, owner=None), AlertReason.CONDITION_CAME_BACK)
        return [again, *(advance(again.alert, condition, now) if over else ())]
    rose = condition.severity is Severity.CRITICAL and alert.condition.severity is not Severity.CRITICAL
    if not over and rose:
        return [fired(replace(alert, condition=condition), AlertReason.SEVERITY_ROSE)]
    if condition != alert.condition:
        ends = over and alert.condition.holds
        return [_changed(alert, condition, ended if ends else AlertReason.DETAILS_CHANGED)]
    return []


def _came_back(before: Condition, after: Condition) -> bool:
    """Tell whether the condition of a resolved alert holds again, or did so meanwhile.

    One that held when a person resolved the alert does so only where it began anew.
    """
    if before.holds:
        return not after.withdrawn and after.since > before.since and not KINDS[after.kind].happens_once
    return after.holds or _came_anew(before, after)


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


def fired(
    alert: Alert, reason: AlertReason, *, by: str | None = None, note: str | None = None
) -> AlertChange:
    """Let an alert fire anew: it is neither acknowledged nor snoozed any more; whose it is stays."""
    again = replace(
        alert,
        state=AlertState.FIRING,
        acknowledged_at=None,
        acknowledged_by=None,
        resolved_at=None,
        snoozed_until=None,
        snoozed_by=None,
        snooze_reason=None,
        revision=alert.revision + 1,
    )
    return AlertChange(alert=again, reason=reason, by=by, note=note)


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertStep:
    """An alert's change, beside what it was."""

    before: Alert | None
    change: AlertChange


def follow(
    before: Alert | None,
    shipment_id: str | None,
    condition: Condition,
    now: Instant,
    new_id: Callable[[], str],
) -> list[AlertStep]:
    """Bring an alert, or a new one, to what its condition is now."""
    steps = []
    changes = (
        raise_alert(new_id(), shipment_id, condition, now)
        if before is None
        else advance(before, condition, now)
    )
    for change in changes:
        steps.append(AlertStep(before=before, change=change))
        before = change.alert
    return steps
