"""What people do to alerts, one at a time or to all of an incident at once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeAlias
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, RowMapping, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.events.write import EventScope
from alerts.model import Instant, to_instant
from alerts.tables import alert_comments, alerts
from alerts.triage.actions import Person, Refused
from alerts.triage.alert import Alert, AlertChange, AlertStep
from alerts.triage.rows import alert_from_row
from alerts.triage.store import alert_for_change, alerts_for_change, open_alerts_for_change, save_steps

Step: TypeAlias = Callable[[Alert, Instant, Person], list[AlertChange] | Refused]
"""What is done to one alert; see `alerts.triage.actions`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What became of the alerts, and what was refused of some of them."""

    alerts: Sequence[Alert]
    refused: Sequence[Refused]


async def act(
    connection: AsyncConnection, id_: UUID, step: Step, *, visible: ColumnElement[bool], person: Person
) -> Alert | Refused | None:
    """Do something to one alert; None where there is none. What was said with a step that changed nothing is kept."""
    row = await alert_for_change(connection, id_, visible)
    if row is None:
        return None
    done = await _act(connection, [row], step, person)
    return done.refused[0] if done.refused else done.alerts[0]


async def act_on_incident(
    connection: AsyncConnection, id_: UUID, step: Step, *, visible: ColumnElement[bool], person: Person
) -> Done | Refused | None:
    """Do the same to each alert of an incident that it makes sense for; None where there is no such incident."""
    rows = await alerts_for_change(connection, id_, visible)
    if not rows:
        return None
    done = await _act(connection, rows, step, person)
    wrong = next((one for one in done.refused if one.field is not None), None)
    if wrong is not None or not done.alerts:
        return wrong or Refused(why="All alerts of this incident are resolved: there is nothing left to do.")
    return done


async def act_on_shipment(
    connection: AsyncConnection, shipment_id: str, step: Step, person: Person
) -> Sequence[Alert]:
    """Do the same to each open alert of a shipment, and give them all; those that it does not change stay untouched."""
    rows = await open_alerts_for_change(connection, shipment_id)
    return (await _act(connection, rows, step, person, comments=False)).alerts if rows else ()


async def comment(
    connection: AsyncConnection, id_: UUID, *, visible: ColumnElement[bool], by: str, text: str
) -> bool:
    """Write something to an alert, for ever; False where there is none."""
    row = await alert_for_change(connection, id_, visible)
    if row is None:
        return False
    await _comment(connection, [row["id"]], by=by, text=text, at=await _now(connection))
    return True


async def comment_on_incident(
    connection: AsyncConnection, id_: UUID, *, visible: ColumnElement[bool], by: str, text: str
) -> bool:
    """Write something to each open alert of an incident, or to all where none is; False where there is none."""
    rows = await alerts_for_change(connection, id_, visible)
    if not rows:
        return False
    open_ = [row["id"] for row in rows if alert_from_row(row).open]
    at = await _now(connection)
    await _comment(connection, open_ or [row["id"] for row in rows], by=by, text=text, at=at)
    return True


async def _act(
    connection: AsyncConnection,
    rows: Sequence[RowMapping],
    step: Step,
    person: Person,
    *,
    comments: bool = True,
) -> Done:
    """Do it; `comments`: what was said with a step that changed nothing is kept as a comment."""
    at = await _now(connection)
    steps, after, refused, unsaid = [], [], [], []
    for row in rows:
        before = alert = alert_from_row(row)
        changes = step(alert, to_instant(at), person)
        if isinstance(changes, Refused):
            refused.append(changes)
            continue
        whose = EventScope(
            shipment_id=alert.shipment_id, organization=row["organization"], drill=row["drill"]
        )
        for change in changes:
            steps.append((whose, AlertStep(before=before, change=change)))
            before = alert = change.alert
        if comments and not changes and person.note:
            unsaid.append(row["id"])
            alert = replace(alert, last_action_at=to_instant(at))
        after.append(alert)
    driver = (await connection.get_raw_connection()).driver_connection
    assert driver is not None
    if not any(one.field is not None for one in refused):
        await save_steps(driver, steps, to_instant(at))
        if unsaid and person.note:
            await _comment(connection, unsaid, by=person.by, text=person.note, at=at)
    return Done(alerts=after, refused=refused)


async def _now(connection: AsyncConnection) -> datetime:
    """Give the database's clock, like that of all revisions by rule, and only now that nobody else can make one."""
    now: datetime = (await connection.execute(select(func.clock_timestamp()))).scalar_one()
    return now


async def _comment(
    connection: AsyncConnection, ids: Sequence[UUID], *, by: str, text: str, at: datetime
) -> None:
    """Write to locked alerts; who does so has done something about them."""
    rows = [{"id": uuid4(), "alert_id": id_, "at": at, "by": by, "text": text} for id_ in ids]
    await connection.execute(insert(alert_comments), rows)
    await connection.execute(update(alerts).where(alerts.c.id.in_(ids)).values(last_action_at=at))
