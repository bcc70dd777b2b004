"""Real servers for every test that needs one: a database cloned from a migrated template, a broker of its own."""

import asyncio
import contextlib
import itertools
import os
import random
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

import asyncpg
import pytest
import structlog

from api.embedded import EmbeddedError
from api.embedded.find import find_broker
from api.embedded.folder import owned
from api.embedded.mosquitto import Mosquitto
from api.embedded.postgres import APPLICATION, OWNER, Postgres
from api.embedded.process import Supervisor
from tests.described import outbox_is_described

_TEMPLATE = "migrated"
_SEED = "DEWARWATCH_SEED"
_MEMORY = Path("/dev/shm")  # where Linux has a folder in memory
_MEMORY_BYTES = 4 * 2**30  # ten times what two workers' servers keep there
_numbers = itertools.count(1)


def in_its_own_loop(coroutine: Coroutine[Any, Any, None]) -> None:
    """Runs a coroutine to its end on another thread, out of the way of pytest-asyncio's loops."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, coroutine).result()


def another_database(url: str, name: str) -> str:
    return urlsplit(url)._replace(path=f"/{name}").geturl()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def as_user(url: str, user: str) -> str:
    """The same database as another user; all have the same password here."""
    return urlsplit(url)._replace(netloc=f"{user}:secret@{urlsplit(url).netloc.rpartition('@')[2]}").geturl()


def as_service(url: str) -> str:
    """The same database as whom the service is there, who may do no more than it needs."""
    return as_user(url, APPLICATION)


async def _execute(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


def pytest_configure(config: pytest.Config) -> None:
    # With it, every worker and every program that tests start would compile all that it imports, which takes seconds.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    _log_plainly()
    config.addinivalue_line("markers", "long: takes minutes, and runs with `make test-long`")
    os.environ.setdefault(
        _SEED, str(random.randrange(10**9))
    )  # before the workers are started, which inherit it


def _log_plainly() -> None:
    """Sets logs up as structlog does by itself, but for its painting of exceptions, which takes seconds for each."""
    *steps, _ = structlog.get_config()["processors"]
    plain = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[*steps, plain])


def pytest_report_header() -> str:
    return f"seed: the same again with {_SEED}={os.environ[_SEED]}"


@pytest.fixture(scope="session")
def run_seed() -> int:
    """The number that this run's random tests count their seeds from."""
    return int(os.environ[_SEED])


def missing(server: str) -> NoReturn:
    """Skip the test on a machine that cannot have the server; in CI, which must have it, fail."""
    if os.environ.get("DEWARWATCH_TEST_SERVERS") == "real":
        pytest.fail(f"CI must run on {server}, and this machine has none")
    pytest.skip(f"this machine has no {server}")


def _room() -> Path:
    """Where servers keep their data: TMPDIR if it is set, else in memory where that is large, else on the disk.

    Most of a test's time on a disk is the making of the 640 files of its database, and waiting for them to be written.
    Servers do the same in memory, and what they wrote outlives their `kill -9` in both.
    """
    if "TMPDIR" in os.environ or not os.access(_MEMORY, os.W_OK | os.X_OK):
        return Path(tempfile.gettempdir())
    return _MEMORY if shutil.disk_usage(_MEMORY).free >= _MEMORY_BYTES else Path(tempfile.gettempdir())


@pytest.fixture(scope="session")
def servers_dir() -> Iterator[Path]:
    """A short-lived folder that root's servers can reach, too, which pytest's own are closed to."""
    room = _room()
    for left in room.glob("dewarwatch-test-*"):  # by runs that were killed
        with contextlib.suppress(
            FileNotFoundError, EmbeddedError
        ):  # another worker was first, or it is in use
            if time.time() - left.stat().st_mtime > 3600:
                with owned(left):
                    shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix="dewarwatch-test-", dir=room))
    folder.chmod(0o711)
    with owned(folder):
        yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def start_postgres(servers_dir: Path) -> Iterator[Callable[[], Supervisor]]:
    """Starts one more PostgreSQL, durable like the service's own; all are stopped at the end."""
    started: list[Supervisor] = []

    def start() -> Supervisor:
        folder = servers_dir / f"postgres-{next(_numbers)}"
        started.append(Supervisor(Postgres(folder, password="secret", port=free_port()), print))
        started[-1].start()
        return started[-1]

    yield start
    for server in started:
        server.stop()


@pytest.fixture(scope="session")
def shared_postgres(start_postgres: Callable[[], Supervisor]) -> Supervisor:
    """The PostgreSQL that all tests of this worker share, each with a database of its own."""
    return start_postgres()


@pytest.fixture(scope="session")
def migrated_postgres(shared_postgres: Supervisor) -> Supervisor:
    """The same, with the migrated template in it."""
    server = shared_postgres
    template = another_database(server.url, _TEMPLATE)

    async def migrate() -> None:
        from api.database_rights.users import User, make_users
        from api.schema_upgrade import upgrade

        owner, service = (User.of(as_user(template, name), name) for name in (OWNER, APPLICATION))
        await make_users(server.url, owner=owner, others=[service])
        await upgrade(as_user(template, OWNER), application=APPLICATION)
        # TimescaleDB's scheduler keeps away from templates; while it is connected, nothing can be cloned.
        await _execute(
            server.url,
            f"ALTER DATABASE {_TEMPLATE} WITH IS_TEMPLATE true ALLOW_CONNECTIONS false",
            f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{_TEMPLATE}'",
        )

    in_its_own_loop(migrate())
    return server


@pytest.fixture
def database_url(migrated_postgres: Supervisor, request: pytest.FixtureRequest) -> Iterator[str]:
    """A database with the newest schema and nothing in it, for this test alone, as a superuser, who may do anything.

    What the service does in it is done as `as_service(database_url)`. Whatever the test has made the service tell must be what the AsyncAPI document describes.
    """

    def made_up() -> bool:  # asked in the end: a test may come to make up events as it runs
        return request.node.get_closest_marker("made_up_events") is not None

    with a_database(migrated_postgres, made_up=made_up) as url:
        yield url


@contextlib.contextmanager
def a_database(server: Supervisor, *, made_up: Callable[[], bool] = lambda: False) -> Iterator[str]:
    """A migrated database for as long as the block lasts; in the end, what it tells must be described."""
    name = f"test_{next(_numbers)}"
    in_its_own_loop(_execute(server.url, f"CREATE DATABASE {name} OWNER {OWNER} TEMPLATE {_TEMPLATE}"))
    url = another_database(server.url, name)
    yield url
    if not made_up():
        in_its_own_loop(outbox_is_described(url))
    in_its_own_loop(_execute(server.url, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
def empty_database_url(shared_postgres: Supervisor) -> Iterator[str]:
    """A database without any schema, for tests of the migrations themselves."""
    name = f"empty_{next(_numbers)}"
    in_its_own_loop(_execute(shared_postgres.url, f"CREATE DATABASE {name}"))
    yield another_database(shared_postgres.url, name)
    in_its_own_loop(_execute(shared_postgres.url, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
def postgres(start_postgres: Callable[[], Supervisor]) -> Iterator[Supervisor]:
    """A PostgreSQL of the test's own, to `restart()`, `kill()` and `start()`; its database is empty."""
    server = start_postgres()
    yield server
    server.stop()
    shutil.rmtree(server.program.folder)


@pytest.fixture
def broker(servers_dir: Path) -> Iterator[Supervisor]:
    """A mosquitto of the test's own, to `restart()`, `kill()`, `stop()` and `start()`.

    `url` is the service's, `program.loggers_url` is for loggers.
    """
    with a_broker(servers_dir) as server:
        yield server


@pytest.fixture
def second_broker(servers_dir: Path) -> Iterator[Supervisor]:
    """One more of the same."""
    with a_broker(servers_dir) as server:
        yield server


@contextlib.contextmanager
def a_broker(servers_dir: Path, kind: type[Mosquitto] = Mosquitto) -> Iterator[Supervisor]:
    """A mosquitto for as long as the block lasts."""
    programs = find_broker()
    if programs is None or programs.plugin is None:
        missing("mosquitto")
    folder = servers_dir / f"broker-{next(_numbers)}"
    program = kind(folder, programs, password="secret", port=free_port(), service_port=free_port())
    server = Supervisor(program, print)
    server.start()
    yield server
    server.stop()
