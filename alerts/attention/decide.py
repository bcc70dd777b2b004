"""Pure: apply timers and people's actions to the alerts of one scope, group them, and decide who is told."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from alerts.escalation.deciding.decision import Decided
from alerts.escalation.deciding.scope import Escalation
from alerts.model import SECOND, Duration, Instant, Severity
from alerts.triage.actions import ACKNOWLEDGED_FOR, next_instant, pass_time
from alerts.triage.alert import Alert, AlertChange, AlertState, AlertStep
from alerts.triage.incidents import Incident, IncidentChange, IncidentId, group, homes

FLEET: Final = ""
"""The scope of alerts about the whole fleet; every other scope is a shipment's id."""
LOOK_AGAIN_AFTER: Final[Duration] = 900 * SECOND
"""How soon to look again at a critical alert that nobody has acknowledged, if nothing else sets a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScopeView:
    """One scope: its alerts that are open or in no incident yet, its open incidents, and whom to tell."""

    scope: str
    organization: str | None
    drill: bool
    alerts: tuple[Alert, ...]
    incidents: tuple[Incident, ...]
    acknowledged_for: Mapping[Severity, Duration] = field(default_factory=lambda: ACKNOWLEDGED_FOR)
    escalation: Escalation = field(default_factory=Escalation)

    @property
    def shipment_id(self) -> str | None:
        """The scope's shipment; None for the whole fleet."""
        return self.scope or None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScopeDecision:
    """What to write and whom to tell about one scope, and when to look again if nothing changes before."""

    view: ScopeView
    steps: tuple[AlertStep, ...]
    incidents: tuple[IncidentChange, ...]
    moved: Mapping[str, IncidentId]
    """The new incident of each alert that changed its incident."""
    decided: Mapping[IncidentId, Decided]
    """Who is and who is not told about each incident."""
    due_at: Instant | None


def decide(view: ScopeView, now: Instant, new_id: Callable[[], str]) -> ScopeDecision:
    """End snoozes and acknowledgements, group the alerts into incidents, and decide who is told about each.

    Idempotent: applied to its own result, it changes nothing.
    """
    steps, alerts = _pass_time(view, now)
    changes = group(alerts, view.incidents, organization=view.organization, now=now, new_id=new_id)
    home = homes(changes)
    at_home = {a.id: replace(a, incident_id=home.get(a.id, a.incident_id)) for a in alerts}
    incidents = {one.id: one for one in view.incidents} | {one.incident.id: one.incident for one in changes}
    decided = view.escalation.decide(incidents.values(), at_home.values(), now)
    deadlines = [next_instant(alert, view.acknowledged_for) for alert in alerts]
    deadlines += [one.next_at for one in decided.values()]
    if any(_nobody_took(alert) for alert in alerts):
        deadlines.append(now + LOOK_AGAIN_AFTER)
    return ScopeDecision(
        view=view,
        steps=tuple(_moved_step(step, at_home[step.change.alert.id].incident_id) for step in steps),
        incidents=tuple(changes),
        moved={
            a.id: a.incident_id
            for a, before in zip(at_home.values(), alerts, strict=True)
            if a.incident_id is not None and a.incident_id != before.incident_id
        },
        decided=decided,
        due_at=min((at for at in deadlines if at is not None), default=None),
    )


def _pass_time(view: ScopeView, now: Instant) -> tuple[list[AlertStep], list[Alert]]:
    steps, alerts = [], []
    for alert in view.alerts:
        after = alert
        for change in pass_time(alert, now, view.acknowledged_for):
            steps.append(AlertStep(before=after, change=change))
            after = change.alert
        alerts.append(after)
    return steps, alerts


def _moved_step(step: AlertStep, incident_id: IncidentId | None) -> AlertStep:
    alert = replace(step.change.alert, incident_id=incident_id)
    change: AlertChange = replace(step.change, alert=alert)
    return replace(step, change=change)


def _nobody_took(alert: Alert) -> bool:
    return alert.state is AlertState.FIRING and alert.condition.severity is Severity.CRITICAL
