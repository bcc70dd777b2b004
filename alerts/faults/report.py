"""Reports what does not work in this process: as metrics, in the log, and as rows that the alerts follow."""

import asyncio
import os
import socket
from collections.abc import Callable, Sequence
from typing import Final

import asyncpg
import structlog

from alerts import metrics
from alerts.faults.fault import CRITICAL, Fault, Part, worst_first
from alerts.work.errors import TRY_AGAIN
from alerts.work.wakeup import first_of

log = structlog.get_logger(__name__)

EVERY_S: Final = 5.0
REMIND_EVERY_S: Final = 600.0

# Times are the database's: this process's clock may be what is wrong.
_WRITE: Final = """
INSERT INTO service_faults AS f (part, process, since, seen_at, problem, critical)
SELECT part, $1, clock_timestamp() - for_s * interval '1 second', clock_timestamp(), problem, critical
FROM unnest($2::text[], $3::float8[], $4::text[], $5::bool[]) AS found (part, for_s, problem, critical)
ON CONFLICT (part, process) DO UPDATE SET seen_at = excluded.seen_at, problem = excluded.problem,
    critical = excluded.critical, since = least(f.since, excluded.since)
"""
_REMOVE: Final = "DELETE FROM service_faults WHERE process = $1 AND part <> ALL($2::text[])"


def this_process() -> str:
    """Return the name of this process among all of the service."""
    return f"{socket.gethostname()}:{os.getpid()}"


class Reporter:
    """Tells what `find` returns, whenever it changes and every few seconds."""

    def __init__(
        self, pool: asyncpg.Pool, find: Callable[[], Sequence[Fault]], process: str | None = None
    ) -> None:
        self._pool = pool
        self._find = find
        self._process = process or this_process()
        self._logged: dict[Part, float] = {}
        self._written = True  # rows may be left of a process of before that had this name

    async def run(self, stop: asyncio.Event) -> None:
        """Report until `stop` is set; what the database does not take stands in the metrics and in the log."""
        while not stop.is_set():
            try:
                await self.report()
            except TRY_AGAIN as error:
                log.warning("faults_not_written", error=repr(error))
            await first_of(stop, patience_s=EVERY_S)

    async def report(self) -> None:
        """Report once."""
        faults = worst_first(self._find())
        self._tell(faults)
        if not faults and not self._written:
            return
        self._written = True
        async with self._pool.acquire(timeout=EVERY_S) as connection, connection.transaction():
            await connection.execute(_REMOVE, self._process, [fault.part for fault in faults])
            if faults:
                await connection.execute(
                    _WRITE,
                    self._process,
                    [fault.part for fault in faults],
                    [fault.for_s for fault in faults],
                    [fault.problem for fault in faults],
                    [fault.part in CRITICAL for fault in faults],
                )
        self._written = bool(faults)

    def _tell(self, faults: Sequence[Fault]) -> None:
        for part in Part:
            metrics.FAULT_SECONDS.labels(part=part).set(
                max((fault.for_s for fault in faults if fault.part is part), default=0)
            )
        for fault in faults:
            if fault.for_s >= self._logged.get(fault.part, 0):
                self._logged[fault.part] = fault.for_s + REMIND_EVERY_S
                log.error("service_fault", part=fault.part, problem=fault.problem, for_s=round(fault.for_s))
        for part in self._logged.keys() - {fault.part for fault in faults}:
            del self._logged[part]
            log.info("service_fault_over", part=part)
