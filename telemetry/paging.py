"""Keyset pagination: pages stay stable while rows are added, and each costs the same."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, Select, literal, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection


@dataclass(frozen=True, slots=True, kw_only=True)
class SortOrder:
    """The columns that a list is sorted by; together they must be unique."""

    columns: tuple[ColumnElement[Any], ...]
    descending: bool = False

    def after(self, key: Sequence[Any]) -> ColumnElement[bool]:
        """Return the condition that selects the rows after the one with this key."""
        here = tuple_(*self.columns)
        there = tuple_(
            *(literal(value, column.type) for value, column in zip(key, self.columns, strict=True))
        )
        return here < there if self.descending else here > there

    @property
    def by(self) -> list[ColumnElement[Any]]:
        """Return the ORDER BY expressions."""
        return [column.desc() if self.descending else column.asc() for column in self.columns]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Rows of a list, and the key after which the next page begins; None on the last page."""

    rows: Sequence[RowMapping]
    next_key: tuple[Any, ...] | None


async def fetch_page(
    connection: AsyncConnection,
    query: Select[Any],
    order: SortOrder,
    *,
    after: Sequence[Any] | None,
    limit: int,
) -> Page:
    """Fetch the page after a key, or the first page; the query must select the columns of the order."""
    if after is not None:
        query = query.where(order.after(after))
    rows = (await connection.execute(query.order_by(*order.by).limit(limit + 1))).mappings().all()
    return to_page(rows, order, limit)


def to_page(rows: Sequence[RowMapping], order: SortOrder, limit: int) -> Page:
    """Build a page from sorted rows; one row beyond the limit means that there is a next page."""
    kept = rows[:limit]
    last = tuple(kept[-1][column] for column in order.columns) if len(rows) > limit else None
    return Page(rows=kept, next_key=last)
