"""What was known when: rows as each was at an instant, and what lists of findings filter by."""

from collections import defaultdict
from collections.abc import Collection, Mapping
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
    select,
    true,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.triage.store import Rows


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingFilter:
    """Which findings to list; None filters nothing. `visible` is a condition on `shipments`."""

    visible: ColumnElement[bool]
    as_of: datetime | None = None
    """As known at this instant; the other filters apply to what was known then."""
    shipment_ids: Collection[str] | None = None
    device_id: str | None = None
    states: Collection[str] | None = None
    severity: str | None = None
    kind: str | None = None
    owner: str | None = None
    incident_id: UUID | None = None
    by_people: bool | None = None
    """For excursions: whether an act of a person made them as they are."""
    needs_attention: bool | None = None
    """For alerts: firing, or over without anybody having seen them."""


def rows_then(table: Table, revisions: Table, key: ColumnElement[Any], as_of: datetime) -> Select[Any]:
    """Select a table's rows as each was at an instant, by its newest revision by then."""
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


def filtered(query: Select[Any], known: FromClause, wanted: FindingFilter) -> Select[Any]:
    query = query.where(wanted.visible)
    if wanted.shipment_ids is not None:
        query = query.where(known.c.shipment_id.in_(wanted.shipment_ids))
    if wanted.device_id is not None:
        query = query.where(known.c.device_id == wanted.device_id)
    if wanted.states:
        query = query.where(known.c.state.in_(wanted.states))
    if wanted.severity is not None:
        query = query.where(known.c.severity == wanted.severity)
    return query


async def revisions_of(
    connection: AsyncConnection,
    revisions: Table,
    key: ColumnElement[Any],
    ids: Collection[UUID],
    as_of: datetime | None,
    *,
    only: ColumnElement[bool] | None = None,
) -> Mapping[UUID, Rows]:
    query = select(revisions).where(key.in_(ids)).order_by(key, revisions.c.revision)
    if only is not None:
        query = query.where(only)
    if as_of is not None:
        query = query.where(revisions.c.recorded_at <= as_of)
    found: dict[UUID, list[RowMapping]] = defaultdict(list)
    for row in (await connection.execute(query)).mappings():
        found[row[key]].append(row)
    return found
