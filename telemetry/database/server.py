"""The database server: detect its level, check that it is durable, and apply what its level adds to the schema."""

from dataclasses import dataclass
from enum import StrEnum

import asyncpg
import structlog

log = structlog.get_logger(__name__)

OLDEST_POSTGRESQL = 150000


class ServerLevel(StrEnum):
    """What a server offers beyond plain PostgreSQL."""

    COMMUNITY = "community"
    APACHE = "apache"
    PLAIN = "plain"


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseServer:
    """The level and the versions of a database server."""

    level: ServerLevel
    postgresql: str
    timescaledb: str | None

    def __str__(self) -> str:
        extension = f" with TimescaleDB {self.timescaledb}" if self.timescaledb else ""
        return f"PostgreSQL {self.postgresql}{extension}, level {self.level}"


class UnfitServerError(Exception):
    """The server could lose data or is too old; the message says what to change."""


async def inspect_server(connection: asyncpg.Connection) -> DatabaseServer:
    """Detect the server's level and versions; raise UnfitServerError if it is too old or not durable."""
    settings = {
        row["name"]: row["setting"]
        for row in await connection.fetch(
            "SELECT name, setting FROM pg_settings WHERE name = ANY($1::text[])",
            ["fsync", "full_page_writes", "synchronous_commit", "server_version", "server_version_num"],
        )
    }
    if int(settings["server_version_num"]) < OLDEST_POSTGRESQL:
        raise UnfitServerError(f"PostgreSQL {settings['server_version']} is too old: 15 or later is needed")
    for name in ("fsync", "full_page_writes", "synchronous_commit"):
        if settings[name] == "off":
            raise UnfitServerError(f"the database server has {name} = off and would lose readings: set it on")
    version = await connection.fetchval("SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'")
    return DatabaseServer(
        level=await _level(connection) if version else ServerLevel.PLAIN,
        postgresql=settings["server_version"].split(" ")[0],
        timescaledb=version,
    )


async def _level(connection: asyncpg.Connection) -> ServerLevel:
    licence = await connection.fetchval("SELECT current_setting('timescaledb.license', true)")
    return ServerLevel.COMMUNITY if licence == "timescale" else ServerLevel.APACHE


async def apply_level(connection: asyncpg.Connection) -> DatabaseServer:
    """Apply what the server's level adds to the schema; idempotent, also after an upgrade to a higher level."""
    await create_extension(connection)
    server = await inspect_server(connection)
    if server.level is not ServerLevel.PLAIN:
        await connection.execute(
            "SELECT create_hypertable('readings', 'measured_at', chunk_time_interval => interval '7 days', "
            "create_default_indexes => false, if_not_exists => true, migrate_data => true)"
        )
    return server


# Only who may read all settings may read shared_preload_libraries. The loader, once it is there, has a setting that
# everybody may read; one that a file merely names is no boolean.
_PRELOADED = (
    "SELECT EXISTS (SELECT FROM pg_settings WHERE name = 'timescaledb.disable_load' AND vartype = 'bool')"
)


async def create_extension(connection: asyncpg.Connection) -> None:
    """Create the extension if it is preloaded; otherwise the attempt would kill the connection."""
    if not await connection.fetchval(_PRELOADED):
        return
    try:
        await connection.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
    except asyncpg.InsufficientPrivilegeError:
        log.warning("timescaledb_not_created", hint="a superuser must run CREATE EXTENSION timescaledb once")
