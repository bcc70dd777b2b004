"""A table of registered things whose every revision stays on record, with who changed it and why."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, Table, func, literal, or_, select, true, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from telemetry.actor import Actor
from telemetry.paging import Page, SortOrder, fetch_page
from telemetry.tables import Identifier


def _id_in(key: ColumnElement[str]) -> ColumnElement[str]:
    """Return the id in a key, in SQL; `registry.ids` says what keys are."""
    return func.substring(key, "[^/]*$", type_=Identifier)


@dataclass(frozen=True, slots=True, kw_only=True)
class RevisionedTable:
    """A table, and the table of its revisions, which stores the whole row as `content` at each change."""

    table: Table
    revisions: Table
    key: ColumnElement[str]
    searched: tuple[ColumnElement[str], ...]
    """The columns that `page` searches for a text."""

    @property
    def order(self) -> SortOrder:
        """The order of the list: by id, and where organizations give the ids, those of one id by their keys."""
        if "organization" not in self.table.c:
            return SortOrder(columns=(self.key,))
        return SortOrder(columns=(_id_in(self.key).label("sorted_by"), self.key))

    @property
    def history_order(self) -> SortOrder:
        """The order of the revisions."""
        return SortOrder(columns=(self.revisions.c.revision,))

    async def add(
        self, connection: AsyncConnection, values: Mapping[str, Any], *, actor: Actor
    ) -> RowMapping | None:
        """Insert a row and return it; None if its id is taken."""
        query = insert(self.table).values(**values, updated_by=str(actor)).on_conflict_do_nothing()
        row: RowMapping | None = (await connection.execute(query.returning(self.table))).mappings().first()
        if row is not None:
            await self._record(connection, row, actor, None)
        return row

    async def get(
        self, connection: AsyncConnection, id_: str, visible: ColumnElement[bool]
    ) -> RowMapping | None:
        """Load a row, if the caller may see it."""
        query = select(self.table).where(self.key == id_, visible)
        return (await connection.execute(query)).mappings().first()

    async def lock(
        self, connection: AsyncConnection, id_: str, visible: ColumnElement[bool]
    ) -> RowMapping | None:
        """Load a row, if the caller may see it, and lock it until the transaction ends."""
        query = select(self.table).where(self.key == id_, visible).with_for_update(key_share=True)
        return (await connection.execute(query)).mappings().first()

    async def change(
        self,
        connection: AsyncConnection,
        row: RowMapping,
        values: Mapping[str, Any],
        *,
        actor: Actor,
        reason: str | None,
    ) -> RowMapping:
        """Change a row that the caller has locked, and return it."""
        table = self.table
        # The database's clock may be set back, but the time of a row never goes back.
        now = func.greatest(func.clock_timestamp(), table.c.updated_at)
        query = (
            update(table)
            .where(self.key == row[self.key])
            .values(**values, revision=table.c.revision + 1, updated_at=now, updated_by=str(actor))
            .returning(table)
        )
        changed: RowMapping = (await connection.execute(query)).mappings().one()
        await self._record(connection, changed, actor, reason)
        return changed

    async def page(
        self,
        connection: AsyncConnection,
        *,
        q: str | None,
        visible: ColumnElement[bool],
        after: Sequence[Any] | None,
        limit: int,
    ) -> Page:
        """Load a page of the rows that the caller may see, optionally of those that contain a text."""
        order = self.order
        query = select(self.table, *order.columns[:-1]).where(visible, self.mentions(q))
        return await fetch_page(connection, query, order, after=after, limit=limit)

    def mentions(self, q: str | None) -> ColumnElement[bool]:
        """Return the condition that a row contains a text; None: any."""
        return (
            true() if q is None else or_(*(column.icontains(q, autoescape=True) for column in self.searched))
        )

    async def history(
        self, connection: AsyncConnection, id_: str, *, after: Sequence[Any] | None, limit: int
    ) -> Page:
        """Load a page of the revisions of a row, the first one first."""
        revisions = self.revisions
        query = select(revisions).where(revisions.c[self._key_name] == id_)
        return await fetch_page(connection, query, self.history_order, after=after, limit=limit)

    @property
    def _key_name(self) -> str:
        (column,) = self.table.primary_key.columns
        return column.name

    async def _record(
        self, connection: AsyncConnection, row: RowMapping, actor: Actor, reason: str | None
    ) -> None:
        table, name = self.table, self._key_name
        content = select(
            self.key,
            table.c.revision,
            table.c.updated_at,
            literal(str(actor)),
            literal(reason),
            func.to_jsonb(table.table_valued()),
        ).where(self.key == row[self.key])
        columns = [name, "revision", "recorded_at", "by", "reason", "content"]
        await connection.execute(insert(self.revisions).from_select(columns, content))
