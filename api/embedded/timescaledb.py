"""Builds TimescaleDB for a Debian release without a package of it, from the next release's source package."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from api.embedded.apt import Apt, AptError, debian_codename, run

# PostgreSQL of the release, and whether the release has TimescaleDB for it.
_RELEASES = {"bookworm": (15, False), "trixie": (17, True)}
_SOURCES_OF = "trixie"
_TOOLS = ("gcc", "libc6-dev", "make", "cmake", "dpkg-dev")
_LINKED_WITH = (
    "libc6",
    "libc6-dev",
    "linux-libc-dev",
    "libgcc-s1",
)  # unpacked elsewhere: no tool may load another libc6
_OPTIONS = (
    "-DCMAKE_BUILD_TYPE=Release",
    "-DAPACHE_ONLY=1",
    "-DREGRESS_CHECKS=OFF",
    "-DTAP_CHECKS=OFF",
    "-DGENERATE_DOWNGRADE_SCRIPT=OFF",
    "-DWARNINGS_AS_ERRORS=OFF",
    "-DUSE_OPENSSL=0",
    "-DUSE_TELEMETRY=OFF",
)


def unpack_timescaledb(tree: Path, aside: Path, say: Callable[[str], None]) -> str:
    """Fill `tree` with PostgreSQL and TimescaleDB and return its name; raise AptError if that fails."""
    codename = debian_codename()
    if codename not in _RELEASES:
        raise AptError(f"Debian {codename} is not supported")
    major, packaged = _RELEASES[codename]
    server = f"postgresql-{major}"
    apt = Apt(aside / "apt", sources_of=None if packaged else _SOURCES_OF)
    # The server's other dependencies serve only its packaging, and LLVM only its JIT, which is off.
    needed = [name for name in apt.missing(server) if name.startswith("lib")]
    libraries = [
        name for name in needed if not name.startswith(("libllvm", "libz3")) and not name.endswith("-perl")
    ]
    if packaged:
        apt.unpack([server, f"{server}-timescaledb", *libraries], tree)
    else:
        apt.unpack([server, f"postgresql-client-{major}", f"postgresql-server-dev-{major}", *libraries], tree)
        _build(apt, tree, aside, major, say)
    return server


def _build(apt: Apt, tree: Path, aside: Path, major: int, say: Callable[[str], None]) -> None:
    tools = _tools(apt, aside, say)
    say("building TimescaleDB from Debian's source, which takes half a minute")
    source = apt.source("timescaledb", aside, tools)
    # The headers must be those of this server, not the machine's.
    headers = tree / "usr/include/postgresql"
    (headers / "pg_config.h").symlink_to(f"{major}/server/pg_config.h")
    pg_config = tree / "usr/lib/postgresql" / str(major) / "bin/pg_config"
    build = str(aside / "build")
    run("cmake", "-S", str(source), "-B", build, f"-DPG_CONFIG={pg_config}", *_OPTIONS, environment=tools)
    run("make", "-C", build, f"-j{os.cpu_count() or 1}", "install", environment=tools)
    shutil.rmtree(headers)


def _tools(apt: Apt, aside: Path, say: Callable[[str], None]) -> dict[str, str]:
    """Return an environment with the build's tools: unpacked for the time of the build, where the machine has none."""
    missing = apt.missing(*_TOOLS)
    if not missing:
        return dict(os.environ)
    say(f"unpacking {', '.join(_TOOLS)}, for the time of the build")
    place, root = aside / "tools", aside / "root"
    apt.unpack([name for name in missing if name not in _LINKED_WITH], place)
    flags = ""
    if "libc6-dev" in missing:
        apt.unpack(_LINKED_WITH, root)
        flags = f"--sysroot={root}"
    libraries = ":".join(map(str, place.glob("usr/lib/*-linux-*")))
    return {
        **os.environ,
        "PATH": f"{place}/usr/bin:{os.environ['PATH']}",
        "LD_LIBRARY_PATH": libraries,
        "PERL5LIB": f"{place}/usr/share/perl5",
        "CC": "gcc",
        "CFLAGS": flags,
        "LDFLAGS": flags,
    }
