"""Upgrades a database to the newest revision, and sets up what its server supports beyond that."""

from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.pool import NullPool

from api.database_rights.grants import grant
from telemetry.database.connections import OF_MIGRATIONS, connect, engine_for
from telemetry.database.server import DatabaseServer, apply_level, inspect_server
from telemetry.locks import LockSpace

_NAME = "dewarwatch-migrate"


def alembic_config() -> Config:
    """Return Alembic's configuration, which points to the revisions; there is no configuration file."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parents[1] / "migrations"))
    config.set_main_option("path_separator", "os")
    return config


async def upgrade(
    database_url: str, *, application: str | None = None, reader: str | None = None
) -> DatabaseServer:
    """Upgrade the schema to the newest revision; safe to run twice, and by two at once (the second waits).

    `database_url` is of the user that owns the tables. `application` and `reader` are users who get their rights on
    them: what the service needs, and what inspectors may read.

    Raises UnfitServerError, before anything is changed, if the server would lose data.
    """
    lock = await connect(database_url, _NAME, OF_MIGRATIONS)
    try:
        await inspect_server(lock)
        await lock.execute("SELECT pg_advisory_lock($1)", LockSpace.SCHEMA)
        await _run_revisions(database_url)
        server = await apply_level(lock)
        await grant(lock, application=application, reader=reader)
        return server
    finally:
        await lock.close()


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
