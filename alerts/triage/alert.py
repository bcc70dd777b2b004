"""Pure: alerts, and how they change when their condition begins, changes and ends."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TypeAlias

from alerts.alert_kinds import KINDS
from alerts.model import AlertKind, Condition, Instant, Severity
from telemetry.actor import Actor, ActorKind

AlertId: TypeAlias = str


class AlertState(StrEnum):
    """The state of an alert, which follows from its condition and from people's actions."""

    FIRING = "firing"
    ACKNOWLEDGED = "acknowledged"
    SNOOZED = "snoozed"
    RESOLVED = "resolved"


class AlertReason(StrEnum):
    """Why an alert was raised or changed; each change has one."""

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
    """None if it is about the whole fleet."""
    condition: Condition
    state: AlertState
    raised_at: Instant
    acknowledged_at: Instant | None = None
    acknowledged_by: Actor | str | None = None
    """A str only if the stored text is not an actor's; likewise `assigned_by` and `snoozed_by`."""
    resolved_at: Instant | None = None
    owner: str | None = None
    """The name of the owner, as free text: a person, a contact, or a key as `str(actor)` writes it.

    None if there is nobody yet. An acknowledged alert has an owner.
    """
    assigned_at: Instant | None = None
    assigned_by: Actor | str | None = None
    snoozed_until: Instant | None = None
    """When the snooze ends; None unless it is snoozed."""
    snoozed_by: Actor | str | None = None
    snooze_reason: str | None = None
    last_action_at: Instant | None = None
    """When a person last did something about it."""
    incident_id: str | None = None
    """None until the attention loop has assigned it to an incident."""
    revision: int = 1

    @property
    def open(self) -> bool:
        """Whether it is not resolved."""
        return self.state is not AlertState.RESOLVED


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertChange:
    """An alert after one change, who made it, and why."""

    alert: Alert
    actor: Actor
    reason: AlertReason
    note: str | None = None
    """The reason that a person gave, in their words."""


def rule_actor(kind: AlertKind) -> Actor:
    """Return the actor for the rule that finds conditions of this kind."""
    return Actor(ActorKind.RULE, kind)


def raise_alert(
    id_: AlertId, shipment_id: str | None, condition: Condition, now: Instant
) -> list[AlertChange]:
    """Raise the alert of a new condition. If the condition is over already, it fires and then resolves."""
    alert = Alert(
        id=id_, shipment_id=shipment_id, condition=condition, state=AlertState.FIRING, raised_at=now
    )
    raised = AlertChange(alert=alert, actor=rule_actor(condition.kind), reason=AlertReason.CONDITION_BEGAN)
    return [raised] if condition.until is None else [raised, *advance(alert, condition, now)]


def advance(alert: Alert, condition: Condition, now: Instant) -> list[AlertChange]:
    """Return the changes that bring an alert up to date with its condition; none if nothing changed.

    An alert resolves when its condition ends, acknowledged or not. It fires again, and needs a new
    acknowledgement, when the condition comes back or becomes critical. An alert that a person resolved while
    its condition held stays quiet until then.
    """
    actor = rule_actor(condition.kind)
    over = not condition.holds
    ended = AlertReason.CONDITION_WITHDRAWN if condition.withdrawn else AlertReason.CONDITION_ENDED
    if over and alert.open:
        awake = replace(alert, snoozed_until=None, snoozed_by=None, snooze_reason=None)
        return [_changed(awake, condition, ended, state=AlertState.RESOLVED, resolved_at=now)]
    if not alert.open and _came_back(alert.condition, condition):
        unowned = replace(alert, condition=condition, owner=None)
        again = fired(unowned, AlertReason.CONDITION_CAME_BACK, actor=actor)
        return [again, *(advance(again.alert, condition, now) if over else ())]
    rose = condition.severity is Severity.CRITICAL and alert.condition.severity is not Severity.CRITICAL
    if not over and rose:
        return [fired(replace(alert, condition=condition), AlertReason.SEVERITY_ROSE, actor=actor)]
    if condition != alert.condition:
        ends = over and (alert.condition.holds or alert.condition.withdrawn != condition.withdrawn)
        return [_changed(alert, condition, ended if ends else AlertReason.DETAILS_CHANGED)]
    return []


def _came_back(before: Condition, after: Condition) -> bool:
    """Return whether the condition of a resolved alert holds again, or held again in between.

    If the condition still held when a person resolved the alert, it counts only if it began anew.
    """
    if before.holds:
        return not after.withdrawn and after.since > before.since and not KINDS[after.kind].happens_once
    return after.holds or _came_anew(before, after)


def _came_anew(before: Condition, after: Condition) -> bool:
    """Return whether a condition came back and ended again, rather than had its times corrected."""
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
    return AlertChange(alert=changed, actor=rule_actor(condition.kind), reason=reason)


def fired(alert: Alert, reason: AlertReason, *, actor: Actor, note: str | None = None) -> AlertChange:
    """Return the change that makes an alert fire again: not acknowledged or snoozed, with the same owner."""
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
    return AlertChange(alert=again, actor=actor, reason=reason, note=note)


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertStep:
    """A change of an alert, and the alert before it; `before` is None if the change raised the alert."""

    before: Alert | None
    change: AlertChange


def follow(
    before: Alert | None,
    shipment_id: str | None,
    condition: Condition,
    now: Instant,
    new_id: Callable[[], str],
) -> list[AlertStep]:
    """Return the steps that bring an alert, or a new one if `before` is None, up to date with a condition."""
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
