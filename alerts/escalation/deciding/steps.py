"""Pure: the climb of an incident that nobody has taken, from step to step, and its reminders."""

from alerts.escalation.deciding.coming_back import came_back_worse, skip_return
from alerts.escalation.deciding.draft import DecisionDraft
from alerts.escalation.deciding.notification import Why
from alerts.escalation.deciding.progress import EscalationProgress, LevelTold, Phase
from alerts.escalation.policy import RANK, Step
from alerts.model import SECOND, Instant, Severity
from alerts.triage.incidents import COMES_ANEW

NOBODY_RETRY = 300 * SECOND
"""How soon it is looked again for somebody to tell; a new contact has it looked at once."""

_QUIET_ENDED = {Why.ACKNOWLEDGEMENT_EXPIRED, Why.SNOOZE_ENDED}


def fire(draft: DecisionDraft) -> None:
    """Tell whoever is due of an incident that nobody has taken."""
    before, severity = draft.before, draft.incident.severity
    passed = 0
    if before is None or draft.was_over:
        draft.begin(Why.BEGAN if before is None else Why.CAME_BACK, wait=not came_back_worse(draft))
    elif RANK[severity] > RANK[before.severity]:
        draft.begin_worse(Why.SEVERITY_ROSE)
    elif before.phase is Phase.QUIET:
        _resume_after_quiet(draft, before)
        passed = draft.progress.level
    elif draft.incident.stage > before.stage:
        draft.begin_worse(Why.WORSENED)
    else:
        _record_joined(draft, before)
    draft.come_to_now()
    draft.change(phase=Phase.CLIMBING)
    _take_due_steps(draft)
    if passed and not draft.progress.told:
        _tell_lower_steps(draft, passed)
    if draft.progress.level >= len(draft.policy.steps) and not draft.progress.told:
        tell_last_resort(draft)
    _remind(draft)


def _resume_after_quiet(draft: DecisionDraft, before: EscalationProgress) -> None:
    """Fire after a rest: what is worse begins anew, the same goes on from the level it had come to."""
    new = [one for one in draft.incident.active if one.alert_id not in before.known]
    if any(one.severity is Severity.CRITICAL for one in new):
        draft.begin_worse(Why.CRITICAL_JOINED)
        return
    if draft.incident.stage > before.stage:
        draft.begin_worse(Why.WORSENED)
        return
    steps = draft.policy.steps
    level = min(before.level, len(steps))
    draft.change(
        episode=before.episode + 1,
        base=draft.now - steps[level - 1].after_s * SECOND if level else min(before.base, draft.now),
        level=max(0, level - 1),
        unreached=False,
        deferred=0,
        told=(),
    )
    if level:
        draft.change(why=before.why if before.why in _QUIET_ENDED else Why.UNTAKEN)


def _record_joined(draft: DecisionDraft, before: EscalationProgress) -> None:
    came_back = before.over_since is not None
    if came_back:
        skip_return(draft)
    for one in draft.incident.active:
        if one.alert_id not in before.known and not (came_back and one.kind in COMES_ANEW):
            draft.out.skip(draft.message(Why.GROUPED), Why.GROUPED, alert_ids=(one.alert_id,))


def _take_due_steps(draft: DecisionDraft) -> None:
    steps = draft.policy.steps
    while draft.progress.level < len(steps):
        step = steps[draft.progress.level]
        due = draft.progress.base + step.after_s * SECOND
        if due > draft.now and not draft.progress.unreached:
            draft.wakes.append(due)
            return
        if (opens := draft.opens(step)) is not None:
            _defer(draft, opens)
            return
        take_step(draft, step)


def _tell_lower_steps(draft: DecisionDraft, passed: int) -> None:
    """Tell whom the steps below mean, the last one first: after a rest nobody may be there at the level it had come to."""
    level = draft.progress.level
    for place in reversed(range(passed)):
        draft.change(level=place)
        take_step(draft, draft.policy.steps[place])
        if draft.progress.told:
            break
    draft.change(level=level)


def take_step(draft: DecisionDraft, step: Step) -> None:
    """Take the next step: tell whom it means."""
    level = draft.progress.level + 1
    draft.change(level=level)
    reached = draft.out.step(step, draft.message(_why(draft)), record_absent=not draft.found_nobody)
    told = (*draft.progress.told, LevelTold(level, draft.now, 0)) if reached else draft.progress.told
    draft.change(unreached=not reached, told=told, nobody=draft.progress.nobody and not reached)


def _why(draft: DecisionDraft) -> Why:
    """Return why a step is taken: nobody has taken it, if anybody was told before; else what it began with."""
    if any(one.at < draft.now for one in draft.progress.told):
        return Why.NOT_ACKNOWLEDGED
    late = draft.found_nobody and draft.progress.why is not Why.WITHDRAWN_BY_ACT
    return Why.NOBODY_BEFORE if late else draft.progress.why


def tell_last_resort(draft: DecisionDraft) -> None:
    """Tell the contacts of the last resort; without any, keep looking for somebody."""
    level = len(draft.policy.steps) + 1
    why = Why.NOBODY_ELSE if _why(draft) is Why.BEGAN else _why(draft)
    about = draft.message(why, level=level)
    if draft.out.last_resort(about, record=not draft.found_nobody):
        draft.change(nobody=False, unreached=False, told=(LevelTold(level, draft.now, 0),))
        return
    if not draft.found_nobody:
        draft.out.skip(about, Why.NOBODY_TO_TELL)
    draft.change(nobody=True, level=0, base=draft.now)
    draft.wakes.append(draft.now + NOBODY_RETRY)


def _defer(draft: DecisionDraft, opens: Instant) -> None:
    """Have a step wait until somebody whom it asks is there."""
    level = draft.progress.level + 1
    draft.wakes.append(opens)
    if draft.progress.deferred != level:
        draft.out.skip(draft.message(Why.WAITS_FOR_OFFICE_HOURS, level=level), Why.WAITS_FOR_OFFICE_HOURS)
    draft.change(deferred=level)


def _remind(draft: DecisionDraft) -> None:
    """Tell again whom nothing was heard of since, each level by its own interval."""
    steps, told = draft.policy.steps, []
    for one in draft.progress.told:
        step = steps[one.level - 1] if one.level <= len(steps) else None
        every = SECOND * ((step and step.repeat_s) or draft.policy.repeat_s)
        opens = None if step is None else draft.opens(step)
        if one.at + every <= draft.now and opens is None:
            told.append(_remind_level(draft, one, step))
        else:
            told.append(one)
        due = told[-1].at + every
        draft.wakes.append(due if opens is None else max(due, opens))
    draft.change(told=tuple(told))


def _remind_level(draft: DecisionDraft, one: LevelTold, step: Step | None) -> LevelTold:
    about = draft.message(Why.REPEATED, level=one.level, repeat=one.repeats + 1)
    if step is None:
        draft.out.last_resort(about, record=True)
    else:
        draft.out.step(step, about, record_absent=False)
    return LevelTold(one.level, draft.now, one.repeats + 1)
