"""Worlds to be broken: a database on a small disk of its own, and clocks that can be set."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeAlias

import pytest

from api.embedded.process import Supervisor
from tests.acceptance.command import Commands
from tests.acceptance.conftest import commands, folder  # noqa: F401 -- fixtures are found by their names here
from tests.chaos.machines.clock import Clock, ClockedPostgres, clear_away, find_library
from tests.chaos.machines.world import World
from tests.conftest import free_port

DISK_MIB = 400
Build: TypeAlias = Callable[..., World]


@contextmanager
def a_small_disk(at: Path) -> Iterator[Path]:
    at.mkdir(mode=0o711)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m,mode=711", "tmpfs", at]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("only root can have a small disk")
    try:
        yield at
    finally:
        subprocess.run(["umount", "--lazy", at], check=True)
        at.rmdir()


@pytest.fixture
def build(commands: Commands, servers_dir: Path, folder: Path, broker: Supervisor) -> Iterator[Build]:  # noqa: F811 -- as above
    """Gives a world with what it needs to be broken: `disk`, `clocks`, `apart`."""
    with ExitStack() as stack:

        def make(*, disk: bool = False, clocks: bool = False, apart: bool = False) -> World:
            library = find_library() if clocks else None
            if clocks and library is None:
                pytest.skip("no libfaketime")
            place = folder / "database"
            if disk:
                stack.enter_context(a_small_disk(place))
            else:
                place.mkdir(mode=0o711)
            theirs, ours = (
                (Clock(library, folder / "database-clock"), Clock(library, folder / "service-clock"))
                if library is not None
                else (None, None)
            )
            program = ClockedPostgres(place / "postgres", password="secret", port=free_port())
            program.clock = theirs
            database = Supervisor(program, print)
            stack.callback(database.stop)
            database.start()
            assert commands.run("migrate", DATABASE_URL=database.url)[0] == 0
            return World(
                commands=commands,
                database=database,
                broker=broker,
                disk=place if disk else None,
                service_clock=ours,
                database_clock=theirs,
                apart=apart,
            )

        yield make
        commands.close()
    clear_away()
