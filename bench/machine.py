"""What the figures were taken on: without it they mean nothing."""

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

QUIET_LOAD = 0.5


def facts() -> dict[str, Any]:
    """Give cores, processor, memory, system and versions; no names of machines."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "processor": _first("/proc/cpuinfo", "model name") or platform.machine(),
        "memory_gib": round(int((_first("/proc/meminfo", "MemTotal") or "0").split()[0]) / 2**20, 1),
        "kernel": platform.release().split("-")[0],
        "python": platform.python_version(),
        **{name: version(name) for name in ("paho-mqtt", "asyncpg", "uvloop")},
    }


def load() -> float:
    """Give the load average of the last minute, before we add to it."""
    return round(os.getloadavg()[0], 2)


def _first(file: str, key: str) -> str | None:
    lines = Path(file).read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), None)
