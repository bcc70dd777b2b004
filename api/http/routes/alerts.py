"""Alerts: what somebody has to take care of."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response

from alerts.model import AlertKind, Severity
from alerts.triage.alert import AlertState
from alerts.views import alerts as views
from alerts.views.as_of import FindingFilter
from api.http.as_of import AsOf, stands_for, unknown
from api.http.naming import OfShipments, Visible
from api.http.pagination import DEFAULT_LIMIT, Cursor, Limit, answer, read_cursor
from api.http.routes.alert_actions import ActedOn, add_alert_actions
from api.http.routing import Call, Caller, Here, action
from api.http.schemas.alerts import AlertComment, AlertOut, AlertRevision, AlertWithHistory
from api.http.schemas.fields import DeviceId, ListOf, Words
from api.http.services import Services
from api.identity.access import Principal, visible_shipments
from api.use_cases.alert_actions import act_on_alert, comment_on_alert

router = APIRouter(route_class=Call, tags=["alerts"])

States = Annotated[list[AlertState] | None, Query(alias="state", description="One or several.")]


@router.get("/v1/alerts")
@action("alerts.read")
async def list_alerts(
    services: Here,
    visible: Visible,
    response: Response,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    states: States = None,
    kind: AlertKind | None = None,
    severity: Severity | None = None,
    shipment_ids: OfShipments = None,
    device_id: Annotated[DeviceId | None, Query()] = None,
    owner: Annotated[Words | None, Query(description="Only those that this one owns.")] = None,
    incident_id: Annotated[UUID | None, Query()] = None,
    needs_attention: Annotated[
        bool | None, Query(description="True: those that fire, or are over and nobody has acknowledged.")
    ] = None,
    as_of: AsOf = None,
) -> ListOf[AlertOut]:
    """List alerts, the latest raised first."""
    response.headers.update(stands_for(as_of, services.clock()))
    after = read_cursor(cursor, views.ALERT_ORDER)
    wanted = FindingFilter(
        visible=visible,
        as_of=as_of,
        shipment_ids=shipment_ids,
        device_id=device_id,
        states=states,
        severity=severity,
        kind=kind,
        owner=owner,
        incident_id=incident_id,
        needs_attention=needs_attention,
    )
    async with services.engine.connect() as connection:
        page = await views.alert_page(connection, wanted, after=after, limit=limit)
    return answer(page, AlertOut.of)


@router.get("/v1/alerts/{alert_id}")
@action("alerts.read")
async def get_alert(
    alert_id: UUID, caller: Caller, services: Here, response: Response, as_of: AsOf = None
) -> AlertWithHistory:
    """Show one alert with every state that it was in, and who put it there."""
    response.headers.update(stands_for(as_of, services.clock()))
    return await _alert(services, caller, alert_id, as_of)


async def _alert(
    services: Services, caller: Principal, alert_id: UUID, as_of: datetime | None = None
) -> AlertWithHistory:
    async with services.engine.connect() as connection:
        found = await views.alert(connection, alert_id, visible_shipments(caller), as_of)
        if found is None:
            raise unknown("alert", alert_id, as_of)
        comments = await views.comments(connection, alert_id, as_of)
    row, revisions = found
    return AlertWithHistory(
        **dict(AlertOut.of(row)),
        revisions=[AlertRevision(**revision) for revision in revisions],
        comments=[AlertComment(**comment) for comment in comments],
    )


add_alert_actions(
    router,
    ActedOn(
        noun="alert",
        descriptions={
            "acknowledge": "Take an alert, so that everybody sees that somebody has; taking it again changes nothing.",
            "assign": "Say who sees to an alert; with null as the owner, that nobody does any more.",
            "snooze": "Let an alert rest until a time, for a reason; it fires again by itself, or sooner where it becomes "
            "critical.",
            "resolve": "End an alert by hand, for a reason; it stays quiet until its condition comes back or becomes "
            "critical.",
            "comment": "Write something to an alert; it cannot be changed or taken away.",
        },
        act=act_on_alert,
        comment=comment_on_alert,
        answer=AlertWithHistory,
        show=_alert,
    ),
)
