"""The file descriptors of this process: as many as may be had, and a warning before they run out.

Database, broker and callers all take from them. Where none is left, the kernel turns callers away and nobody is told.
"""

import asyncio
import errno
import resource
import time
from dataclasses import dataclass
from pathlib import Path

import structlog
from prometheus_client import Gauge

log = structlog.get_logger(__name__)

LOOK_EACH_S = 5.0
NEAR = 0.8
"""The share from which it is told, and readiness has a note."""
_TOLD_EACH_S = 60.0
_OURS = Path("/proc/self/fd")

USED = Gauge("dewarwatch_descriptors_used", "File descriptors that this process has open")
MOST = Gauge("dewarwatch_descriptors_limit", "File descriptors that this process may have open")


def raise_limit() -> int:
    """Raise the soft limit to the hard one, and return how many descriptors this process may have open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError) as error:  # some systems have no bound, and refuse to be asked for none
            log.warning("descriptors_not_raised", soft=soft, hard=hard, error=str(error))
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if most == resource.RLIM_INFINITY:
        most = 2**20
    MOST.set(most)
    return most


@dataclass(slots=True, kw_only=True)
class Descriptors:
    """How many are open of those that there may be."""

    most: int
    used: int = 0

    @property
    def near(self) -> bool:
        """Whether they are about to run out."""
        return self.used >= NEAR * self.most

    async def look_after(self, stop: asyncio.Event) -> None:
        """Count them every few seconds, and tell when they run out, until `stop`."""
        told_at = -_TOLD_EACH_S
        while not stop.is_set():
            self.used = await asyncio.to_thread(count, self.most)
            USED.set(self.used)
            if self.near and time.monotonic() - told_at >= _TOLD_EACH_S:
                told_at = time.monotonic()
                log.error("descriptors_scarce", used=self.used, most=self.most)
            try:
                async with asyncio.timeout(LOOK_EACH_S):
                    await stop.wait()
            except TimeoutError:
                continue


def count(most: int) -> int:
    """Return how many are open; all, if there is none left to look with."""
    try:
        return sum(1 for _ in _OURS.iterdir())
    except OSError as error:
        if error.errno in {errno.EMFILE, errno.ENFILE}:
            return most
        raise
