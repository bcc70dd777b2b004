"""`dewarwatch demo`: database, broker, all roles and a simulated fleet on one machine, shown live."""

import asyncio
import contextlib
import json
import os
import shlex
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.live import Live

from alerts.work.wakeup import first_of, outlast
from api import logs
from api.bootstrap import Running, running
from api.cli.commands import Embedded, Runner, migrate, with_embedded
from api.cli.live import Watch
from api.cli.loop import stopped_by_signals
from api.embedded.folder import mode, usable, write_private
from api.embedded.process import private
from api.errors import StoppedError
from api.http.connections.server import check_free
from api.roles import ALL_ROLES
from api.settings import Settings
from simulators.fleet.run import run as run_simulation
from simulators.fleet.settings import SimulationSettings

REFRESH_S = 1.0
PLAIN_EVERY_S = 5.0


def default_data() -> Path:
    """Return the demo's default data folder: below the user's own data folder.

    For root it is below /var/lib: root's servers run as another user, who cannot enter root's home.
    """
    if os.geteuid() == 0:
        return Path("/var/lib/dewarwatch/demo")
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "dewarwatch" / "demo"


def run_demo(
    settings: Settings, *, data: Path | None, fleet: int, speed: float, seed: int, run: Runner
) -> None:
    """Run the demo until Ctrl-C, then stop everything it started; its data is kept."""
    check_free(settings.http_host, settings.http_port)
    console, folder = Console(highlight=False), data or default_data()
    log_file = _log_to(folder, settings)
    console.print("Starting database and broker …")
    with with_embedded(settings, folder, report=console.print) as embedded:
        for line in embedded.servers.description:
            console.print(f"  {line}", soft_wrap=True)
        console.print(f"  logs: {log_file}", soft_wrap=True)
        start, speed, seed = _go_on(folder, console, speed=speed, seed=seed)
        simulation = SimulationSettings(
            mqtt_url=embedded.servers.mqtt_url,
            start=start,
            fleet=fleet,
            speed=speed,
            seed=seed,
            waves=True,
            organization="demo",
        )
        run(_demo(console, embedded, simulation, folder))
    console.print("Stopped. The data is kept; start again to continue with it.")


def _log_to(folder: Path, settings: Settings) -> Path:
    """Send logs to a file beside the data, so that they do not disturb the live display."""
    file = folder / "demo.log"
    with usable(folder):
        folder.mkdir(mode=mode(), parents=True, exist_ok=True)
        # It names keys that were made and addresses of callers, and a library's error may quote more.
        stream = open(file, "a", buffering=1, opener=private)  # noqa: SIM115 - Path.open takes no opener; open for good
    logs.configure(
        json=True, level=settings.log_level, stream=stream, security_file=settings.security_log_file
    )
    return file


def _go_on(folder: Path, console: Console, *, speed: float, seed: int) -> tuple[datetime, float, int]:
    """Return start, speed and seed of the journeys: those of the first run, which later runs continue."""
    file = folder / "simulation.json"
    try:
        kept = json.loads(file.read_text())
    except FileNotFoundError:
        kept = {"start": datetime.now(UTC).isoformat(), "speed": speed, "seed": seed}
        write_private(file, json.dumps(kept))
    if (kept["speed"], kept["seed"]) != (speed, seed):
        console.print(
            f"Continuing the journeys in {folder}: speed {kept['speed']:g}, seed {kept['seed']}. "
            "For another speed or seed, choose another --data.",
            soft_wrap=True,
        )
    return datetime.fromisoformat(kept["start"]), kept["speed"], kept["seed"]


async def _demo(console: Console, embedded: Embedded, simulation: SimulationSettings, folder: Path) -> None:
    with contextlib.suppress(StoppedError), stopped_by_signals() as stop:
        await migrate(embedded.settings)
        async with running(
            embedded.settings, ALL_ROLES, interrupted=stop, embedded=embedded.servers
        ) as service:
            assert embedded.settings.admin_key is not None
            key = embedded.settings.admin_key.get_secret_value()
            variables = _write_variables(folder, embedded, service.url, key)
            _where_to_look(console, service, key, variables)
            fleet = asyncio.create_task(
                run_simulation(replace(simulation, api_url=service.url, api_key=key), stop=stop)
            )
            fleet.add_done_callback(lambda _: stop.set())
            await _watch(console, Watch(service.pool), stop)
            console.print("Stopping: loggers, service, broker, database …")
            await fleet


def _write_variables(folder: Path, embedded: Embedded, url: str, key: str) -> Path:
    """Write what other commands need to reach this demo, for a shell to read: only the owner may."""
    values = {
        "DEWARWATCH_DATABASE_URL": embedded.servers.database_url,
        "DEWARWATCH_MQTT_URL": embedded.servers.mqtt_url,
        "DEWARWATCH_ADMIN_KEY": key,
        "URL": url,
        "KEY": key,
    }
    file = (folder / "demo.env").resolve()
    write_private(file, "".join(f"export {name}={shlex.quote(value)}\n" for name, value in values.items()))
    return file


def _where_to_look(console: Console, service: Running, key: str, variables: Path) -> None:
    lines = (
        f"server:    {service.server}",
        f"API docs:  {service.url}/docs",
        f"metrics:   {service.url}/metrics",
        f"admin key: {key}",
        f"variables: {variables}",
        "try:",
        f"  curl -s -H 'Authorization: Bearer {key}' '{service.url}/v1/excursions?limit=5'",
        f"  . {shlex.quote(str(variables))}   # in another terminal: for simulate, drill, replay, keys, backtest and the docs",
        "Ctrl-C stops everything.",
    )
    for line in lines:
        console.print(line, soft_wrap=True)


async def _watch(console: Console, watch: Watch, stop: asyncio.Event) -> None:
    """Show the service's state until `stop` is set: in place at a terminal, as plain lines elsewhere."""
    if not console.is_terminal:
        while not stop.is_set():
            snapshot = await outlast(watch.snapshot, stop, "watch")
            if snapshot is not None:
                console.print(snapshot.line(), soft_wrap=True)
            await first_of(stop, patience_s=PLAIN_EVERY_S)
        return
    with Live(console=console, auto_refresh=False) as live:
        while not stop.is_set():
            snapshot = await outlast(watch.snapshot, stop, "watch")
            if snapshot is not None:
                live.update(snapshot.render(), refresh=True)
            await first_of(stop, patience_s=REFRESH_S)
