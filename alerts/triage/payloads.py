"""Pure: excursions, alerts and incidents under the HTTP interface's names, and the events that carry them.

The fields are defined once, here, for responses, events and database rows. A shipment has its id in them, not its key.
Each event carries the full state, so that the order in which events arrive does not matter.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from alerts.model import LIVE, Change, Excursion, ExcursionState, Reason, Severity
from alerts.triage.alert import Alert, AlertChange, AlertState
from alerts.triage.incidents import Incident, IncidentChange, IncidentReason, IncidentState
from alerts.wording import instant_text
from telemetry.actor import stored_actor
from telemetry.registry.ids import id_of

ALERT_EVENTS = {
    AlertState.FIRING: "alert.firing",
    AlertState.ACKNOWLEDGED: "alert.acknowledged",
    AlertState.SNOOZED: "alert.snoozed",
    AlertState.RESOLVED: "alert.resolved",
}


def excursion_data(excursion: Excursion, *, shipment_id: str, device_id: str) -> dict[str, Any]:
    """Return an excursion under the names of the HTTP interface."""
    run = excursion.run
    return {
        "id": excursion.id,
        "shipment_id": id_of(shipment_id),
        "device_id": device_id,
        "side": run.side,
        "start": instant_text(run.start),
        "end": instant_text(run.end),
        "ended_by": run.ended_by,
        "peak_c": run.peak_c,
        "severity": run.severity,
        "has_gap": run.has_gap,
        "state": excursion.state,
        "revision": excursion.revision,
        "superseded_by": excursion.superseded_by,
        "opened_at": instant_text(excursion.opened_at),
    }


def excursion_events(
    change: Change, *, shipment_id: str, device_id: str, incident_id: str | None = None
) -> list[tuple[str, dict[str, Any]]]:
    """Return the types and data of the events for a change of an excursion: one, or its turn and then its end."""
    act = None if change.act is None else change.act.to_json()
    data = {
        **excursion_data(change.after, shipment_id=shipment_id, device_id=device_id),
        "reason": change.reason,
        "act": act,
        "incident_id": incident_id,
    }
    return [(type_, data) for type_ in _excursion_event_types(change)]


def peak_event(
    excursion: Excursion, *, shipment_id: str, device_id: str, incident_id: str | None = None
) -> tuple[str, dict[str, Any]]:
    """Return the type and data of the event for a peak that moved before, and is told only now."""
    data = excursion_data(excursion, shipment_id=shipment_id, device_id=device_id)
    return "excursion.amended", {**data, "reason": Reason.PEAK_MOVED, "act": None, "incident_id": incident_id}


def _excursion_event_types(change: Change) -> Iterator[str]:
    """Choose by the last state that was sent: an end is sent as an end, whatever else was corrected.

    That it became critical is sent before, also where it had ended by the time that this was found.
    """
    if change.before is None:
        yield "excursion.opened"
        return
    if change.after.state not in LIVE:
        yield "excursion.withdrawn"
        return
    turned = change.before.run.severity is not change.after.run.severity is Severity.CRITICAL
    closes = change.before.state is ExcursionState.OPEN and change.after.state is ExcursionState.CLOSED
    if turned:
        yield "excursion.became_critical"
    if closes:
        yield "excursion.closed"
    if not turned and not closes:
        yield "excursion.amended"


def alert_data(alert: Alert) -> dict[str, Any]:
    """Return an alert under the names of the HTTP interface."""
    condition = alert.condition
    return {
        "id": alert.id,
        "shipment_id": None if alert.shipment_id is None else id_of(alert.shipment_id),
        "kind": condition.kind,
        "severity": condition.severity,
        "state": alert.state,
        "device_id": condition.device_id,
        "excursion_id": condition.excursion_id,
        "message": condition.message,
        "details": condition.details,
        "since": instant_text(condition.since),
        "until": instant_text(condition.until),
        "raised_at": instant_text(alert.raised_at),
        "acknowledged_at": instant_text(alert.acknowledged_at),
        "acknowledged_by": stored_actor(alert.acknowledged_by),
        "resolved_at": instant_text(alert.resolved_at),
        "owner": alert.owner,
        "snoozed_until": instant_text(alert.snoozed_until),
        "snooze_reason": alert.snooze_reason,
        "incident_id": alert.incident_id,
        "revision": alert.revision,
    }


def incident_data(incident: Incident) -> dict[str, Any]:
    """Return an incident under the names of the HTTP interface."""
    return {
        "id": incident.id,
        "shipment_id": None if incident.shipment_id is None else id_of(incident.shipment_id),
        "state": incident.state,
        "kind": incident.kind,
        "severity": incident.severity,
        "headline": incident.headline,
        "next_action": incident.next_action,
        "cause_alert_id": incident.cause_alert_id,
        "alert_ids": list(incident.alert_ids),
        "opened_at": instant_text(incident.opened_at),
        "closed_at": instant_text(incident.closed_at),
        "merged_into": incident.merged_into,
        "revision": incident.revision,
    }


def incident_event(change: IncidentChange) -> tuple[str, dict[str, Any]] | None:
    """Return type and data of the event for a change of an incident; None if only figures in it changed."""
    if change.reason is IncidentReason.DETAILS_CHANGED:
        return None
    return _incident_event_type(change), {**incident_data(change.incident), "reason": change.reason}


def _incident_event_type(change: IncidentChange) -> str:
    if change.incident.state is IncidentState.CLOSED:
        return "incident.closed"
    was_open = change.before is not None and change.before.state is IncidentState.OPEN
    return "incident.changed" if was_open else "incident.opened"


def alert_event(before: Alert | None, change: AlertChange) -> tuple[str, dict[str, Any]] | None:
    """Return the type and data of the event for a change of an alert; None if only its details changed."""
    kind = _alert_event_type(before, change.alert)
    return (kind, {**alert_data(change.alert), "reason": change.reason}) if kind else None


def _alert_event_type(before: Alert | None, after: Alert) -> str | None:
    """Choose by what changed: state or severity first, then actions of people that changed neither."""
    if before is None or before.state is not after.state or _severity(before) is not _severity(after):
        return ALERT_EVENTS[after.state]
    if before.acknowledged_at is None and after.acknowledged_at is not None:
        return "alert.acknowledged"  # a resolved alert, which stays resolved
    if _certainty(before) != _certainty(after):
        return ALERT_EVENTS[after.state]  # what a person had resolved has ended, or never was
    if before.snoozed_until != after.snoozed_until:
        return "alert.snoozed"
    return "alert.assigned" if before.owner != after.owner else None


def comment_event(alert: Alert, comment: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the type and data of the event for what somebody wrote about an alert."""
    return "alert.commented", {**alert_data(alert), "reason": "commented", "comment": dict(comment)}


def _certainty(alert: Alert) -> tuple[bool, bool]:
    return alert.condition.holds, alert.condition.withdrawn


def _severity(alert: Alert) -> Severity:
    return alert.condition.severity
