"""Pure: an incident that goes on and off: people hear that it is over once it stays over, and not each time."""

from typing import Final

from alerts.escalation.deciding.draft import DecisionDraft
from alerts.escalation.deciding.notification import Why
from alerts.escalation.policy import RANK
from alerts.model import SECOND, Duration, Instant
from alerts.triage.incidents import COMES_ANEW, COMES_BACK

SHORT: Final[Duration] = 600 * SECOND
"""The end of what lasted for less is told once it has been over for as long as this: it may come back."""


def note_return(draft: DecisionDraft) -> None:
    """Note when the incident ended, and when it came back and how often that was soon after."""
    progress, now, is_open = draft.progress, draft.now, bool(draft.incident.open)
    if draft.before is None:
        draft.change(on_since=now, over_since=None if is_open else now)
    elif progress.over_since is None:
        draft.change(over_since=None if is_open else now)
    elif is_open or any(one.alert_id not in progress.known for one in draft.incident.members):
        is_soon = now - progress.over_since <= COMES_BACK
        draft.change(
            on_since=now,
            over_since=None if is_open else now,  # it came back, and is over again by now
            returns=progress.returns + 1 if is_soon else 0,
        )


def skip_return(draft: DecisionDraft) -> None:
    """Tell nobody that it came back, and put that on record: once, as long as it goes on and off."""
    if not draft.progress.silent_returns:
        draft.out.skip(draft.message(Why.GOES_ON_AND_OFF), Why.GOES_ON_AND_OFF)
    draft.change(silent_returns=draft.progress.silent_returns + 1)


def came_back_worse(draft: DecisionDraft) -> bool:
    """Return whether it came back soon, and worse than people heard that it was: they hear of that at once."""
    before, incident = draft.before, draft.incident
    if before is None or not draft.progress.returns:
        return False
    return RANK[incident.severity] > RANK[before.severity] or incident.stage > before.furthest


def end_told_at(draft: DecisionDraft) -> Instant:
    """Return when it is told that the incident is over: at once, unless it was short or has come back before.

    What cannot come back ends at once: what a person ended or took off the record, what never was, and what ended with the
    journey.
    """
    members, progress = draft.incident.members, draft.progress
    over_since = draft.now if progress.over_since is None else progress.over_since
    comes_anew = any(one.kind in COMES_ANEW and not one.withdrawn for one in members)
    by_people = any(one.by_hand or one.withdrawn_by is not None for one in members)
    if not comes_anew or by_people or draft.people.custody.is_over:
        return over_since
    if progress.returns:
        return over_since + COMES_BACK
    is_short = progress.on_since is not None and over_since - progress.on_since < SHORT
    return over_since + (SHORT if is_short else 0)
