"""Applies people's actions to stored alerts: one, those of an incident, or the open ones of a shipment."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, RowMapping, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.events.write import WRITE_EVENTS, EventScope
from alerts.model import to_instant
from alerts.tables import alert_comments, alert_revisions, alerts
from alerts.triage.actions import ActionRefused, AlertAction
from alerts.triage.alert import Alert, AlertStep
from alerts.triage.payloads import comment_event
from alerts.triage.rows import alert_from_row
from alerts.triage.store import alert_for_change, alerts_for_change, open_alerts_for_change, save_steps
from alerts.wording import rfc3339
from alerts.work.bulk import Connection, execute
from telemetry.actor import Actor


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionResult:
    """The alerts after an action, and the refusals for alerts to which it does not apply."""

    alerts: Sequence[Alert]
    refused: Sequence[ActionRefused]


@dataclass(frozen=True, slots=True, kw_only=True)
class CommentRoom:
    """How many comments an alert may have, and how many characters in all of them.

    So often, too, one caller may change it: whoever reads an alert gets each revision with its note. Others may go on.
    """

    count: int = 200
    characters: int = 100_000

    def full(self) -> ActionRefused:
        """Return the refusal of one more."""
        return ActionRefused(
            why=f"An alert holds {self.count} comments, and {self.characters} characters in all of them; this one is full.",
            full=True,
        )

    def tired(self) -> ActionRefused:
        """Return the refusal of one more change by the same caller."""
        return ActionRefused(
            why=f"This key has changed this alert {self.count} times, which is the most: use another key, or comment.",
            full=True,
        )


ROOM: Final = CommentRoom()


async def act(
    connection: AsyncConnection,
    id_: UUID,
    action: AlertAction,
    *,
    visible: ColumnElement[bool],
    actor: Actor,
    reason: str | None,
    room: CommentRoom = ROOM,
) -> Alert | ActionRefused | None:
    """Apply an action to one alert and return it; None if there is no such alert.

    If the action changes nothing, its reason is kept as a comment; it is refused if there is no room for that.
    """
    row = await alert_for_change(connection, id_, visible)
    if row is None:
        return None
    result = await _act(connection, [row], action, actor, reason, room=room)
    return result.refused[0] if result.refused else result.alerts[0]


async def act_on_incident(
    connection: AsyncConnection,
    id_: UUID,
    action: AlertAction,
    *,
    visible: ColumnElement[bool],
    actor: Actor,
    reason: str | None,
    room: CommentRoom = ROOM,
) -> ActionResult | ActionRefused | None:
    """Apply an action to each alert of an incident that it can apply to; None if there are no alerts."""
    rows = await alerts_for_change(connection, id_, visible)
    if not rows:
        return None
    result = await _act(connection, rows, action, actor, reason, room=room)
    wrong = next((one for one in result.refused if one.field is not None), None)
    if wrong is not None or not result.alerts:
        full = next((one for one in result.refused if one.full), None)
        not_over = next((one for one in result.refused if not one.is_over), None)
        none_left = ActionRefused(
            why="All alerts of this incident are resolved: there is nothing left to do.", is_over=True
        )
        return wrong or full or not_over or none_left
    return result


async def act_on_shipment(
    connection: AsyncConnection, shipment_id: str, action: AlertAction, *, actor: Actor, reason: str | None
) -> Sequence[Alert]:
    """Apply an action to each open alert of a shipment and return them all; writes no comments."""
    rows = await open_alerts_for_change(connection, shipment_id)
    return (await _act(connection, rows, action, actor, reason, comments=False)).alerts if rows else ()


async def comment(
    connection: AsyncConnection,
    id_: UUID,
    *,
    visible: ColumnElement[bool],
    actor: Actor,
    text: str,
    room: CommentRoom = ROOM,
) -> bool | ActionRefused:
    """Add a comment to an alert; False if there is no such alert."""
    row = await alert_for_change(connection, id_, visible)
    if row is None:
        return False
    commented = await _comment(
        connection, [row], actor=actor, text=text, at=await _now(connection), room=room
    )
    return bool(commented) or room.full()


async def comment_on_incident(
    connection: AsyncConnection,
    id_: UUID,
    *,
    visible: ColumnElement[bool],
    actor: Actor,
    text: str,
    room: CommentRoom = ROOM,
) -> bool | ActionRefused:
    """Add a comment to each open alert of an incident, or to all if none is open; False if there are none.

    Alerts that hold no more are left out.
    """
    rows = await alerts_for_change(connection, id_, visible)
    if not rows:
        return False
    open_ = [row for row in rows if alert_from_row(row).open]
    at = await _now(connection)
    commented = await _comment(connection, open_ or rows, actor=actor, text=text, at=at, room=room)
    return bool(commented) or room.full()


async def _act(
    connection: AsyncConnection,
    rows: Sequence[RowMapping],
    action: AlertAction,
    actor: Actor,
    reason: str | None,
    *,
    comments: bool = True,
    room: CommentRoom = ROOM,
) -> ActionResult:
    """Apply an action to locked alerts; with `comments`, its reason becomes a comment on unchanged ones."""
    at = await _now(connection)
    tired = await _changed_enough(connection, [row["id"] for row in rows], actor, room) if comments else set()
    steps, after, refused, unchanged = [], [], [], []
    for row in rows:
        before = alert = alert_from_row(row)
        changes = action(alert, to_instant(at), actor=actor, reason=reason)
        if changes and row["id"] in tired and not isinstance(changes, ActionRefused):
            changes = room.tired()
        if isinstance(changes, ActionRefused):
            refused.append(changes)
            continue
        scope = _scope(row)
        for change in changes:
            steps.append((scope, AlertStep(before=before, change=change)))
            before = alert = change.alert
        if comments and not changes and reason:
            unchanged.append(row)
            alert = replace(alert, last_action_at=to_instant(at))
        after.append(alert)
    if not any(one.field is not None for one in refused):
        await save_steps(await _driver(connection), steps, to_instant(at))
        if unchanged and reason:
            commented = await _comment(connection, unchanged, actor=actor, text=reason, at=at, room=room)
            if not commented and not steps:
                return ActionResult(alerts=(), refused=[room.full()])
    return ActionResult(alerts=after, refused=refused)


async def _changed_enough(
    connection: AsyncConnection, ids: Sequence[UUID], actor: Actor, room: CommentRoom
) -> set[UUID]:
    """Return those alerts that somebody has changed as often as anybody may."""
    of = alert_revisions.c
    query = (
        select(of.alert_id)
        .where(of.alert_id.in_(ids), of.by == str(actor))
        .group_by(of.alert_id)
        .having(func.count() >= room.count)
    )
    return set((await connection.execute(query)).scalars())


async def _now(connection: AsyncConnection) -> datetime:
    """Return the database's time, which orders all revisions; ask for it only once the alerts are locked."""
    now: datetime = (await connection.execute(select(func.clock_timestamp()))).scalar_one()
    return now


async def _comment(
    connection: AsyncConnection,
    rows: Sequence[RowMapping],
    *,
    actor: Actor,
    text: str,
    at: datetime,
    room: CommentRoom,
) -> Sequence[RowMapping]:
    """Add a comment to those locked alerts that have room for it, tell of it, and return them; it counts as an action."""
    ids = [row["id"] for row in rows]
    there = (
        select(alert_comments.c.alert_id)
        .where(alert_comments.c.alert_id.in_(ids))
        .group_by(alert_comments.c.alert_id)
        .having(
            (func.count() >= room.count)
            | (func.sum(func.length(alert_comments.c.text)) + len(text) > room.characters)
        )
    )
    full = set((await connection.execute(there)).scalars())
    open_ = [row for row in rows if row["id"] not in full]
    if not open_:
        return open_
    comment = {"at": at, "by": str(actor), "text": text}
    await connection.execute(
        insert(alert_comments), [{"id": uuid4(), "alert_id": row["id"], **comment} for row in open_]
    )
    await connection.execute(
        update(alerts).where(alerts.c.id.in_([row["id"] for row in open_])).values(last_action_at=at)
    )
    told = {**comment, "at": rfc3339(at)}
    events = [_scope(row).event(*comment_event(alert_from_row(row), told)) for row in open_]
    await execute(await _driver(connection), [(WRITE_EVENTS, events)])
    return open_


async def _driver(connection: AsyncConnection) -> Connection:
    driver: Connection | None = (await connection.get_raw_connection()).driver_connection
    assert driver is not None
    return driver


def _scope(row: RowMapping) -> EventScope:
    return EventScope(shipment_id=row["shipment_id"], organization=row["organization"], drill=row["drill"])
