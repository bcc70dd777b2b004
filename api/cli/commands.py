"""Shared code of the commands, and the short commands: embedded servers, `migrate`, `keys create`."""

import contextlib
import os
import secrets
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog
import typer
from pydantic import SecretStr

from api.database import check_database, first_contact
from api.descriptors import raise_limit
from api.embedded import Servers, embedded_servers
from api.errors import StartError
from api.http.connections.server import check_free
from api.identity.permissions import KeyRole
from api.refusals import Invalid
from api.schema_upgrade import upgrade
from api.settings import DATABASE_HINT, Settings, SettingsError, required
from api.transactions import begin
from api.use_cases import keys
from telemetry.actor import Actor, ActorKind
from telemetry.database.connections import engine_for
from telemetry.database.server import UnfitServerError

log = structlog.get_logger(__name__)

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
        found: dict[str, Any] = {"database_url": servers.database_url, "mqtt_url": servers.mqtt_url}
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
    """Bring the schema to the newest revision."""
    url = required(settings.database_url, "DATABASE_URL", DATABASE_HINT)
    await first_contact(url, patience_s=settings.start_patience_s)
    try:
        server = await upgrade(url)
    except UnfitServerError as error:
        raise StartError(str(error)) from None
    log.info("migrated", server=str(server))


async def create_key(
    settings: Settings,
    *,
    role: str,
    organization: str | None,
    shipment_ids: list[str] | None = None,
    device_ids: list[str] | None = None,
) -> None:
    """Create a key and print it; nothing else goes to standard output."""
    if role not in set(KeyRole):
        raise SettingsError(f"--role {role}: must be one of {', '.join(KeyRole)}")
    url = required(settings.database_url, "DATABASE_URL", DATABASE_HINT)
    await check_database(url, patience_s=settings.start_patience_s)
    engine = engine_for(url)
    try:
        async with begin(engine) as connection:
            new = await keys.create(
                connection,
                role=KeyRole(role),
                organization=organization,
                shipment_ids=shipment_ids,
                device_ids=device_ids,
                actor=ACTOR,
                now=datetime.now(UTC),
            )
    except Invalid as refused:
        field, why = next(iter(refused.fields.items()))
        raise SettingsError(f"--{field.replace('_', '-')} {why}") from None
    finally:
        await engine.dispose()
    typer.echo(new.key)


Runner = Callable[[Coroutine[Any, Any, None]], None]
