"""Notifications: who was told what and when, and who was not, each with its reason."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from sqlalchemy import Table, and_, func, or_, select

from alerts.directory import NOTIFICATION_ORDER, attempts_of, notification_page
from alerts.escalation.tables import notifications
from alerts.tables import alerts, incidents
from api.access import KeyRole, Principal, visible_shipments
from api.pagination import DEFAULT_LIMIT, Cursor, Limit, read_cursor, write_cursor
from api.problems import not_found
from api.routing import Call, Caller, Here
from api.schemas.escalation import NotificationOut, NotificationState
from api.schemas.fields import Id, ListOf
from api.services import Services
from telemetry.registry import shipments
from telemetry.tables import shipments as table

router = APIRouter(route_class=Call, tags=["notifications"])

States = Annotated[list[NotificationState] | None, Query(alias="state", description="One or several.")]


@router.get("/v1/notifications")
async def list_notifications(
    caller: Caller,
    services: Here,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    states: States = None,
    shipment_id: Annotated[Id | None, Query()] = None,
    incident_id: Annotated[UUID | None, Query()] = None,
    alert_id: Annotated[UUID | None, Query()] = None,
    contact_id: Annotated[str | None, Query(max_length=200)] = None,
) -> ListOf[NotificationOut]:
    """List every decision to tell somebody, or not to, the latest first, with every attempt to send."""
    columns = notifications.c
    conditions: list[Any] = [_visible(caller)]
    if states:
        conditions.append(columns.state.in_(states))
    if shipment_id is not None:
        conditions.append(columns.scope == shipment_id)
    if incident_id is not None:
        conditions += [columns.incident_id == incident_id, _of_the_scope(incidents, incident_id)]
    if alert_id is not None:
        conditions += [columns.alert_ids.contains([alert_id]), _of_the_scope(alerts, alert_id)]
    if contact_id is not None:
        conditions.append(columns.contact_id == contact_id.replace("\0", ""))
    return await _page(services, caller, conditions, limit, cursor)


def _of_the_scope(table: Table, id_: UUID) -> Any:
    """Say of which shipment, or of the fleet, an incident or alert is: by that its notifications are found at once."""
    scope = select(func.coalesce(table.c.shipment_id, "")).where(table.c.id == id_)
    return notifications.c.scope == scope.scalar_subquery()


@router.get("/v1/shipments/{shipment_id}/notifications")
async def list_shipment_notifications(
    shipment_id: Id, caller: Caller, services: Here, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> ListOf[NotificationOut]:
    """List who was told of a shipment's alerts, and who was not and why, the latest first."""
    async with services.engine.connect() as connection:
        if await shipments.get(connection, shipment_id, visible_shipments(caller)) is None:
            raise not_found("shipment", shipment_id)
    return await _page(services, caller, [notifications.c.scope == shipment_id], limit, cursor)


async def _page(
    services: Services, caller: Principal, conditions: list[Any], limit: int, cursor: str | None
) -> ListOf[NotificationOut]:
    after = read_cursor(cursor, NOTIFICATION_ORDER)
    async with services.engine.connect() as connection:
        page = await notification_page(connection, *conditions, after=after, limit=limit)
        tried = await attempts_of(connection, [row["id"] for row in page.rows])
    with_address = caller.role in {KeyRole.ADMIN, KeyRole.OPS, KeyRole.QA}
    return ListOf(
        items=[NotificationOut.of(row, tried[row["id"]], with_address=with_address) for row in page.rows],
        next_cursor=None if page.next_key is None else write_cursor(page.next_key),
    )


def _visible(caller: Principal) -> Any:
    """Give what the caller may see: of its shipments, and for operators digests and the fleet as well."""
    of_shipments = and_(table.c.shipment_id.is_not(None), visible_shipments(caller))
    return or_(of_shipments, notifications.c.scope == "") if caller.is_operator else of_shipments
