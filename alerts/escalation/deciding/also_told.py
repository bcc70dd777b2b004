"""Pure: who is told besides the policy's steps: a new holder, a new owner, the destination, and everybody who was asked once somebody takes it."""

from collections.abc import Collection, Iterable

from alerts import wording
from alerts.escalation.deciding.draft import DecisionDraft
from alerts.escalation.deciding.notification import Purpose, Why
from alerts.escalation.deciding.progress import Member, Phase, Recipient
from alerts.escalation.people import Contact, name_of
from alerts.escalation.policy import RANK, Role, Step, TellDestination
from alerts.model import SECOND, Instant


def tell_new(draft: DecisionDraft) -> None:
    """Tell new holders of the shipment and new owners of alerts, once anybody has been told of the incident."""
    progress = draft.progress
    known_of = bool(progress.recipients or draft.out.recipients) or progress.phase is Phase.QUIET
    holders, owners = draft.holders(), draft.owners()
    gone = frozenset() if draft.before is None else draft.before.holders - holders
    draft.change(
        holders=holders,
        owners=owners,
        asked=_without(progress.asked, gone),
        heard=_without(progress.heard, gone),
    )
    if not known_of:
        return
    meant = draft.people.holders()
    if new := [one for one in meant if one.contact_id not in progress.holders]:
        _tell_also(draft, Purpose.HANDOVER, Why.HANDED_OVER, Role.HOLDER, new)
    elif progress.holders and not meant:
        about = draft.message(Why.HANDED_OVER, purpose=Purpose.HANDOVER)
        draft.out.skip(about, Why.NO_CONTACT, target=Role.HOLDER)
    assigned = draft.people.owners(
        one.owner for one in draft.incident.open if one.owner is not None and not one.took_it
    )
    if new := [one for one in assigned if one.contact_id not in progress.owners]:
        _tell_also(draft, Purpose.ASSIGNED, Why.ASSIGNED, Role.OWNER, new)


def _without(recipients: frozenset[Recipient], contact_ids: Collection[str]) -> frozenset[Recipient]:
    return frozenset(one for one in recipients if one.contact_id not in contact_ids)


def _tell_also(draft: DecisionDraft, purpose: Purpose, why: Why, target: Role, meant: list[Contact]) -> None:
    draft.change(also_told=draft.progress.also_told + 1)
    about = draft.message(why, purpose=purpose, repeat=draft.progress.also_told)
    draft.out.everybody(meant, about, target)


def tell_destination(draft: DecisionDraft) -> None:
    """Tell the destination if the policy says so, whoever has taken the alert."""
    rule = draft.policy.tell_destination
    if rule is None or draft.progress.destination_told or not _concerned(draft, rule):
        return
    since = _concerned_from(draft, rule)
    draft.change(destination_from=since)
    if (due := since + rule.after_s * SECOND) > draft.now:
        draft.wakes.append(due)
        return
    step = Step(after_s=rule.after_s, to=(Role.DESTINATION,))
    about = draft.message(Why.DESTINATION_CONCERNED, purpose=Purpose.DESTINATION, level=0)
    reached = draft.out.step(step, about, record_absent=True)
    opening = _openings(draft)
    if reached or not opening:
        draft.change(destination_told=True)
    else:
        draft.change(destination_from=min(opening) - rule.after_s * SECOND)
        draft.wakes.append(min(opening))


def _concerned_from(draft: DecisionDraft, rule: TellDestination) -> Instant:
    """Return from when on the policy's time counts; in the future only where it ends as the destination opens.

    Any other instant in the future was set by a clock that was ahead.
    """
    since = draft.progress.destination_from
    if since is None:
        return draft.now
    if since <= draft.now or since + rule.after_s * SECOND in _openings(draft):
        return since
    return draft.now


def _openings(draft: DecisionDraft) -> list[Instant]:
    """Return when the contacts of the destination who are away now are there next."""
    return [
        at
        for one in draft.people.meant(Role.DESTINATION)
        if (at := one.next_there(draft.now)) is not None and at > draft.now
    ]


def _concerned(draft: DecisionDraft, rule: TellDestination) -> bool:
    return any(
        one.kind in rule.kinds and RANK[one.severity] >= RANK[rule.min_severity]
        for one in draft.incident.open
    )


def tell_taken(draft: DecisionDraft) -> None:
    """Tell everybody who was asked that somebody has taken it, if the policy says so: once for each taker, and not the taker."""
    progress, taken = draft.progress, _taken(draft)
    takers = frozenset(one.owner for one in taken if one.owner is not None)
    if not takers:
        draft.change(takers=takers, heard=frozenset())
        return
    new = takers - progress.takers
    audience = progress.asked | progress.heard if new else progress.asked
    draft.change(takers=takers, asked=frozenset(), heard=progress.asked | progress.heard)
    if audience and draft.policy.tells_taken(draft.incident.severity):
        _tell_taken_to(draft, audience, [one for one in taken if one.owner in (new or takers)])


def _taken(draft: DecisionDraft) -> tuple[Member, ...]:
    """Return the alerts that somebody has taken, if nobody is being asked any more."""
    return draft.incident.taken if draft.progress.phase is Phase.QUIET else ()


def _tell_taken_to(draft: DecisionDraft, audience: frozenset[Recipient], taken: list[Member]) -> None:
    names = {name_of(who) for one in taken for who in (one.owner, one.taken_by) if who is not None}
    knowing = {one.contact_id for one in draft.people.owners(names)}
    draft.change(also_told=draft.progress.also_told + 1)
    about = draft.message(
        Why.TAKEN, purpose=Purpose.TAKEN, repeat=draft.progress.also_told, detail=who_and_since(draft, taken)
    )
    draft.out.tell_taken(audience, about, knowing)


def who_and_since(draft: DecisionDraft, taken: Iterable[Member]) -> str:
    """Return who has taken alerts, by their names, and since when."""
    since: dict[str, Instant] = {}
    for one in taken:
        if one.owner is not None and one.taken_at is not None:
            name = draft.people.called(one.owner)
            since[name] = min(one.taken_at, since.get(name, one.taken_at))
    return " ".join(wording.on_it(name, at) for name, at in sorted(since.items()))
