"""What people do to alerts: acknowledge, assign, snooze, resolve and comment, one alert at a time or all of an incident's."""

from typing import NoReturn
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.triage import act
from alerts.triage.act import CommentRoom
from alerts.triage.actions import ActionRefused, AlertAction
from alerts.views import incidents
from api.identity.access import Principal, visible_shipments
from api.rates.policy import QUOTAS, Limited, Quotas
from api.refusals import Conflict, Invalid, NotFound, QuotaReached
from telemetry.actor import Actor


async def act_on_alert(
    connection: AsyncConnection,
    caller: Principal,
    alert_id: UUID,
    action: AlertAction,
    *,
    actor: Actor,
    reason: str | None,
    quotas: Quotas = QUOTAS,
) -> None:
    """Do something to an alert that the caller may see; see `alerts.triage.actions`."""
    visible = visible_shipments(caller)
    done = await act.act(
        connection, alert_id, action, visible=visible, actor=actor, reason=reason, room=_room(caller, quotas)
    )
    if done is None:
        raise NotFound("alert", alert_id)
    if isinstance(done, ActionRefused):
        _refuse(done)


async def act_on_incident(
    connection: AsyncConnection,
    caller: Principal,
    incident_id: UUID,
    action: AlertAction,
    *,
    actor: Actor,
    reason: str | None,
    quotas: Quotas = QUOTAS,
) -> None:
    """Do the same to each alert of an incident on which it makes sense."""
    visible = visible_shipments(caller)
    done = await act.act_on_incident(
        connection,
        incident_id,
        action,
        visible=visible,
        actor=actor,
        reason=reason,
        room=_room(caller, quotas),
    )
    if done is None:
        await _refuse_without_alerts(connection, caller, incident_id)
    if isinstance(done, ActionRefused):
        _refuse(done)


async def comment_on_alert(
    connection: AsyncConnection,
    caller: Principal,
    alert_id: UUID,
    *,
    actor: Actor,
    text: str,
    quotas: Quotas = QUOTAS,
) -> None:
    """Comment on an alert that the caller may see."""
    visible = visible_shipments(caller)
    room = _room(caller, quotas)
    done = await act.comment(connection, alert_id, visible=visible, actor=actor, text=text, room=room)
    if not done:
        raise NotFound("alert", alert_id)
    if isinstance(done, ActionRefused):
        _refuse(done)


async def comment_on_incident(
    connection: AsyncConnection,
    caller: Principal,
    incident_id: UUID,
    *,
    actor: Actor,
    text: str,
    quotas: Quotas = QUOTAS,
) -> None:
    """Comment on each open alert of an incident, or on all where none is open."""
    visible = visible_shipments(caller)
    room = _room(caller, quotas)
    done = await act.comment_on_incident(
        connection, incident_id, visible=visible, actor=actor, text=text, room=room
    )
    if not done:
        await _refuse_without_alerts(connection, caller, incident_id)
    if isinstance(done, ActionRefused):
        _refuse(done)


def _room(caller: Principal, quotas: Quotas) -> CommentRoom:
    """Return how much fits on an alert; operators have as much again, so that nobody can keep them from writing."""
    times = 2 if caller.is_operator else 1
    return CommentRoom(count=times * quotas.comments, characters=times * quotas.comment_characters)


def _refuse(refused: ActionRefused) -> NoReturn:
    if refused.full:
        raise QuotaReached(refused.why, what=Limited.COMMENTS)
    raise Conflict(refused.why) if refused.field is None else Invalid(refused.field, refused.why)


async def _refuse_without_alerts(
    connection: AsyncConnection, caller: Principal, incident_id: UUID
) -> NoReturn:
    """Refuse to act on an incident without alerts: there is no such incident, or another one has its alerts now."""
    found = await incidents.incident(connection, incident_id, visible_shipments(caller), None)
    if found is None:
        raise NotFound("incident", incident_id)
    merged_into = found[0]["merged_into"]
    raise Conflict(
        f"This incident went into the incident {merged_into}: it is the same cause. Act on that one."
    )
