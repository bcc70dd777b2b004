"""Stores alerts: locks them for a change, and writes them with their revisions and events."""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, FromClause, RowMapping, Select, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.events.write import WRITE_EVENTS, EventScope
from alerts.model import Instant, to_datetime
from alerts.tables import alert_revisions, alerts
from alerts.triage.alert import Alert, AlertState, AlertStep
from alerts.triage.payloads import alert_event
from alerts.triage.write_rows import alert_revision_row, alert_row
from alerts.work.bulk import Connection, Row, execute, write
from telemetry.tables import shipments

Rows = Sequence[RowMapping]

WRITE_ALERTS = write(alerts, alerts.columns.keys(), ["id"])
WRITE_ALERT_REVISIONS = write(alert_revisions, alert_revisions.columns.keys())

# An alert also changes without a revision: when it joins an incident, and when somebody comments on it.
LOCK_UNCHANGED = """
SELECT a.id::text FROM alerts AS a
    JOIN unnest($1::uuid[], $2::int[], $3::uuid[], $4::timestamptz[]) AS seen(id, revision, incident_id, last_action_at)
    USING (id)
WHERE a.revision = seen.revision AND a.incident_id IS NOT DISTINCT FROM seen.incident_id
    AND a.last_action_at IS NOT DISTINCT FROM seen.last_action_at
ORDER BY a.id FOR UPDATE OF a
"""


async def lock_unchanged(connection: Connection, seen: Iterable[Alert]) -> set[str]:
    """Lock alerts until the commit, and return the ids of those that have not changed since they were `seen`.

    Decisions were based on what was seen: if another process was faster, they have to be made again.
    """
    seen = list(seen)
    if not seen:
        return set()
    found = await connection.fetch(
        LOCK_UNCHANGED,
        [one.id for one in seen],
        [one.revision for one in seen],
        [one.incident_id for one in seen],
        [None if one.last_action_at is None else to_datetime(one.last_action_at) for one in seen],
    )
    return {row["id"] for row in found}


async def save_steps(
    connection: Connection, steps: Sequence[tuple[EventScope, AlertStep]], now: Instant
) -> None:
    """Write changes of alerts that evaluation did not make, with their revisions and events."""
    only = [step for _, step in steps]
    events = [(scope, alert_event(step.before, step.change)) for scope, step in steps]
    writes: list[tuple[str, list[Row]]] = [
        (WRITE_ALERTS, alert_rows(only)),
        (WRITE_ALERT_REVISIONS, [alert_revision_row(step, now) for step in only]),
        (WRITE_EVENTS, [scope.event(*event) for scope, event in events if event is not None]),
    ]
    await execute(connection, writes)


def alert_rows(steps: Iterable[AlertStep]) -> list[Row]:
    """Return a row for each alert, as its last step leaves it."""
    latest = {step.change.alert.id: step.change.alert for step in steps}
    return [alert_row(alert) for alert in latest.values()]


async def alert_for_change(
    connection: AsyncConnection, id_: UUID, visible: ColumnElement[bool]
) -> RowMapping | None:
    """Load one alert with its shipment, locked until the transaction ends."""
    query = with_shipment(alerts).where(alerts.c.id == id_, visible).with_for_update(of=alerts)
    row: RowMapping | None = (await connection.execute(query)).mappings().first()
    return row


async def alerts_for_change(
    connection: AsyncConnection, incident_id: UUID, visible: ColumnElement[bool]
) -> Rows:
    """Load the alerts of an incident with their shipment, locked in the order that evaluation uses."""
    query = with_shipment(alerts).where(alerts.c.incident_id == incident_id, visible)
    locked = query.order_by(alerts.c.id).with_for_update(of=alerts)
    rows: Rows = (await connection.execute(locked)).mappings().all()
    return rows


async def open_alerts_for_change(connection: AsyncConnection, shipment_id: str) -> Rows:
    """Load the open alerts of a shipment with the shipment, locked in the same order."""
    query = with_shipment(alerts).where(
        alerts.c.shipment_id == shipment_id, alerts.c.state != AlertState.RESOLVED
    )
    locked = query.order_by(alerts.c.id).with_for_update(of=alerts)
    rows: Rows = (await connection.execute(locked)).mappings().all()
    return rows


def with_shipment(known: FromClause) -> Select[Any]:
    """Select alerts or excursions with their shipments.

    Alerts about the whole fleet have none, so a condition on the shipment hides them.
    """
    drill = func.coalesce(shipments.c.drill, False).label("drill")
    return select(known, shipments.c.organization, drill).join(
        shipments, shipments.c.shipment_id == known.c.shipment_id, isouter=True
    )
