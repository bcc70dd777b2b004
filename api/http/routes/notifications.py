"""Notifications: who was told what and when, and who was not, each with its reason."""

from collections.abc import Collection
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from sqlalchemy import Table, and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.escalation.deciding.notification import Purpose
from alerts.escalation.registers import NOTIFICATION_ORDER, attempts_of, contacts_among, notification_page
from alerts.escalation.tables import contacts, notifications
from alerts.tables import alerts, incidents
from api.http.naming import OfShipments, Organization, ShipmentKey, is_owned_by
from api.http.pagination import DEFAULT_LIMIT, Cursor, Limit, read_cursor, write_cursor
from api.http.routing import Call, Caller, Here, action
from api.http.schemas.escalation import NotificationOut, NotificationState
from api.http.schemas.fields import ListOf, Words
from api.http.services import Services
from api.identity.access import Principal, own_entries, visible_shipments
from api.identity.permissions import KeyRole
from api.refusals import NotFound
from api.use_cases.naming import told_contacts
from telemetry.paging import Page
from telemetry.registry import shipments
from telemetry.tables import shipments as table

router = APIRouter(route_class=Call, tags=["notifications"])

States = Annotated[list[NotificationState] | None, Query(alias="state", description="One or several.")]


@router.get("/v1/notifications")
@action("notifications.read")
async def list_notifications(
    caller: Caller,
    services: Here,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    states: States = None,
    shipment_ids: OfShipments = None,
    incident_id: Annotated[UUID | None, Query()] = None,
    alert_id: Annotated[UUID | None, Query()] = None,
    contact_id: Annotated[Words | None, Query()] = None,
    organization: Organization = None,
) -> ListOf[NotificationOut]:
    """List every decision to tell somebody, or not to, the latest first, with every attempt to send."""
    columns = notifications.c
    conditions: list[Any] = [_visible(caller), _owned_by(organization)]
    if states:
        conditions.append(columns.state.in_(states))
    if shipment_ids is not None:
        conditions.append(columns.scope.in_(shipment_ids))
    if incident_id is not None:
        conditions += [columns.incident_id == incident_id, columns.scope == _scope_of(incidents, incident_id)]
    if alert_id is not None:
        conditions += [columns.alert_ids.contains([alert_id]), columns.scope == _scope_of(alerts, alert_id)]
    if contact_id is not None:
        async with services.engine.connect() as connection:
            keys = await told_contacts(connection, caller, contact_id, organization)
        conditions.append(columns.contact_id.in_(keys))
    return await _page(services, caller, conditions, limit, cursor)


@router.get("/v1/shipments/{shipment_id}/notifications")
@action("shipments.read_notifications")
async def list_shipment_notifications(
    shipment_id: ShipmentKey,
    caller: Caller,
    services: Here,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> ListOf[NotificationOut]:
    """List who was told of a shipment's alerts, and who was not and why, the latest first."""
    async with services.engine.connect() as connection:
        if await shipments.get(connection, shipment_id, visible_shipments(caller)) is None:
            raise NotFound("shipment", shipment_id)
    return await _page(services, caller, [notifications.c.scope == shipment_id], limit, cursor)


async def _page(
    services: Services, caller: Principal, conditions: list[Any], limit: int, cursor: str | None
) -> ListOf[NotificationOut]:
    after = read_cursor(cursor, NOTIFICATION_ORDER)
    async with services.engine.connect() as connection:
        page = await notification_page(connection, *conditions, after=after, limit=limit)
        tried = await attempts_of(connection, [row["id"] for row in page.rows])
        open_to = await _open_to(connection, caller, page)
    return ListOf(
        items=[
            NotificationOut.of(
                row, tried[row["id"]], with_address=open_to is None or row["contact_id"] in open_to
            )
            for row in page.rows
        ],
        next_cursor=None if page.next_key is None else write_cursor(page.next_key),
    )


async def _open_to(connection: AsyncConnection, caller: Principal, page: Page) -> Collection[str] | None:
    """Return the contacts of a page whose addresses the caller may see; None if it may see all of them."""
    if caller.is_operator:
        return None
    if caller.role not in {KeyRole.OPS, KeyRole.QA}:
        return ()
    ids = {row["contact_id"] for row in page.rows if row["contact_id"] is not None}
    return await contacts_among(connection, ids, own_entries(caller, contacts.c.organization))


def _scope_of(what: Table, id_: UUID) -> Any:
    """Return the scope of an alert or an incident, by which its notifications are found."""
    return select(func.coalesce(what.c.shipment_id, "")).where(what.c.id == id_).scalar_subquery()


def _visible(caller: Principal) -> Any:
    """Return the condition for what the caller may see: of its shipments, and what goes to contacts of its own.

    What is of no shipment is a test, a digest, or about the fleet. A digest is of many shipments, and not for a key that
    is bound to some.
    """
    of_shipments = and_(table.c.shipment_id.is_not(None), visible_shipments(caller))
    of_none = notifications.c.scope == ""
    if not caller.is_operator:
        own = select(contacts.c.contact_id).where(own_entries(caller, contacts.c.organization))
        of_none = and_(of_none, notifications.c.contact_id.in_(own))
        if caller.shipment_ids is not None:
            of_none = and_(of_none, notifications.c.purpose == Purpose.TEST)
    return or_(of_shipments, of_none)


def _owned_by(organization: str | None) -> Any:
    """Return the condition of the filter `organization`: of its shipments, or of none of them and its own."""
    of_none = and_(notifications.c.scope == "", is_owned_by(notifications.c.organization, organization))
    return or_(
        and_(table.c.shipment_id.is_not(None), is_owned_by(table.c.organization, organization)), of_none
    )
