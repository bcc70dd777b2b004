"""The service's user does what the service needs, and can neither change evidence nor the database itself."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from api.database_rights.grants import TOO_MUCH, grant
from api.database_rights.tables import FILLED_IN, FUNCTIONS, SCHEMA_TABLE, SECRET, TABLES, Kept
from api.embedded.postgres import APPLICATION, OWNER
from migrations.metadata import metadata
from tests.conftest import as_service, as_user

REMOVED = {Kept.FOR_A_TIME, Kept.WHILE_NEEDED}
CHANGED = {Kept.UP_TO_DATE, Kept.WHILE_NEEDED}
EVIDENCE = sorted(table for table, kept in TABLES.items() if kept in {Kept.FOR_GOOD, Kept.FOR_A_TIME})
GUARDED = sorted(
    table
    for table in EVIDENCE
    if table.endswith("_revisions")
    or table in {"alert_comments", "device_calibrations", "handovers", "security_events"}
)
"""Not even the owner changes these, by mistake or by the wrong address in a shell."""


async def connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url)
    yield connection
    await connection.close()


@pytest.fixture
async def service(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    async for connection in connected(as_service(database_url)):
        yield connection


@pytest.fixture
async def owner(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    async for connection in connected(as_user(database_url, OWNER)):
        yield connection


@pytest.fixture
async def admin(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    async for connection in connected(database_url):
        yield connection


async def test_every_table_says_how_its_rows_are_kept(admin: asyncpg.Connection) -> None:
    there = await admin.fetch(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'f')"
    )
    without = {row["relname"] for row in there} ^ {*TABLES, SCHEMA_TABLE}
    assert not without, f"give these a line in api/database_rights/tables.py, or take it away: {without}"
    assert {table.name for table in metadata.sorted_tables} == TABLES.keys()
    assert {table for table in TABLES if table.endswith("_revisions")} <= set(EVIDENCE)


async def test_the_service_may_do_to_each_table_what_that_says_and_no_more(admin: asyncpg.Connection) -> None:
    rows = await admin.fetch(
        "SELECT relname, array_agg(privilege) FILTER (WHERE has_table_privilege($1, c.oid, privilege)) AS may, "
        "has_any_column_privilege($1, c.oid, 'UPDATE') AS changes FROM pg_class AS c, "
        "unnest('{SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER}'::text[]) AS privilege "
        "WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' GROUP BY c.oid, relname",
        APPLICATION,
    )
    may = {row["relname"]: (set(row["may"]), row["changes"]) for row in rows}
    assert may.pop(SCHEMA_TABLE) == ({"SELECT"}, False)
    assert may == {
        table: (
            {"SELECT", "INSERT"} | ({"DELETE"} if kept in REMOVED else set()),
            kept in CHANGED or table in FILLED_IN,
        )
        for table, kept in TABLES.items()
    }
    keys = await admin.fetch(
        "SELECT i.indrelid::regclass::text AS name FROM pg_index AS i, unnest(i.indkey) AS n "
        "WHERE indisprimary AND indrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace) "
        "AND has_column_privilege($1, indrelid, n, 'UPDATE')",
        APPLICATION,
    )
    assert [row["name"] for row in keys] == []


async def test_the_service_owns_nothing_and_makes_nothing(
    admin: asyncpg.Connection, service: asyncpg.Connection
) -> None:
    for catalog, owner in (
        ("pg_class", "relowner"), ("pg_proc", "proowner"), ("pg_namespace", "nspowner"), ("pg_database", "datdba"),
        ("pg_type", "typowner"),
    ):  # fmt: skip
        assert await admin.fetchval(
            f"SELECT count(*) FROM {catalog} WHERE pg_get_userbyid({owner}) = $1", APPLICATION
        ) == 0, catalog  # fmt: skip
    role = await admin.fetchrow(
        "SELECT rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls, "
        "EXISTS (SELECT FROM pg_auth_members WHERE member = oid) AS has_others FROM pg_roles WHERE rolname = $1",
        APPLICATION,
    )
    assert not any(role.values())
    assert not await admin.fetchval("SELECT has_schema_privilege($1, 'public', 'CREATE')", APPLICATION)
    assert await service.fetchval(TOO_MUCH) is None
    assert await admin.fetchval(TOO_MUCH) == "is a superuser"
    for statement in (
        "CREATE TABLE t (x int)",
        "CREATE SCHEMA s",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "ALTER TABLE shipments ADD COLUMN x int",
        "DROP TABLE alert_revisions",
        "UPDATE alembic_version SET version_num = '9'",
        "SET session_replication_role = replica",
        "COPY shipments TO '/tmp/x'",
        "CREATE INDEX ON readings (seq)",
        "SELECT setval('outbox_position', 1)",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await service.execute(statement)


async def test_the_service_cannot_change_evidence(service: asyncpg.Connection) -> None:
    for table in EVIDENCE:
        column = list(metadata.tables[table].columns)[-1].name
        for statement in (
            f"UPDATE {table} SET {column} = {column}",
            f"TRUNCATE {table}",
            f"ALTER TABLE {table} DISABLE TRIGGER USER",
            f"CREATE TRIGGER t BEFORE INSERT ON {table} EXECUTE FUNCTION refuse_to_forget()",
            f"COMMENT ON TABLE {table} IS 'ours'",
            *(() if TABLES[table] in REMOVED else (f"DELETE FROM {table}",)),
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await service.execute(statement)


async def test_nobody_changes_what_was_said_and_done(owner: asyncpg.Connection) -> None:
    for table in GUARDED:
        column = list(metadata.tables[table].columns)[-1].name
        statements = [
            f"UPDATE {table} SET {column} = {column}",
            f"DELETE FROM {table}",
            f"TRUNCATE {table} CASCADE",
        ]
        if table == "security_events":  # its guard looks at each row, as retention may remove some
            await owner.execute("INSERT INTO security_events (at, type) VALUES (now(), 'refused')")
        for statement in statements:
            with pytest.raises((asyncpg.InsufficientPrivilegeError, asyncpg.RaiseError)):
                await owner.execute(statement)


async def test_what_runs_with_the_owners_rights_is_what_is_listed(admin: asyncpg.Connection) -> None:
    rows = await admin.fetch(
        "SELECT oid::regprocedure::text AS name, proconfig::text AS settings, prorettype = 'trigger'::regtype AS by_trigger, "
        "has_function_privilege('public', oid, 'EXECUTE') AS open FROM pg_proc WHERE prosecdef "
        "AND pronamespace = 'public'::regnamespace"
    )  # fmt: skip
    named = {row["name"] for row in rows if not row["by_trigger"]}
    assert named == {
        await admin.fetchval("SELECT $1::regprocedure::text", function) for function in FUNCTIONS
    }
    assert all("search_path=public, pg_temp" in row["settings"] for row in rows)
    assert not any(row["open"] for row in rows if not row["by_trigger"])


async def test_inspectors_read_what_is_no_secret_and_write_nothing(admin: asyncpg.Connection) -> None:
    await admin.execute("DROP ROLE IF EXISTS an_inspector")
    await admin.execute("CREATE ROLE an_inspector")
    try:
        await grant(admin, application=None, reader="an_inspector")
        await admin.execute("SET ROLE an_inspector")
        assert await admin.fetch("SELECT device_id, measured_at, temperature_c FROM readings") == []
        assert await admin.fetch("SELECT id, state, description FROM webhooks") == []
        for table, columns in SECRET.items():
            for column in columns:
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await admin.fetch(f"SELECT {column} FROM {table}")
        for statement in (
            "DELETE FROM outbox",
            "INSERT INTO organizations VALUES ('x')",
            "TRUNCATE readings",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await admin.execute(statement)
    finally:
        await admin.execute("RESET ROLE; DROP OWNED BY an_inspector; DROP ROLE an_inspector")
