"""What the figures were taken on: without it they mean nothing."""

import os
import platform
import subprocess
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from api.embedded.find import find_broker

QUIET_LOAD = 0.5
"""Load average of the last minute up to which nobody else takes much."""


def facts() -> dict[str, Any]:
    """Give cores, processor, memory, system and versions; no names of machines."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "processor": _first("/proc/cpuinfo", "model name") or platform.machine(),
        "memory_gib": round(int(_first("/proc/meminfo", "MemTotal").split()[0]) / 2**20, 1),
        "kernel": platform.release().split("-")[0],
        "python": platform.python_version(),
        **{name: version(name) for name in ("paho-mqtt", "asyncpg", "uvloop")},
        "broker": _broker(),
        "load_before": round(os.getloadavg()[0], 2),
    }


class Others:
    """How much of the machine other processes took, from the making of this on; all of ours must have ended by then."""

    def __init__(self) -> None:
        self._began, self._busy_s, self._ours_s = time.monotonic(), _busy_s(), _ours_s()

    def share(self) -> float:
        """Give it as a part of all cores."""
        theirs_s = (_busy_s() - self._busy_s) - (_ours_s() - self._ours_s)
        return max(0.0, theirs_s / (time.monotonic() - self._began) / (os.cpu_count() or 1))


def _busy_s() -> float:
    """Give what the processors were busy, stolen time included: all but idle and waiting for disks (proc(5))."""
    user, nice, system, _idle, _iowait, *rest = map(int, _first("/proc/stat", "cpu ", " ").split())
    return (user + nice + system + sum(rest[:3])) / os.sysconf("SC_CLK_TCK")


def _ours_s() -> float:
    return sum(os.times()[:4])


def _broker() -> str:
    """Give the first line of the broker's own help, which has its version."""
    programs = find_broker()
    if programs is None:
        return "none"
    asked = programs.command("-h" if programs.plugin else "--version")
    said = subprocess.run(asked, capture_output=True, text=True, check=False)
    return (said.stdout or said.stderr).partition("\n")[0]


def _first(file: str, key: str, separator: str = ":") -> str:
    lines = Path(file).read_text().splitlines()
    return next((line.partition(separator)[2].strip() for line in lines if line.startswith(key)), "")
