"""Slots of ingesters and adopted sessions, in races."""

import asyncio

import asyncpg
import pytest

from telemetry.locks import LockSpace
from telemetry.mqtt import sessions, slots
from telemetry.mqtt.bridge import Bridge
from telemetry.mqtt.broker_figures import FIGURES
from telemetry.mqtt.connection import BrokerConnection
from telemetry.mqtt.inbox import Inbox
from telemetry.mqtt.slots import Slot
from tests.integration.telemetry.conftest import TIMEOUT_S, connected, ingesters, reading

LOCKS = LockSpace.INGESTER_SLOTS


async def take_away(connection, number):
    """Terminate the connection that holds a number, and lock it."""
    async with asyncio.timeout(TIMEOUT_S):
        while not await connection.fetchval("SELECT pg_try_advisory_lock($1, $2)", LOCKS, number):
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objid = $1::int::oid "
                "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
                number,
            )


async def test_a_number_that_is_lost_while_we_connect(broker, store, monkeypatch):
    subscriptions, subscribe = asyncio.Queue(), BrokerConnection.subscribe
    bridge = Bridge(broker.url, store.ingest, store.pool, lambda _: None, accounts=None)

    async def subscribe_late(self, topics, **options):
        if topics is not FIGURES:
            if subscriptions.empty():
                await take_away(other, 0)
                await bridge._slot.wait_for_other_than(0)
            subscriptions.put_nowait(topics)
        await subscribe(self, topics, **options)

    monkeypatch.setattr(BrokerConnection, "subscribe", subscribe_late)
    async with store.another_connection() as other:
        running = asyncio.create_task(bridge.run(asyncio.Event()))
        async with asyncio.timeout(TIMEOUT_S):
            while sessions.STATUS_TOPIC in await subscriptions.get():
                pass
        running.cancel()
        await asyncio.wait([running])


async def test_a_look_that_is_cancelled_keeps_no_connection(database_url, monkeypatch):
    monkeypatch.setattr(slots, "_TRY_LOCK", "SELECT $1::int = $2::int OR pg_sleep(60) IS NULL")
    async with asyncpg.create_pool(database_url, min_size=1, max_size=2) as pool:

        async def borrow():
            async with Slot(pool).borrowed(1):
                pytest.fail("the database answered")

        borrowing = asyncio.create_task(borrow())
        async with asyncio.timeout(TIMEOUT_S):
            while not await pool.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
            ):
                pass
        borrowing.cancel()
        await asyncio.wait([borrowing])
        await asyncio.wait_for(pool.close(), TIMEOUT_S)


async def test_only_a_session_that_is_free_twice_is_ended_and_never_our_own(store, monkeypatch):
    """After a database outage no ingester holds its number for a moment, although none is gone."""
    monkeypatch.setattr(sessions, "CHECK_EVERY_S", 0)
    looked, ended = asyncio.Queue(), asyncio.Queue()
    borrowed = Slot.borrowed

    def look(self, number, broker=None):
        looked.put_nowait(number)
        return borrowed(self, number, broker)

    async def end(_url, _broker, number, *_):
        ended.put_nowait((number, looked.qsize()))

    monkeypatch.setattr(Slot, "borrowed", look)
    monkeypatch.setattr(sessions, "_end_session", end)
    slot = Slot(store.pool)
    slot.number = 0
    async with store.another_connection() as other:
        await other.execute("SELECT pg_advisory_lock($1, 1)", LOCKS)
        adopting = asyncio.create_task(
            sessions.adopt_orphaned_sessions("mqtt://", slot, Inbox(), lambda *_: None)
        )
        found = [await asyncio.wait_for(ended.get(), TIMEOUT_S) for _ in range(6)]
        adopting.cancel()
        await asyncio.wait([adopting])
    others = range(1, sessions.CHECKED_SLOTS)
    assert [number for number, _ in found] == [*others[1:]]
    assert [looks for _, looks in found] == [len(others) + number for number in others[1:]]


async def test_one_that_runs_takes_the_first_number_and_its_statuses_over(broker, store, monkeypatch):
    monkeypatch.setattr(sessions, "CHECK_EVERY_S", 0.1)
    subscriptions, subscribe = asyncio.Queue(), BrokerConnection.subscribe

    async def subscribed(self, topics, **options):
        await subscribe(self, topics, **options)
        if topics is not FIGURES:
            subscriptions.put_nowait(topics)

    monkeypatch.setattr(BrokerConnection, "subscribe", subscribed)
    async with store.another_connection() as first:
        await first.execute("SELECT pg_advisory_lock($1, 0)", LOCKS)
        bridge = Bridge(broker.url, store.ingest, store.pool, lambda _: None, accounts=None)
        running = asyncio.create_task(bridge.run(asyncio.Event()))
        assert sessions.STATUS_TOPIC not in await asyncio.wait_for(subscriptions.get(), TIMEOUT_S)
        await first.execute("SELECT pg_advisory_unlock($1, 0)", LOCKS)
        assert sessions.STATUS_TOPIC in await asyncio.wait_for(subscriptions.get(), TIMEOUT_S)
        held = await first.fetch(
            "SELECT objid FROM pg_locks WHERE locktype = 'advisory' AND classid = $1::int::oid", LOCKS
        )
        running.cancel()
        await asyncio.wait([running])
    assert 1 not in [row["objid"] for row in held]


async def test_a_number_that_somebody_else_was_quicker_to_take_leaves_ours(store):
    slot = Slot(store.pool)
    async with store.another_connection() as first:
        await first.execute("SELECT pg_advisory_lock($1, 0)", LOCKS)
        holding = asyncio.create_task(slot.hold())
        await asyncio.wait_for(slot.wait_for_other_than(None), TIMEOUT_S)
        slot.request(0)
        async with asyncio.timeout(TIMEOUT_S):
            while slot._requested is not None:
                await asyncio.sleep(0)
        assert slot.number == 1
        await first.execute("SELECT pg_advisory_unlock($1, 0)", LOCKS)
        slot.request(0)
        assert await asyncio.wait_for(slot.wait_for_other_than(1), TIMEOUT_S) == 0
        holding.cancel()
        await asyncio.wait([holding])


async def stored_of(loggers, store, seq):
    loggers.publish(reading(seq, seq=seq))
    loggers.publish({"state": "online" if seq % 2 else "offline"}, "dewar/v1/LOG-1/status")
    await store.until("SELECT count(*) = 1 FROM readings WHERE seq = $1", seq)


async def test_each_of_two_brokers_has_slots_and_sessions_of_its_own(broker, second_broker, store):
    async with (
        ingesters(broker.url, store.url) as start,
        ingesters(second_broker.url, store.url) as start_other,
    ):
        first, other, second = await start(), await start_other(), await start()
        assert [one.states[-1].slot for one in (first, other, second)] == [0, 0, 1]
        with connected(broker.url) as here, connected(second_broker.url) as there:
            for seq, loggers in enumerate((here, there)):
                await stored_of(loggers, store, seq)
                await store.until(
                    "SELECT bool_or(connection = $1) FROM device_states", "online" if seq else "offline"
                )
    assert [
        tuple(row) for row in await store.pool.fetch("SELECT number, address FROM brokers ORDER BY number")
    ] == [
        (0, sessions.address_of(broker.url)),
        (1, sessions.address_of(second_broker.url)),
    ]


async def test_the_session_of_a_broker_that_has_moved_is_adopted(broker, store, monkeypatch):
    monkeypatch.setattr(sessions, "CHECK_EVERY_S", 0.1)
    async with ingesters(broker.url, store.url) as start:
        await start()
    moved = broker.url.replace("127.0.0.1", "localhost")
    with connected(broker.url) as loggers:
        loggers.publish(reading(1, seq=1))  # to the session of before
        await loggers.published()
        async with ingesters(moved, store.url) as start:
            ingester = await start()
            assert ingester.states[-1].slot == 0
            await store.until_stored(1)
            await stored_of(loggers, store, 2)
