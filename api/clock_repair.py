"""The loop that corrects loggers' clocks by itself where the fault is certain."""

import asyncio
from typing import Final

import asyncpg

from alerts.work.wakeup import first_of, outlast
from telemetry.corrections.certain import Done, correct_certain

LOOK_EVERY_S: Final = 2.0
_REMEMBERED: Final = 10_000


async def run_clock_repair(pool: asyncpg.Pool, stop: asyncio.Event) -> None:
    """Correct what is certain until `stop` is set; outlasts a database that is away."""
    done: Done = {}
    while not stop.is_set():
        await first_of(stop, patience_s=LOOK_EVERY_S)
        await outlast(lambda: correct_certain(pool, done), stop, "clock_repair")
        while len(done) > _REMEMBERED:
            done.pop(next(iter(done)))
