"""Pure: the actions of people on an alert, one function each, and the effect of time on it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Protocol

from alerts import wording
from alerts.model import SECOND, Duration, Instant, Severity
from alerts.triage.alert import Alert, AlertChange, AlertReason, AlertState, fired
from telemetry import reasons
from telemetry.actor import Actor, ActorKind

LONGEST_SNOOZE: Final[Duration] = 72 * 3600 * SECOND
ACKNOWLEDGED_FOR: Final[Mapping[Severity, Duration]] = {
    Severity.CRITICAL: 2 * 3600 * SECOND,
    Severity.MAJOR: 24 * 3600 * SECOND,
}
"""How long an acknowledgement lasts if nobody acts after it and no policy says otherwise."""

CLOCK_AHEAD: Final[Duration] = 60 * SECOND
"""What would last longer than it may, by more than this, was set by a clock that was ahead: it has ended."""

SNOOZE_TIMER: Final = Actor(ActorKind.TIMER, "snooze")
ACKNOWLEDGEMENT_TIMER: Final = Actor(ActorKind.TIMER, "acknowledgement")


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionRefused:
    """An action that does not apply now, and why."""

    why: str
    field: str | None = None
    """The field of the request that is wrong; None if the alert's state is the reason."""
    full: bool = False
    """No more comments fit on the alert."""
    is_over: bool = False
    """The alert is resolved."""


class AlertAction(Protocol):
    """An action of somebody on one alert; `reason` is in their own words."""

    def __call__(
        self, alert: Alert, now: Instant, *, actor: Actor, reason: str | None
    ) -> list[AlertChange] | ActionRefused:
        """Return the changes; none if the alert is already as the action would leave it."""


def acknowledge(
    alert: Alert, now: Instant, *, actor: Actor, reason: str | None, owner: str | None = None
) -> list[AlertChange] | ActionRefused:
    """Acknowledge an alert; if nobody owns it, `owner`, or else the actor, becomes the owner.

    An acknowledged alert stays as it is. A resolved one stays resolved; that it was seen is recorded. An `owner` other
    than the one that it has is refused: acknowledging takes an alert from nobody.
    """
    if alert.open and owner and alert.owner and _folded(owner) != _folded(alert.owner):
        return ActionRefused(
            why=f"{wording.person(alert.owner)} has this alert: leave owner out to acknowledge it, or assign it to {owner}."
        )
    if alert.acknowledged_at is not None and alert.state is not AlertState.SNOOZED:
        return []
    seen = replace(alert, acknowledged_at=now, acknowledged_by=actor)
    if alert.open:
        seen = replace(_without_snooze(seen), state=AlertState.ACKNOWLEDGED)
        if alert.owner is None:
            seen = replace(seen, owner=owner or str(actor), assigned_at=now, assigned_by=actor)
    return [_acted_on(seen, AlertReason.ACKNOWLEDGED, now, actor, reason)]


def assign(
    alert: Alert, now: Instant, *, actor: Actor, reason: str | None, owner: str | None
) -> list[AlertChange] | ActionRefused:
    """Set the owner. None removes the owner, and an acknowledged alert fires again: nobody works on it."""
    if not alert.open:
        return _is_resolved(alert)
    if owner == alert.owner:
        return []
    assigned = replace(alert, owner=owner, assigned_at=now, assigned_by=actor)
    if owner is not None:
        return [_acted_on(assigned, AlertReason.ASSIGNED, now, actor, reason)]
    if alert.state is AlertState.ACKNOWLEDGED:
        unowned = replace(assigned, last_action_at=now)
        return [fired(unowned, AlertReason.UNASSIGNED, actor=actor, note=reason)]
    return [_acted_on(assigned, AlertReason.UNASSIGNED, now, actor, reason)]


def pass_on(
    alert: Alert,
    now: Instant,
    *,
    actor: Actor,
    reason: str | None,
    owner: str,
    is_former: Callable[[str], bool],
) -> list[AlertChange]:
    """Pass an alert on to the new holder of its shipment, if nobody or the former holder owns it.

    An acknowledged alert fires again, because the new holder has not acknowledged it.
    """
    passes = alert.owner is None or is_former(alert.owner)
    if not alert.open or not passes or alert.owner == owner:
        return []
    passed = replace(alert, owner=owner, assigned_at=now, assigned_by=actor)
    if alert.state is AlertState.ACKNOWLEDGED:
        return [fired(passed, AlertReason.ASSIGNED, actor=actor, note=reason)]
    return [_acted_on(passed, AlertReason.ASSIGNED, now, actor, reason)]


def snooze(
    alert: Alert, now: Instant, *, actor: Actor, reason: str | None, until: Instant | None
) -> list[AlertChange] | ActionRefused:
    """Snooze an alert until a time at most 72 hours ahead, which needs a reason; None ends a snooze now."""
    if not alert.open:
        return _is_resolved(alert)
    is_same = (alert.snoozed_until, alert.snoozed_by, alert.snooze_reason) == (until, actor, reason)
    if is_same or (until is None and alert.state is not AlertState.SNOOZED):
        return []  # the call may have been sent again
    if until is None:
        woken = replace(alert, last_action_at=now)
        return [fired(woken, AlertReason.SNOOZE_ENDED, actor=actor, note=reason)]
    if not now < until <= now + LONGEST_SNOOZE:
        latest = wording.instant_text(now + LONGEST_SNOOZE)
        return ActionRefused(
            why=f"must be in the future and at most 72 hours ahead, until {latest}", field="until"
        )
    if not reasons.says_why(reason):
        return ActionRefused(why=reasons.wanted(reason), field="reason")
    reason = reasons.trimmed(reason)
    snoozed = replace(
        alert, state=AlertState.SNOOZED, snoozed_until=until, snoozed_by=actor, snooze_reason=reason
    )
    return [_acted_on(snoozed, AlertReason.SNOOZED, now, actor, reason)]


def resolve(
    alert: Alert, now: Instant, *, actor: Actor, reason: str | None
) -> list[AlertChange] | ActionRefused:
    """Resolve an alert although its condition holds, which needs a reason; it also counts as acknowledged."""
    if not alert.open:
        return _is_resolved(alert)
    if not reasons.says_why(reason):
        return ActionRefused(why=reasons.wanted(reason), field="reason")
    reason = reasons.trimmed(reason)
    resolved = replace(_without_snooze(alert), state=AlertState.RESOLVED, resolved_at=now)
    if alert.acknowledged_at is None:
        resolved = replace(resolved, acknowledged_at=now, acknowledged_by=actor)
    return [_acted_on(resolved, AlertReason.RESOLVED_BY_HAND, now, actor, reason)]


def pass_time(alert: Alert, now: Instant, acknowledged_for: Mapping[Severity, Duration]) -> list[AlertChange]:
    """End a snooze whose time is up, or an acknowledgement that nobody followed up: the alert fires again.

    An acknowledgement that expires also removes the owner, who did nothing about the alert.
    """
    snoozed = alert.state is AlertState.SNOOZED
    if snoozed and alert.snoozed_until is not None and _is_over(alert.snoozed_until, now, LONGEST_SNOOZE):
        return [fired(alert, AlertReason.SNOOZE_ENDED, actor=SNOOZE_TIMER)]
    expires_at = _expires_at(alert, acknowledged_for)
    longest = acknowledged_for.get(alert.condition.severity, 0)
    if expires_at is not None and _is_over(expires_at, now, longest):
        unowned = replace(alert, owner=None, assigned_at=now, assigned_by=ACKNOWLEDGEMENT_TIMER)
        return [fired(unowned, AlertReason.ACKNOWLEDGEMENT_EXPIRED, actor=ACKNOWLEDGEMENT_TIMER)]
    return []


def _is_over(until: Instant, now: Instant, longest: Duration) -> bool:
    return not now < until <= now + longest + CLOCK_AHEAD


def next_instant(alert: Alert, acknowledged_for: Mapping[Severity, Duration]) -> Instant | None:
    """Return when `pass_time` next has something to do if nobody acts before; None for never."""
    if alert.state is AlertState.SNOOZED:
        return alert.snoozed_until
    return _expires_at(alert, acknowledged_for)


def _expires_at(alert: Alert, acknowledged_for: Mapping[Severity, Duration]) -> Instant | None:
    length = acknowledged_for.get(alert.condition.severity)
    if alert.state is not AlertState.ACKNOWLEDGED or alert.acknowledged_at is None or length is None:
        return None
    return max(alert.acknowledged_at, alert.last_action_at or alert.acknowledged_at) + length


def _folded(name: str) -> str:
    return " ".join(name.split()).casefold()


def _without_snooze(alert: Alert) -> Alert:
    return replace(alert, snoozed_until=None, snoozed_by=None, snooze_reason=None)


def _acted_on(alert: Alert, why: AlertReason, now: Instant, actor: Actor, reason: str | None) -> AlertChange:
    after = replace(alert, last_action_at=now, revision=alert.revision + 1)
    return AlertChange(alert=after, actor=actor, reason=why, note=reason)


def _is_resolved(alert: Alert) -> ActionRefused:
    when = wording.instant_text(alert.resolved_at)
    return ActionRefused(
        is_over=True,
        why=f"This alert is already resolved, since {when}. It fires again by itself if its "
        "condition comes back; until then it can be acknowledged and commented on.",
    )
