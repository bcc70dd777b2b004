"""The notification loops of the role `deliver`; any number of processes may run them."""

import asyncio

import asyncpg

from alerts import metrics
from alerts.notifications.queue import WAITING
from alerts.notifications.sender import DEFAULTS, Channels, Sender, SenderSettings
from alerts.work.wakeup import first_of, outlast

_LOOK_EVERY_S = 5.0


async def run_notifications(
    pool: asyncpg.Pool, stop: asyncio.Event, *, channels: Channels, settings: SenderSettings = DEFAULTS
) -> None:
    """Send notifications and measure the backlog until `stop` is set; retry while the database is away."""
    async with asyncio.TaskGroup() as group:
        group.create_task(Sender(pool, channels, settings).run(stop), name="notices:send")
        group.create_task(_measure(pool, stop), name="notices:measure")


async def _measure(pool: asyncpg.Pool, stop: asyncio.Event) -> None:
    while not stop.is_set():
        waiting = await outlast(lambda: pool.fetchrow(WAITING), stop, "notices:measure")
        if waiting is not None:
            metrics.NOTIFICATIONS_WAITING.set(waiting["waiting"])
            metrics.NOTIFICATIONS_OLDEST_SECONDS.set(waiting["age"])
        await first_of(stop, patience_s=_LOOK_EVERY_S)
