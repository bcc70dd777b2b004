"""Gives the service's user, and an inspectors' user, their rights on each table; takes back what they have beyond."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import asyncpg

from api.database_rights.tables import FILLED_IN, FUNCTIONS, SCHEMA_TABLE, SECRET, TABLES, Kept

_COLUMNS: Final = """
SELECT c.relname AS "table", a.attname AS name,
    a.attgenerated = '' AND a.attidentity <> 'a' AND NOT a.attnum = ANY(coalesce(k.indkey::int2[], '{}')) AS changes
FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_index AS k ON k.indrelid = c.oid AND k.indisprimary
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')
    AND pg_has_role(c.relowner, 'USAGE')
ORDER BY c.relname, a.attnum
"""
_MAY_LEND_ALL: Final = (
    "SELECT pg_has_role(datdba, 'USAGE') FROM pg_database WHERE datname = current_database()"
)
TOO_MUCH: Final = """
SELECT CASE WHEN r.rolsuper THEN 'is a superuser'
    WHEN EXISTS (SELECT FROM pg_class WHERE relname = 'readings' AND relnamespace = current_schema()::regnamespace
        AND pg_has_role(relowner, 'MEMBER')) THEN 'owns the tables' END
FROM pg_roles AS r WHERE r.rolname = current_user
"""
"""What whoever asks may do beyond what the service needs; null: nothing of that."""


def quoted(name: str) -> str:
    """Return a name as SQL has it."""
    return '"' + name.replace('"', '""') + '"'


async def grant(connection: asyncpg.Connection, *, application: str | None, reader: str | None) -> None:
    """Give the service's user and the inspectors' what they need and no more; `connection` is the owner's.

    A table without a line in `TABLES` gives nobody anything.
    """
    columns: dict[str, list[asyncpg.Record]] = {}
    for column in await connection.fetch(_COLUMNS):
        columns.setdefault(column["table"], []).append(column)
    async with connection.transaction():
        # Who may not make temporary tables, or any, cannot put one in the place of ours.
        if await connection.fetchval(_MAY_LEND_ALL):
            database = quoted(await connection.fetchval("SELECT current_database()"))
            await connection.execute(f"REVOKE TEMPORARY ON DATABASE {database} FROM PUBLIC")
            await connection.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        for function in FUNCTIONS:
            await connection.execute(f"REVOKE ALL ON FUNCTION {function} FROM PUBLIC")
        if application is not None:
            for statement in _of_the_service(quoted(application), columns):
                await connection.execute(statement)
        if reader is not None:
            for statement in _of_inspectors(quoted(reader), columns):
                await connection.execute(statement)


def _of_the_service(user: str, columns: Mapping[str, Sequence[asyncpg.Record]]) -> Iterator[str]:
    for table in columns:
        yield f"REVOKE ALL ON {table} FROM {user}"
    yield f"GRANT SELECT ON {SCHEMA_TABLE} TO {user}"
    for table, kept in TABLES.items():
        removes = kept in {Kept.FOR_A_TIME, Kept.WHILE_NEEDED}
        yield f"GRANT SELECT, INSERT{', DELETE' if removes else ''} ON {table} TO {user}"
        if kept in {Kept.UP_TO_DATE, Kept.WHILE_NEEDED}:
            changed = ", ".join(quoted(column["name"]) for column in columns[table] if column["changes"])
            yield f"GRANT UPDATE ({changed}) ON {table} TO {user}"
        elif table in FILLED_IN:
            yield f"GRANT UPDATE ({', '.join(map(quoted, FILLED_IN[table]))}) ON {table} TO {user}"
    for function in FUNCTIONS:
        yield f"GRANT EXECUTE ON FUNCTION {function} TO {user}"


def _of_inspectors(user: str, columns: Mapping[str, Sequence[asyncpg.Record]]) -> Iterator[str]:
    for table in columns:
        yield f"REVOKE ALL ON {table} FROM {user}"
    for table in TABLES:
        open_ = (column["name"] for column in columns[table] if column["name"] not in SECRET.get(table, ()))
        yield f"GRANT SELECT ({', '.join(map(quoted, open_))}) ON {table} TO {user}"
