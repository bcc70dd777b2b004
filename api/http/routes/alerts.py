"""Alerts: what somebody has to take care of."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response

from alerts.model import AlertKind, Severity
from alerts.triage import act
from alerts.triage.actions import Person, Refused
from alerts.triage.alert import AlertState
from alerts.views import alerts as views
from alerts.views.as_of import FindingFilter
from api.http.as_of import AsOf, stands_for, unknown
from api.http.pagination import DEFAULT_LIMIT, Cursor, Limit, answer, read_cursor
from api.http.problems import not_found
from api.http.routing import Call, Caller, Here, action
from api.http.schemas.alerts import (
    AlertAssigned,
    AlertComment,
    AlertCommented,
    AlertOut,
    AlertResolved,
    AlertRevision,
    AlertSnoozed,
    AlertTaken,
    AlertWithHistory,
)
from api.http.schemas.fields import DeviceId, Id, ListOf, Words
from api.http.services import Services
from api.identity.access import Principal, visible_shipments
from api.use_cases.registering import by
from api.use_cases.steps import Deed, refused, step_of

router = APIRouter(route_class=Call, tags=["alerts"])

States = Annotated[list[AlertState] | None, Query(alias="state", description="One or several.")]


@router.get("/v1/alerts")
@action("alerts.read")
async def list_alerts(
    caller: Caller,
    services: Here,
    response: Response,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    states: States = None,
    kind: AlertKind | None = None,
    severity: Severity | None = None,
    shipment_id: Annotated[Id | None, Query()] = None,
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
        visible=visible_shipments(caller),
        as_of=as_of,
        shipment_id=shipment_id,
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


@router.post("/v1/alerts/{alert_id}/acknowledge")
@action("alerts.acknowledge")
async def acknowledge_alert(
    alert_id: UUID, caller: Caller, services: Here, body: AlertTaken | None = None
) -> AlertWithHistory:
    """Take an alert, so that everybody sees that somebody has; taking it again changes nothing."""
    return await _act(services, caller, alert_id, body or AlertTaken())


@router.post("/v1/alerts/{alert_id}/assign")
@action("alerts.assign")
async def assign_alert(
    alert_id: UUID, body: AlertAssigned, caller: Caller, services: Here
) -> AlertWithHistory:
    """Say who sees to an alert; with null as the owner, that nobody does any more."""
    return await _act(services, caller, alert_id, body)


@router.post("/v1/alerts/{alert_id}/snooze")
@action("alerts.snooze")
async def snooze_alert(
    alert_id: UUID, body: AlertSnoozed, caller: Caller, services: Here
) -> AlertWithHistory:
    """Let an alert rest until a time, for a reason; it fires again by itself, or sooner where it becomes critical."""
    return await _act(services, caller, alert_id, body)


@router.post("/v1/alerts/{alert_id}/resolve")
@action("alerts.resolve")
async def resolve_alert(
    alert_id: UUID, body: AlertResolved, caller: Caller, services: Here
) -> AlertWithHistory:
    """End an alert by hand, for a reason; it stays quiet until its condition comes back or becomes critical."""
    return await _act(services, caller, alert_id, body)


@router.post("/v1/alerts/{alert_id}/comment", status_code=201)
@action("alerts.comment")
async def comment_on_alert(
    alert_id: UUID, body: AlertCommented, caller: Caller, services: Here
) -> AlertWithHistory:
    """Write something to an alert; it cannot be changed or taken away."""
    visible = visible_shipments(caller)
    async with services.engine.begin() as connection:
        found = await act.comment(connection, alert_id, visible=visible, by=by(caller), text=body.text)
    if not found:
        raise not_found("alert", alert_id)
    return await _alert(services, caller, alert_id)


async def _act(services: Services, caller: Principal, alert_id: UUID, deed: Deed) -> AlertWithHistory:
    step, note = step_of(deed)
    visible, person = visible_shipments(caller), Person(by=by(caller), note=note)
    async with services.engine.begin() as connection:
        done = await act.act(connection, alert_id, step, visible=visible, person=person)
    if done is None:
        raise not_found("alert", alert_id)
    if isinstance(done, Refused):
        raise refused(done)
    return await _alert(services, caller, alert_id)


async def _alert(
    services: Services, caller: Principal, alert_id: UUID, as_of: datetime | None = None
) -> AlertWithHistory:
    async with services.engine.connect() as connection:
        found = await views.alert(connection, alert_id, visible_shipments(caller), as_of)
        comments = await views.comments(connection, alert_id, as_of)
    if found is None:
        raise unknown("alert", alert_id, as_of)
    row, revisions = found
    return AlertWithHistory(
        **dict(AlertOut.of(row)),
        revisions=[AlertRevision(**revision) for revision in revisions],
        comments=[AlertComment(**comment) for comment in comments],
    )
