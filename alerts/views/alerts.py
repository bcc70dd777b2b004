"""Alerts with their revisions and comments, as known now or at an instant."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, FromClause, RowMapping, Select, and_, any_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.tables import alert_comments, alert_revisions, alerts, incident_revisions, incidents
from alerts.triage.alert import AlertState
from alerts.triage.store import Rows
from alerts.views.as_of import FindingFilter, filtered, revisions_of, rows_then
from telemetry.paging import Page, SortOrder, fetch_page
from telemetry.tables import shipments


def alerts_known(as_of: datetime | None) -> FromClause:
    """Return alerts as known at an instant; None: as they are now. Their order never changes, so an index skips later ones."""
    if as_of is None:
        return alerts
    then = rows_then(alerts, alert_revisions, alert_revisions.c.alert_id, as_of)
    return then.where(alerts.c.raised_at <= as_of).subquery("alerts_then")


def _alert_order(known: FromClause) -> SortOrder:
    return SortOrder(columns=(known.c.raised_at, known.c.id), descending=True)


ALERT_ORDER = _alert_order(alerts)


async def alert_page(
    connection: AsyncConnection, wanted: FindingFilter, *, after: Sequence[Any] | None, limit: int
) -> Page:
    """Return a page of alerts, the latest raised first."""
    known = alerts_known(wanted.as_of)
    query = filtered(alerts_with_shipment(known, wanted.as_of), known, wanted)
    for name in ("kind", "owner"):
        if (value := getattr(wanted, name)) is not None:
            query = query.where(known.c[name] == value)
    if wanted.incident_id is not None:
        query = query.where(_incident_then(known, wanted.as_of) == wanted.incident_id)
    if wanted.needs_attention is not None:
        needs = _needs_attention(known)
        query = query.where(needs if wanted.needs_attention else ~needs)
    return await fetch_page(connection, query, _alert_order(known), after=after, limit=limit)


def _needs_attention(known: FromClause) -> ColumnElement[bool]:
    """Return the SQL twin of `alerts.triage.incidents.needs_attention`."""
    over_unseen = and_(known.c.state == AlertState.RESOLVED, known.c.acknowledged_at.is_(None))
    return or_(known.c.state == AlertState.FIRING, over_unseen)


def _incident_then(known: FromClause, as_of: datetime | None) -> ColumnElement[Any]:
    """Return the incident that an alert belonged to; after a merge, the younger one's last revision is empty."""
    if as_of is None:
        return known.c.incident_id
    of = incident_revisions
    return (
        select(of.c.incident_id)
        .join(incidents, incidents.c.id == of.c.incident_id)
        .where(incidents.c.shipment_id.is_not_distinct_from(known.c.shipment_id))
        .where(known.c.id == any_(of.c.alert_ids), of.c.recorded_at <= as_of)
        .order_by(of.c.recorded_at.desc(), of.c.revision.desc())
        .limit(1)
        .correlate(known)
        .scalar_subquery()
    )


def alerts_with_shipment(known: FromClause, as_of: datetime | None) -> Select[Any]:
    """Select alerts with their shipments, and with the incident each belonged to then."""
    columns = [column for column in known.c if column.name != "incident_id"]
    then = _incident_then(known, as_of).label("incident_id")
    drill = func.coalesce(shipments.c.drill, False).label("drill")
    return select(*columns, then, shipments.c.organization, drill).join(
        shipments, shipments.c.shipment_id == known.c.shipment_id, isouter=True
    )


async def alert(
    connection: AsyncConnection, id_: UUID, visible: ColumnElement[bool], as_of: datetime | None
) -> tuple[RowMapping, Rows] | None:
    """Return one alert and its revisions by then, oldest first; None if it was not known."""
    known = alerts_known(as_of)
    query = alerts_with_shipment(known, as_of).where(known.c.id == id_, visible)
    row = (await connection.execute(query)).mappings().first()
    if row is None:
        return None
    history = await revisions_of(connection, alert_revisions, alert_revisions.c.alert_id, [id_], as_of)
    return row, history[id_]


async def comments(connection: AsyncConnection, id_: UUID, as_of: datetime | None) -> Rows:
    """Return the comments on an alert by then, oldest first."""
    query = select(alert_comments).where(alert_comments.c.alert_id == id_)
    if as_of is not None:
        query = query.where(alert_comments.c.at <= as_of)
    ordered = query.order_by(alert_comments.c.at, alert_comments.c.id)
    return (await connection.execute(ordered)).mappings().all()
