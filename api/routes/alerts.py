"""Alerts: what somebody has to take care of."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response

from alerts import findings, handling
from alerts.alert import AlertKind, AlertState
from alerts.handling import AlreadyResolved
from alerts.model import Severity
from alerts.wording import instant_text
from api.access import Principal, visible_shipments
from api.as_of import AsOf, stands_for, unknown
from api.pagination import DEFAULT_LIMIT, Cursor, Limit, answer, read_cursor
from api.problems import Problem, not_found
from api.routing import Call, Caller, Here
from api.schemas.fields import DeviceId, Id, ListOf
from api.schemas.findings import AlertOut, AlertRevision, AlertWithHistory
from api.services import Services

router = APIRouter(route_class=Call, tags=["alerts"])

States = Annotated[list[AlertState] | None, Query(alias="state", description="One or several.")]


@router.get("/v1/alerts")
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
    as_of: AsOf = None,
) -> ListOf[AlertOut]:
    """List alerts, the latest raised first."""
    response.headers.update(stands_for(as_of, services.clock()))
    after = read_cursor(cursor, findings.ALERT_ORDER)
    wanted = findings.Wanted(
        visible=visible_shipments(caller),
        as_of=as_of,
        shipment_id=shipment_id,
        device_id=device_id,
        states=states,
        severity=severity,
        kind=kind,
    )
    async with services.engine.connect() as connection:
        page = await findings.alert_page(connection, wanted, after=after, limit=limit)
    return answer(page, AlertOut.of)


@router.get("/v1/alerts/{alert_id}")
async def get_alert(
    alert_id: UUID, caller: Caller, services: Here, response: Response, as_of: AsOf = None
) -> AlertWithHistory:
    """Show one alert with every state that it was in, and who put it there."""
    response.headers.update(stands_for(as_of, services.clock()))
    return await _alert(services, caller, alert_id, as_of)


@router.post("/v1/alerts/{alert_id}/acknowledge")
async def acknowledge_alert(alert_id: UUID, caller: Caller, services: Here) -> AlertWithHistory:
    """Take an alert, so that everybody sees that somebody has; taking it again changes nothing."""
    visible = visible_shipments(caller)
    async with services.engine.begin() as connection:
        taken = await handling.acknowledge(connection, alert_id, visible=visible, by=f"key:{caller.name}")
    if taken is None:
        raise not_found("alert", alert_id)
    if isinstance(taken, AlreadyResolved):
        when = instant_text(taken.alert.resolved_at)
        raise Problem(409, f"This alert was resolved at {when}: there is nothing left to take.")
    return await _alert(services, caller, alert_id)


async def _alert(
    services: Services, caller: Principal, alert_id: UUID, as_of: datetime | None = None
) -> AlertWithHistory:
    async with services.engine.connect() as connection:
        found = await findings.alert(connection, alert_id, visible_shipments(caller), as_of)
    if found is None:
        raise unknown("alert", alert_id, as_of)
    row, revisions = found
    shown = [AlertRevision(**revision) for revision in revisions]
    return AlertWithHistory(**dict(AlertOut.of(row)), revisions=shown)
