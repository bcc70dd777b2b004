"""What was found, read back for people: excursions with their revisions, and alerts."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, RowMapping, Select, select
from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.tables import alert_revisions, alerts, excursion_revisions, excursions
from telemetry.paging import Order, Page, fetch_page
from telemetry.tables import shipments

EXCURSION_ORDER = Order(columns=(excursions.c.start_at, excursions.c.id), descending=True)
ALERT_ORDER = Order(columns=(alerts.c.raised_at, alerts.c.id), descending=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which of them to give; None leaves a thing open. `visible` is a condition on `shipments`."""

    visible: ColumnElement[bool]
    shipment_id: str | None = None
    device_id: str | None = None
    states: Collection[str] | None = None
    severity: str | None = None
    kind: str | None = None


_EXCURSIONS: Select[Any] = select(excursions, shipments.c.organization, shipments.c.drill).join(
    shipments, shipments.c.shipment_id == excursions.c.shipment_id
)
_ALERTS: Select[Any] = select(alerts, shipments.c.organization, shipments.c.drill).join(
    shipments, shipments.c.shipment_id == alerts.c.shipment_id
)


async def excursion_page(
    connection: AsyncConnection, wanted: Wanted, *, after: Sequence[Any] | None, limit: int
) -> Page:
    """Give a page of excursions, the latest start first."""
    query = _filtered(_EXCURSIONS, excursions.c, wanted)
    return await fetch_page(connection, query, EXCURSION_ORDER, after=after, limit=limit)


async def alert_page(
    connection: AsyncConnection, wanted: Wanted, *, after: Sequence[Any] | None, limit: int
) -> Page:
    """Give a page of alerts, the latest raised first."""
    query = _filtered(_ALERTS, alerts.c, wanted)
    if wanted.kind is not None:
        query = query.where(alerts.c.kind == wanted.kind)
    return await fetch_page(connection, query, ALERT_ORDER, after=after, limit=limit)


def _filtered(query: Select[Any], columns: Any, wanted: Wanted) -> Select[Any]:
    query = query.where(wanted.visible)
    if wanted.shipment_id is not None:
        query = query.where(columns.shipment_id == wanted.shipment_id)
    if wanted.device_id is not None:
        query = query.where(columns.device_id == wanted.device_id)
    if wanted.states:
        query = query.where(columns.state.in_(wanted.states))
    if wanted.severity is not None:
        query = query.where(columns.severity == wanted.severity)
    return query


async def excursion(
    connection: AsyncConnection, id_: UUID, visible: ColumnElement[bool]
) -> tuple[RowMapping, Sequence[RowMapping]] | None:
    """Give one excursion and all its revisions, the first one first."""
    row = (await connection.execute(_EXCURSIONS.where(excursions.c.id == id_, visible))).mappings().first()
    if row is None:
        return None
    revisions = await connection.execute(
        select(excursion_revisions)
        .where(excursion_revisions.c.excursion_id == id_)
        .order_by(excursion_revisions.c.revision)
    )
    return row, revisions.mappings().all()


async def alert(
    connection: AsyncConnection, id_: UUID, visible: ColumnElement[bool]
) -> tuple[RowMapping, Sequence[RowMapping]] | None:
    """Give one alert and all its revisions, the first one first."""
    row = (await connection.execute(_ALERTS.where(alerts.c.id == id_, visible))).mappings().first()
    if row is None:
        return None
    revisions = await connection.execute(
        select(alert_revisions).where(alert_revisions.c.alert_id == id_).order_by(alert_revisions.c.revision)
    )
    return row, revisions.mappings().all()


async def alert_for_change(
    connection: AsyncConnection, id_: UUID, visible: ColumnElement[bool]
) -> RowMapping | None:
    """Give one alert, which nobody else changes until the transaction ends."""
    query = _ALERTS.where(alerts.c.id == id_, visible).with_for_update(of=alerts)
    row: RowMapping | None = (await connection.execute(query)).mappings().first()
    return row
