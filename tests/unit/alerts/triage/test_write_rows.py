"""Rows of excursions, alerts and incidents: every column has a value, and what is read back is what was written."""

from dataclasses import replace
from datetime import datetime
from typing import Any

import orjson
import pytest

from alerts.model import (
    SECOND,
    AlertKind,
    Change,
    ChangeKind,
    Condition,
    Excursion,
    ExcursionState,
    LastTold,
    Reason,
    Run,
    Severity,
    Side,
)
from alerts.tables import (
    alert_revisions,
    alerts,
    excursion_revisions,
    excursions,
    incident_revisions,
    incidents,
)
from alerts.triage.actions import ACKNOWLEDGEMENT_TIMER
from alerts.triage.alert import Alert, AlertChange, AlertReason, AlertState, AlertStep, raise_alert
from alerts.triage.incidents import Incident, IncidentChange, IncidentReason, IncidentState
from alerts.triage.rows import alert_from_row, excursion_from_row, incident_from_row
from alerts.triage.write_rows import alert_revision_row, alert_row, excursion_rows, incident_rows
from telemetry.actor import Actor, ActorKind

NOW = 1_795_000_000 * SECOND
KIM = Actor(ActorKind.KEY, "dw_1f0c93ab")
TILTED = Condition(
    subject="tilted:D1",
    kind=AlertKind.TILTED,
    severity=Severity.MAJOR,
    device_id="D1",
    message="tilted",
    since=NOW - 100,
    until=NOW - 1,
    details={"angle_deg": 60.5},
)
ALERT = Alert(
    id="A1",
    shipment_id="S1",
    condition=TILTED,
    state=AlertState.SNOOZED,
    raised_at=NOW - 90,
    acknowledged_at=NOW - 50,
    acknowledged_by=KIM,
    owner="Kim Lee",
    assigned_at=NOW - 50,
    assigned_by=ACKNOWLEDGEMENT_TIMER,
    snoozed_until=NOW + 9,
    snoozed_by=KIM,
    snooze_reason="on its way",
    last_action_at=NOW - 40,
    incident_id="I1",
    revision=3,
)
INCIDENT = Incident(
    id="I1",
    shipment_id="S1",
    organization="acme",
    state=IncidentState.CLOSED,
    cause_alert_id="A1",
    kind=AlertKind.TILTED,
    severity=Severity.MAJOR,
    headline="tilted",
    next_action="Stand it upright.",
    opened_at=NOW - 90,
    alert_ids=("A1", "A2"),
    closed_at=NOW,
    merged_into="I0",
    revision=4,
)
EXCURSION = Excursion(
    id="X1",
    opened_at=NOW - 80,
    revision=2,
    state=ExcursionState.OPEN,
    run=Run(
        side=Side.HIGH,
        start=NOW - 100,
        end=None,
        ended_by=None,
        peak_c=-120.5,
        severity=Severity.CRITICAL,
        has_gap=False,
    ),
    told=LastTold(NOW - 70, -121.0),
)


def stored(row: dict[str, Any]) -> dict[str, Any]:
    """The row as the database has it: it goes there as JSON, and times come back as times."""
    there: dict[str, Any] = orjson.loads(orjson.dumps(row))
    return {
        name: datetime.fromisoformat(value)
        if value and (name.endswith(("_at", "_until")) or name in {"since", "until"})
        else value
        for name, value in there.items()
    }


@pytest.mark.parametrize(
    "alert",
    [
        ALERT,
        replace(ALERT, acknowledged_by=None, snoozed_by="nobody wrote this", assigned_by=None),
        replace(ALERT, shipment_id=None, condition=replace(TILTED, until=None, withdrawn=True)),
    ],
)
def test_an_alert_is_read_as_it_was_written(alert: Alert) -> None:
    row = stored(alert_row(alert))
    assert row.keys() == set(alerts.c.keys())
    assert alert_from_row(row) == alert


def test_who_did_it_is_text_in_the_database() -> None:
    row = stored(alert_row(ALERT))
    named = {name: row[name] for name in ("owner", "acknowledged_by", "assigned_by", "snoozed_by")}
    assert named == {
        "owner": "Kim Lee",
        "acknowledged_by": "key:dw_1f0c93ab",
        "assigned_by": "timer:acknowledgement",
        "snoozed_by": "key:dw_1f0c93ab",
    }


def test_a_revision_says_who_made_it_and_why() -> None:
    change = AlertChange(alert=ALERT, actor=KIM, reason=AlertReason.SNOOZED, note="on its way")
    row = stored(alert_revision_row(AlertStep(before=None, change=change), NOW))
    assert row.keys() == set(alert_revisions.c.keys())
    assert (row["by"], row["reason"], row["note"]) == ("key:dw_1f0c93ab", "snoozed", "on its way")
    shared = row.keys() & alert_row(ALERT).keys()
    assert {name: row[name] for name in shared} == {name: stored(alert_row(ALERT))[name] for name in shared}


def test_what_a_rule_found_is_by_that_rule() -> None:
    raised, ended = raise_alert("A1", "S1", TILTED, NOW)
    rows = [alert_revision_row(AlertStep(before=None, change=change), NOW) for change in (raised, ended)]
    assert [row["by"] for row in rows] == ["rule:tilted", "rule:tilted"]


def test_an_incident_is_read_as_it_was_written() -> None:
    change = IncidentChange(before=None, incident=INCIDENT, reason=IncidentReason.MERGED)
    row, revision = incident_rows(change, NOW)
    assert row.keys() == set(incidents.c.keys())
    assert revision.keys() == set(incident_revisions.c.keys())
    assert incident_from_row(stored(row), INCIDENT.alert_ids) == INCIDENT
    assert (revision["incident_id"], revision["alert_ids"]) == ("I1", ["A1", "A2"])


@pytest.mark.parametrize("end", [None, NOW - 5])
def test_an_excursion_is_read_as_it_was_written(end: int | None) -> None:
    excursion = replace(EXCURSION, run=replace(EXCURSION.run, end=end))
    change = Change(before=None, after=excursion, kind=ChangeKind.OPENED, reason=Reason.LIMIT_EXCEEDED)
    row, revision = excursion_rows(change, shipment_id="S1", device_id="D1", now=NOW)
    assert row.keys() == set(excursions.c.keys())
    assert revision.keys() == set(excursion_revisions.c.keys())
    assert excursion_from_row(stored(row)) == excursion
    assert (revision["excursion_id"], revision["start_at"]) == ("X1", row["start_at"])
