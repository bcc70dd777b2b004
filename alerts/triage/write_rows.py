"""Builds the database rows of excursions, alerts, incidents and their revisions; `rows` reads them.

They have what is told of each, and the key of the shipment in the place of its id.
"""

from alerts.model import Change, Excursion, Instant
from alerts.tables import (
    alert_revisions,
    alerts,
    excursion_revisions,
    excursions,
    incident_revisions,
    incidents,
)
from alerts.triage.alert import Alert, AlertStep
from alerts.triage.incidents import IncidentChange
from alerts.triage.payloads import alert_data, excursion_data, incident_data
from alerts.wording import instant_text
from alerts.work.bulk import Row, row_of
from telemetry.actor import stored_actor


def excursion_rows(change: Change, *, shipment_id: str, device_id: str, now: Instant) -> tuple[Row, Row]:
    """Return the row of an excursion after a change, and the row of its revision."""
    data = excursion_data(change.after, shipment_id=shipment_id, device_id=device_id)
    values = data | {
        "shipment_id": shipment_id,
        "excursion_id": data["id"],
        "start_at": data["start"],
        "end_at": data["end"],
        "reason": change.reason,
        "recorded_at": instant_text(now),
        "act": None if change.act is None else change.act.to_json(),
        **told_fields(change.after),
    }
    return row_of(excursions, values), row_of(excursion_revisions, values)


def told_fields(excursion: Excursion) -> Row:
    """Return what is stored of what was last told of an excursion."""
    told = excursion.told
    return {
        "told_at": None if told is None else instant_text(told.at),
        "told_peak_c": None if told is None else told.peak_c,
    }


def alert_row(alert: Alert) -> Row:
    """Return the row of an alert."""
    return row_of(alerts, _alert_values(alert))


def alert_revision_row(step: AlertStep, now: Instant) -> Row:
    """Return the row of the revision for a step."""
    change = step.change
    values = _alert_values(change.alert) | {
        "alert_id": change.alert.id,
        "by": str(change.actor),
        "reason": change.reason,
        "note": change.note,
        "recorded_at": instant_text(now),
    }
    return row_of(alert_revisions, values)


def _alert_values(alert: Alert) -> Row:
    """Return the fields of an alert that the API shows, and those that are only stored."""
    return alert_data(alert) | {
        "shipment_id": alert.shipment_id,
        "subject": alert.condition.subject,
        "withdrawn": alert.condition.withdrawn,
        "assigned_at": instant_text(alert.assigned_at),
        "assigned_by": stored_actor(alert.assigned_by),
        "snoozed_by": stored_actor(alert.snoozed_by),
        "last_action_at": instant_text(alert.last_action_at),
    }


def incident_rows(change: IncidentChange, now: Instant) -> tuple[Row, Row]:
    """Return the row of an incident after a change, and the row of its revision."""
    incident = change.incident
    values = incident_data(incident) | {
        "shipment_id": incident.shipment_id,
        "incident_id": incident.id,
        "organization": incident.organization,
        "reason": change.reason,
        "recorded_at": instant_text(now),
    }
    return row_of(incidents, values), row_of(incident_revisions, values)
