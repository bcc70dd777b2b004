"""The environment of a benchmark: its own servers, the schema, and the real `dewarwatch serve`."""

import asyncio
import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, TypeVar
from uuid import uuid4

import asyncpg
import httpx

from api.database_rights.users import User, make_users
from api.embedded import EmbeddedError, embedded_servers
from api.embedded.servers import Servers
from api.schema_upgrade import upgrade
from bench import fleet
from bench.support.machine import Patience
from bench.support.report import BenchError, progress
from telemetry.database.server import DatabaseServer
from telemetry.tables import metadata

T = TypeVar("T")

_DEWARWATCH = Path(sys.executable).with_name("dewarwatch")
_ADMIN_KEY = "an-admin-key-for-benchmarks-of-32-characters"
_POLL_S = 0.02
_READY_WITHIN_S = 60.0


class LateError(BenchError):
    """A condition did not become true in time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A running `dewarwatch serve`."""

    process: "subprocess.Popen[bytes]"
    url: str

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {_ADMIN_KEY}"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """Embedded servers with the newest schema, and a folder for logs."""

    servers: Servers
    folder: Path
    database: str
    """Its version and level."""
    patience: Patience

    @contextlib.asynccontextmanager
    async def connected(self) -> AsyncIterator[asyncpg.Connection]:
        connection = await asyncpg.connect(self.servers.admin_url)
        try:
            yield connection
        finally:
            await connection.close()

    async def clear(self, loggers: Sequence[str]) -> None:
        """Start afresh: only a fleet in the database, nothing in the broker, all writes on disk."""
        await asyncio.to_thread(_empty_broker, self.servers)
        # The position of webhooks in the outbox stays: without one they would not continue.
        names = ", ".join(table.name for table in metadata.sorted_tables if table.name != "webhook_fanout")
        async with self.connected() as connection:
            async with connection.transaction():
                # Triggers that protect records from deletion are off.
                await connection.execute("SET LOCAL session_replication_role = replica")
                await connection.execute(f"TRUNCATE {names}")
            await fleet.ship(connection, loggers)
            await connection.execute("CHECKPOINT")

    @contextlib.asynccontextmanager
    async def serving(
        self, roles: str = "api,ingest,evaluate,deliver", **settings: str
    ) -> AsyncIterator[Service]:
        """Run the service as a user would, and wait until it is ready."""
        log = self.folder / f"serve-{uuid4().hex}.log"  # several may run at once
        env = {name: value for name, value in os.environ.items() if not name.startswith("DEWARWATCH_")}
        env |= {
            "DEWARWATCH_DATABASE_URL": self.servers.database_url,
            "DEWARWATCH_MQTT_URL": self.servers.mqtt_url,
            "DEWARWATCH_HTTP_PORT": "0",
            "DEWARWATCH_ADMIN_KEY": _ADMIN_KEY,
            **{f"DEWARWATCH_{name}": value for name, value in settings.items()},
        }
        with log.open("wb") as err:
            process = await asyncio.to_thread(_start, roles, env, self.folder, err)
        try:
            service = Service(
                process=process, url=await eventually(lambda: _url(process, log), "its address")
            )
            await eventually(lambda: _ready(service, log), "ready")
            yield service
        finally:
            process.terminate()
            await asyncio.to_thread(process.wait, 60)


async def _schema(servers: Servers) -> DatabaseServer:
    """Make the users and the schema, as `dewarwatch migrate` does."""
    owner, service = User.of(servers.owner_url, "owner"), User.of(servers.database_url, "service")
    await make_users(servers.admin_url, owner=owner, others=[service])
    return await upgrade(servers.owner_url, application=service.name)


@contextlib.contextmanager
def ground(patience_s: float = 0) -> Iterator[Ground]:
    """Start database and broker in a temporary folder, and create the schema."""
    folder = Path(tempfile.mkdtemp(prefix="dewarwatch-bench-"))
    folder.chmod(0o711)  # root's servers run as another user
    try:
        with embedded_servers(folder / "data", progress) as servers:
            database = asyncio.run(_schema(servers))
            yield Ground(
                servers=servers, folder=folder, database=str(database), patience=Patience(patience_s)
            )
    except EmbeddedError as error:
        raise BenchError(str(error)) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def eventually(
    condition: Callable[[], Awaitable[T | None]], what: str, within_s: float = _READY_WITHIN_S
) -> T:
    """Poll a condition until it returns a true value, and return that; raise LateError after `within_s`."""
    deadline = time.monotonic() + within_s
    while not (found := await condition()):
        if time.monotonic() > deadline:
            raise LateError(f"not within {within_s:g} s: {what}")
        await asyncio.sleep(_POLL_S)
    return found


async def committed(
    connection: asyncpg.Connection, key: tuple[str, datetime], total: int, within_s: float = 120.0
) -> float:
    """Wait until the last reading published and all others are stored; return when, on the monotonic clock.

    Looking for one row by its key costs the database next to nothing.
    """

    async def there() -> bool:
        here = "SELECT true FROM readings WHERE device_id = $1 AND measured_at = $2"
        return bool(await connection.fetchval(here, *key))

    await eventually(there, f"the reading of {key}", within_s)
    at = time.monotonic()
    while (stored := await connection.fetchval("SELECT count(*) FROM readings")) < total:
        if time.monotonic() - at > within_s:
            raise BenchError(f"{stored} of {total} readings were stored within {within_s:g} s")
        await asyncio.sleep(_POLL_S)
        at = time.monotonic()
    if stored != total:
        raise BenchError(f"{stored} readings were stored, {total} were sent")
    return at


def _empty_broker(servers: Servers) -> None:
    """Empty the broker: sessions of earlier runs would go on collecting messages."""
    servers.broker.stop()
    (servers.broker.program.folder / "mosquitto.db").unlink(missing_ok=True)
    servers.broker.start()


def _start(roles: str, env: dict[str, str], folder: Path, err: IO[bytes]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([_DEWARWATCH, "serve", "--roles", roles], cwd=folder, env=env, stderr=err)


async def _url(process: "subprocess.Popen[bytes]", log: Path) -> str | None:
    _alive(process, log)
    found = re.search(r'"url": ?"(http:[^"]+)"', await asyncio.to_thread(log.read_text))
    return found[1] if found else None


async def _ready(service: Service, log: Path) -> bool:
    _alive(service.process, log)
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(f"{service.url}/readyz")
    return answer.is_success


def _alive(process: "subprocess.Popen[bytes]", log: Path) -> None:
    if process.poll() is not None:
        raise BenchError(f"serve ended with {process.returncode}:\n{log.read_text()[-2000:]}")
