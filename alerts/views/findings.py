"""What was found, read back for people: excursions and alerts with their revisions, as known now or at an instant."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    FromClause,
    RowMapping,
    Select,
    Table,
    and_,
    any_,
    func,
    or_,
    select,
    true,
    union_all,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.tables import (
    alert_comments,
    alert_revisions,
    alerts,
    excursion_revisions,
    excursions,
    incident_revisions,
    incidents,
)
from alerts.triage.alert import AlertState
from alerts.triage.store import Rows, with_shipment
from telemetry.paging import Order, Page, fetch_page
from telemetry.tables import shipments


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which of them to give; None leaves a thing open. `visible` is a condition on `shipments`."""

    visible: ColumnElement[bool]
    as_of: datetime | None = None
    """As they were known then, and those that were; the other conditions are on what they were then."""
    shipment_id: str | None = None
    device_id: str | None = None
    states: Collection[str] | None = None
    severity: str | None = None
    kind: str | None = None
    owner: str | None = None
    incident_id: UUID | None = None
    needs_attention: bool | None = None
    """Of alerts: whether they fire, or are over and nobody has seen them."""


def _then(table: Table, revisions: Table, key: ColumnElement[Any], as_of: datetime) -> Select[Any]:
    """Select the rows of a table as each was at an instant, by its newest revision then."""
    newest = (
        select(revisions)
        .where(key == table.c.id, revisions.c.recorded_at <= as_of)
        .order_by(revisions.c.revision.desc())
        .limit(1)
        .correlate(table)
        .lateral("newest")
    )
    columns = [(newest if column.name in newest.c else table).c[column.name] for column in table.c]
    return select(*columns).join(newest, true())


def _excursions(as_of: datetime | None) -> FromClause:
    """Return excursions as they were known at an instant; None: as they are.

    Most are what they were then: these come in the order of an index, and only the others are looked up.
    """
    if as_of is None:
        return excursions
    same, now = select(excursions), excursions.c
    others = _then(excursions, excursion_revisions, excursion_revisions.c.excursion_id, as_of)
    return union_all(
        same.where(now.recorded_at <= as_of),
        others.where(now.recorded_at > as_of, now.opened_at <= as_of),
    ).subquery("excursions_then")


def alerts_known(as_of: datetime | None) -> FromClause:
    """Return alerts likewise; their order never changes, so that an index passes over what was raised later."""
    if as_of is None:
        return alerts
    then = _then(alerts, alert_revisions, alert_revisions.c.alert_id, as_of)
    return then.where(alerts.c.raised_at <= as_of).subquery("alerts_then")


def _excursion_order(known: FromClause) -> Order:
    return Order(columns=(known.c.start_at, known.c.id), descending=True)


def _alert_order(known: FromClause) -> Order:
    return Order(columns=(known.c.raised_at, known.c.id), descending=True)


EXCURSION_ORDER = _excursion_order(excursions)
ALERT_ORDER = _alert_order(alerts)


async def excursion_page(
    connection: AsyncConnection, wanted: Wanted, *, after: Sequence[Any] | None, limit: int
) -> Page:
    """Return a page of excursions, the latest start first."""
    known = _excursions(wanted.as_of)
    query = _filtered(with_shipment(known), known, wanted)
    return await fetch_page(connection, query, _excursion_order(known), after=after, limit=limit)


async def alert_page(
    connection: AsyncConnection, wanted: Wanted, *, after: Sequence[Any] | None, limit: int
) -> Page:
    """Return a page of alerts, the latest raised first."""
    known = alerts_known(wanted.as_of)
    query = _filtered(alerts_with_shipment(known, wanted.as_of), known, wanted)
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
    """Do as `alerts.triage.incidents.needs_attention` does."""
    over_unseen = and_(known.c.state == AlertState.RESOLVED, known.c.acknowledged_at.is_(None))
    return or_(known.c.state == AlertState.FIRING, over_unseen)


def _incident_then(known: FromClause, as_of: datetime | None) -> ColumnElement[Any]:
    """Return the incident that an alert belonged to: where two became one, the younger one's last revision is empty."""
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
    """Return alerts with their shipments, and each with the incident that it belonged to then."""
    columns = [column for column in known.c if column.name != "incident_id"]
    then = _incident_then(known, as_of).label("incident_id")
    drill = func.coalesce(shipments.c.drill, False).label("drill")
    return select(*columns, then, shipments.c.organization, drill).join(
        shipments, shipments.c.shipment_id == known.c.shipment_id, isouter=True
    )


def _filtered(query: Select[Any], known: FromClause, wanted: Wanted) -> Select[Any]:
    query = query.where(wanted.visible)
    if wanted.shipment_id is not None:
        query = query.where(known.c.shipment_id == wanted.shipment_id)
    if wanted.device_id is not None:
        query = query.where(known.c.device_id == wanted.device_id)
    if wanted.states:
        query = query.where(known.c.state.in_(wanted.states))
    if wanted.severity is not None:
        query = query.where(known.c.severity == wanted.severity)
    return query


async def excursion(
    connection: AsyncConnection, id_: UUID, visible: ColumnElement[bool], as_of: datetime | None
) -> tuple[RowMapping, Rows] | None:
    """Return one excursion and its revisions up to then, the first one first; None where it was not known."""
    known = _excursions(as_of)
    row = (
        (await connection.execute(with_shipment(known).where(known.c.id == id_, visible))).mappings().first()
    )
    if row is None:
        return None
    return row, (await excursion_history(connection, [id_], as_of))[id_]


async def excursion_history(
    connection: AsyncConnection, ids: Collection[UUID], as_of: datetime | None
) -> Mapping[UUID, Rows]:
    """Return the revisions up to then of each of the excursions, the first one first."""
    return await _history(connection, excursion_revisions, excursion_revisions.c.excursion_id, ids, as_of)


async def alert(
    connection: AsyncConnection, id_: UUID, visible: ColumnElement[bool], as_of: datetime | None
) -> tuple[RowMapping, Rows] | None:
    """Return one alert and its revisions up to then, the first one first; None where it was not known."""
    known = alerts_known(as_of)
    query = alerts_with_shipment(known, as_of).where(known.c.id == id_, visible)
    row = (await connection.execute(query)).mappings().first()
    if row is None:
        return None
    history = await _history(connection, alert_revisions, alert_revisions.c.alert_id, [id_], as_of)
    return row, history[id_]


async def _history(
    connection: AsyncConnection,
    revisions: Table,
    key: ColumnElement[Any],
    ids: Collection[UUID],
    as_of: datetime | None,
) -> Mapping[UUID, Rows]:
    query = select(revisions).where(key.in_(ids)).order_by(key, revisions.c.revision)
    if as_of is not None:
        query = query.where(revisions.c.recorded_at <= as_of)
    found: dict[UUID, list[RowMapping]] = defaultdict(list)
    for row in (await connection.execute(query)).mappings():
        found[row[key]].append(row)
    return found


async def comments(connection: AsyncConnection, id_: UUID, as_of: datetime | None) -> Rows:
    """Return what people had written to an alert by then, the first comment first."""
    query = select(alert_comments).where(alert_comments.c.alert_id == id_)
    if as_of is not None:
        query = query.where(alert_comments.c.at <= as_of)
    ordered = query.order_by(alert_comments.c.at, alert_comments.c.id)
    return (await connection.execute(ordered)).mappings().all()
