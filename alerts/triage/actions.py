"""Pure: what people do to an alert, each a step of its own; and what time does to what they did."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from alerts import wording
from alerts.model import SECOND, Duration, Instant, Severity
from alerts.triage.alert import Alert, AlertChange, AlertReason, AlertState, fired

LONGEST_SNOOZE: Final[Duration] = 72 * 3600 * SECOND
ACKNOWLEDGED_FOR: Final[Mapping[Severity, Duration]] = {
    Severity.CRITICAL: 2 * 3600 * SECOND,
    Severity.MAJOR: 24 * 3600 * SECOND,
}
"""How long an acknowledgement is good for where nobody does anything after it, and no policy says otherwise."""

SNOOZE_TIMER: Final = "timer:snooze"
ACKNOWLEDGEMENT_TIMER: Final = "timer:acknowledgement"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A step that makes no sense now, and why."""

    why: str
    field: str | None = None
    """What of the call is wrong; None where it is the alert's state."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Who does it, and what they say to it."""

    by: str
    note: str | None = None


def acknowledge(alert: Alert, now: Instant, person: Person, *, owner: str | None = None) -> list[AlertChange]:
    """Take an alert, as its owner where it has none, by the name `owner`; one that is taken stays as it is.

    One that is resolved stays so: that somebody has seen it is noted.
    """
    if alert.acknowledged_at is not None and alert.state is not AlertState.SNOOZED:
        return []
    taken = replace(alert, acknowledged_at=now, acknowledged_by=person.by)
    if alert.open:
        taken = replace(_awake(taken), state=AlertState.ACKNOWLEDGED)
        if alert.owner is None:
            taken = replace(taken, owner=owner or person.by, assigned_at=now, assigned_by=person.by)
    return [_stepped(taken, AlertReason.ACKNOWLEDGED, now, person)]


def assign(alert: Alert, now: Instant, person: Person, owner: str | None) -> list[AlertChange] | Refused:
    """Make somebody the owner; None takes that back, and what was acknowledged fires again: nobody is on it."""
    if not alert.open:
        return _resolved(alert, "assigned")
    if owner == alert.owner:
        return []
    given = replace(alert, owner=owner, assigned_at=now, assigned_by=person.by)
    if owner is not None:
        return [_stepped(given, AlertReason.ASSIGNED, now, person)]
    if alert.state is AlertState.ACKNOWLEDGED:
        given = replace(given, last_action_at=now)
        return [fired(given, AlertReason.UNASSIGNED, by=person.by, note=person.note)]
    return [_stepped(given, AlertReason.UNASSIGNED, now, person)]


def pass_on(
    alert: Alert, now: Instant, person: Person, *, owner: str, is_former: Callable[[str], bool]
) -> list[AlertChange]:
    """Pass an alert that is nobody's, or the former holder's, to who holds the shipment now; others keep theirs.

    What the former holder had acknowledged fires again: the new one has not.
    """
    mine = alert.owner is None or is_former(alert.owner)
    if not alert.open or not mine or alert.owner == owner:
        return []
    given = replace(alert, owner=owner, assigned_at=now, assigned_by=person.by)
    if alert.state is AlertState.ACKNOWLEDGED:
        return [fired(given, AlertReason.ASSIGNED, by=person.by, note=person.note)]
    return [_stepped(given, AlertReason.ASSIGNED, now, person)]


def snooze(alert: Alert, now: Instant, person: Person, until: Instant | None) -> list[AlertChange] | Refused:
    """Let an alert rest until an instant, at most 72 hours ahead, for the reason in `person.note`.

    None ends the rest now.
    """
    if not alert.open:
        return _resolved(alert, "snoozed")
    if until is None:
        if alert.state is not AlertState.SNOOZED:
            return []
        woken = replace(alert, last_action_at=now)
        return [fired(woken, AlertReason.SNOOZE_ENDED, by=person.by, note=person.note)]
    if not now < until <= now + LONGEST_SNOOZE:
        latest = wording.instant_text(now + LONGEST_SNOOZE)
        return Refused(why=f"must be in the future and at most 72 hours ahead, until {latest}", field="until")
    if not person.note:
        return Refused(why="must say why: whoever looks next has to know", field="reason")
    asleep = replace(
        alert,
        state=AlertState.SNOOZED,
        snoozed_until=until,
        snoozed_by=person.by,
        snooze_reason=person.note,
    )
    return [_stepped(asleep, AlertReason.SNOOZED, now, person)]


def resolve(alert: Alert, now: Instant, person: Person) -> list[AlertChange] | Refused:
    """End an alert although its condition holds, for the reason in `person.note`; whoever does so has seen it."""
    if not alert.open:
        return _resolved(alert, "resolved")
    if not person.note:
        return Refused(why="must say why: the condition still holds", field="reason")
    ended = replace(_awake(alert), state=AlertState.RESOLVED, resolved_at=now)
    if alert.acknowledged_at is None:
        ended = replace(ended, acknowledged_at=now, acknowledged_by=person.by)
    return [_stepped(ended, AlertReason.RESOLVED_BY_HAND, now, person)]


def pass_time(alert: Alert, now: Instant, acknowledged_for: Mapping[Severity, Duration]) -> list[AlertChange]:
    """End a snooze whose time has come, or an acknowledgement after which nobody did anything: the alert fires again.

    With the acknowledgement goes the owner, who let it lie.
    """
    if alert.state is AlertState.SNOOZED and alert.snoozed_until is not None and alert.snoozed_until <= now:
        return [fired(alert, AlertReason.SNOOZE_ENDED, by=SNOOZE_TIMER)]
    expires_at = _expires_at(alert, acknowledged_for)
    if expires_at is not None and expires_at <= now:
        left = replace(alert, owner=None, assigned_at=now, assigned_by=ACKNOWLEDGEMENT_TIMER)
        return [fired(left, AlertReason.ACKNOWLEDGEMENT_EXPIRED, by=ACKNOWLEDGEMENT_TIMER)]
    return []


def next_instant(alert: Alert, acknowledged_for: Mapping[Severity, Duration]) -> Instant | None:
    """Give when `pass_time` has something to do, if nobody does anything first."""
    if alert.state is AlertState.SNOOZED:
        return alert.snoozed_until
    return _expires_at(alert, acknowledged_for)


def _expires_at(alert: Alert, acknowledged_for: Mapping[Severity, Duration]) -> Instant | None:
    length = acknowledged_for.get(alert.condition.severity)
    if alert.state is not AlertState.ACKNOWLEDGED or alert.acknowledged_at is None or length is None:
        return None
    return max(alert.acknowledged_at, alert.last_action_at or alert.acknowledged_at) + length


def _awake(alert: Alert) -> Alert:
    return replace(alert, snoozed_until=None, snoozed_by=None, snooze_reason=None)


def _stepped(alert: Alert, reason: AlertReason, now: Instant, person: Person) -> AlertChange:
    stepped = replace(alert, last_action_at=now, revision=alert.revision + 1)
    return AlertChange(alert=stepped, reason=reason, by=person.by, note=person.note)


def _resolved(alert: Alert, what: str) -> Refused:
    when = wording.instant_text(alert.resolved_at)
    return Refused(
        why=f"This alert was resolved at {when} and cannot be {what}. It fires again by itself where its condition "
        "comes back; until then it can be acknowledged and commented on."
    )
