"""Queries contacts, policies, handovers and notifications; has alerts looked at again when these change."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, func, insert, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.escalation.tables import (
    contact_revisions,
    contacts,
    escalations,
    handovers,
    notification_attempts,
    notifications,
    policies,
    policy_revisions,
)
from alerts.tables import alerts, attention_marks, incidents
from telemetry.channels import NotifyChannel
from telemetry.paging import Page, SortOrder, fetch_page
from telemetry.registry.revisioned_table import RevisionedTable
from telemetry.tables import shipments

CONTACTS = RevisionedTable(
    table=contacts,
    revisions=contact_revisions,
    key=contacts.c.contact_id,
    searched=(contacts.c.contact_id, contacts.c.name, contacts.c.organization),
)
POLICIES = RevisionedTable(
    table=policies,
    revisions=policy_revisions,
    key=policies.c.policy_id,
    searched=(policies.c.policy_id, policies.c.organization, policies.c.origin, policies.c.destination),
)
HANDOVER_ORDER = SortOrder(columns=(handovers.c.at, handovers.c.recorded_at, handovers.c.id))
NOTIFICATION_ORDER = SortOrder(columns=(notifications.c.decided_at, notifications.c.id), descending=True)


async def look_again(connection: AsyncConnection, shipment_id: str | None = None) -> None:
    """Have the attention loop look at one shipment's open alerts, or at all, once the transaction commits."""
    scope = func.coalesce(alerts.c.shipment_id, "")
    open_ = select(scope).where(alerts.c.state != "resolved")
    untold = (
        select(func.coalesce(incidents.c.shipment_id, ""))
        .join(escalations, escalations.c.incident_id == incidents.c.id)
        .where(escalations.c.nobody_to_tell)
    )
    if shipment_id is not None:
        open_ = open_.where(alerts.c.shipment_id == shipment_id)
        untold = untold.where(incidents.c.shipment_id == shipment_id)
    await connection.execute(insert(attention_marks).from_select(["scope"], open_.union(untold)))
    await connection.execute(select(func.pg_notify(NotifyChannel.ATTENTION.value, "")))


async def handover_page(
    connection: AsyncConnection, shipment_id: str, *, after: Sequence[Any] | None, limit: int
) -> Page:
    """Return a page of a shipment's handovers, in the order of their times."""
    query = select(handovers).where(handovers.c.shipment_id == shipment_id)
    return await fetch_page(connection, query, HANDOVER_ORDER, after=after, limit=limit)


async def notification_page(
    connection: AsyncConnection, *conditions: Any, after: Sequence[Any] | None, limit: int
) -> Page:
    """Return a page of notifications that meet the conditions, latest first, with their shipments' ids."""
    query = (
        select(notifications, shipments.c.shipment_id)
        .outerjoin(shipments, shipments.c.shipment_id == notifications.c.scope)
        .where(*conditions)
    )
    return await fetch_page(connection, query, NOTIFICATION_ORDER, after=after, limit=limit)


async def attempts_of(connection: AsyncConnection, ids: Sequence[Any]) -> dict[Any, list[RowMapping]]:
    """Return the attempts to send each of some notifications, in order."""
    query = select(notification_attempts).where(notification_attempts.c.notification_id.in_(ids))
    found: dict[Any, list[RowMapping]] = {id_: [] for id_ in ids}
    for row in (await connection.execute(query.order_by(notification_attempts.c.number))).mappings():
        found[row["notification_id"]].append(row)
    return found


async def contacts_for(connection: AsyncConnection, organization: str | None) -> Sequence[RowMapping]:
    """Return the active contacts that may be told about an organization's shipments."""
    own = or_(contacts.c.organization.is_(None), contacts.c.organization == organization)
    return (await connection.execute(select(contacts).where(contacts.c.active, own))).mappings().all()


async def policies_for(connection: AsyncConnection, organization: str | None) -> Sequence[RowMapping]:
    """Return the active policies that can apply to an organization's shipments."""
    own = or_(policies.c.organization.is_(None), policies.c.organization == organization)
    return (await connection.execute(select(policies).where(policies.c.active, own))).mappings().all()


async def contacts_among(
    connection: AsyncConnection, ids: Collection[str], visible: ColumnElement[bool]
) -> set[str]:
    """Return the ids, among those given, of contacts that meet the condition `visible`."""
    query = select(contacts.c.contact_id).where(contacts.c.contact_id.in_(ids), visible)
    return set((await connection.execute(query)).scalars())
