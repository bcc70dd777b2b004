"""Pure: decide about all incidents of one scope."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from alerts import wording
from alerts.escalation.deciding.decision import Decided, decide
from alerts.escalation.deciding.progress import EscalatedIncident, EscalationProgress, Member
from alerts.escalation.people import People
from alerts.escalation.policy import Policy, choose
from alerts.model import SECOND, Act, Duration, Instant, Severity
from alerts.triage.alert import Alert
from alerts.triage.incidents import Incident, IncidentId
from telemetry.actor import Actor


@dataclass(frozen=True, slots=True, kw_only=True)
class Escalation:
    """The people, policies and progress that decisions about one scope depend on."""

    people: People = field(default_factory=lambda: People(()))
    policies: tuple[Policy, ...] = ()
    progress: Mapping[IncidentId, EscalationProgress] = field(default_factory=dict)

    def acknowledged_for(self, organization: str | None) -> Mapping[Severity, Duration]:
        """Return how long an acknowledgement holds, by severity."""
        custody = self.people.custody
        return {
            severity: SECOND
            * choose(
                self.policies,
                organization=organization,
                origin=custody.origin,
                destination=custody.destination,
                severity=severity,
            ).ack_expires_s
            for severity in Severity
        }

    def decide(
        self, incidents: Iterable[Incident], alerts: Iterable[Alert], now: Instant
    ) -> dict[IncidentId, Decided]:
        """Decide about every incident; decisions that change nothing are left out."""
        members = list(alerts)
        found = list(incidents)
        before = self._inherited(found)
        decided = {
            one.id: decide(
                escalated_incident_of(one, members), before.get(one.id), self.policies, self.people, now
            )
            for one in found
        }
        return {
            id_: one
            for id_, one in decided.items()
            if one.notifications or one.next_at is not None or one.progress != self.progress.get(id_)
        }

    def _inherited(self, incidents: Iterable[Incident]) -> dict[IncidentId, EscalationProgress]:
        """Return each incident's progress; one that another was merged into takes over who was told."""
        progress = dict(self.progress)
        for gone in incidents:
            into, its = gone.merged_into, self.progress.get(gone.id)
            if into is None or its is None:
                continue
            kept = progress.get(into)
            progress[into] = (
                its
                if kept is None
                else replace(
                    kept,
                    recipients=kept.recipients | its.recipients,
                    known=kept.known | its.known,
                    asked=kept.asked | its.asked,
                    heard=kept.heard | its.heard,
                    # What people were told of either has been told; what was only about to be told was not.
                    stage=max(kept.stage, its.stage) if its.told else kept.stage,
                    furthest=max(kept.furthest, its.furthest) if its.told else kept.furthest,
                )
            )
        return progress


def escalated_incident_of(incident: Incident, alerts: Iterable[Alert]) -> EscalatedIncident:
    """Return an incident as escalation sees it."""
    return EscalatedIncident(
        incident_id=incident.id,
        organization=incident.organization,
        members=tuple(member_of(one) for one in alerts if one.incident_id == incident.id),
        merged=incident.merged_into is not None,
    )


def member_of(alert: Alert) -> Member:
    """Return an alert as escalation sees it."""
    taken_at, taken_by = _taken(alert)
    return Member(
        alert_id=alert.id,
        kind=alert.condition.kind,
        severity=alert.condition.severity,
        state=alert.state,
        owner=alert.owner,
        acknowledged=alert.acknowledged_at is not None,
        taken_at=taken_at,
        taken_by=taken_by,
        took_it=alert.acknowledged_at is not None and alert.acknowledged_at == alert.assigned_at,
        snoozed_until=alert.snoozed_until,
        by_hand=not alert.open and (alert.condition.holds or alert.last_action_at == alert.resolved_at),
        withdrawn=alert.condition.withdrawn,
        withdrawn_by=_withdrawn_by(alert),
    )


def _withdrawn_by(alert: Alert) -> str | None:
    done = alert.condition.details.get("act") if alert.condition.withdrawn else None
    return None if done is None else wording.act(Act.from_json(done))


def _taken(alert: Alert) -> tuple[Instant | None, Actor | str | None]:
    """Return when the owner came to have it, and who made them so: the later of acknowledging and assigning."""
    acknowledged, assigned = alert.acknowledged_at, alert.assigned_at
    if acknowledged is None or (assigned is not None and assigned > acknowledged):
        return assigned, alert.assigned_by
    return acknowledged, alert.acknowledged_by
