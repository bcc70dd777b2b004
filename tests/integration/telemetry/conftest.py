"""Fixtures: registered loggers in a real database, and loggers at a real broker."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from telemetry.ingest.pipeline import BatchOutcome, Ingest
from telemetry.model import RawMessage, Source
from telemetry.mqtt.bridge import IngestState, run_ingest

START = datetime(2026, 11, 1, tzinfo=UTC)
RECEIVED_AT = datetime(2026, 11, 2, tzinfo=UTC)
TIMEOUT_S = 30.0


def at(second: float) -> datetime:
    return START + timedelta(seconds=second)


def reading(second: float, celsius: Any = -178.25, **fields: Any) -> dict[str, Any]:
    return {"measured_at": at(second).isoformat(), "temperature_c": celsius, **fields}


def message(
    content: Any, device_id: str = "LOG-1", kind: str = "readings", received_at: datetime = RECEIVED_AT
) -> RawMessage:
    payload = content if isinstance(content, bytes) else json.dumps(content).encode()
    return RawMessage(Source.MQTT, f"dewar/v1/{device_id}/{kind}", payload, received_at)


@dataclass
class Store:
    """The database, and ingest without a broker."""

    url: str
    pool: asyncpg.Pool
    ingest: Ingest

    async def register(self, *device_ids: str) -> None:
        await self.pool.execute("INSERT INTO devices (device_id) SELECT unnest($1::text[])", device_ids)
        await self.pool.execute("INSERT INTO device_states (device_id) SELECT unnest($1::text[])", device_ids)

    async def assign(
        self, device_id: str, shipment_id: str, starts_at: datetime, ends_at: datetime | None = None
    ) -> None:
        await self.pool.execute(
            "INSERT INTO shipments (shipment_id, band, plan) VALUES ($1, 'cryogenic', '{}') ON CONFLICT DO NOTHING",
            shipment_id,
        )
        await self.pool.execute(
            "INSERT INTO device_assignments (device_id, shipment_id, starts_at, ends_at) VALUES ($1, $2, $3, $4)",
            device_id,
            shipment_id,
            starts_at,
            ends_at,
        )

    async def store(self, *messages: RawMessage) -> BatchOutcome:
        return await self.ingest.store(messages)

    async def readings(self, *columns: str) -> list[tuple[Any, ...]]:
        rows = await self.pool.fetch(
            f"SELECT {', '.join(columns)} FROM readings ORDER BY device_id, measured_at"
        )
        return [tuple(row) for row in rows]

    async def refused(self, *columns: str) -> list[tuple[Any, ...]]:
        rows = await self.pool.fetch(
            f"SELECT {', '.join(columns)} FROM refusals AS r JOIN refused_messages AS m ON m.id = r.message_id "
            "ORDER BY r.id"
        )
        return [tuple(row) for row in rows]

    async def state(self, device_id: str = "LOG-1") -> asyncpg.Record:
        row = await self.pool.fetchrow("SELECT * FROM device_states WHERE device_id = $1", device_id)
        assert row is not None
        return row

    async def until(self, query: str, *arguments: Any) -> None:
        """Wait until the query returns true."""
        async with asyncio.timeout(TIMEOUT_S):
            while not await self.pool.fetchval(query, *arguments):
                await asyncio.sleep(0.02)

    async def until_stored(self, count: int) -> None:
        await self.until("SELECT count(*) >= $1 FROM readings", count)

    @asynccontextmanager
    async def another_connection(self) -> AsyncIterator[asyncpg.Connection]:
        connection = await asyncpg.connect(self.url)
        try:
            yield connection
        finally:
            await connection.close()


@asynccontextmanager
async def open_store(url: str) -> AsyncIterator[Store]:
    async with asyncpg.create_pool(url, min_size=1, max_size=10) as pool:
        yield Store(url, pool, Ingest(pool))


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    """An empty database with two loggers in it."""
    async with open_store(database_url) as opened:
        await opened.register("LOG-1", "LOG-2")
        yield opened


@dataclass
class Loggers:
    """A connection to the broker that publishes for any logger, and records their acknowledgements."""

    client: Client
    acks: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def publish(self, content: Any, topic: str = "dewar/v1/LOG-1/readings", *, retain: bool = False) -> None:
        payload = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.client.publish(topic, payload, qos=1, retain=retain)

    async def published(self) -> None:
        """Wait until the broker has confirmed all that was published."""
        async with asyncio.timeout(TIMEOUT_S):
            while self.client._out_messages:  # paho has no public count of them
                await asyncio.sleep(0.01)

    async def acknowledged(
        self, expected: Callable[[dict[str, Any]], bool], device_id: str = "LOG-1"
    ) -> None:
        """Wait for an acknowledgement that meets the condition."""

        def wait() -> None:
            with self.changed:
                assert self.changed.wait_for(
                    lambda: any(device == device_id and expected(ack) for device, ack in self.acks),
                    TIMEOUT_S,
                ), self.acks

        await asyncio.to_thread(wait)

    def record(self, _client: Client, _: Any, message: MQTTMessage) -> None:
        with self.changed:
            self.acks.append((message.topic.split("/")[2], json.loads(message.payload)))
            self.changed.notify_all()


@contextmanager
def connected(url: str) -> Iterator[Loggers]:
    parts = urlsplit(url)
    client = Client(CallbackAPIVersion.VERSION2, "loggers", clean_session=False)
    loggers = Loggers(client)
    subscribed = threading.Event()
    client.username_pw_set(parts.username or "", parts.password)
    client.max_inflight_messages_set(200)
    client.reconnect_delay_set(1, 1)
    client.on_connect = lambda *_: client.subscribe("dewar/v1/+/ack", 1)
    client.on_subscribe = lambda *_: subscribed.set()
    client.on_message = loggers.record
    client.connect(parts.hostname or "", parts.port or 1883)
    client.loop_start()
    assert subscribed.wait(TIMEOUT_S)
    try:
        yield loggers
    finally:
        client.disconnect()
        client.loop_stop()


@pytest.fixture
def loggers(broker: Any) -> Iterator[Loggers]:
    with connected(broker.url) as connection:
        yield connection


@dataclass
class Ingester:
    """A running bridge, and the states that it has reported."""

    task: asyncio.Task[None]
    stop: asyncio.Event
    states: list[IngestState]
    changed: asyncio.Event

    async def until(self, expected: Callable[[IngestState], bool]) -> None:
        async with asyncio.timeout(TIMEOUT_S):
            while not (self.states and expected(self.states[-1])):
                self.changed.clear()
                await self.changed.wait()

    async def stopped(self) -> None:
        self.stop.set()
        await asyncio.wait_for(self.task, TIMEOUT_S)


Start = Callable[[], Any]


@asynccontextmanager
async def ingesters(mqtt_url: str, database_url: str) -> AsyncIterator[Start]:
    """Start bridges, each with its own pool, and wait until they are connected."""
    async with AsyncExitStack() as stack:

        async def start() -> Ingester:
            pool = await stack.enter_async_context(asyncpg.create_pool(database_url, min_size=1, max_size=5))
            stop, states, changed = asyncio.Event(), [], asyncio.Event()

            def record(state: IngestState) -> None:
                states.append(state)
                changed.set()

            running = run_ingest(mqtt_url=mqtt_url, pool=pool, stop=stop, on_state=record)
            ingester = Ingester(asyncio.create_task(running), stop, states, changed)
            stack.push_async_callback(_end, ingester)
            await ingester.until(lambda state: state.connected)
            return ingester

        yield start


async def _end(ingester: Ingester) -> None:
    ingester.task.cancel()
    await asyncio.wait([ingester.task])
