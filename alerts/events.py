"""Pure: what the stream and webhooks are told: each event carries the full state, so that order does not matter."""

from datetime import datetime
from typing import Any

from alerts.alert import Alert, AlertChange, AlertState
from alerts.model import LIVE, Change, Excursion, ExcursionState, Instant, to_datetime

ALERT_EVENTS = {
    AlertState.FIRING: "alert.firing",
    AlertState.ACKNOWLEDGED: "alert.acknowledged",
    AlertState.RESOLVED: "alert.resolved",
}


def rfc3339(time: datetime) -> str:
    """Print a UTC time with `Z`, to the microsecond where it has any."""
    return time.isoformat().replace("+00:00", "Z")


def instant_text(instant: Instant | None) -> str | None:
    """Print an instant likewise; None stays None."""
    return None if instant is None else rfc3339(to_datetime(instant))


def excursion_data(excursion: Excursion, *, shipment_id: str, device_id: str) -> dict[str, Any]:
    """Give an excursion under the names of the HTTP interface."""
    run = excursion.run
    return {
        "id": excursion.id,
        "shipment_id": shipment_id,
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


def excursion_event(change: Change, *, shipment_id: str, device_id: str) -> tuple[str, dict[str, Any]]:
    """Give the type and data of the event that tells of one step in an excursion's record."""
    data = excursion_data(change.after, shipment_id=shipment_id, device_id=device_id)
    return _excursion_event_type(change), {**data, "reason": change.reason}


def _excursion_event_type(change: Change) -> str:
    """Go by the state that was told before: who waits for the end must hear of it, whatever else was corrected."""
    if change.before is None:
        return "excursion.opened"
    if change.after.state not in LIVE:
        return "excursion.withdrawn"
    closes = change.before.state is ExcursionState.OPEN and change.after.state is ExcursionState.CLOSED
    return "excursion.closed" if closes else "excursion.amended"


def alert_data(alert: Alert) -> dict[str, Any]:
    """Give an alert under the names of the HTTP interface."""
    condition = alert.condition
    return {
        "id": alert.id,
        "shipment_id": alert.shipment_id,
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
        "acknowledged_by": alert.acknowledged_by,
        "resolved_at": instant_text(alert.resolved_at),
        "revision": alert.revision,
    }


def alert_event(before: Alert | None, change: AlertChange) -> tuple[str, dict[str, Any]] | None:
    """Give the event that tells of an alert's new state or severity; None where only its details changed."""
    after = change.alert
    same_state = before is not None and before.state is after.state
    if before is not None and same_state and before.condition.severity is after.condition.severity:
        return None
    kind = ALERT_EVENTS.get(after.state)
    return (kind, {**alert_data(after), "reason": change.reason}) if kind else None
