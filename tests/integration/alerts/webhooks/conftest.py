"""Endpoints in the database, events told of shipments, and the sender at work in a hurry."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from ipaddress import ip_network
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
import uvloop

from alerts.events.write import WRITE_EVENTS
from alerts.outbound.resolve import Targets
from alerts.webhooks.dispatch import DEFAULTS, DispatchSettings
from alerts.webhooks.loop import run_webhooks
from alerts.webhooks.schedule import Schedule
from telemetry.registry.ids import key_of

LOOPBACK = Targets([ip_network("127.0.0.0/8")])
SECRET = b"0123456789abcdef0123456789abcdef"
HURRY = replace(
    DEFAULTS,
    schedule=Schedule(delays_s=(0.0, 0.05, 0.05, 0.1, 0.1, 0.1, 0.1, 0.1)),
    time_limit_s=0.5,
    lease=timedelta(seconds=3),
    poll_s=0.02,
    end_within_s=1.0,
)


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loop that the service runs on: transports of others differ where connections end."""
    return {"uvloop": uvloop.new_event_loop}


@dataclass
class Hooks:
    """What a test does with webhooks, below the HTTP interface."""

    pool: asyncpg.Pool
    made_up: Callable[[], None] = lambda: None
    """Notes that the outbox has events that the service would not tell like that."""
    running: list[tuple[asyncio.Event, asyncio.Task[None]]] = field(default_factory=list)

    async def endpoint(self, url: str, **fields: Any) -> UUID:
        id_ = uuid4()
        if organization := fields.get("organization"):
            await self.pool.execute(
                "INSERT INTO organizations (slug) VALUES ($1) ON CONFLICT DO NOTHING", organization
            )
        values = {"id": id_, "url": url, "secret": SECRET, "created_by": "test", **fields}
        places = ", ".join(f"${place}" for place in range(1, len(values) + 1))
        await self.pool.execute(
            f"INSERT INTO webhooks ({', '.join(values)}) VALUES ({places})", *values.values()
        )
        return id_

    async def tell(
        self, count: int = 1, type_: str = "alert.firing", shipment_id: str | None = "S1", **fields: Any
    ) -> None:
        """Tells events as evaluation does, in one transaction."""
        self.made_up()
        organization = fields.pop("organization", None)
        rows = [
            {
                "type": type_,
                "shipment_id": None if shipment_id is None else key_of(shipment_id, organization),
                "organization": organization,
                "data": {"shipment_id": shipment_id, "number": number, **fields},
            }
            for number in range(count)
        ]
        await self.pool.execute(WRITE_EVENTS, json.dumps(rows))

    def run(self, settings: DispatchSettings = HURRY, targets: Targets = LOOPBACK) -> None:
        stop = asyncio.Event()
        work = run_webhooks(self.pool, stop, targets=targets, retention=timedelta(days=30), settings=settings)
        self.running.append((stop, asyncio.create_task(work)))

    async def stop(self) -> None:
        for stop, _ in self.running:
            stop.set()
        await asyncio.wait_for(asyncio.gather(*[task for _, task in self.running]), 15)
        self.running.clear()

    async def deliveries(self, webhook_id: UUID) -> list[asyncpg.Record]:
        return await self.pool.fetch(
            "SELECT * FROM webhook_deliveries WHERE webhook_id = $1 ORDER BY id", webhook_id
        )

    async def attempts(self, webhook_id: UUID) -> list[asyncpg.Record]:
        return await self.pool.fetch(
            "SELECT a.* FROM webhook_attempts AS a JOIN webhook_deliveries AS d ON d.id = a.delivery_id "
            "WHERE d.webhook_id = $1 ORDER BY a.delivery_id, a.lease",
            webhook_id,
        )

    async def row(self, webhook_id: UUID) -> asyncpg.Record:
        row = await self.pool.fetchrow("SELECT * FROM webhooks WHERE id = $1", webhook_id)
        assert row is not None
        return row

    async def until(self, query: str, *arguments: object, patience_s: float = 20.0) -> None:
        """Waits until a query gives true; another task writes what it asks for."""
        async with asyncio.timeout(patience_s):
            while not await self.pool.fetchval(query, *arguments):
                await asyncio.sleep(0.01)

    async def all_are(self, state: str, webhook_id: UUID, count: int | None = None) -> None:
        """Waits until every delivery of an endpoint is in that state, and there are so many."""
        await self.until(
            "SELECT bool_and(state = $2) AND ($3::int IS NULL OR count(*) = $3) FROM webhook_deliveries "
            "WHERE webhook_id = $1",
            webhook_id,
            state,
            count,
        )


@pytest.fixture
async def hooks(database_url: str, request: pytest.FixtureRequest) -> AsyncIterator[Hooks]:
    async with asyncpg.create_pool(database_url, min_size=1, max_size=12) as pool:
        hooks = Hooks(pool, lambda: request.node.add_marker(pytest.mark.made_up_events))
        yield hooks
        with contextlib.suppress(TimeoutError):
            await hooks.stop()
        await asyncio.wait_for(pool.close(), 10)


Factory = Callable[..., Any]
