"""Saves what was decided about scopes, with the events and notifications that tell of it, in the transaction of the claim."""

from collections.abc import Sequence
from typing import Any

from alerts.attention.decide import ScopeDecision, ScopeView
from alerts.attention.queue import ATTENTION
from alerts.escalation import store
from alerts.events.write import WRITE_EVENTS, Whose
from alerts.model import Instant, to_datetime
from alerts.tables import incident_revisions, incidents
from alerts.triage.incidents import IncidentChange
from alerts.triage.payloads import incident_event
from alerts.triage.store import save_steps
from alerts.wording import instant_text
from alerts.work.bulk import Connection, Row, execute, write
from alerts.work.due_queue import Claimed

WRITE_INCIDENTS = write(incidents, incidents.columns.keys(), ["id"])
WRITE_INCIDENT_REVISIONS = write(incident_revisions, incident_revisions.columns.keys())

MOVE = """
UPDATE alerts SET incident_id = m.incident_id
FROM unnest($1::uuid[], $2::uuid[]) AS m(id, incident_id) WHERE alerts.id = m.id
"""


async def save(
    connection: Connection, decisions: Sequence[ScopeDecision], claimed: Claimed, now: Instant
) -> None:
    """Write what was decided and tell of it, in a number of statements that does not grow with the scopes."""
    changes = [(_whose(one.view), change) for one in decisions for change in one.incidents]
    latest = {change.incident.id: _incident_row(change) for _, change in changes}
    events = [(whose, incident_event(change)) for whose, change in changes]
    await execute(
        connection,
        [
            (WRITE_INCIDENTS, list(latest.values())),
            (WRITE_INCIDENT_REVISIONS, [_revision_row(change, now) for _, change in changes]),
        ],
    )
    await save_steps(connection, [(_whose(one.view), step) for one in decisions for step in one.steps], now)
    moved = {alert_id: incident_id for one in decisions for alert_id, incident_id in one.moved.items()}
    if moved:
        await connection.execute(MOVE, list(moved), list(moved.values()))
    await execute(
        connection, [(WRITE_EVENTS, [whose.event(*event) for whose, event in events if event is not None])]
    )
    deadlines = {one.view.scope: None if one.due_at is None else to_datetime(one.due_at) for one in decisions}
    await ATTENTION.write_deadlines(connection, claimed, deadlines)
    # Last of all: whoever else tells the same people waits until the commit.
    await store.save(
        connection,
        [
            store.Decisions(scope=one.view.scope, whose=_whose(one.view), decided=one.decided)
            for one in decisions
        ],
        decisions[0].view.escalating.policies if decisions else (),
        now,
    )


def _whose(view: ScopeView) -> Whose:
    return Whose(shipment_id=view.shipment_id, organization=view.organization, drill=view.drill)


def _incident_fields(change: IncidentChange) -> dict[str, Any]:
    incident = change.incident
    return {
        "cause_alert_id": incident.cause_alert_id,
        "state": incident.state,
        "kind": incident.kind,
        "severity": incident.severity,
        "headline": incident.headline,
        "next_action": incident.next_action,
        "closed_at": instant_text(incident.closed_at),
        "merged_into": incident.merged_into,
        "revision": incident.revision,
    }


def _incident_row(change: IncidentChange) -> Row:
    incident = change.incident
    return {
        "id": incident.id,
        "shipment_id": incident.shipment_id,
        "organization": incident.organization,
        "opened_at": instant_text(incident.opened_at),
        **_incident_fields(change),
    }


def _revision_row(change: IncidentChange, now: Instant) -> Row:
    return {
        "incident_id": change.incident.id,
        **_incident_fields(change),
        "alert_ids": list(change.incident.alert_ids),
        "reason": change.reason,
        "recorded_at": instant_text(now),
    }
