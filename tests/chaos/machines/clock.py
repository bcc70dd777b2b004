"""Clocks of other processes that can be set: libfaketime, which the project fetches like its servers."""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from api.embedded.apt import Apt, AptError
from api.embedded.find import servers_folder
from api.embedded.postgres import Postgres

_LIBRARY = "faketime/libfaketimeMT.so.1"


def find_library() -> Path | None:
    """Gives libfaketime: the machine's own, or what is unpacked beside the servers; None if it cannot be had."""
    ours = servers_folder() / "libfaketime"
    ours.parent.mkdir(parents=True, exist_ok=True)
    with (ours.parent / "libfaketime.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        places = [*Path("/usr/lib").glob(f"*/{_LIBRARY}"), *ours.glob(f"usr/lib/*/{_LIBRARY}")]
        if places:
            return places[0]
        with tempfile.TemporaryDirectory(dir=ours.parent) as aside:
            try:
                Apt(Path(aside, "apt")).unpack(["libfaketime"], Path(aside, "tree"))
            except AptError as error:
                print(f"libfaketime cannot be had: {error}")  # noqa: T201 -- for who runs it
                return None
            shutil.move(Path(aside, "tree"), ours)
        ours.chmod(0o755)
        return next(ours.glob(f"usr/lib/*/{_LIBRARY}"), None)


class Clock:
    """The clock of all processes that have its environment; their steady clocks stay true."""

    def __init__(self, library: Path, file: Path) -> None:
        self._library, self._file = library, file
        self.set(0)
        file.chmod(0o644)

    def set(self, ahead_s: float) -> None:
        """Sets it so far ahead of the true time; processes see that within a second."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{ahead_s:+.0f}\n")
        new.chmod(0o644)
        new.rename(self._file)

    @property
    def environment(self) -> Mapping[str, str]:
        return {
            "LD_PRELOAD": str(self._library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }

    @contextlib.contextmanager
    def worn(self) -> Iterator[None]:
        """Processes that are started while the block lasts go by this clock."""
        os.environ.update(self.environment)
        try:
            yield
        finally:
            for name in self.environment:
                del os.environ[name]


class ClockedPostgres(Postgres):
    """A PostgreSQL that goes by such a clock, if it is given one."""

    clock: Clock | None = None

    def prepare(self) -> list[str | Path]:
        command = [*super().prepare()]
        if self.clock is None:
            return command
        # Not before it has become its own user, for what the library makes in memory is its user's.
        at = command.index(str(self.programs.bin / "postgres"))
        given = [f"{name}={value}" for name, value in self.clock.environment.items()]
        return [*command[:at], "env", *given, *command[at:]]


def clear_away() -> None:
    """Removes what the library has left in memory for processes that are gone."""
    for left in Path("/dev/shm").glob("*faketime_s*_*"):
        if not Path("/proc", left.name.rpartition("_")[2]).exists():
            left.unlink(missing_ok=True)
