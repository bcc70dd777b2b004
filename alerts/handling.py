"""What people do to an alert."""

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.alert import Alert, AlertChange, AlertReason, AlertState
from alerts.events import alert_event
from alerts.findings import alert_for_change
from alerts.model import to_datetime, to_instant
from alerts.outbox import tell
from alerts.rows import alert_from_row
from alerts.tables import alert_revisions, alerts


@dataclass(frozen=True, slots=True, kw_only=True)
class AlreadyResolved:
    """The alert ended before anybody took it."""

    alert: Alert


async def acknowledge(
    connection: AsyncConnection, id_: UUID, *, visible: ColumnElement[bool], by: str
) -> Alert | AlreadyResolved | None:
    """Note that somebody has taken the alert; one that is acknowledged stays as it is. None where there is none."""
    row = await alert_for_change(connection, id_, visible)
    if row is None:
        return None
    before = alert_from_row(row)
    if before.state is AlertState.RESOLVED:
        return AlreadyResolved(alert=before)
    if before.state is AlertState.ACKNOWLEDGED:
        return before
    # The database's clock, like that of all revisions by rule, and only now that nobody else can make one.
    now = (await connection.execute(select(func.clock_timestamp()))).scalar_one()
    after = replace(
        before,
        state=AlertState.ACKNOWLEDGED,
        acknowledged_at=to_instant(now),
        acknowledged_by=by,
        revision=before.revision + 1,
    )
    await _write(connection, id_, after, by=by, now=now)
    event = alert_event(before, AlertChange(alert=after, reason=AlertReason.ACKNOWLEDGED))
    assert event is not None  # its state has changed
    type_, data = event
    await tell(
        connection,
        type=type_,
        shipment_id=after.shipment_id,
        organization=row["organization"],
        data={**data, "organization": row["organization"], "drill": row["drill"]},
    )
    return after


async def _write(connection: AsyncConnection, id_: UUID, alert: Alert, *, by: str, now: datetime) -> None:
    await connection.execute(
        update(alerts)
        .where(alerts.c.id == id_)
        .values(state=alert.state, acknowledged_at=now, acknowledged_by=by, revision=alert.revision)
    )
    await connection.execute(
        insert(alert_revisions).values(
            alert_id=id_,
            revision=alert.revision,
            state=alert.state,
            severity=alert.condition.severity,
            message=alert.condition.message,
            since=to_datetime(alert.condition.since),
            until=None if alert.condition.until is None else to_datetime(alert.condition.until),
            withdrawn=alert.condition.withdrawn,
            details=alert.condition.details,
            acknowledged_at=now,
            acknowledged_by=by,
            by=by,
            reason=AlertReason.ACKNOWLEDGED,
            recorded_at=now,
        )
    )
