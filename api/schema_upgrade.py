"""Upgrades a database to the newest revision, and sets up what its server supports beyond that."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import cache, partial
from pathlib import Path
from time import monotonic
from typing import Final, TypeVar

import asyncpg
import structlog
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from api.database_rights.grants import grant
from telemetry.database.connections import OF_MIGRATIONS, connect, engine_for
from telemetry.database.server import DatabaseServer, apply_level, inspect_server
from telemetry.locks import LockSpace

log = structlog.get_logger(__name__)

T = TypeVar("T")

BUSY_FOR_S: Final = 60.0
"""How long others may hold tables that have to be changed."""
_NAME: Final = "dewarwatch-migrate"
_AGAIN_AFTER_S: Final = 2.0
_BUSY: Final = {asyncpg.LockNotAvailableError.sqlstate, asyncpg.DeadlockDetectedError.sqlstate}
_HOLDERS: Final = """
SELECT pid, application_name AS name, state, extract(epoch FROM clock_timestamp() - xact_start)::int AS seconds
FROM pg_stat_activity AS a
WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start < clock_timestamp() - interval '1 second'
    AND EXISTS (SELECT FROM pg_locks AS l WHERE l.pid = a.pid AND l.locktype = 'relation' AND l.granted)
ORDER BY xact_start LIMIT 5
"""


class SchemaBusyError(Exception):
    """Others hold what has to be changed; nothing was, and the message says who they are."""


def alembic_config() -> Config:
    """Return Alembic's configuration, which points to the revisions; there is no configuration file."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parents[1] / "migrations"))
    config.set_main_option("path_separator", "os")
    return config


async def upgrade(
    database_url: str,
    *,
    application: str | None = None,
    reader: str | None = None,
    busy_for_s: float = BUSY_FOR_S,
) -> DatabaseServer:
    """Upgrade the schema to the newest revision; safe to run twice, and by two at once (the second waits).

    `database_url` is of the user that owns the tables. `application` and `reader` are users who get their rights on
    them: what the service needs, and what inspectors may read.

    Raises UnfitServerError, before anything is changed, if the server would lose data, and SchemaBusyError if others still
    hold a table after `busy_for_s` seconds.
    """
    lock = await connect(database_url, _NAME, OF_MIGRATIONS)
    try:
        await inspect_server(lock)
        await lock.execute("SET lock_timeout = 0")
        await lock.execute("SELECT pg_advisory_lock($1)", LockSpace.SCHEMA)
        await lock.execute("RESET lock_timeout")
        await _as_soon_as_free(lock, partial(_run_revisions, database_url), busy_for_s)
        server = await _as_soon_as_free(lock, partial(apply_level, lock), busy_for_s)
        await _as_soon_as_free(lock, partial(grant, lock, application=application, reader=reader), busy_for_s)
        return server
    finally:
        await lock.close()


async def _as_soon_as_free(
    connection: asyncpg.Connection, work: Callable[[], Awaitable[T]], busy_for_s: float
) -> T:
    """Do the work, again and again as long as others hold what it would lock.

    Whatever waits for a table has everybody else wait behind it: the service, too, while it runs on.
    """
    give_up_at = monotonic() + busy_for_s
    while True:
        try:
            return await work()
        except (asyncpg.PostgresError, DBAPIError) as error:
            if getattr(getattr(error, "orig", error), "sqlstate", None) not in _BUSY:
                raise
        holders = [_holder(row) for row in await connection.fetch(_HOLDERS)]
        if monotonic() > give_up_at:
            raise SchemaBusyError(
                f"the schema cannot be changed, as others hold its tables ({', '.join(holders) or 'gone by now'}): "
                "end these sessions (SELECT pg_terminate_backend(PID)), or stop the service, and run it again"
            )
        log.warning("migration_waits", holders=holders, retry_in_s=_AGAIN_AFTER_S)
        await asyncio.sleep(_AGAIN_AFTER_S)


def _holder(row: asyncpg.Record) -> str:
    name = row["name"] or "a session without a name"
    return f"{name}, PID {row['pid']}, {row['state']} for {row['seconds']} s"


async def _run_revisions(database_url: str) -> None:
    engine = engine_for(database_url, _NAME, OF_MIGRATIONS, poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            await connection.run_sync(_upgrade_on)
    finally:
        await engine.dispose()


def _upgrade_on(connection: Connection) -> None:
    config = alembic_config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


async def pending(database_url: str) -> str | None:
    """Return how the schema differs from the one that this version expects; None if it does not."""
    engine = engine_for(database_url, _NAME, OF_MIGRATIONS, poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            present = await connection.run_sync(
                lambda sync: MigrationContext.configure(sync).get_current_revision()
            )
    finally:
        await engine.dispose()
    return (
        None if present == head() else f"the schema is at {present or 'nothing'}, this version needs {head()}"
    )


@cache
def head() -> str | None:
    """Return the newest revision, which this version expects."""
    return ScriptDirectory.from_config(alembic_config()).get_current_head()
