"""Pure: who is told beside the climb: a new holder, a new owner, the site that waits, and who was asked, that somebody is on it."""

from collections.abc import Collection

from alerts import wording
from alerts.escalation.episode import Course
from alerts.escalation.notification import Purpose, Why
from alerts.escalation.people import Contact
from alerts.escalation.policy import RANK, Role, Step, TellDestination
from alerts.escalation.progress import Member, Phase, Recipient
from alerts.model import SECOND, Instant
from alerts.wording import KEY


def tell_new(course: Course) -> None:
    """Tell who has come to hold the shipment, and whom something was assigned to, once people know of the incident."""
    standing = course.standing
    known_of = bool(standing.recipients or course.telling.recipients) or standing.phase is Phase.QUIET
    holders, owners = course.holders(), course.owners()
    gone = frozenset() if course.before is None else course.before.holders - holders
    course.change(
        holders=holders,
        owners=owners,
        asked=_without(standing.asked, gone),
        heard=_without(standing.heard, gone),
    )
    if not known_of:
        return
    meant = course.people.holders()
    if new := [one for one in meant if one.contact_id not in standing.holders]:
        _aside(course, Purpose.HANDOVER, Why.HANDED_OVER, Role.HOLDER, new)
    elif standing.holders and not meant:
        occasion = course.occasion(Why.HANDED_OVER, purpose=Purpose.HANDOVER)
        course.telling.spare(occasion, Why.NO_CONTACT, target=Role.HOLDER)
    assigned = course.people.owners(
        one.owner for one in course.incident.open if one.owner is not None and not one.took_it
    )
    if new := [one for one in assigned if one.contact_id not in standing.owners]:
        _aside(course, Purpose.ASSIGNED, Why.ASSIGNED, Role.OWNER, new)


def _without(recipients: frozenset[Recipient], contact_ids: Collection[str]) -> frozenset[Recipient]:
    return frozenset(one for one in recipients if one.contact_id not in contact_ids)


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


def tell_taken(course: Course) -> None:
    """Tell those who were asked that somebody is on it, as the policy has it: once for each who takes it, and not to them."""
    standing, taken = course.standing, _taken(course)
    takers = frozenset(one.owner for one in taken if one.owner is not None)
    if not takers:
        course.change(takers=takers, heard=frozenset())
        return
    new = takers - standing.takers
    audience = standing.asked | standing.heard if new else standing.asked
    course.change(takers=takers, asked=frozenset(), heard=standing.asked | standing.heard)
    if audience and course.policy.tells_taken(course.incident.severity):
        _set_at_ease(course, audience, [one for one in taken if one.owner in (new or takers)])


def _taken(course: Course) -> tuple[Member, ...]:
    """Give what somebody sees to, where nobody is asked to see to anything."""
    return course.incident.taken if course.standing.phase is Phase.QUIET else ()


def _set_at_ease(course: Course, audience: frozenset[Recipient], taken: list[Member]) -> None:
    names = {name for one in taken for name in (one.owner, one.taken_by) if name is not None}
    knowing = {one.contact_id for one in course.people.owners(name.removeprefix(KEY) for name in names)}
    course.change(asides=course.standing.asides + 1)
    occasion = course.occasion(
        Why.TAKEN, purpose=Purpose.TAKEN, repeat=course.standing.asides, detail=_who_and_since(taken)
    )
    course.telling.set_at_ease(audience, occasion, knowing)


def _who_and_since(taken: list[Member]) -> str:
    since: dict[str, Instant] = {}
    for one in taken:
        if one.owner is not None and one.taken_at is not None:
            since[one.owner] = min(one.taken_at, since.get(one.owner, one.taken_at))
    return " ".join(wording.on_it(name, at) for name, at in sorted(since.items()))
