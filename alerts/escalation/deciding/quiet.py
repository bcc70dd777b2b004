"""Pure: incidents that nobody is asked about: taken, snoozed or over."""

from collections.abc import Iterable

from alerts.alert_kinds import KINDS
from alerts.escalation.deciding.also_told import who_and_since
from alerts.escalation.deciding.coming_back import end_told_at, skip_return
from alerts.escalation.deciding.draft import DecisionDraft
from alerts.escalation.deciding.notification import WORDS, Purpose, Why
from alerts.escalation.deciding.progress import EscalationProgress, Member, Phase, furthest, worst
from alerts.escalation.deciding.steps import take_step, tell_last_resort
from alerts.escalation.policy import RANK
from alerts.model import Severity
from alerts.triage.alert import AlertState


def stay_quiet(draft: DecisionDraft) -> None:
    """Tell nobody while it is taken or snoozed, and record who is not told."""
    snoozed = any(one.state is AlertState.SNOOZED for one in draft.incident.open)
    why = Why.SNOOZED if snoozed else Why.ACKNOWLEDGED
    known = frozenset() if draft.before is None else draft.before.known
    if draft.was_over:
        draft.begin(Why.BEGAN if draft.before is None else Why.CAME_BACK, wait=True)
    if draft.before is None or draft.before.phase is not Phase.QUIET:
        next_level = min(draft.progress.level + 1, len(draft.policy.steps))
        who = "" if snoozed else who_and_since(draft, draft.incident.taken)
        draft.out.skip(draft.message(why, level=next_level), why, detail=f"{WORDS[why]} {who}".rstrip())
    for one in draft.incident.open:
        if one.is_untaken and one.alert_id not in known:
            draft.out.skip(draft.message(why), Why.TAKEN_WITH_INCIDENT, alert_ids=(one.alert_id,))
    draft.change(
        phase=Phase.QUIET,
        why=Why.SNOOZE_ENDED if snoozed else Why.ACKNOWLEDGEMENT_EXPIRED,
        nobody=False,
    )
    draft.come_to_now()
    draft.change(severity=worst(draft.incident.open))
    draft.wakes += [one.snoozed_until for one in draft.incident.open if one.snoozed_until is not None]


def end(draft: DecisionDraft) -> None:
    """Tell those who were told that it is over; tell once of what was over before anybody knew."""
    before = draft.before
    found = [one for one in draft.incident.members if before is None or one.alert_id not in before.known]
    if before is not None and draft.was_over and not (found or before.nobody):
        return
    told = before is not None and bool(before.recipients) and not draft.was_over
    worse = before is not None and _is_worse(draft.incident.members, found, before)
    concerns = _concerned(draft.incident.members if not draft.was_over or draft.found_nobody else found)
    if told and not worse:
        if (tells_at := end_told_at(draft)) > draft.now:
            draft.wakes.append(tells_at)
            return
        _tell_end(draft)
    elif concerns and draft.progress.returns and not (worse or draft.found_nobody):
        skip_return(draft)  # they know that it goes on and off, and that it is over
    elif concerns:
        _tell_though_over(draft)
        draft.change(phase=Phase.OVER)
        return
    else:
        draft.out.skip(draft.message(Why.RESOLVED_BEFORE_TOLD), Why.RESOLVED_BEFORE_TOLD)
    draft.change(phase=Phase.OVER, nobody=False)


def merge(draft: DecisionDraft) -> None:
    """Stop telling of an incident that was merged into another one."""
    if not draft.was_over:
        draft.out.skip(draft.message(Why.MERGED), Why.MERGED, alert_ids=())
    draft.change(phase=Phase.OVER, nobody=False)


def _is_worse(members: Iterable[Member], found: Iterable[Member], before: EscalationProgress) -> bool:
    """Return whether what is over was worse than anything that was told while it went on."""
    severity = worst(one for one in found if _concerns(one))
    stage = furthest(one for one in members if _concerns(one))
    return RANK[severity] > RANK[before.severity] or stage > before.furthest


def _concerned(members: Iterable[Member]) -> bool:
    return any(map(_concerns, members))


def _concerns(member: Member) -> bool:
    """Return whether people must hear of it although it is over: excursions, and whatever is critical."""
    of_weight = member.severity is Severity.CRITICAL or KINDS[member.kind].told.though_over
    is_none = member.withdrawn and member.withdrawn_by is None
    return of_weight and not (is_none or member.acknowledged)


def _tell_though_over(draft: DecisionDraft) -> None:
    """Take steps until one reaches somebody; there is nothing to wait for in between."""
    why = Why.WITHDRAWN_BY_ACT if withdrawn_by_act(draft) else Why.OVER_WHEN_FOUND
    if not draft.found_nobody:
        draft.begin(why)
    draft.change(why=why, level=0, told=())
    draft.come_to_now()
    draft.change(withdrawn=draft.progress.withdrawn | {one.alert_id for one in withdrawn_by_act(draft)})
    for step in draft.policy.steps:
        take_step(draft, step)
        if draft.progress.told:
            return
    tell_last_resort(draft)


def _tell_end(draft: DecisionDraft) -> None:
    members = draft.incident.members
    withdrawn = all(one.withdrawn for one in members)
    why, detail = Why.WITHDRAWN if withdrawn else Why.RESOLVED, None
    untold = withdrawn_by_act(draft)
    # Where nothing is left, an act is the reason also if somebody had acknowledged what it withdrew.
    if gone := untold or [one for one in members if withdrawn and one.withdrawn_by is not None]:
        why, detail = Why.WITHDRAWN_BY_ACT, in_words(gone)
        draft.change(withdrawn=draft.progress.withdrawn | {one.alert_id for one in gone})
    about = draft.message(why, purpose=Purpose.RESOLVED, detail=detail)
    draft.out.inform(draft.progress.recipients, about)


def tell_withdrawn(draft: DecisionDraft) -> None:
    """Tell those who were told, once, that an act has withdrawn an alert that nobody had acknowledged, while others go on."""
    gone = withdrawn_by_act(draft)
    recipients = draft.progress.recipients | draft.out.recipients
    if not gone or not recipients:
        return
    draft.change(
        also_told=draft.progress.also_told + 1,
        withdrawn=draft.progress.withdrawn | {one.alert_id for one in gone},
    )
    about = draft.message(
        Why.WITHDRAWN_BY_ACT,
        purpose=Purpose.WITHDRAWN,
        repeat=draft.progress.also_told,
        detail=in_words(gone),
    )
    draft.out.inform(recipients, about)


def withdrawn_by_act(draft: DecisionDraft) -> list[Member]:
    """Return the alerts that an act has withdrawn unacknowledged, as far as that was not told."""
    return [
        one
        for one in draft.incident.members
        if one.withdrawn_by is not None
        and not one.acknowledged
        and one.alert_id not in draft.progress.withdrawn
    ]


def in_words(gone: Iterable[Member]) -> str:
    """Return who took alerts off the record, and why, each act once."""
    acts = dict.fromkeys(one.withdrawn_by for one in gone if one.withdrawn_by is not None)
    return f"{WORDS[Why.WITHDRAWN_BY_ACT]} {' '.join(f'{act[:1].upper()}{act[1:]}.' for act in acts)}"
