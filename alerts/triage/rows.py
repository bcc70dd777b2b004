"""Reads excursions, alerts and incidents from database rows; `write_rows` is the other direction."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Protocol

import orjson

from alerts.model import (
    AlertKind,
    Condition,
    EndedBy,
    Excursion,
    ExcursionState,
    Instant,
    LastTold,
    Run,
    Severity,
    Side,
    to_instant,
)
from alerts.triage.alert import Alert, AlertState
from alerts.triage.incidents import Incident, IncidentState
from telemetry.actor import read_actor


class StoredRow(Protocol):
    """A row of asyncpg or SQLAlchemy: values by column name."""

    def __getitem__(self, name: str, /) -> Any: ...

    def get(self, name: str, /) -> Any: ...


def excursion_from_row(row: StoredRow) -> Excursion:
    """Return the excursion in a row."""
    return Excursion(
        id=str(row["id"]),
        opened_at=to_instant(row["opened_at"]),
        revision=row["revision"],
        state=ExcursionState(row["state"]),
        run=Run(
            side=Side(row["side"]),
            start=to_instant(row["start_at"]),
            end=optional_instant(row["end_at"]),
            ended_by=EndedBy(row["ended_by"]) if row["ended_by"] else None,
            peak_c=row["peak_c"],
            severity=Severity(row["severity"]),
            has_gap=row["has_gap"],
        ),
        superseded_by=str(row["superseded_by"]) if row["superseded_by"] else None,
        told=None if row["told_at"] is None else LastTold(to_instant(row["told_at"]), row["told_peak_c"]),
    )


def alert_from_row(row: StoredRow) -> Alert:
    """Return the alert in a row."""
    return Alert(
        id=str(row["id"]),
        shipment_id=row["shipment_id"],
        condition=Condition(
            subject=row["subject"],
            kind=AlertKind(row["kind"]),
            severity=Severity(row["severity"]),
            device_id=row["device_id"],
            message=row["message"],
            since=to_instant(row["since"]),
            until=optional_instant(row["until"]),
            withdrawn=row["withdrawn"],
            excursion_id=str(row["excursion_id"]) if row["excursion_id"] else None,
            details=_json(row["details"]),
        ),
        state=AlertState(row["state"]),
        raised_at=to_instant(row["raised_at"]),
        acknowledged_at=optional_instant(row["acknowledged_at"]),
        acknowledged_by=read_actor(row["acknowledged_by"]),
        resolved_at=optional_instant(row["resolved_at"]),
        owner=row["owner"],
        assigned_at=optional_instant(row["assigned_at"]),
        assigned_by=read_actor(row["assigned_by"]),
        snoozed_until=optional_instant(row["snoozed_until"]),
        snoozed_by=read_actor(row["snoozed_by"]),
        snooze_reason=row["snooze_reason"],
        last_action_at=optional_instant(row["last_action_at"]),
        incident_id=str(row["incident_id"]) if row["incident_id"] else None,
        revision=row["revision"],
    )


def _json(stored: Any) -> Any:
    """Parse JSON, which asyncpg returns as text and SQLAlchemy parsed."""
    return orjson.loads(stored) if isinstance(stored, str) else stored


def optional_instant(time: datetime | None) -> Instant | None:
    """Return a time as an instant; None stays None."""
    return None if time is None else to_instant(time)


def incident_from_row(row: StoredRow, alert_ids: Iterable[str]) -> Incident:
    """Return the incident in a row; `alert_ids` are its alerts, in the order in which they were raised."""
    return Incident(
        id=str(row["id"]),
        shipment_id=row["shipment_id"],
        organization=row["organization"],
        state=IncidentState(row["state"]),
        cause_alert_id=str(row["cause_alert_id"]),
        kind=AlertKind(row["kind"]),
        severity=Severity(row["severity"]),
        headline=row["headline"],
        next_action=row["next_action"],
        opened_at=to_instant(row["opened_at"]),
        alert_ids=tuple(alert_ids),
        closed_at=optional_instant(row["closed_at"]),
        merged_into=str(row["merged_into"]) if row["merged_into"] else None,
        revision=row["revision"],
    )


def members(found: Iterable[Alert]) -> Mapping[str, list[str]]:
    """Return the ids of each incident's alerts, in the order in which they were raised."""
    ids: dict[str, list[str]] = defaultdict(list)
    for alert in sorted(found, key=lambda alert: (alert.raised_at, alert.id)):
        if alert.incident_id is not None:
            ids[alert.incident_id].append(alert.id)
    return ids
