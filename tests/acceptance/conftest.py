"""A folder for each test, in which commands run; a process that is left when the test ends is a failure."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from tests.acceptance.command import Command, Commands, eventually, processes_of
from tests.integration.alerts.conftest import Desk


@pytest.fixture
def folder(servers_dir: Path, request: pytest.FixtureRequest) -> Path:
    folder = servers_dir / f"{request.function.__name__}-{id(request)}"
    folder.mkdir(mode=0o711)
    return folder


@pytest.fixture
def commands(folder: Path) -> Iterator[Commands]:
    """Starts commands in the test's folder."""
    yield from _commands(folder)


@pytest.fixture(scope="session")
def embedded_data(servers_dir: Path) -> Path:
    """Where `embedded` has its data."""
    return servers_dir / "embedded" / "data"


@pytest.fixture(scope="session")
def embedded(embedded_data: Path) -> Iterator[Command]:
    """One `serve --embedded` for all tests that only talk to it."""
    embedded_data.parent.mkdir(mode=0o711)
    for commands in _commands(embedded_data.parent):
        # With as few descriptors at first as most systems give.
        yield commands.start("serve", "--embedded", embedded_data, descriptors="1024:8192").ready()


def _commands(folder: Path) -> Iterator[Commands]:
    commands = Commands(folder)
    yield commands
    commands.close()
    eventually(lambda: not processes_of(folder), 60, lambda: f"left behind: {processes_of(folder)}")


@pytest.fixture
async def desk(database_url: str) -> AsyncIterator[Desk]:
    """Shipments and readings in the database of the commands."""
    async with asyncpg.create_pool(database_url, min_size=1, max_size=3) as pool:
        yield Desk(pool)
