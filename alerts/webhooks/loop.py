"""The webhook loops of the role `deliver`; any number of processes may run them."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

import asyncpg

from alerts.outbound.resolve import Targets
from alerts.webhooks.dispatch import DEFAULTS, Dispatcher, DispatchSettings
from alerts.webhooks.fanout import fan_out
from alerts.webhooks.upkeep import maintain
from alerts.work.wakeup import Wakeup, first_of, outlast
from telemetry.channels import NotifyChannel

_POLL_S = 1.0
_MAINTAIN_EVERY_S = 5.0


async def run_webhooks(
    pool: asyncpg.Pool,
    stop: asyncio.Event,
    *,
    targets: Targets,
    retention: timedelta,
    may_remove: Callable[[], bool] = lambda: True,
    settings: DispatchSettings = DEFAULTS,
) -> None:
    """Fan out and send events and maintain endpoints, until `stop` is set; retry if the database is away.

    What is older than `retention` is removed while it `may_remove`.
    """
    async with asyncio.TaskGroup() as group:
        group.create_task(_fan_out(pool, stop), name="webhooks:fan-out")
        group.create_task(Dispatcher(pool, targets, settings).run(stop), name="webhooks:dispatch")
        group.create_task(_maintain(pool, stop, retention, may_remove), name="webhooks:upkeep")


async def _fan_out(pool: asyncpg.Pool, stop: asyncio.Event) -> None:
    async with Wakeup(pool, NotifyChannel.OUTBOX) as wakeup:
        while not stop.is_set():
            wakeup.clear()
            done = await outlast(lambda: fan_out(pool), stop, "webhooks:fan-out")
            if done is not None and not done.more:
                await wakeup.wait(_POLL_S, stop)


async def _maintain(
    pool: asyncpg.Pool, stop: asyncio.Event, retention: timedelta, may_remove: Callable[[], bool]
) -> None:
    while not stop.is_set():
        await outlast(lambda: maintain(pool, retention, may_remove=may_remove()), stop, "webhooks:upkeep")
        await first_of(stop, patience_s=_MAINTAIN_EVERY_S)
