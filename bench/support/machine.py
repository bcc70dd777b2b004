"""Describes the machine of a benchmark, and measures how much other programs disturb it."""

import asyncio
import contextlib
import os
import platform
import subprocess
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

from api.embedded.find import find_broker
from bench.support.report import progress

T = TypeVar("T")

QUIET = 0.1
"""The share of all cores that other programs may take without a run counting as disturbed."""
_LOOK_S = 1.0
_TICKS = os.sysconf("SC_CLK_TCK")


def facts() -> dict[str, Any]:
    """Return cores, processor, memory, system and versions, but no host name."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "processor": _first("/proc/cpuinfo", "model name") or platform.machine(),
        "memory_gib": round(int(_first("/proc/meminfo", "MemTotal").split()[0]) / 2**20, 1),
        "kernel": platform.release().split("-")[0],
        "python": platform.python_version(),
        **{name: version(name) for name in ("paho-mqtt", "asyncpg", "uvloop")},
        "broker": _broker(),
    }


class Others:
    """Measures the share of the machine that other processes take: all but ours and its descendants."""

    def __init__(self) -> None:
        self._began, self._busy_s, self._ours_s = time.monotonic(), _busy_s(), _ours_s()

    def share(self) -> float:
        """Return their share of all cores since this was created."""
        theirs_s = (_busy_s() - self._busy_s) - (_ours_s() - self._ours_s)
        return max(0.0, theirs_s / (time.monotonic() - self._began) / (os.cpu_count() or 1))


class Patience:
    """Waits until other programs are quiet and repeats disturbed runs, for `seconds` in all."""

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds

    async def undisturbed(self, run: Callable[[], Awaitable[T]]) -> T:
        """Return the result of an undisturbed run, or of a disturbed one once the time is up."""
        while True:
            await self._quiet()
            others = Others()
            found = await run()
            if (share := others.share()) <= QUIET or time.monotonic() > self._until:
                return found
            progress(f"others took {share:.0%} of the machine meanwhile: once more")

    async def _quiet(self) -> None:
        while time.monotonic() < self._until:
            others = Others()
            await asyncio.sleep(_LOOK_S)
            if others.share() <= QUIET:
                return


def cpu_s(pid: int) -> float:
    """Return how long the first thread of a process has run, to the nanosecond (proc(5), schedstat)."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def _busy_s() -> float:
    """Return how long processors were busy, or taken by a hypervisor, since the boot (proc(5))."""
    user, nice, system, _idle, _iowait, *rest = map(int, _first("/proc/stat", "cpu ", " ").split())
    return (user + nice + system + sum(rest[:3])) / _TICKS


def _ours_s() -> float:
    """Return how long this process and its descendants ran, those that ended and were waited for included."""
    ran, children = {}, defaultdict(list)
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # the process has ended
            fields = (process / "stat").read_text().rpartition(")")[2].split()
            ran[process.name] = sum(map(int, fields[11:15])) / _TICKS
            children[fields[1]].append(process.name)
    ours = [str(os.getpid())]
    for pid in ours:
        ours += children[pid]
    return sum(ran.get(pid, 0.0) for pid in ours)


def _broker() -> str:
    """Return the first line that the broker prints about itself, which has its version."""
    programs = find_broker()
    if programs is None:
        return "none"
    asked = programs.command("-h" if programs.plugin else "--version")
    said = subprocess.run(asked, capture_output=True, text=True, check=False)
    return (said.stdout or said.stderr).partition("\n")[0]


def _first(file: str, key: str, separator: str = ":") -> str:
    lines = Path(file).read_text().splitlines()
    return next((line.partition(separator)[2].strip() for line in lines if line.startswith(key)), "")
