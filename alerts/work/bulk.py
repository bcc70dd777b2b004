"""Statements that take any number of rows as one JSON array."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import asyncpg
import orjson
from sqlalchemy import Table

Connection: TypeAlias = asyncpg.Connection | asyncpg.pool.PoolConnectionProxy


Row = dict[str, Any]


def write(table: Table, columns: Sequence[str], key: Sequence[str] = ()) -> str:
    """Return the statement that inserts rows from one JSON array; `key` makes it overwrite existing rows."""
    names = ", ".join(f'"{name}"' for name in columns)
    source = f"jsonb_populate_recordset(NULL::{table.name}, $1)"
    statement = f"INSERT INTO {table.name} ({names}) SELECT {names} FROM {source}"  # noqa: S608  # our own tables' names
    if not key:
        return statement
    updates = ", ".join(f'"{name}" = EXCLUDED."{name}"' for name in columns if name not in key)
    return f"{statement} ON CONFLICT ({', '.join(key)}) DO UPDATE SET {updates}"


def columns_of(table: Table, alias: str | None = None) -> str:
    """Return the columns of a table that this version knows, for SELECT.

    A `*` would change its meaning when the next version's migration adds a column while this one still runs.
    """
    return ", ".join(f'{alias or table.name}."{column.name}"' for column in table.columns)


def row_of(table: Table, values: Mapping[str, Any]) -> Row:
    """Return a table's row from values that may have more names; raise KeyError if a column is missing."""
    names = [str(column.name) for column in table.columns]  # plain str: orjson takes no subclass of it
    return {name: values[name] for name in names}


async def execute(connection: Connection, writes: Iterable[tuple[str, list[Row]]]) -> None:
    """Execute each statement with its rows as one JSON array; skip those without rows."""
    for statement, rows in writes:
        if rows:
            await connection.execute(statement, orjson.dumps(rows).decode())
