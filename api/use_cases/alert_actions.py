"""What people do to alerts: acknowledge, assign, snooze, resolve and comment, one alert at a time or all of an incident's."""

from typing import NoReturn
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.triage import act
from alerts.triage.actions import ActionRefused, AlertAction
from alerts.views import incidents
from api.identity.access import Principal, visible_shipments
from api.refusals import Conflict, Invalid, NotFound
from telemetry.actor import Actor


async def act_on_alert(
    connection: AsyncConnection,
    caller: Principal,
    alert_id: UUID,
    action: AlertAction,
    *,
    actor: Actor,
    reason: str | None,
) -> None:
    """Do something to an alert that the caller may see; see `alerts.triage.actions`."""
    visible = visible_shipments(caller)
    done = await act.act(connection, alert_id, action, visible=visible, actor=actor, reason=reason)
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
) -> None:
    """Do the same to each alert of an incident on which it makes sense."""
    visible = visible_shipments(caller)
    done = await act.act_on_incident(
        connection, incident_id, action, visible=visible, actor=actor, reason=reason
    )
    if done is None:
        await _refuse_without_alerts(connection, caller, incident_id)
    if isinstance(done, ActionRefused):
        _refuse(done)


async def comment_on_alert(
    connection: AsyncConnection, caller: Principal, alert_id: UUID, *, actor: Actor, text: str
) -> None:
    """Comment on an alert that the caller may see."""
    visible = visible_shipments(caller)
    if not await act.comment(connection, alert_id, visible=visible, actor=actor, text=text):
        raise NotFound("alert", alert_id)


async def comment_on_incident(
    connection: AsyncConnection, caller: Principal, incident_id: UUID, *, actor: Actor, text: str
) -> None:
    """Comment on each open alert of an incident, or on all where none is open."""
    visible = visible_shipments(caller)
    if not await act.comment_on_incident(connection, incident_id, visible=visible, actor=actor, text=text):
        await _refuse_without_alerts(connection, caller, incident_id)


def _refuse(refused: ActionRefused) -> NoReturn:
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
