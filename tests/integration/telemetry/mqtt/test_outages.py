"""Outages of the ingester, the database and the broker: each of thousands of readings is stored once."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from api.schema_upgrade import upgrade
from telemetry.mqtt.connection import RECEIVE_MAXIMUM
from telemetry.mqtt.inbox import MAX_HELD_MESSAGES
from tests.integration.telemetry.conftest import TIMEOUT_S, connected, ingesters, open_store, reading

COUNT = 5000


@asynccontextmanager
async def to_be_killed(*arguments: str) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.integration.telemetry.process",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(TIMEOUT_S):
            while await process.stdout.readline() != b"connected\n":
                assert process.returncode is None
        yield
    finally:
        process.kill()
        await process.communicate()


async def all_stored_once(store, count=COUNT):
    await store.until_stored(count)
    assert await store.pool.fetchval("SELECT array_agg(seq ORDER BY seq) FROM readings") == [*range(count)]
    assert await store.pool.fetchval("SELECT received FROM logger_sequences") == [
        await store.pool.fetchval("SELECT int8range(0, $1)", count)
    ]
    assert await store.refused("reason") == []


async def test_the_ingester_is_killed(broker, store, loggers):
    async with to_be_killed(broker.url, store.url):
        for seq in range(COUNT):
            loggers.publish(reading(seq, seq=seq))
        await store.until_stored(1)
    for stored in (COUNT // 4, COUNT // 2):
        async with to_be_killed(broker.url, store.url):
            await store.until_stored(stored)
    async with to_be_killed(broker.url, store.url):
        await all_stored_once(store)
        await loggers.acknowledged(lambda ack: ack["through"] == COUNT - 1)


@pytest.mark.parametrize("outage", ["restart", "kill"])
async def test_the_database_dies(broker, postgres, outage):
    await upgrade(postgres.url)
    async with open_store(postgres.url) as store, ingesters(broker.url, postgres.url) as start:
        await store.register("LOG-1")
        await start()
        with connected(broker.url) as loggers:
            for seq in range(COUNT):
                loggers.publish(reading(seq, seq=seq))
            await store.until_stored(1)
            await asyncio.to_thread(getattr(postgres, outage))
            if outage == "kill":
                await asyncio.to_thread(postgres.start)
            await all_stored_once(store)
            await loggers.acknowledged(lambda ack: ack["through"] == COUNT - 1)


async def test_the_database_is_away_under_load(broker, postgres):
    many = RECEIVE_MAXIMUM + 2_000
    await upgrade(postgres.url)
    async with open_store(postgres.url) as store, ingesters(broker.url, postgres.url) as start:
        await store.register("LOG-1")
        ingester = await start()
        with connected(broker.url) as loggers:
            loggers.publish(reading(0, seq=0))
            await loggers.acknowledged(lambda ack: ack["through"] == 0)
            await asyncio.to_thread(postgres.stop)
            for seq in range(1, many):
                loggers.publish(reading(seq, seq=seq))
            await loggers.published()
            await ingester.until(lambda state: state.waiting >= RECEIVE_MAXIMUM)
            # The broker comes and goes meanwhile, too: what it delivers again is no more than the limit allows.
            await asyncio.to_thread(broker.restart)
            await ingester.until(lambda state: state.connected)
            assert max(state.waiting for state in ingester.states) <= MAX_HELD_MESSAGES + 1000
            assert len(loggers.acks) == 1
            await asyncio.to_thread(postgres.start)
            await all_stored_once(store, many)
            await loggers.acknowledged(lambda ack: ack["through"] == many - 1)


async def test_a_stop_while_the_database_is_away_leaves_everything_at_the_broker(
    broker, postgres, monkeypatch
):
    monkeypatch.setattr("telemetry.mqtt.bridge.DRAIN_TIMEOUT_S", 0.2)
    await upgrade(postgres.url)
    async with open_store(postgres.url) as store, ingesters(broker.url, postgres.url) as start:
        await store.register("LOG-1")
        ingester = await start()
        await asyncio.to_thread(postgres.stop)
        with connected(broker.url) as loggers:
            for seq in range(20):
                loggers.publish(reading(seq, seq=seq))
            await ingester.until(lambda state: state.waiting == 20)
            await ingester.stopped()
            assert not ingester.states[-1].connected
            await asyncio.to_thread(postgres.start)
            await start()
            await all_stored_once(store, 20)
