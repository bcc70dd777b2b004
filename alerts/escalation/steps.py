"""Pure: the climb of an incident that nobody has taken, from step to step, and its reminders."""

from alerts.escalation.episode import Course
from alerts.escalation.notification import Why
from alerts.escalation.policy import RANK, Step
from alerts.escalation.progress import Phase, Standing, Told
from alerts.model import SECOND, Instant, Severity

NOBODY_RETRY = 300 * SECOND
"""How soon it is looked again for somebody to tell; a new contact has it looked at once."""

_RESTED = {Why.ACKNOWLEDGEMENT_EXPIRED, Why.SNOOZE_ENDED}


def fire(course: Course) -> None:
    """Tell whoever is due of an incident that nobody has taken."""
    before, severity = course.before, course.incident.severity
    passed = 0
    if before is None or course.was_over:
        course.begin(Why.BEGAN if before is None else Why.CAME_BACK, wait=True)
    elif RANK[severity] > RANK[before.severity]:
        course.begin(Why.SEVERITY_ROSE)
    elif before.phase is Phase.QUIET:
        _fire_again(course, before)
        passed = course.standing.level
    else:
        _record_joined(course, before)
    course.change(severity=severity, phase=Phase.CLIMBING)
    _climb(course)
    if passed and not course.standing.told:
        _step_down(course, passed)
    if course.standing.level >= len(course.policy.steps) and not course.standing.told:
        resort(course)
    _remind(course)


def _fire_again(course: Course, before: Standing) -> None:
    """Fire after a rest: what is new and critical begins anew, the same goes on from the level it had come to."""
    new = [one for one in course.incident.active if one.alert_id not in before.known]
    if any(one.severity is Severity.CRITICAL for one in new):
        course.begin(Why.CRITICAL_JOINED)
        return
    steps = course.policy.steps
    level = min(before.level, len(steps))
    course.change(
        episode=before.episode + 1,
        base=course.now - steps[level - 1].after_s * SECOND if level else min(before.base, course.now),
        level=max(0, level - 1),
        unreached=False,
        deferred=0,
        told=(),
    )
    if level:
        course.change(why=before.why if before.why in _RESTED else Why.UNTAKEN)


def _record_joined(course: Course, before: Standing) -> None:
    for one in course.incident.active:
        if one.alert_id not in before.known:
            course.telling.spare(course.occasion(Why.GROUPED), Why.GROUPED, alert_ids=(one.alert_id,))


def _climb(course: Course) -> None:
    steps = course.policy.steps
    while course.standing.level < len(steps):
        step = steps[course.standing.level]
        due = course.standing.base + step.after_s * SECOND
        if due > course.now and not course.standing.unreached:
            course.wakes.append(due)
            return
        if (opens := course.opens(step)) is not None:
            _defer(course, opens)
            return
        take(course, step)


def _step_down(course: Course, passed: int) -> None:
    """Tell whom the steps below mean, the last one first: after a rest nobody may be there at the level it had come to."""
    level = course.standing.level
    for place in reversed(range(passed)):
        course.change(level=place)
        take(course, course.policy.steps[place])
        if course.standing.told:
            break
    course.change(level=level)


def take(course: Course, step: Step) -> None:
    """Take the next step: tell whom it means."""
    level = course.standing.level + 1
    course.change(level=level)
    why = Why.NOT_ACKNOWLEDGED if course.standing.told else course.standing.why
    reached = course.telling.step(step, course.occasion(why), record_absent=not course.found_nobody)
    told = (*course.standing.told, Told(level, course.now, 0)) if reached else course.standing.told
    course.change(unreached=not reached, told=told, nobody=course.standing.nobody and not reached)


def resort(course: Course) -> None:
    """Tell the contacts of the last resort; without any, keep looking for somebody."""
    level = len(course.policy.steps) + 1
    why = Why.NOBODY_ELSE if course.standing.why is Why.BEGAN else course.standing.why
    occasion = course.occasion(why, level=level)
    if course.telling.last_resort(occasion, record=not course.found_nobody):
        course.change(nobody=False, unreached=False, told=(Told(level, course.now, 0),))
        return
    if not course.found_nobody:
        course.telling.spare(occasion, Why.NOBODY_TO_TELL)
    course.change(nobody=True, level=0, base=course.now)
    course.wakes.append(course.now + NOBODY_RETRY)


def _defer(course: Course, opens: Instant) -> None:
    """Have a step wait until somebody whom it asks is there."""
    level = course.standing.level + 1
    course.wakes.append(opens)
    if course.standing.deferred != level:
        course.telling.spare(
            course.occasion(Why.WAITS_FOR_OFFICE_HOURS, level=level), Why.WAITS_FOR_OFFICE_HOURS
        )
    course.change(deferred=level)


def _remind(course: Course) -> None:
    """Tell again whom nothing was heard of since, each level by its own interval."""
    steps, told = course.policy.steps, []
    for one in course.standing.told:
        step = steps[one.level - 1] if one.level <= len(steps) else None
        every = SECOND * ((step and step.repeat_s) or course.policy.repeat_s)
        opens = None if step is None else course.opens(step)
        if one.at + every <= course.now and opens is None:
            told.append(_told_again(course, one, step))
        else:
            told.append(one)
        due = told[-1].at + every
        course.wakes.append(due if opens is None else max(due, opens))
    course.change(told=tuple(told))


def _told_again(course: Course, one: Told, step: Step | None) -> Told:
    occasion = course.occasion(Why.REPEATED, level=one.level, repeat=one.repeats + 1)
    if step is None:
        course.telling.last_resort(occasion, record=True)
    else:
        course.telling.step(step, occasion, record_absent=False)
    return Told(one.level, course.now, one.repeats + 1)
