"""Pure: who would be told what and when about an alert that nobody takes; nothing is stored or sent."""

from collections.abc import Iterable
from dataclasses import dataclass

from alerts.escalation.deciding.decision import decide
from alerts.escalation.deciding.notification import Notification
from alerts.escalation.deciding.progress import EscalatedIncident, EscalationProgress, Member
from alerts.escalation.people import People
from alerts.escalation.policy import Policy
from alerts.model import SECOND, AlertKind, Duration, Instant, Severity
from alerts.triage.alert import AlertState

LOOKS_AHEAD: Duration = 24 * 3600 * SECOND
AT_MOST = 500
_ID = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImaginedAlert:
    """The imagined alert."""

    organization: str | None
    kind: AlertKind
    severity: Severity
    at: Instant


def dry_run(trial: ImaginedAlert, policies: Iterable[Policy], people: People) -> tuple[Notification, ...]:
    """Return the decisions of the first 24 hours after the alert begins, in order, at most 500."""
    known = tuple(policies)
    member = Member(alert_id=_ID, kind=trial.kind, severity=trial.severity, state=AlertState.FIRING)
    case = EscalatedIncident(incident_id=_ID, organization=trial.organization, members=(member,))
    now: Instant | None = trial.at
    progress: EscalationProgress | None = None
    notifications: list[Notification] = []
    while now is not None and now <= trial.at + LOOKS_AHEAD and len(notifications) < AT_MOST:
        decided = decide(case, progress, known, people, now)
        progress = decided.progress
        notifications += decided.notifications
        # What is due again at once would be so for ever.
        now = None if decided.next_at is None else max(decided.next_at, now + 1)
    return tuple(notifications[:AT_MOST])
