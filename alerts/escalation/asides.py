"""Pure: who is told beside the climb: a new holder, a new owner, and the site that waits for the shipment."""

from alerts.escalation.course import Course
from alerts.escalation.notice import Purpose, Why
from alerts.escalation.people import Contact
from alerts.escalation.policy import RANK, Role, Step, TellDestination
from alerts.escalation.standing import Phase
from alerts.model import SECOND


def tell_new(course: Course) -> None:
    """Tell who has come to hold the shipment, and whom something was assigned to, once people know of the incident."""
    standing = course.standing
    known_of = bool(standing.recipients or course.telling.recipients) or standing.phase is Phase.QUIET
    holders, owners = course.holders(), course.owners()
    course.change(holders=holders, owners=owners)
    if not known_of:
        return
    meant = course.people.holders()
    if new := [one for one in meant if one.contact_id not in standing.holders]:
        _aside(course, Purpose.HANDOVER, Why.HANDED_OVER, Role.HOLDER, new)
    elif standing.holders and not meant:
        occasion = course.occasion(Why.HANDED_OVER, purpose=Purpose.HANDOVER)
        course.telling.spare(occasion, Why.NO_CONTACT, target=Role.HOLDER)
    assigned = course.people.owners(course.telling.owners)
    if new := [one for one in assigned if one.contact_id not in standing.owners]:
        _aside(course, Purpose.ASSIGNED, Why.ASSIGNED, Role.OWNER, new)


def _aside(course: Course, purpose: Purpose, why: Why, target: Role, meant: list[Contact]) -> None:
    course.change(asides=course.standing.asides + 1)
    occasion = course.occasion(why, purpose=purpose, repeat=course.standing.asides)
    course.telling.everybody(meant, occasion, target)


def tell_destination(course: Course) -> None:
    """Tell the site that waits for the shipment, as the policy has it, whoever has taken the alert."""
    rule = course.policy.tell_destination
    if rule is None or course.standing.destination_told or not _concerned(course, rule):
        return
    since = course.now if course.standing.destination_from is None else course.standing.destination_from
    course.change(destination_from=since)
    if (due := since + rule.after_s * SECOND) > course.now:
        course.wakes.append(due)
        return
    step = Step(after_s=rule.after_s, to=(Role.DESTINATION,))
    occasion = course.occasion(Why.DESTINATION_CONCERNED, purpose=Purpose.DESTINATION, level=0)
    reached = course.telling.step(step, occasion, record_absent=True)
    opening = [
        at
        for one in course.people.meant(Role.DESTINATION)
        if (at := one.next_there(course.now)) is not None and at > course.now
    ]
    if reached or not opening:
        course.change(destination_told=True)
    else:
        course.change(destination_from=min(opening) - rule.after_s * SECOND)
        course.wakes.append(min(opening))


def _concerned(course: Course, rule: TellDestination) -> bool:
    return any(
        one.kind in rule.kinds and RANK[one.severity] >= RANK[rule.min_severity]
        for one in course.incident.open
    )
