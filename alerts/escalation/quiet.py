"""Pure: incidents that somebody has taken, that are snoozed, or that are over."""

from collections.abc import Iterable

from alerts.escalation.episode import Course
from alerts.escalation.notification import Purpose, Why
from alerts.escalation.policy import RANK
from alerts.escalation.progress import Member, Phase, worst
from alerts.escalation.steps import resort, take
from alerts.model import AlertKind, Severity
from alerts.triage.alert import AlertState

_TOLD_THOUGH_OVER = {AlertKind.EXCURSION, AlertKind.BUDGET_EXHAUSTED}


def rest(course: Course) -> None:
    """Tell nobody while somebody has it or it is snoozed; it is on record who is not told."""
    snoozed = any(one.state is AlertState.SNOOZED for one in course.incident.open)
    why = Why.SNOOZED if snoozed else Why.ACKNOWLEDGED
    known = frozenset() if course.before is None else course.before.known
    if course.was_over:
        course.begin(Why.BEGAN if course.before is None else Why.CAME_BACK, wait=True)
    if course.before is None or course.before.phase is not Phase.QUIET:
        next_level = min(course.standing.level + 1, len(course.policy.steps))
        course.telling.spare(course.occasion(why, level=next_level), why)
    for one in course.incident.open:
        if one.is_untaken and one.alert_id not in known:
            course.telling.spare(course.occasion(why), Why.TAKEN_WITH_INCIDENT, alert_ids=(one.alert_id,))
    course.change(
        phase=Phase.QUIET,
        why=Why.SNOOZE_ENDED if snoozed else Why.ACKNOWLEDGEMENT_EXPIRED,
        severity=worst(course.incident.open),
        nobody=False,
    )
    course.wakes += [one.snoozed_until for one in course.incident.open if one.snoozed_until is not None]


def end(course: Course) -> None:
    """Tell those who were told that it is over; and what was over before it was known, once."""
    before = course.before
    found = [one for one in course.incident.members if before is None or one.alert_id not in before.known]
    if before is not None and course.was_over and not (found or before.nobody):
        return
    told = before is not None and bool(before.recipients) and not course.was_over
    worse = told and before is not None and RANK[_concern(found)] > RANK[before.severity]
    if told and not worse:
        _tell_end(course)
    elif _concerned(course.incident.members if not course.was_over or course.found_nobody else found):
        _tell_though_over(course)
        course.change(phase=Phase.OVER)
        return
    else:
        course.telling.spare(course.occasion(Why.RESOLVED_BEFORE_TOLD), Why.RESOLVED_BEFORE_TOLD)
    course.change(phase=Phase.OVER, nobody=False)


def merge(course: Course) -> None:
    """Leave an incident whose alerts are another one's now; that one tells."""
    if not course.was_over:
        course.telling.spare(course.occasion(Why.MERGED), Why.MERGED, alert_ids=())
    course.change(phase=Phase.OVER, nobody=False)


def _concern(members: Iterable[Member]) -> Severity:
    return worst(one for one in members if _concerns(one))


def _concerned(members: Iterable[Member]) -> bool:
    return any(map(_concerns, members))


def _concerns(member: Member) -> bool:
    """Tell whether somebody has to know of it although it is over: of the payload's temperature, and what is critical."""
    of_weight = member.severity is Severity.CRITICAL or member.kind in _TOLD_THOUGH_OVER
    return of_weight and not (member.withdrawn or member.acknowledged)


def _tell_though_over(course: Course) -> None:
    """Take steps until one reaches somebody: there is nothing left to climb for."""
    if not course.found_nobody:
        course.begin(Why.OVER_WHEN_FOUND)
    course.change(why=Why.OVER_WHEN_FOUND, level=0, told=(), severity=course.incident.severity)
    for step in course.policy.steps:
        take(course, step)
        if course.standing.told:
            return
    resort(course)


def _tell_end(course: Course) -> None:
    withdrawn = all(one.withdrawn for one in course.incident.members)
    why = Why.WITHDRAWN if withdrawn else Why.RESOLVED
    course.telling.inform(course.standing.recipients, course.occasion(why, purpose=Purpose.RESOLVED))
