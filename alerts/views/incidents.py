"""Incidents with their revisions, as known now or at an instant."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    FromClause,
    RowMapping,
    Select,
    Uuid,
    and_,
    any_,
    case,
    cast,
    exists,
    func,
    literal,
    not_,
    null,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY, aggregate_order_by
from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.escalation.tables import escalations
from alerts.tables import alerts, incident_revisions, incidents
from alerts.triage.alert import AlertState
from alerts.triage.incidents import IncidentState
from alerts.views.alerts import alerts_known, alerts_with_shipment
from telemetry.paging import Page, SortOrder, fetch_page
from telemetry.tables import shipments


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentFilter:
    """Which incidents to list; None filters nothing. `visible` is a condition on `shipments`."""

    visible: ColumnElement[bool]
    as_of: datetime | None = None
    shipment_ids: Collection[str] | None = None
    state: str | None = None
    severity: str | None = None
    owner: str | None = None
    """Owner of one of its open alerts."""


def order(known: FromClause) -> SortOrder:
    """Return the order of lists: the latest opened first."""
    return SortOrder(columns=(known.c.opened_at, known.c.id), descending=True)


ORDER = order(incidents)


def _known(as_of: datetime | None, *, only_open: bool = False) -> FromClause:
    """Return incidents as they are, or as known at an instant, with the ids of their alerts.

    One whose alerts are all resolved is closed: that this is written a moment later is nobody's concern.
    """
    if as_of is None:
        in_order = aggregate_order_by(alerts.c.id, alerts.c.raised_at, alerts.c.id)
        ids = (
            select(func.coalesce(func.array_agg(in_order), cast([], ARRAY(Uuid))))
            .where(alerts.c.incident_id == incidents.c.id)
            .correlate(incidents)
            .scalar_subquery()
        )
        mine = alerts.c.incident_id == incidents.c.id
        goes_on = exists().where(mine, alerts.c.state != AlertState.RESOLVED).correlate(incidents)
        resolved_at = (
            select(func.max(alerts.c.resolved_at)).where(mine).correlate(incidents).scalar_subquery()
        )
        is_over = and_(incidents.c.state == IncidentState.OPEN, not_(goes_on), resolved_at.is_not(None))
        derived = {
            "state": case((is_over, literal(IncidentState.CLOSED)), else_=incidents.c.state),
            "closed_at": case((is_over, resolved_at), else_=incidents.c.closed_at),
        }
        stored = [one for one in incidents.c if one.name not in derived]
        shown = [value.label(name) for name, value in derived.items()]
        now = select(*stored, *shown, ids.label("alert_ids"))
        return (now.where(incidents.c.state == IncidentState.OPEN) if only_open else now).subquery(
            "incidents_now"
        )
    newest = (
        select(incident_revisions)
        .where(incident_revisions.c.incident_id == incidents.c.id, incident_revisions.c.recorded_at <= as_of)
        .order_by(incident_revisions.c.revision.desc())
        .limit(1)
        .correlate(incidents)
        .lateral("newest")
    )
    columns = [(newest if column.name in newest.c else incidents).c[column.name] for column in incidents.c]
    then = select(*columns, newest.c.alert_ids).join(newest, true()).where(incidents.c.opened_at <= as_of)
    return then.subquery("incidents_then")


def _with_shipment(known: FromClause, visible: ColumnElement[bool], as_of: datetime | None) -> Select[Any]:
    drill = func.coalesce(shipments.c.drill, False).label("drill")
    joined = select(known, drill, *_escalation(known, as_of)).join(
        shipments, shipments.c.shipment_id == known.c.shipment_id, isouter=True
    )
    return joined.where(visible)


def _escalation(known: FromClause, as_of: datetime | None) -> list[ColumnElement[Any]]:
    """Return the incidents' escalation as it is now; what it was then is not recorded."""
    names = ("nobody_to_tell", "next_at")
    if as_of is not None:
        return [null().label(name) for name in names]
    return [
        select(escalations.c[name])
        .where(escalations.c.incident_id == known.c.id)
        .correlate(known)
        .scalar_subquery()
        .label(name)
        for name in names
    ]


async def incident_page(
    connection: AsyncConnection, wanted: IncidentFilter, *, after: Sequence[Any] | None, limit: int
) -> Page:
    """Return a page of incidents, the latest opened first; merged ones only by their id."""
    known = _known(wanted.as_of, only_open=wanted.state == IncidentState.OPEN)
    query = _with_shipment(known, wanted.visible, wanted.as_of).where(known.c.merged_into.is_(None))
    if wanted.shipment_ids is not None:
        query = query.where(known.c.shipment_id.in_(wanted.shipment_ids))
    for name in ("state", "severity"):
        if (value := getattr(wanted, name)) is not None:
            query = query.where(known.c[name] == value)
    if wanted.owner is not None:
        of = alerts_known(wanted.as_of).alias("owned")
        theirs = exists().where(
            of.c.id == any_(known.c.alert_ids),
            of.c.owner == wanted.owner,
            of.c.state != AlertState.RESOLVED,
        )
        query = query.where(theirs)
    return await fetch_page(connection, query, order(known), after=after, limit=limit)


async def incident(
    connection: AsyncConnection, id_: UUID, visible: ColumnElement[bool], as_of: datetime | None
) -> tuple[RowMapping, Sequence[RowMapping]] | None:
    """Return one incident and its revisions by then, oldest first; None if it was not known."""
    known = _known(as_of)
    query = _with_shipment(known, visible, as_of).where(known.c.id == id_)
    row = (await connection.execute(query)).mappings().first()
    if row is None:
        return None
    history = select(incident_revisions).where(incident_revisions.c.incident_id == id_)
    if as_of is not None:
        history = history.where(incident_revisions.c.recorded_at <= as_of)
    found = await connection.execute(history.order_by(incident_revisions.c.revision))
    return row, found.mappings().all()


async def alerts_of(
    connection: AsyncConnection, found: Iterable[RowMapping], as_of: datetime | None
) -> Mapping[UUID, Sequence[RowMapping]]:
    """Return the alerts of each incident as they were then, in the order raised."""
    found = list(found)
    known = alerts_known(as_of)
    wanted: Collection[UUID] = {id_ for row in found for id_ in row["alert_ids"]}
    query = alerts_with_shipment(known, as_of).where(known.c.id.in_(wanted))
    by_id = {row["id"]: row for row in (await connection.execute(query)).mappings()}
    return {row["id"]: [by_id[id_] for id_ in row["alert_ids"] if id_ in by_id] for row in found}
