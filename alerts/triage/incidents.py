"""Pure: groups alerts with one probable cause into incidents, which open, merge and close.

An alert joins an open incident if one of its alerts may have caused it, or the other way round, close enough
in event time. If it fits two incidents, they are merged: the younger into the older. If it fits none, it
opens a new one. What goes on and off is one incident: it opens again if the same comes back soon after it ended.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from math import inf
from typing import Final, TypeAlias

from alerts.alert_kinds import KINDS, PLACE, kinds_that
from alerts.model import SECOND, AlertKind, Condition, Duration, Instant, Severity
from alerts.triage.alert import Alert, AlertState

IncidentId: TypeAlias = str

SLACK: Final[Duration] = 1800 * SECOND
"""A cause may be detected this much later than its effect, because each rule waits until it is sure."""
TOGETHER: Final[Duration] = 600 * SECOND
"""Alerts of one kind within this time, on one logger or several, have the same cause."""
COMES_BACK: Final[Duration] = 1800 * SECOND
"""What begins on the same logger within this time after it had ended goes on and off: that is one incident."""
COMES_ANEW: Final = kinds_that(lambda row: row.happens_once)
"""The kinds that raise another alert when they come back; others raise the one that they had."""


class IncidentState(StrEnum):
    OPEN = "open"
    CLOSED = "closed"


class IncidentReason(StrEnum):
    """Why an incident was opened or changed."""

    ALERT_RAISED = "alert_raised"
    ALERT_JOINED = "alert_joined"
    CAME_BACK = "came_back"
    MERGED = "merged"
    SEVERITY_CHANGED = "severity_changed"
    CAUSE_CHANGED = "cause_changed"
    """Another of its alerts is the probable cause, or says what to do next."""
    DETAILS_CHANGED = "details_changed"
    ALL_RESOLVED = "all_resolved"


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """Alerts of one shipment, or of the whole fleet, with one probable cause."""

    id: IncidentId
    shipment_id: str | None
    organization: str | None
    state: IncidentState
    cause_alert_id: str
    """The most upstream of its alerts: the probable cause that is shown."""
    kind: AlertKind
    severity: Severity
    headline: str
    next_action: str
    opened_at: Instant
    alert_ids: tuple[str, ...]
    """In the order in which they were raised."""
    closed_at: Instant | None = None
    merged_into: IncidentId | None = None
    revision: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentChange:
    """An incident before and after one change, and the reason."""

    before: Incident | None
    incident: Incident
    reason: IncidentReason


def linked(one: Alert, other: Alert) -> bool:
    """Return whether two alerts probably have the same cause."""
    return _led_to(one, other) or _led_to(other, one) or goes_on_and_off(one, other)


def goes_on_and_off(one: Alert, other: Alert) -> bool:
    """Return whether one of two alerts is the other one come back, by when that was and not by when it was found."""
    first, then = one.condition, other.condition
    same = first.kind is then.kind and first.device_id == then.device_id is not None
    if not same or first.kind not in COMES_ANEW or first.withdrawn or then.withdrawn:
        return False
    return _follows_soon(first, then) or _follows_soon(then, first)


def _follows_soon(first: Condition, then: Condition) -> bool:
    return first.until is not None and first.until <= then.since <= first.until + COMES_BACK


def _led_to(cause: Alert, effect: Alert) -> bool:
    first, then = cause.condition, effect.condition
    if first.withdrawn or then.withdrawn:
        return False
    same_logger = KINDS[first.kind].same_logger or KINDS[then.kind].same_logger
    if same_logger and first.device_id != then.device_id:
        return False
    margin = TOGETHER if first.kind is then.kind else KINDS[first.kind].leads_to.get(then.kind)
    ends = inf if first.until is None else first.until
    return margin is not None and first.since - SLACK <= then.since <= ends + margin


@dataclass(slots=True)
class _Grouping:
    """The incidents of one scope while alerts are grouped into them."""

    members: dict[IncidentId, list[Alert]]
    opened_at: dict[IncidentId, Instant]
    closed: set[IncidentId] = field(default_factory=set)
    """Those that are over: only what comes back opens one of them again."""
    reasons: dict[IncidentId, IncidentReason] = field(default_factory=dict)
    merged: dict[IncidentId, IncidentId] = field(default_factory=dict)

    def fitting(self, alert: Alert) -> list[IncidentId]:
        """Return the incidents that an alert fits, the oldest first; else the last one that it opens again."""
        found = [
            id_
            for id_, members in self.members.items()
            if any((goes_on_and_off if id_ in self.closed else linked)(alert, m) for m in members)
        ]
        fits = sorted(found, key=lambda id_: (self.opened_at[id_], id_))
        return [id_ for id_ in fits if id_ not in self.closed] or fits[-1:]

    def place(self, alert: Alert, at: Instant, new_id: Callable[[], IncidentId]) -> None:
        """Put an alert into the incident that it fits, merging several, or into a new one."""
        fits = self.fitting(alert)
        if not fits:
            founded = new_id()
            self.members[founded], self.opened_at[founded] = [alert], at
            return
        oldest, *younger = fits
        self.members[oldest].append(alert)
        if alert.open:
            self.closed.discard(oldest)
        self.reasons.setdefault(oldest, IncidentReason.ALERT_JOINED)
        for one in younger:
            self.members[oldest] += self.members.pop(one)
            self.merged = {gone: oldest if into == one else into for gone, into in self.merged.items()}
            self.merged[one] = oldest
            self.reasons[oldest] = IncidentReason.MERGED


def group(
    alerts: Iterable[Alert],
    incidents: Iterable[Incident],
    *,
    organization: str | None,
    now: Instant,
    new_id: Callable[[], IncidentId],
) -> list[IncidentChange]:
    """Return the changes to the incidents of one shipment, or of the fleet; none if nothing changed.

    `alerts` are those of the incidents and those in none; `incidents` are the open ones, closed ones whose alerts came
    back, and closed ones that an alert in none opens again. Afterwards each unresolved alert is in exactly one open incident.
    """
    before = {one.id: one for one in incidents}
    by_id = {alert.id: alert for alert in alerts}
    grouping = _Grouping(
        members={id_: [by_id[a] for a in one.alert_ids if a in by_id] for id_, one in before.items()},
        opened_at={id_: one.opened_at for id_, one in before.items()},
        closed={
            id_ for id_, one in before.items() if not any(by_id[a].open for a in one.alert_ids if a in by_id)
        },
    )
    placed = {alert.id for members in grouping.members.values() for alert in members}
    for alert in sorted(by_id.values(), key=_age):
        if alert.id not in placed:
            grouping.place(alert, now, new_id)
    changes: list[IncidentChange] = []
    for id_, members in grouping.members.items():
        told = before.get(id_)
        reason = grouping.reasons.get(id_) if told is not None else IncidentReason.ALERT_RAISED
        shipment_id = members[0].shipment_id if members else None
        incident = told or _founded(id_, shipment_id, organization, members, grouping.opened_at[id_])
        changes += _follow(told, described(incident, members), members, reason, now)
    for id_, into in grouping.merged.items():
        changes += _gone(before.get(id_), into, now)
    return changes


def _age(alert: Alert) -> tuple[Instant, str]:
    return alert.raised_at, alert.id


def _upstream(alert: Alert) -> tuple[bool, int, Instant, str]:
    return alert.condition.withdrawn, PLACE[alert.condition.kind], alert.condition.since, alert.id


def _harm(alert: Alert) -> tuple[bool, int, Instant, str]:
    """Return the sort key for the worst alert: by severity, then nearness to the product, then the newest."""
    critical = alert.condition.severity is Severity.CRITICAL
    return critical, PLACE[alert.condition.kind], alert.condition.since, alert.id


def _founded(
    id_: IncidentId,
    shipment_id: str | None,
    organization: str | None,
    members: Sequence[Alert],
    opened_at: Instant,
) -> Incident:
    first = members[0]
    return Incident(
        id=id_,
        shipment_id=shipment_id,
        organization=organization,
        state=IncidentState.OPEN,
        cause_alert_id=first.id,
        kind=first.condition.kind,
        severity=first.condition.severity,
        headline=first.condition.message,
        next_action=KINDS[first.condition.kind].next_action,
        opened_at=opened_at,
        alert_ids=(),
    )


def described(incident: Incident, members: Sequence[Alert]) -> Incident:
    """Return the incident as its alerts describe it; its severity stays once all of them are resolved."""
    if not members:
        return incident
    cause = min(members, key=_upstream)
    unresolved = [alert for alert in members if alert.open]
    worst = max(unresolved or members, key=_harm)
    headline = cause.condition.message
    if worst.condition.message != headline:
        headline += f" → {worst.condition.message}"
    if (times := on_and_off(members)) > 1:
        headline += f" (on and off, {times} times)"
    return replace(
        incident,
        cause_alert_id=cause.id,
        kind=cause.condition.kind,
        severity=worst.condition.severity if unresolved else incident.severity,
        headline=headline,
        next_action=KINDS[worst.condition.kind].next_action,
        alert_ids=tuple(alert.id for alert in sorted(members, key=_age)),
    )


def on_and_off(members: Iterable[Alert]) -> int:
    """Return how often the same has begun on one logger; 1 where nothing goes on and off."""
    anew = [one.condition for one in members if one.condition.kind in COMES_ANEW]
    begun = Counter((one.kind, one.device_id) for one in anew if one.device_id and not one.withdrawn)
    return max(begun.values(), default=1)


def _follow(
    before: Incident | None,
    after: Incident,
    members: Sequence[Alert],
    reason: IncidentReason | None,
    now: Instant,
) -> list[IncidentChange]:
    """Return the changes from before to after; an incident that is over already opens and then closes."""
    steps: list[IncidentChange] = []
    holds = any(alert.open for alert in members)
    if before is not None and before.state is IncidentState.CLOSED and holds:
        reason, after = IncidentReason.CAME_BACK, replace(after, state=IncidentState.OPEN, closed_at=None)
    if before is None:
        steps.append(IncidentChange(before=None, incident=after, reason=IncidentReason.ALERT_RAISED))
    elif after != before:
        changed = reason or _difference(before, after)
        closes = before.state is IncidentState.OPEN and not holds
        if not closes or reason is not None:
            after = replace(after, revision=before.revision + 1)
            steps.append(IncidentChange(before=before, incident=after, reason=changed))
    if after.state is IncidentState.OPEN and not holds:
        last = steps[-1].incident if steps else before
        revision = 1 if last is None else last.revision + 1
        closed = replace(after, state=IncidentState.CLOSED, closed_at=now, revision=revision)
        steps.append(IncidentChange(before=last, incident=closed, reason=IncidentReason.ALL_RESOLVED))
    return steps


def _difference(before: Incident, after: Incident) -> IncidentReason:
    if before.severity is not after.severity:
        return IncidentReason.SEVERITY_CHANGED
    if (before.cause_alert_id, before.next_action) != (after.cause_alert_id, after.next_action):
        return IncidentReason.CAUSE_CHANGED
    return IncidentReason.DETAILS_CHANGED


def _gone(before: Incident | None, into: IncidentId, now: Instant) -> list[IncidentChange]:
    """Close an incident that was merged into another; a new one just disappears, since nobody has seen it."""
    if before is None:
        return []
    closed = replace(
        before,
        state=IncidentState.CLOSED,
        alert_ids=(),
        closed_at=now,
        merged_into=into,
        revision=before.revision + 1,
    )
    return [IncidentChange(before=before, incident=closed, reason=IncidentReason.MERGED)]


def homes(changes: Iterable[IncidentChange]) -> Mapping[str, IncidentId]:
    """Return the incident of each alert after the changes, for alerts that may have moved."""
    last = {change.incident.id: change.incident for change in changes}
    return {alert_id: one.id for one in last.values() for alert_id in one.alert_ids}


def needs_attention(alert: Alert) -> bool:
    """Return whether somebody must look: it fires, or it was resolved and nobody has acknowledged it."""
    return alert.state is AlertState.FIRING or (not alert.open and alert.acknowledged_at is None)
