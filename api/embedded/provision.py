"""`python -m api.embedded.provision`: fetches servers that this machine lacks, and prints which are used."""

import contextlib
import fcntl
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from api.embedded.apt import Apt, AptError
from api.embedded.find import find_broker, find_postgres, servers_folder
from api.embedded.timescaledb import unpack_timescaledb

_Maker = Callable[[Path, Path, Callable[[str], None]], str]
_NOT_AGAIN_FOR_S = 86_400


def main() -> int:
    os.umask(0o022)  # root's servers read them as another user
    folder = servers_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        if not any(one.timescaledb for one in find_postgres()):
            _provide("PostgreSQL with TimescaleDB", folder, unpack_timescaledb)
        broker = find_broker()
        if broker is None or broker.plugin is None:
            _provide("mosquitto", folder, _unpack_mosquitto)
    postgres, broker = next(iter(find_postgres()), None), find_broker()
    _say(f"database: {postgres or 'none'}")
    _say(f"broker: {broker or 'none'}")
    return 0 if postgres and broker else 1


def _say(line: str) -> None:
    print(f"servers: {line}", flush=True)  # noqa: T201 -- what this command is for


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, and remove what a killed run left half made."""
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for half_made in folder.glob("making-*"):
            shutil.rmtree(half_made, ignore_errors=True)  # a process of that run may still write there
        yield


def _provide(what: str, folder: Path, make: _Maker) -> None:
    """Build a tree in a temporary folder and move it into place; after a failure, do not retry for a day."""
    failed = folder / f"{make.__name__.strip('_')}.failed"
    if failed.exists() and time.time() - failed.stat().st_mtime < _NOT_AGAIN_FOR_S:
        _say(f"{what} could not be provided ({failed.read_text()}); to try again today, remove {failed}")
        return
    _say(f"{what} is not installed: fetching it")
    aside = Path(tempfile.mkdtemp(prefix="making-", dir=folder))
    tree = aside / "tree"
    tree.mkdir()
    try:
        name = make(tree, aside, _say)
        shutil.rmtree(folder / name, ignore_errors=True)
        tree.rename(folder / name)
        failed.unlink(missing_ok=True)
    except AptError as error:
        failed.write_text(str(error))
        _say(f"{what} cannot be provided here ({error})")
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _unpack_mosquitto(tree: Path, aside: Path, _say: Callable[[str], None]) -> str:
    apt = Apt(aside / "apt")
    apt.unpack(["mosquitto", *(name for name in apt.missing("mosquitto") if name.startswith("lib"))], tree)
    return "mosquitto-2"


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
