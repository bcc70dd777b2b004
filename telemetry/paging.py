"""Keyset paging: a list that stays in place while rows are added, at the same price for every page."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, Select, literal, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """The columns that a list is sorted by; together they tell any two rows apart."""

    columns: tuple[ColumnElement[Any], ...]
    descending: bool = False

    def after(self, key: Sequence[Any]) -> ColumnElement[bool]:
        """Give the condition for the rows that come after the one with this key."""
        here = tuple_(*self.columns)
        there = tuple_(
            *(literal(value, column.type) for value, column in zip(key, self.columns, strict=True))
        )
        return here < there if self.descending else here > there

    @property
    def by(self) -> list[ColumnElement[Any]]:
        """Give what to ORDER BY."""
        return [column.desc() if self.descending else column.asc() for column in self.columns]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some rows of a list, and the key after which the next page begins; None where there is no more."""

    rows: Sequence[RowMapping]
    next_key: tuple[Any, ...] | None


async def fetch_page(
    connection: AsyncConnection,
    query: Select[Any],
    order: Order,
    *,
    after: Sequence[Any] | None,
    limit: int,
) -> Page:
    """Read the page that comes after a key, or the first; the query must select the order's columns."""
    if after is not None:
        query = query.where(order.after(after))
    rows = (await connection.execute(query.order_by(*order.by).limit(limit + 1))).mappings().all()
    return page_of(rows, order, limit)


def page_of(rows: Sequence[RowMapping], order: Order, limit: int) -> Page:
    """Cut sorted rows, of which there may be one more than the limit, to a page."""
    kept = rows[:limit]
    last = tuple(kept[-1][column] for column in order.columns) if len(rows) > limit else None
    return Page(rows=kept, next_key=last)
