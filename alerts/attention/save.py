"""Saves decisions about scopes, with their events and notifications, in the transaction of the claim."""

from collections.abc import Sequence

from alerts.attention.decide import ScopeDecision, ScopeView
from alerts.attention.queue import ATTENTION
from alerts.escalation import store
from alerts.events.write import WRITE_EVENTS, EventScope
from alerts.model import Instant, to_datetime
from alerts.tables import incident_revisions, incidents
from alerts.triage.payloads import incident_event
from alerts.triage.store import save_steps
from alerts.triage.write_rows import incident_rows
from alerts.work.bulk import Connection, execute, write
from alerts.work.due_queue import Claimed

WRITE_INCIDENTS = write(incidents, incidents.columns.keys(), ["id"])
WRITE_INCIDENT_REVISIONS = write(incident_revisions, incident_revisions.columns.keys())

MOVE = """
UPDATE alerts SET incident_id = m.incident_id
FROM unnest($1::uuid[], $2::uuid[]) AS m(id, incident_id) WHERE alerts.id = m.id
"""


async def save(
    connection: Connection, decisions: Sequence[ScopeDecision], claimed: Claimed, now: Instant
) -> list[tuple[str, str]]:
    """Write decisions, events and notifications; the number of statements does not grow with the scopes.

    Returns the state and the reason of each notification, to be counted once they are committed.
    """
    changes = [(_event_scope(one.view), change) for one in decisions for change in one.incidents]
    rows = [incident_rows(change, now) for _, change in changes]
    latest = {row["id"]: row for row, _ in rows}
    events = [(scope, incident_event(change)) for scope, change in changes]
    await execute(
        connection,
        [
            (WRITE_INCIDENTS, list(latest.values())),
            (WRITE_INCIDENT_REVISIONS, [revision for _, revision in rows]),
        ],
    )
    await save_steps(
        connection, [(_event_scope(one.view), step) for one in decisions for step in one.steps], now
    )
    moved = {alert_id: incident_id for one in decisions for alert_id, incident_id in one.moved.items()}
    if moved:
        await connection.execute(MOVE, list(moved), list(moved.values()))
    await execute(
        connection, [(WRITE_EVENTS, [scope.event(*event) for scope, event in events if event is not None])]
    )
    deadlines = {one.view.scope: None if one.due_at is None else to_datetime(one.due_at) for one in decisions}
    await ATTENTION.write_deadlines(connection, claimed, deadlines, as_of=to_datetime(now))
    # Last: another process that notifies the same people waits for our commit.
    return await store.save(
        connection,
        [
            store.Decisions(scope=one.view.scope, event_scope=_event_scope(one.view), decided=one.decided)
            for one in decisions
        ],
        decisions[0].view.escalation.policies if decisions else (),
        now,
    )


def _event_scope(view: ScopeView) -> EventScope:
    return EventScope(shipment_id=view.shipment_id, organization=view.organization, drill=view.drill)
