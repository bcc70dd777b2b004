"""What machines do to a service, each for as long as a block lasts."""

import asyncio
import contextlib
import os
import re
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import asyncpg
import httpx

from api.embedded import broker_users
from api.embedded.mosquitto import Mosquitto
from tests.acceptance.command import eventually
from tests.chaos.machines.operations import Outcome
from tests.chaos.machines.world import ROLES, World

Strike = Callable[[World], AbstractContextManager[None]]
_TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version' ORDER BY 1"
_OTHERS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE backend_type = 'client backend' AND application_name LIKE 'dewarwatch%'
"""


@contextlib.contextmanager
def full_disk(world: World) -> Iterator[None]:
    """A file takes all that is left of the disk on which the database is."""
    assert world.disk is not None
    filler = world.disk / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(65536))
    try:
        yield
    finally:
        filler.unlink()


@contextlib.contextmanager
def frozen(world: World, pids: Callable[[World], list[int]]) -> Iterator[None]:
    """SIGSTOP, and SIGCONT."""
    chosen = pids(world)
    assert chosen
    for pid in chosen:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in chosen:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def role(name: str) -> Strike:
    return partial(frozen, pids=lambda world: [world.processes[ROLES.index(name)].pid])


def backends(world: World) -> list[int]:
    """The database's processes that serve the service."""
    rows = world.voyage.fetch("SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'dewarwatch%'")
    return [row["pid"] for row in rows]


postmaster: Strike = partial(frozen, pids=lambda world: [world.database.pid or 0])
all_backends: Strike = partial(frozen, pids=backends)
broker: Strike = partial(frozen, pids=lambda world: [world.broker.pid or 0])


@contextlib.contextmanager
def stalled(world: World) -> Iterator[None]:
    """Nothing passes between the service and its servers."""
    with world.to_database.stalled(), world.to_broker.stalled():
        yield


@contextlib.contextmanager
def half_open(world: World) -> Iterator[None]:
    """All connections to database and broker are dead, and no side is told."""
    world.to_database.cut_off()
    world.to_broker.cut_off()
    yield


@contextlib.contextmanager
def service_clock(world: World, ahead_s: float) -> Iterator[None]:
    assert world.service_clock is not None
    world.service_clock.set(ahead_s)
    try:
        yield
    finally:
        world.service_clock.set(0)


@contextlib.contextmanager
def database_clock(world: World, ahead_s: float) -> Iterator[None]:
    assert world.database_clock is not None
    world.database_clock.set(ahead_s)
    try:
        yield
    finally:
        world.database_clock.set(0)


@contextlib.contextmanager
def no_connections(world: World) -> Iterator[None]:
    """Others hold all connections that the database has; those of the service are ended first."""
    closing, full = threading.Event(), threading.Event()

    async def eat() -> None:
        held: list[asyncpg.Connection] = []
        first = await asyncpg.connect(world.database.url)
        while not closing.is_set():
            try:
                held.append(await asyncpg.connect(world.database.url))
            except asyncpg.TooManyConnectionsError:
                if await first.fetch(_OTHERS) == []:
                    full.set()
                await asyncio.sleep(0.02)
        for connection in (first, *held):
            connection.terminate()

    thread = threading.Thread(target=lambda: asyncio.run(eat()), name="eater")
    thread.start()
    assert full.wait(20)
    try:
        yield
    finally:
        closing.set()
        thread.join()


@contextlib.contextmanager
def alter_table(world: World) -> Iterator[None]:
    """Every table gets a column while it is used, as from the migrations of the next release."""
    added = threading.Event()

    async def alter() -> None:
        connection = await asyncpg.connect(world.database.url, server_settings={"lock_timeout": "500ms"})
        tables = [row["tablename"] for row in await connection.fetch(_TABLES)]
        while tables:
            try:
                await connection.execute(f"ALTER TABLE {tables[-1]} ADD COLUMN of_the_next text DEFAULT 'x'")
            except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
                continue
            tables.pop()
        await connection.close()
        added.set()

    thread = threading.Thread(target=lambda: asyncio.run(alter()), name="alterer")
    thread.start()
    yield
    thread.join(30)
    assert added.is_set()


@contextlib.contextmanager
def broker_forgets_sessions(world: World) -> Iterator[None]:
    """Its memory of sessions and of messages that wait is gone; accounts are left."""
    world.broker.kill()
    for kept in world.broker.program.folder.glob("mosquitto.db*"):
        kept.unlink()
    world.broker.start()
    yield


@contextlib.contextmanager
def broker_forgets_accounts(world: World) -> Iterator[None]:
    """Its file of accounts is as new. That does not heal by itself: the service says what to do, and it is done."""
    program = world.broker.program
    assert isinstance(program, Mosquitto)
    world.broker.stop()
    program.accounts_file.write_text(broker_users.initial_users("dewarwatch", "secret"))
    world.broker.start()
    yield
    url = world.voyage.service.url

    def told() -> bool:
        page = httpx.get(f"{url}/metrics", timeout=10, trust_env=False).text
        part = httpx.get(f"{url}/readyz", timeout=10, trust_env=False).json()["parts"].get("accounts", {})
        mailed = bool(world.ears.mails_of("broker-accounts"))
        rises = re.search(r'dewarwatch_fault_seconds{part="accounts"} (\S+)', page)
        return (
            "dewarwatch broker-accounts" in str(part) and rises is not None and float(rises[1]) > 0 and mailed
        )

    eventually(told, 60, lambda: f"{world.ears.mails.taken}\n{world.logs()}")
    world.broker.stop()
    settings = {"DATABASE_URL": world.database.url, "MQTT_URL": world.broker.url}
    status, _, err = world.commands.run("broker-accounts", program.accounts_file, **settings)
    assert status == 0, err
    world.broker.start()


@contextlib.contextmanager
def older_copy(world: World) -> Iterator[None]:
    """A copy of the database's folder is put back; what was confirmed since it was made is gone."""
    folder = world.database.program.folder
    copy = folder.with_name("copy")
    world.database.stop()
    shutil.copytree(folder, copy)
    for path in (copy, *copy.rglob("*")):
        shutil.chown(path, folder.stat().st_uid, folder.stat().st_gid)
    world.database.start()
    copied_s = time.monotonic()
    _wait_for_progress(world, copied_s)
    events = _event_ids(world)
    world.database.stop()
    stopped_s = time.monotonic()
    shutil.rmtree(folder)
    Path(copy).rename(folder)
    world.database.start()
    world.lost_events |= events - _event_ids(world)
    world.lost_calls |= {
        str(each.key)
        for each in world.log.of("call", Outcome.OK)
        if copied_s - 5 < each.invoked_s < stopped_s
    }
    yield


def _event_ids(world: World) -> set[str]:
    query = (
        "SELECT position::text || '-' || (extract(epoch FROM created_at) * 1000000)::bigint AS id FROM outbox"
    )
    return {row["id"] for row in world.voyage.fetch(query)}


def _wait_for_progress(world: World, since_s: float) -> None:
    """Until several pulses are newer than the copy, and there is something to lose."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        waited_s = time.monotonic() - since_s
        if waited_s > 6 and world.log.answered_since("reading", since_s):
            return
        time.sleep(0.1)
    raise AssertionError("nothing was stored since the copy")
