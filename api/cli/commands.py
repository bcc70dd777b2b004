"""Shared code of the commands, and the short commands: embedded servers, `migrate`, `keys`."""

import contextlib
import os
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit
from uuid import UUID

import asyncpg
import structlog
import typer
from pydantic import SecretStr
from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncEngine

from alerts.wording import rfc3339
from api.cli.shipments import shown
from api.database import check_database, first_contact
from api.database_rights.users import User, UsersError, make_users
from api.descriptors import raise_limit
from api.embedded import Servers, embedded_servers
from api.errors import StartError
from api.http.connections.server import check_free
from api.identity import keys as stored_keys
from api.identity.permissions import KeyRole
from api.refusals import Invalid, NotFound
from api.schema_upgrade import SchemaBusyError, upgrade
from api.settings import DATABASE_HINT, Settings, SettingsError, required
from api.transactions import begin
from api.use_cases import keys
from telemetry.actor import Actor, ActorKind
from telemetry.database.connections import engine_for
from telemetry.database.server import UnfitServerError
from telemetry.ingest.validate_reading import parse_instant

log = structlog.get_logger(__name__)

_PAGE: Final = 500

ACTOR = Actor(ActorKind.COMMAND, "command line")
"""Anybody with a shell on the service's machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedded:
    """Embedded servers, and settings that point the service at them."""

    settings: Settings
    servers: Servers


@contextlib.contextmanager
def with_embedded(
    settings: Settings, data: Path, report: Callable[[str], None] | None = None
) -> Iterator[Embedded]:
    """Run a database and a broker in `data`; if the settings have no admin key, keep one there too.

    Raises StartError before anything is made or started if the port of the settings is in use.
    """
    check_free(settings.http_host, settings.http_port)
    report = report or (lambda line: log.warning("embedded_server", says=line))
    raise_limit()  # before the servers, which inherit it: each logger takes one of the broker's
    with embedded_servers(data, report) as servers:
        for line in servers.description:
            log.info("embedded_server", says=line)
        found: dict[str, Any] = {
            "database_url": servers.database_url,
            "database_owner_url": SecretStr(servers.owner_url),
            "database_admin_url": SecretStr(servers.admin_url),
            "mqtt_url": servers.mqtt_url,
        }
        if settings.mqtt_public_url is None:
            found["mqtt_public_url"] = servers.mqtt_loggers_url
        if settings.admin_key is None:
            found["admin_key"] = SecretStr(_kept_admin_key(data / "admin.key"))
        yield Embedded(settings=settings.model_copy(update=found), servers=servers)


def _kept_admin_key(file: Path) -> str:
    """Return the key in the file; create it on the first start, readable only by its owner."""
    with contextlib.suppress(FileNotFoundError):
        return file.read_text().strip()
    key = secrets.token_urlsafe(32)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as handle:
        handle.write(key + "\n")
    log.info("admin_key_made", file=str(file))
    return key


async def migrate(settings: Settings) -> None:
    """Bring the schema to the newest revision, as the user that owns it, and give the service's user its rights.

    If the settings say who administers the server, these users are made first, and what one user owned alone until now
    is handed to the owner.
    """
    url = required(settings.database_url, "DATABASE_URL", DATABASE_HINT)
    owner_url = _secret(settings.database_owner_url) or url
    reader_url = _secret(settings.database_reader_url)
    apart = user_of(owner_url) != user_of(url)
    try:
        if admin_url := _secret(settings.database_admin_url):
            await first_contact(admin_url, "DATABASE_ADMIN_URL", patience_s=settings.start_patience_s)
            await _make_users(admin_url, owner_url, url, reader_url)
        setting = "DATABASE_OWNER_URL" if settings.database_owner_url else "DATABASE_URL"
        await first_contact(owner_url, setting, patience_s=settings.start_patience_s)
        server = await upgrade(
            owner_url,
            application=user_of(url) if apart else None,
            reader=None if reader_url is None else user_of(reader_url),
        )
    except (UnfitServerError, SchemaBusyError, UsersError) as error:
        raise StartError(str(error)) from None
    except asyncpg.InsufficientPrivilegeError as error:
        raise StartError(f"the database does not let us: {error}") from None
    if not apart:
        log.warning("one_user_for_all", hint="give DATABASE_OWNER_URL, too: see docs/operator.md, Users")
    log.info("migrated", server=str(server))


async def _make_users(admin_url: str, owner_url: str, url: str, reader_url: str | None) -> None:
    if user_of(owner_url) == user_of(url):
        raise SettingsError(
            "DEWARWATCH_DATABASE_OWNER_URL: must name another user than DEWARWATCH_DATABASE_URL, so that the service owns nothing"
        )
    others = [User.of(url, "DEWARWATCH_DATABASE_URL")]
    if reader_url is not None:
        others.append(User.of(reader_url, "DEWARWATCH_DATABASE_READER_URL"))
    owner = User.of(owner_url, "DEWARWATCH_DATABASE_OWNER_URL")
    await make_users(admin_url, owner=owner, others=others)


def _secret(value: SecretStr | None) -> str | None:
    return None if value is None else value.get_secret_value()


def user_of(url: str) -> str:
    """Return the user that an address names."""
    return unquote(urlsplit(url).username or "")


async def create_key(
    settings: Settings,
    *,
    role: str,
    organization: str | None,
    shipment_ids: list[str] | None = None,
    device_ids: list[str] | None = None,
    expires_at: str | None = None,
) -> None:
    """Create a key and print it; nothing else goes to standard output."""
    if role not in set(KeyRole):
        raise SettingsError(f"--role {role}: must be one of {', '.join(KeyRole)}")
    until = None if expires_at is None else parse_instant(expires_at)
    if isinstance(until, str):
        raise SettingsError(f"--expires-at {until}")
    try:
        async with _engine(settings) as engine, begin(engine) as connection:
            new = await keys.create(
                connection,
                role=KeyRole(role),
                organization=organization,
                shipment_ids=shipment_ids,
                device_ids=device_ids,
                expires_at=until,
                actor=ACTOR,
                now=datetime.now(UTC),
                courier_key_lasts=timedelta(days=settings.courier_key_days),
            )
    except Invalid as refused:
        field, why = next(iter(refused.fields.items()))
        raise SettingsError(f"--{field.replace('_', '-')} {why}") from None
    if new.organization_is_new:
        typer.echo(
            f"The organization {organization} is new: until now there was none of that name.", err=True
        )
    if new.unregistered_device_ids:
        typer.echo(f"Not registered yet: {', '.join(new.unregistered_device_ids)}.", err=True)
    typer.echo(new.key)


async def list_keys(settings: Settings) -> None:
    """Print a line for each key, the newest first."""
    lasts, after = timedelta(days=settings.courier_key_days), None
    async with _engine(settings) as engine, engine.connect() as connection:
        while True:
            page = await stored_keys.page(connection, after=after, limit=_PAGE, courier_key_lasts=lasts)
            for row in page.rows:
                typer.echo(_line(row))
            if (after := page.next_key) is None:
                return


def _line(row: RowMapping) -> str:
    bounds = [row["organization"] or "", *map(shown, row["shipment_ids"] or ()), *(row["device_ids"] or ())]
    revoked, ends = row["revoked_at"], row["ends_at"]
    until = f"revoked {rfc3339(revoked)}" if revoked else f"ends {rfc3339(ends)}" if ends else "no end set"
    used = "never used" if row["last_used_at"] is None else f"last used {rfc3339(row['last_used_at'])}"
    return "\t".join((row["prefix"], row["role"], " ".join(filter(None, bounds)) or "-", until, used))


async def revoke_key(settings: Settings, named: str, *, end_webhooks: bool) -> None:
    """Revoke a key, and print the webhooks that were made with it and live on."""
    if not stored_keys.PREFIX.fullmatch(named):
        try:
            UUID(named)
        except ValueError:
            raise SettingsError(
                f"{named} is neither the prefix of a key, such as dw_1f0c93ab, nor an id"
            ) from None
    try:
        async with _engine(settings) as engine, begin(engine) as connection:
            left = await keys.revoke(connection, named, end_webhooks=end_webhooks, actor=ACTOR)
    except NotFound as refused:
        raise SettingsError(refused.text) from None
    typer.echo(f"{named} is revoked.")
    for one in left:
        typer.echo(f"Its webhook {one['id']} lives on: --end-webhooks ends it, too. It goes to {one['url']}")


@contextlib.asynccontextmanager
async def _engine(settings: Settings) -> AsyncIterator[AsyncEngine]:
    """Connect to the database of the settings, once it is there and has our schema."""
    url = required(settings.database_url, "DATABASE_URL", DATABASE_HINT)
    await check_database(url, patience_s=settings.start_patience_s)
    engine = engine_for(url)
    try:
        yield engine
    finally:
        await engine.dispose()


Runner = Callable[[Coroutine[Any, Any, None]], None]
