"""Programs to be killed: `python -m tests.chaos.deliverer deliver|tell URL [EVENTS]`; in a hurry, else as the service."""

import asyncio
import json
import random
import sys
from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_network

import asyncpg
import uvloop

from alerts.events.write import WRITE_EVENTS
from alerts.outbound.resolve import Targets
from alerts.webhooks.dispatch import DEFAULTS
from alerts.webhooks.loop import run_webhooks
from alerts.webhooks.schedule import Schedule

SHIPMENTS = 10
# So many tries that bad luck alone never exhausts them.
HURRY = replace(
    DEFAULTS,
    schedule=Schedule(delays_s=(0.0, *[0.2] * 1000)),
    time_limit_s=0.5,
    lease=timedelta(seconds=3),
    poll_s=0.05,
    end_within_s=0.5,
)


async def deliver(url: str) -> None:
    async with asyncpg.create_pool(url, min_size=0, max_size=10) as pool:
        await run_webhooks(
            pool,
            asyncio.Event(),
            targets=Targets([ip_network("127.0.0.0/8")]),
            retention=timedelta(days=30),
            settings=HURRY,
        )


async def tell(url: str, events: int) -> None:
    """Tells events of several shipments a transaction, until there are so many."""
    connection = await asyncpg.connect(url)
    chance = random.Random()
    while (there := await connection.fetchval("SELECT count(*) FROM outbox")) < events:
        shipments = [f"S{chance.randrange(SHIPMENTS)}" for _ in range(min(5, events - there))]
        rows = [
            {"type": "alert.firing", "shipment_id": s, "organization": None, "data": {"shipment_id": s}}
            for s in shipments
        ]
        await connection.execute(WRITE_EVENTS, json.dumps(rows))
        await asyncio.sleep(0.01)
    await asyncio.Event().wait()  # to be killed like the others


if __name__ == "__main__":
    uvloop.run(deliver(sys.argv[2]) if sys.argv[1] == "deliver" else tell(sys.argv[2], int(sys.argv[3])))
