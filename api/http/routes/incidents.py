"""Incidents: alerts of one probable cause, and steps on all of them at once."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response

from alerts.model import Severity
from alerts.triage import act
from alerts.triage.actions import Person, Refused
from alerts.triage.incidents import IncidentState
from alerts.views import incidents
from api.http.as_of import AsOf, stands_for, unknown
from api.http.pagination import DEFAULT_LIMIT, Cursor, Limit, answer, read_cursor
from api.http.problems import Problem
from api.http.routing import Call, Caller, Here, action
from api.http.schemas.alerts import (
    AlertAssigned,
    AlertCommented,
    AlertOut,
    AlertResolved,
    AlertSnoozed,
    AlertTaken,
    IncidentOut,
    IncidentRevision,
    IncidentWithAlerts,
)
from api.http.schemas.fields import Id, ListOf, Words
from api.http.services import Services
from api.identity.access import Principal, visible_shipments
from api.use_cases.registering import by
from api.use_cases.steps import Deed, refused, step_of

router = APIRouter(route_class=Call, tags=["incidents"])


@router.get("/v1/incidents")
@action("incidents.read")
async def list_incidents(
    caller: Caller,
    services: Here,
    response: Response,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    state: IncidentState | None = None,
    severity: Severity | None = None,
    shipment_id: Annotated[Id | None, Query()] = None,
    owner: Annotated[Words | None, Query(description="Only those with an open alert of this owner.")] = None,
    as_of: AsOf = None,
) -> ListOf[IncidentOut]:
    """List incidents, the latest opened first: one line for each probable cause, with what to do next."""
    response.headers.update(stands_for(as_of, services.clock()))
    after = read_cursor(cursor, incidents.ORDER)
    wanted = incidents.IncidentFilter(
        visible=visible_shipments(caller),
        as_of=as_of,
        shipment_id=shipment_id,
        state=state,
        severity=severity,
        owner=owner,
    )
    async with services.engine.connect() as connection:
        page = await incidents.incident_page(connection, wanted, after=after, limit=limit)
        alerts = await incidents.alerts_of(connection, page.rows, as_of)
    return answer(page, lambda row: IncidentOut.of(row, alerts[row["id"]]))


@router.get("/v1/incidents/{incident_id}")
@action("incidents.read")
async def get_incident(
    incident_id: UUID, caller: Caller, services: Here, response: Response, as_of: AsOf = None
) -> IncidentWithAlerts:
    """Show one incident with its alerts and every state that it was in."""
    response.headers.update(stands_for(as_of, services.clock()))
    return await _incident(services, caller, incident_id, as_of)


@router.post("/v1/incidents/{incident_id}/acknowledge")
@action("incidents.acknowledge")
async def acknowledge_incident(
    incident_id: UUID, caller: Caller, services: Here, body: AlertTaken | None = None
) -> IncidentWithAlerts:
    """Take all alerts of an incident, also those that are over and that nobody has seen."""
    return await _act(services, caller, incident_id, body or AlertTaken())


@router.post("/v1/incidents/{incident_id}/assign")
@action("incidents.assign")
async def assign_incident(
    incident_id: UUID, body: AlertAssigned, caller: Caller, services: Here
) -> IncidentWithAlerts:
    """Say who sees to all open alerts of an incident; with null as the owner, that nobody does any more."""
    return await _act(services, caller, incident_id, body)


@router.post("/v1/incidents/{incident_id}/snooze")
@action("incidents.snooze")
async def snooze_incident(
    incident_id: UUID, body: AlertSnoozed, caller: Caller, services: Here
) -> IncidentWithAlerts:
    """Let all open alerts of an incident rest until a time, for a reason."""
    return await _act(services, caller, incident_id, body)


@router.post("/v1/incidents/{incident_id}/resolve")
@action("incidents.resolve")
async def resolve_incident(
    incident_id: UUID, body: AlertResolved, caller: Caller, services: Here
) -> IncidentWithAlerts:
    """End all open alerts of an incident by hand, for a reason."""
    return await _act(services, caller, incident_id, body)


@router.post("/v1/incidents/{incident_id}/comment", status_code=201)
@action("incidents.comment")
async def comment_on_incident(
    incident_id: UUID, body: AlertCommented, caller: Caller, services: Here
) -> IncidentWithAlerts:
    """Write something to each open alert of an incident, or to all of them once it is closed."""
    visible = visible_shipments(caller)
    async with services.engine.begin() as connection:
        found = await act.comment_on_incident(
            connection, incident_id, visible=visible, by=by(caller), text=body.text
        )
    if not found:
        raise await _without_alerts(services, caller, incident_id)
    return await _incident(services, caller, incident_id)


async def _act(services: Services, caller: Principal, incident_id: UUID, deed: Deed) -> IncidentWithAlerts:
    step, note = step_of(deed)
    visible, person = visible_shipments(caller), Person(by=by(caller), note=note)
    async with services.engine.begin() as connection:
        done = await act.act_on_incident(connection, incident_id, step, visible=visible, person=person)
    if done is None:
        raise await _without_alerts(services, caller, incident_id)
    if isinstance(done, Refused):
        raise refused(done)
    return await _incident(services, caller, incident_id)


async def _without_alerts(services: Services, caller: Principal, incident_id: UUID) -> Problem:
    """Say why there is nothing to do it to: there is no such incident, or its alerts are in another one now."""
    shown = await _incident(services, caller, incident_id)
    return Problem(
        409,
        f"This incident went into the incident {shown.merged_into}: it is the same cause. Act on that one.",
    )


async def _incident(
    services: Services, caller: Principal, incident_id: UUID, as_of: datetime | None = None
) -> IncidentWithAlerts:
    async with services.engine.connect() as connection:
        found = await incidents.incident(connection, incident_id, visible_shipments(caller), as_of)
        if found is None:
            raise unknown("incident", incident_id, as_of)
        row, revisions = found
        alerts = (await incidents.alerts_of(connection, [row], as_of))[row["id"]]
    return IncidentWithAlerts(
        **IncidentOut.fields(row, alerts),
        alerts=[AlertOut.of(alert) for alert in alerts],
        revisions=[IncidentRevision(**revision) for revision in revisions],
    )
