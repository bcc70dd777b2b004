"""Pure: decide who is told of an incident now, who is not and why, and when to decide again.

An incident climbs its policy's steps until somebody takes it. What fires after a rest is a new episode: from the level
that it had come to where it is the same that fires again, from the first step where it has become worse or come back.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from alerts.escalation.deciding.also_told import tell_destination, tell_new, tell_taken
from alerts.escalation.deciding.coming_back import note_return
from alerts.escalation.deciding.draft import DecisionDraft
from alerts.escalation.deciding.notification import Notification, Purpose, Why
from alerts.escalation.deciding.progress import EscalatedIncident, EscalationProgress
from alerts.escalation.deciding.quiet import end, merge, stay_quiet, tell_withdrawn
from alerts.escalation.deciding.steps import fire
from alerts.escalation.people import People
from alerts.escalation.policy import Policy, choose
from alerts.model import SECOND, Instant

_ABSENT = {Why.OUTSIDE_OFFICE_HOURS, Why.NO_CHANNEL, Why.NO_CONTACT, Why.NOBODY_TO_TELL}


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """The decision about one incident."""

    progress: EscalationProgress
    notifications: tuple[Notification, ...]
    next_at: Instant | None
    """When to decide again if nothing changes first; None if there is nothing to wait for."""


def decide(
    incident: EscalatedIncident,
    before: EscalationProgress | None,
    policies: Iterable[Policy],
    people: People,
    now: Instant,
) -> Decided:
    """Decide who is told of an incident at `now`, given its progress so far."""
    policy = policy_of(incident, policies, people)
    if before is not None:
        before = before.by_the_clock(now, policy.group_wait_s * SECOND)
    draft = DecisionDraft.of(incident, before, policy, people, now)
    note_return(draft)
    if incident.merged or not incident.members:
        merge(draft)
    elif incident.active:
        fire(draft)
    elif incident.open:
        stay_quiet(draft)
    else:
        end(draft)
    if incident.open and not incident.merged:
        tell_new(draft)
        tell_destination(draft)
        tell_taken(draft)
        tell_withdrawn(draft)
    heard = bool(draft.progress.takers)  # what asks for it says who is on it
    progress = replace(
        draft.progress,
        asked=draft.progress.asked | (frozenset() if heard else draft.out.asked),
        heard=draft.progress.heard | (draft.out.asked if heard else frozenset()),
        known=draft.progress.known | {one.alert_id for one in incident.members},
        recipients=draft.progress.recipients | draft.out.recipients,
    )
    next_at = max(now, min(draft.wakes)) if draft.wakes else None
    return Decided(progress=progress, notifications=tuple(_new(draft)), next_at=next_at)


def _new(draft: DecisionDraft) -> Iterator[Notification]:
    """Yield the decisions, without repeating why nobody can be told where that is on record already."""
    for notification in draft.out.notifications:
        said = notification.why in _ABSENT and notification.purpose is Purpose.ESCALATION
        if not (said and draft.found_nobody and draft.progress.nobody):
            yield notification


def policy_of(incident: EscalatedIncident, policies: Iterable[Policy], people: People) -> Policy:
    """Return the policy that applies to an incident now."""
    return choose(
        policies,
        organization=incident.organization,
        origin=people.custody.origin,
        destination=people.custody.destination,
        severity=incident.severity,
    )
