"""What the commands do, once they are understood: servers, settings and logs around the composition root."""

import asyncio
import contextlib
import os
import secrets
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
import typer
from pydantic import SecretStr

from api import keys, logs
from api.access import KeyRole
from api.bootstrap import running
from api.database import check_database, first_contact
from api.embedded import Servers, embedded_servers
from api.errors import StartError, StoppedError
from api.progress import count
from api.roles import Role
from api.settings import Settings, SettingsError, required
from migrations.upgrade import engine_for, upgrade
from simulators.publish import BrokerRefusedError
from simulators.recording import RecordingError
from simulators.register import RegistrationRefusedError
from simulators.run import SimulationSettings, SimulationSummary
from simulators.run import run as run_simulation
from telemetry.server import UnfitServerError

log = structlog.get_logger(__name__)

DATABASE_HINT = "postgresql://user:password@host:5432/database"
MQTT_HINT = "mqtt://user:password@host:1883"


def configure_logs(settings: Settings) -> None:
    """Send logs to standard error, as the settings say."""
    logs.configure(json=settings.log_format == "json", level=settings.log_level)


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedded:
    """Embedded servers, and the settings with which the service finds them."""

    settings: Settings
    servers: Servers


@contextlib.contextmanager
def with_embedded(
    settings: Settings, data: Path, report: Callable[[str], None] | None = None
) -> Iterator[Embedded]:
    """Run database and broker in `data`, and an admin key that is kept there if the settings have none."""
    report = report or (lambda line: log.warning("embedded_server", says=line))
    with embedded_servers(data, report) as servers:
        for line in servers.description:
            log.info("embedded_server", says=line)
        found: dict[str, Any] = {"database_url": servers.database_url, "mqtt_url": servers.mqtt_url}
        if settings.admin_key is None:
            found["admin_key"] = SecretStr(_kept_admin_key(data / "admin.key"))
        yield Embedded(settings=settings.model_copy(update=found), servers=servers)


def _kept_admin_key(file: Path) -> str:
    """Give the key in the file; a first start makes it, readable by its owner alone."""
    with contextlib.suppress(FileNotFoundError):
        return file.read_text().strip()
    key = secrets.token_urlsafe(32)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as handle:
        handle.write(key + "\n")
    log.info("admin_key_made", file=str(file))
    return key


@contextlib.contextmanager
def stopped_by_signals() -> Iterator[asyncio.Event]:
    """Give an event that SIGTERM and SIGINT set; the second one of them ends the process at once."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()

    def on_signal() -> None:
        if stop.is_set():
            os._exit(130)
        stop.set()

    for kind in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(kind, on_signal)
    try:
        yield stop
    finally:
        for kind in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(kind)


async def serve(settings: Settings, roles: frozenset[Role], embedded: Embedded | None = None) -> None:
    """Run the roles until a signal."""
    servers = None if embedded is None else embedded.servers
    with contextlib.suppress(StoppedError), stopped_by_signals() as stop:
        if embedded is not None:
            await migrate(settings)
        async with running(settings, roles, interrupted=stop, embedded=servers):
            await stop.wait()


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
    """Make a key and print it, alone on standard output."""
    if role not in set(KeyRole):
        raise SettingsError(f"--role {role}: must be one of {', '.join(KeyRole)}")
    url = required(settings.database_url, "DATABASE_URL", DATABASE_HINT)
    await check_database(url, patience_s=settings.start_patience_s)
    engine = engine_for(url)
    try:
        async with engine.begin() as connection:
            new = await keys.create(
                connection,
                role=KeyRole(role),
                organization=organization,
                shipment_ids=shipment_ids,
                device_ids=device_ids,
                created_by="command line",
            )
    finally:
        await engine.dispose()
    if isinstance(new, keys.KeyRefused):
        raise SettingsError(f"--{new.field.replace('_', '-')} {new.why}")
    typer.echo(new.key)


async def simulate(settings: Settings, simulation: Callable[[str], SimulationSettings]) -> None:
    """Run a simulated fleet until it ends, or until a signal, with progress on standard error."""
    chosen = simulation(required(settings.mqtt_url, "MQTT_URL", MQTT_HINT))
    for option, file in (("--truth", chosen.truth), ("--record", chosen.record)):
        if file is not None and (file.is_dir() or not os.access(file.parent, os.W_OK)):
            raise SettingsError(f"{option} {file}: nothing can be written to {file.parent}")
    with stopped_by_signals() as stop:
        try:
            summary = await run_simulation(chosen, on_progress=Progress(), stop=stop)
        except (BrokerRefusedError, RecordingError, RegistrationRefusedError) as error:
            raise StartError(str(error)) from None
        except ValueError as error:
            raise SettingsError(str(error)) from None
    typer.echo(_told(summary))


class Progress:
    """Prints how far a simulation has come: over one line at a terminal, now and then elsewhere."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._printed_at = float("-inf")

    def __call__(self, summary: SimulationSummary) -> None:
        """Show it."""
        if self._terminal:
            typer.echo(f"\r{_told(summary)}\x1b[K", err=True, nl=False)
        elif summary.elapsed_s - self._printed_at >= 10:
            self._printed_at = summary.elapsed_s
            typer.echo(_told(summary), err=True)


def _told(summary: SimulationSummary) -> str:
    away = "" if summary.connected else "; the broker is away"
    lost = f", {summary.readings_overwritten} overwritten" if summary.readings_overwritten else ""
    if summary.registered is not None and summary.registered < summary.loggers:
        return f"{summary.elapsed_s:.0f} s: {summary.registered} of {count(summary.loggers, 'logger')} registered"
    some = "" if summary.switched_on == summary.loggers else f"{summary.switched_on} of "
    loggers = f"{some}{count(summary.loggers, 'logger')}"
    return (
        f"{summary.elapsed_s:.0f} s: {loggers}, {summary.online} online, "
        f"{summary.readings_taken} readings taken, {summary.readings_confirmed} confirmed, "
        f"{summary.readings_unconfirmed} under way{lost}{away}"
    )


Runner = Callable[[Coroutine[Any, Any, None]], None]
