"""Incidents: alerts of one probable cause, and steps on all of them at once."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response

from alerts.model import Severity
from alerts.triage.incidents import IncidentState
from alerts.views import incidents
from api.http.as_of import AsOf, stands_for, unknown
from api.http.naming import OfShipments, Visible
from api.http.pagination import DEFAULT_LIMIT, Cursor, Limit, answer, read_cursor
from api.http.routes.alert_actions import ActedOn, add_alert_actions
from api.http.routing import Call, Caller, Here, action
from api.http.schemas.alerts import AlertOut, IncidentOut, IncidentRevision, IncidentWithAlerts
from api.http.schemas.fields import ListOf, Words
from api.http.services import Services
from api.identity.access import Principal, visible_shipments
from api.use_cases.alert_actions import act_on_incident, comment_on_incident

router = APIRouter(route_class=Call, tags=["incidents"])


@router.get("/v1/incidents")
@action("incidents.read")
async def list_incidents(
    services: Here,
    visible: Visible,
    response: Response,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    state: IncidentState | None = None,
    severity: Severity | None = None,
    shipment_ids: OfShipments = None,
    owner: Annotated[Words | None, Query(description="Only those with an open alert of this owner.")] = None,
    as_of: AsOf = None,
) -> ListOf[IncidentOut]:
    """List incidents, the latest opened first: one line for each probable cause, with what to do next."""
    response.headers.update(stands_for(as_of, services.clock()))
    after = read_cursor(cursor, incidents.ORDER)
    wanted = incidents.IncidentFilter(
        visible=visible,
        as_of=as_of,
        shipment_ids=shipment_ids,
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


add_alert_actions(
    router,
    ActedOn(
        noun="incident",
        descriptions={
            "acknowledge": "Take all alerts of an incident, also those that are over and that nobody has seen.",
            "assign": "Say who sees to all open alerts of an incident; with null as the owner, that nobody does any more.",
            "snooze": "Let all open alerts of an incident rest until a time, for a reason.",
            "resolve": "End all open alerts of an incident by hand, for a reason.",
            "comment": "Write something to each open alert of an incident, or to all of them once it is closed.",
        },
        act=act_on_incident,
        comment=comment_on_incident,
        answer=IncidentWithAlerts,
        show=_incident,
    ),
)
