"""Excursions with their revisions, as known now or at an instant."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, FromClause, RowMapping, exists, or_, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.model import LIVE, Reason
from alerts.tables import excursion_revisions, excursions
from alerts.triage.store import Rows, with_shipment
from alerts.views.as_of import FindingFilter, filtered, revisions_of, rows_then
from telemetry.paging import Page, SortOrder, fetch_page


def excursions_known(as_of: datetime | None) -> FromClause:
    """Return excursions as known at an instant; None: as they are now.

    Most are what they were then: these come in the order of an index, and only the others are looked up.
    """
    if as_of is None:
        return excursions
    same, now = select(excursions), excursions.c
    others = rows_then(excursions, excursion_revisions, excursion_revisions.c.excursion_id, as_of)
    return union_all(
        same.where(now.recorded_at <= as_of),
        others.where(now.recorded_at > as_of, now.opened_at <= as_of),
    ).subquery("excursions_then")


def _excursion_order(known: FromClause) -> SortOrder:
    return SortOrder(columns=(known.c.start_at, known.c.id), descending=True)


EXCURSION_ORDER = _excursion_order(excursions)


async def excursion_page(
    connection: AsyncConnection, wanted: FindingFilter, *, after: Sequence[Any] | None, limit: int
) -> Page:
    """Return a page of excursions, the latest start first."""
    known = excursions_known(wanted.as_of)
    query = filtered(with_shipment(known), known, wanted)
    if wanted.by_people is not None:
        act = known.c.act
        query = query.where(act.is_not(None) if wanted.by_people else act.is_(None))
    return await fetch_page(connection, query, _excursion_order(known), after=after, limit=limit)


async def reaches_beyond(connection: AsyncConnection, shipment_id: str, at: datetime) -> bool:
    """Return whether an excursion on record of a shipment lasts beyond an instant."""
    lasts = or_(excursions.c.end_at.is_(None), excursions.c.end_at > at)
    found = exists().where(excursions.c.shipment_id == shipment_id, excursions.c.state.in_(LIVE), lasts)
    return bool(await connection.scalar(select(found)))


async def excursion(
    connection: AsyncConnection,
    id_: UUID,
    visible: ColumnElement[bool],
    as_of: datetime | None,
    *,
    peaks: bool = True,
) -> tuple[RowMapping, Rows] | None:
    """Return one excursion and its revisions by then, oldest first; None if it was not known."""
    known = excursions_known(as_of)
    row = (
        (await connection.execute(with_shipment(known).where(known.c.id == id_, visible))).mappings().first()
    )
    if row is None:
        return None
    return row, (await excursion_history(connection, [id_], as_of, peaks=peaks)).get(id_, [])


async def excursion_history(
    connection: AsyncConnection, ids: Collection[UUID], as_of: datetime | None, *, peaks: bool = True
) -> Mapping[UUID, Rows]:
    """Return the revisions by then of each excursion, oldest first; without `peaks`, not those that only moved its peak."""
    of = excursion_revisions.c
    only = None if peaks else of.reason != Reason.PEAK_MOVED
    return await revisions_of(connection, excursion_revisions, of.excursion_id, ids, as_of, only=only)
