"""Contacts, policies and handovers, for the API; whatever changes whom there is to tell has alerts looked at again."""

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
    """Have the open alerts of one shipment attended to, or all open ones, once the transaction commits."""
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
    """Return a page of a shipment's handovers, in the order in which they were."""
    query = select(handovers).where(handovers.c.shipment_id == shipment_id)
    return await fetch_page(connection, query, HANDOVER_ORDER, after=after, limit=limit)


async def notification_page(
    connection: AsyncConnection, *conditions: Any, after: Sequence[Any] | None, limit: int
) -> Page:
    """Return a page of decisions about shipments for which the conditions hold, the latest first."""
    query = (
        select(notifications, shipments.c.shipment_id)
        .outerjoin(shipments, shipments.c.shipment_id == notifications.c.scope)
        .where(*conditions)
    )
    return await fetch_page(connection, query, NOTIFICATION_ORDER, after=after, limit=limit)


async def attempts_of(connection: AsyncConnection, ids: Sequence[Any]) -> dict[Any, list[RowMapping]]:
    """Return the attempts to send of some notifications, in their order."""
    query = select(notification_attempts).where(notification_attempts.c.notification_id.in_(ids))
    found: dict[Any, list[RowMapping]] = {id_: [] for id_ in ids}
    for row in (await connection.execute(query.order_by(notification_attempts.c.number))).mappings():
        found[row["notification_id"]].append(row)
    return found


async def contacts_for(connection: AsyncConnection, organization: str | None) -> Sequence[RowMapping]:
    """Return the active contacts that may be told of an organization's shipments."""
    own = or_(contacts.c.organization.is_(None), contacts.c.organization == organization)
    return (await connection.execute(select(contacts).where(contacts.c.active, own))).mappings().all()


async def policies_for(connection: AsyncConnection, organization: str | None) -> Sequence[RowMapping]:
    """Return the active policies that may hold for an organization's shipments."""
    own = or_(policies.c.organization.is_(None), policies.c.organization == organization)
    return (await connection.execute(select(policies).where(policies.c.active, own))).mappings().all()


async def contacts_among(
    connection: AsyncConnection, ids: Collection[str], visible: ColumnElement[bool]
) -> set[str]:
    """Return those of some ids that are contacts for which a condition holds."""
    query = select(contacts.c.contact_id).where(contacts.c.contact_id.in_(ids), visible)
    return set((await connection.execute(query)).scalars())


async def unknown_contacts(
    connection: AsyncConnection, ids: Sequence[str], organization: str | None
) -> list[str]:
    """Return those of some ids that are no contact which an organization may have told."""
    query = select(contacts.c.contact_id).where(
        contacts.c.contact_id.in_(ids),
        or_(contacts.c.organization.is_(None), contacts.c.organization == organization),
    )
    known = set((await connection.execute(query)).scalars())
    return sorted(set(ids) - known)
