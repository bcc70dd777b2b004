"""Pure: who is told of an incident now, who is not and why, and when to look at it again.

An incident climbs its policy's steps until somebody takes it. What fires after a rest is a new episode: from the level
that it had come to where it is the same that fires again, from the first step where it has become worse or come back.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from alerts.escalation.also_told import tell_destination, tell_new, tell_taken
from alerts.escalation.episode import Course
from alerts.escalation.notification import Notice, Purpose, Why
from alerts.escalation.people import People
from alerts.escalation.policy import Policy, choose
from alerts.escalation.progress import Case, Standing
from alerts.escalation.quiet import end, merge, rest
from alerts.escalation.steps import fire
from alerts.model import Instant

_ABSENT = {Why.OUTSIDE_OFFICE_HOURS, Why.NO_CHANNEL, Why.NO_CONTACT, Why.NOBODY_TO_TELL}


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """What was decided of an incident."""

    standing: Standing
    notices: tuple[Notice, ...]
    next_at: Instant | None
    """When to decide again, if nothing changes before; None where there is nothing to wait for."""


def decide(
    incident: Case, before: Standing | None, policies: Iterable[Policy], people: People, now: Instant
) -> Decided:
    """Decide who is told of an incident at `now`, given where it stood before."""
    course = Course.of(incident, before, policy_of(incident, policies, people), people, now)
    if incident.merged or not incident.members:
        merge(course)
    elif incident.active:
        fire(course)
    elif incident.open:
        rest(course)
    else:
        end(course)
    if incident.open and not incident.merged:
        tell_new(course)
        tell_destination(course)
        tell_taken(course)
    heard = bool(course.standing.takers)  # what asks for it says who is on it
    standing = replace(
        course.standing,
        asked=course.standing.asked | (frozenset() if heard else course.telling.asked),
        heard=course.standing.heard | (course.telling.asked if heard else frozenset()),
        known=course.standing.known | {one.alert_id for one in incident.members},
        recipients=course.standing.recipients | course.telling.recipients,
    )
    next_at = max(now, min(course.wakes)) if course.wakes else None
    return Decided(standing=standing, notices=tuple(_new(course)), next_at=next_at)


def _new(course: Course) -> Iterator[Notice]:
    """Yield the decisions, without those that say once more, where there was and is nobody to tell, why that is so."""
    for notice in course.telling.notices:
        said = notice.why in _ABSENT and notice.purpose is Purpose.ESCALATION
        if not (said and course.found_nobody and course.standing.nobody):
            yield notice


def policy_of(incident: Case, policies: Iterable[Policy], people: People) -> Policy:
    """Give the policy that an incident goes by now."""
    return choose(
        policies,
        organization=incident.organization,
        origin=people.custody.origin,
        destination=people.custody.destination,
        severity=incident.severity,
    )
