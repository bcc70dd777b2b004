"""Checks that the database is reachable, fit and migrated, before a role or a command starts."""

import asyncio

import asyncpg
import structlog

from api.database_rights.grants import TOO_MUCH
from api.errors import StartError
from api.schema_upgrade import pending
from api.settings import PREFIX, SettingsError
from telemetry.database.connections import connect
from telemetry.database.server import DatabaseServer, UnfitServerError, inspect_server

log = structlog.get_logger(__name__)

_RETRY_S = 1.0

# Errors that waiting does not fix.
_REFUSED = (
    asyncpg.InvalidPasswordError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
)


async def check_at_start(database_url: str, *, patience_s: float) -> DatabaseServer:
    """Check as `check_database` does, and say in the log what server it is, and whether we may do more there than we need."""
    server = await check_database(database_url, patience_s=patience_s)
    log.info("database", server=str(server))
    connection = await connect(database_url, "dewarwatch-check")
    try:
        beyond = await connection.fetchval(TOO_MUCH)
    finally:
        await connection.close()
    if beyond:
        log.warning(
            "database_user_may_too_much", why=beyond, hint="see docs/operator.md, Users of the database"
        )
    return server


async def check_database(database_url: str, *, patience_s: float) -> DatabaseServer:
    """Wait for the database, and check that it is durable and has this version's schema.

    Raises SettingsError if it refuses us; StartError if it cannot be reached within `patience_s` seconds, is
    unfit, or is not migrated.
    """
    server = await first_contact(database_url, patience_s=patience_s)
    if missing := await pending(database_url):
        raise StartError(f"{missing}: run `dewarwatch migrate`")
    return server


async def first_contact(
    database_url: str, setting: str = "DATABASE_URL", *, patience_s: float
) -> DatabaseServer:
    """Wait for the database and check that it is durable; raises as `check_database` does, naming the setting."""
    away: list[str] = []
    try:
        async with asyncio.timeout(patience_s):
            connection = await _connect(database_url, setting, away)
    except TimeoutError:
        why = away[-1] if away else "no answer"
        raise StartError(f"the database cannot be reached, after {patience_s:g} s of trying: {why}") from None
    try:
        return await inspect_server(connection)
    except UnfitServerError as error:
        raise StartError(str(error)) from None
    finally:
        await connection.close()


async def _connect(database_url: str, setting: str, away: list[str]) -> asyncpg.Connection:
    """Retry until the database accepts a connection; append each failure's text to `away`."""
    while True:
        try:
            return await connect(database_url, "dewarwatch-check")
        except _REFUSED as error:
            raise SettingsError(f"{PREFIX}{setting}: the database refuses it: {error}") from None
        except asyncpg.exceptions.ClientConfigurationError as error:
            raise SettingsError(f"{PREFIX}{setting}: {error}") from None
        except (OSError, asyncpg.PostgresError, asyncpg.InternalClientError, TimeoutError) as error:
            if not away:
                log.warning("database_away", error=str(error) or repr(error))
            away.append(str(error) or repr(error))
        await asyncio.sleep(_RETRY_S)
