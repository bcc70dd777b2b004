"""Stores alerts: locks them for a change, and writes them with their revisions and events."""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, FromClause, RowMapping, Select, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.events.write import WRITE_EVENTS, Whose
from alerts.model import Instant, to_datetime
from alerts.tables import alert_revisions, alerts
from alerts.triage.alert import Alert, AlertState, AlertStep
from alerts.triage.payloads import alert_event
from alerts.wording import instant_text
from alerts.work.bulk import Connection, Row, execute, write
from telemetry.tables import shipments

Rows = Sequence[RowMapping]

WRITE_ALERTS = write(alerts, alerts.columns.keys(), ["id"])


WRITE_ALERT_REVISIONS = write(alert_revisions, alert_revisions.columns.keys())


# As they are once nobody else changes them. An alert gets into an incident, and a comment is a deed, without a revision.
LOCK_UNCHANGED = """
SELECT a.id::text FROM alerts AS a
    JOIN unnest($1::uuid[], $2::int[], $3::uuid[], $4::timestamptz[]) AS seen(id, revision, incident_id, last_action_at)
    USING (id)
WHERE a.revision = seen.revision AND a.incident_id IS NOT DISTINCT FROM seen.incident_id
    AND a.last_action_at IS NOT DISTINCT FROM seen.last_action_at
ORDER BY a.id FOR UPDATE OF a
"""


async def lock_unchanged(connection: Connection, seen: Iterable[Alert]) -> set[str]:
    """Lock alerts, given as they were seen, until the commit; give the ids of those that still are so.

    What is to be written was decided on what was seen: whoever decided has to look again where another one was quicker.
    """
    seen = list(seen)
    if not seen:
        return set()
    acted = [one.last_action_at for one in seen]
    found = await connection.fetch(
        LOCK_UNCHANGED,
        [one.id for one in seen],
        [one.revision for one in seen],
        [one.incident_id for one in seen],
        [None if at is None else to_datetime(at) for at in acted],
    )
    return {row["id"] for row in found}


async def save_steps(connection: Connection, steps: Sequence[tuple[Whose, AlertStep]], now: Instant) -> None:
    """Write what became of alerts beside the evaluation of their shipments, and tell of it."""
    only = [step for _, step in steps]
    told = [(whose, alert_event(step.before, step.change)) for whose, step in steps]
    writes: list[tuple[str, list[Row]]] = [
        (WRITE_ALERTS, alert_rows(only)),
        (WRITE_ALERT_REVISIONS, [alert_revision_row(step, now) for step in only]),
        (WRITE_EVENTS, [whose.event(*event) for whose, event in told if event is not None]),
    ]
    await execute(connection, writes)


def alert_rows(steps: Iterable[AlertStep]) -> list[Row]:
    latest: dict[str, Row] = {step.change.alert.id: _alert_row(step.change.alert) for step in steps}
    return list(latest.values())


def _alert_row(alert: Alert) -> Row:
    condition = alert.condition
    return {
        "id": alert.id,
        "shipment_id": alert.shipment_id,
        "subject": condition.subject,
        "kind": condition.kind,
        "severity": condition.severity,
        "state": alert.state,
        "device_id": condition.device_id,
        "excursion_id": condition.excursion_id,
        "message": condition.message,
        "since": instant_text(condition.since),
        "until": instant_text(condition.until),
        "withdrawn": condition.withdrawn,
        "details": condition.details,
        "raised_at": instant_text(alert.raised_at),
        "acknowledged_at": instant_text(alert.acknowledged_at),
        "acknowledged_by": alert.acknowledged_by,
        "resolved_at": instant_text(alert.resolved_at),
        "owner": alert.owner,
        "assigned_at": instant_text(alert.assigned_at),
        "assigned_by": alert.assigned_by,
        "snoozed_until": instant_text(alert.snoozed_until),
        "snoozed_by": alert.snoozed_by,
        "snooze_reason": alert.snooze_reason,
        "last_action_at": instant_text(alert.last_action_at),
        "incident_id": alert.incident_id,
        "revision": alert.revision,
    }


def alert_revision_row(step: AlertStep, now: Instant) -> Row:
    alert = step.change.alert
    return {
        "alert_id": alert.id,
        "revision": alert.revision,
        "state": alert.state,
        "severity": alert.condition.severity,
        "message": alert.condition.message,
        "since": instant_text(alert.condition.since),
        "until": instant_text(alert.condition.until),
        "withdrawn": alert.condition.withdrawn,
        "details": alert.condition.details,
        "acknowledged_at": instant_text(alert.acknowledged_at),
        "acknowledged_by": alert.acknowledged_by,
        "resolved_at": instant_text(alert.resolved_at),
        "owner": alert.owner,
        "snoozed_until": instant_text(alert.snoozed_until),
        "snooze_reason": alert.snooze_reason,
        "by": step.change.by or f"rule:{alert.condition.kind}",
        "reason": step.change.reason,
        "note": step.change.note,
        "recorded_at": instant_text(now),
    }


async def alert_for_change(
    connection: AsyncConnection, id_: UUID, visible: ColumnElement[bool]
) -> RowMapping | None:
    """Give one alert, which nobody else changes until the transaction ends."""
    query = with_shipment(alerts).where(alerts.c.id == id_, visible).with_for_update(of=alerts)
    row: RowMapping | None = (await connection.execute(query)).mappings().first()
    return row


async def alerts_for_change(
    connection: AsyncConnection, incident_id: UUID, visible: ColumnElement[bool]
) -> Rows:
    """Give the alerts of an incident likewise, locked in the order in which evaluation locks them."""
    query = with_shipment(alerts).where(alerts.c.incident_id == incident_id, visible)
    locked = query.order_by(alerts.c.id).with_for_update(of=alerts)
    rows: Rows = (await connection.execute(locked)).mappings().all()
    return rows


async def open_alerts_for_change(connection: AsyncConnection, shipment_id: str) -> Rows:
    """Give the open alerts of a shipment likewise."""
    query = with_shipment(alerts).where(
        alerts.c.shipment_id == shipment_id, alerts.c.state != AlertState.RESOLVED
    )
    locked = query.order_by(alerts.c.id).with_for_update(of=alerts)
    rows: Rows = (await connection.execute(locked)).mappings().all()
    return rows


def with_shipment(known: FromClause) -> Select[Any]:
    """Give findings with their shipments; what is about the whole fleet has none, and a condition on it hides that."""
    drill = func.coalesce(shipments.c.drill, False).label("drill")
    return select(known, shipments.c.organization, drill).join(
        shipments, shipments.c.shipment_id == known.c.shipment_id, isouter=True
    )
