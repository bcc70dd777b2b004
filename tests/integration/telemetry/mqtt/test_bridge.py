"""The bridge between a real broker and a real database."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from telemetry.ingest.pipeline import Ingest
from telemetry.locks import LockSpace
from tests.integration.telemetry.conftest import (
    at,
    connected,
    ingesters,
    message,
    reading,
)

_KEPT_CHARS, _KEPT_BYTES = 256, 4096  # of the topic and of the payload of what is refused


@pytest.fixture
async def start(broker, store):
    """Start ingesters on the test's broker and database."""
    async with ingesters(broker.url, store.url) as start_one:
        yield start_one


async def test_a_reading_is_stored_and_then_acknowledged(start, store, loggers):
    await start()
    loggers.publish(reading(1, seq=0, boot=2))
    loggers.publish([reading(2, seq=1, boot=2), reading(4, seq=3, boot=2)])
    await loggers.acknowledged(
        lambda ack: ack == {"boot": 2, "through": 1, "missing": [[2, 2]], "highest": 3}
    )
    assert await store.readings("seq", "source") == [(0, "mqtt"), (1, "mqtt"), (3, "mqtt")]


async def test_what_is_refused_is_kept_and_does_not_stop_the_rest(start, store, loggers):
    await start()
    bad = {
        "dewar/v1/LOG-9/readings": reading(1),
        "dewar/v1/a/b/readings": reading(1),
        "dewar/v1/a/b/c/readings": reading(1),
        f"dewar/v1/{'x' * 300}/readings": reading(1),
        "dewar/v1/LOG-1/readings": b'{"note": "' + b"x" * 70_000 + b'"}',
        "dewar/v1/LOG-2/readings": b"\xff\x00",
        "dewar/v1/LOG-1/status": b"{}",
    }
    for topic, content in bad.items():
        loggers.publish(content, topic)
    ahead = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    loggers.publish({"measured_at": ahead, "temperature_c": 1})
    loggers.publish(reading(2, seq=0))
    await loggers.acknowledged(lambda ack: ack["through"] == 0)
    await store.until("SELECT count(*) = 8 FROM refused_messages")
    kept = {
        (origin, reason): payload
        for origin, reason, payload in await store.refused("origin", "reason", "payload")
    }
    assert set(kept) == {
        ("dewar/v1/LOG-9/readings", "unknown_device"),
        ("dewar/v1/a/b/readings", "unknown_device"),
        ("dewar/v1/a/b/c/readings", "unknown_device"),
        (f"dewar/v1/{'x' * 300}/readings"[:_KEPT_CHARS], "unknown_device"),
        ("dewar/v1/LOG-1/readings", "too_large"),
        ("dewar/v1/LOG-2/readings", "not_json"),
        ("dewar/v1/LOG-1/status", "invalid_reading"),
        ("dewar/v1/LOG-1/readings", "clock_ahead"),
    }
    assert kept["dewar/v1/LOG-1/readings", "too_large"] == bad["dewar/v1/LOG-1/readings"][:_KEPT_BYTES]
    assert await store.readings("measured_at") == [(at(2),)]


async def test_a_live_reading_does_not_wait_for_the_flight_of_another_logger(start, store, loggers):
    await start()
    async with store.another_connection() as other:
        holding = other.transaction()
        await holding.start()
        await other.execute("SELECT FROM device_states WHERE device_id = 'LOG-2' FOR UPDATE")
        loggers.publish([reading(n, seq=n) for n in range(100)], "dewar/v1/LOG-2/readings")
        await store.until(
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')"
        )
        for second in range(3):
            loggers.publish(reading(second, seq=second))
            await loggers.acknowledged(lambda ack, through=second: ack["through"] == through)
        assert len(await store.readings("seq")) == 3
        await holding.rollback()
    await loggers.acknowledged(lambda ack: ack["through"] == 99, "LOG-2")
    await store.until_stored(103)


async def test_what_was_published_while_nobody_listened_comes_later(start, store, loggers):
    ingester = await start()
    await ingester.stopped()
    for second in range(50):
        loggers.publish(reading(second))
    await loggers.published()
    await start()
    await store.until_stored(50)


async def test_a_stop_stores_what_was_received_and_leaves_the_rest_at_the_broker(start, store, loggers):
    ingester = await start()
    for second in range(3000):
        loggers.publish(reading(second, seq=second))
    await store.until_stored(1)
    await ingester.stopped()
    await loggers.published()
    await start()
    await store.until_stored(3000)
    assert len(await store.readings("seq")) == 3000
    await loggers.acknowledged(lambda ack: ack["through"] == 2999)


async def test_nothing_is_acknowledged_before_it_is_committed(start, store, loggers):
    """Messages that wait for a lock when their ingester dies are delivered again to the next one."""
    ingester = await start()
    async with store.another_connection() as other:
        transaction = other.transaction()
        await transaction.start()
        await other.execute("LOCK TABLE readings IN EXCLUSIVE MODE")
        for second in range(20):
            loggers.publish(reading(second, seq=second))
        await ingester.until(lambda state: state.waiting == 20)
        ingester.task.cancel()
        await asyncio.wait([ingester.task])
        await transaction.rollback()
    assert loggers.acks == []
    await start()
    await store.until_stored(20)


async def test_two_ingesters_share_the_work(start, store, loggers):
    first, second = await start(), await start()
    assert [each.states[-1].slot for each in (first, second)] == [0, 1]
    for number in range(500):
        loggers.publish(reading(number, seq=number), f"dewar/v1/LOG-{number % 2 + 1}/readings")
    await store.until_stored(500)
    assert await store.refused("reason") == []
    # The second gives its session back, so that the broker keeps nothing for it.
    await second.stopped()
    for number in range(500, 600):
        loggers.publish(reading(number, seq=number))
    await store.until_stored(600)


async def test_one_that_comes_back_takes_up_what_was_left(start, store, loggers):
    first, second = await start(), await start()
    second.task.cancel()
    await asyncio.wait([second.task])
    for number in range(100):
        loggers.publish(reading(number))
    await loggers.published()
    again = await start()
    assert again.states[-1].slot == 1
    await store.until_stored(100)
    assert not first.task.done()


async def test_what_one_left_that_never_comes_back_is_taken_over(start, store, loggers, monkeypatch):
    first, second = await start(), await start()
    second.task.cancel()
    await asyncio.wait([second.task])
    for number in range(100):
        loggers.publish(reading(number))
    await loggers.published()
    assert len(await store.readings("seq")) < 100
    monkeypatch.setattr("telemetry.mqtt.sessions.CHECK_EVERY_S", 0.1)
    await first.stopped()
    await start()
    await store.until_stored(100)
    await store.until(
        "SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND classid = $1",
        LockSpace.INGESTER_SLOTS,
    )
    monkeypatch.undo()
    for number in range(100, 200):
        loggers.publish(reading(number))
    await store.until_stored(200)


async def test_one_whose_slot_is_taken_takes_another(start, store):
    ingester = await start()
    async with store.another_connection() as other:
        await other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND database = "
            "(SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        for _ in range(1000):
            if await other.fetchval("SELECT pg_try_advisory_lock($1, 0)", LockSpace.INGESTER_SLOTS):
                break
        else:
            pytest.fail("the slot was never free")
        await ingester.until(lambda state: state.connected and state.slot == 1)


async def test_a_status_is_heard_even_from_before_the_start(start, store, loggers):
    loggers.publish({"state": "online", "at": at(5).isoformat()}, "dewar/v1/LOG-1/status", retain=True)
    await loggers.published()
    await start()
    await store.until("SELECT connection = 'online' FROM device_states WHERE device_id = 'LOG-1'")
    loggers.publish({"state": "offline"}, "dewar/v1/LOG-1/status", retain=True)
    await store.until("SELECT connection = 'offline' FROM device_states WHERE device_id = 'LOG-1'")


async def test_what_the_broker_retained_of_readings_is_never_said_again(start, store, loggers):
    """It was judged when it was sent. Whoever planted it may have given the logger back since."""
    loggers.publish(reading(1, seq=0), retain=True)
    loggers.publish({"state": "online"}, "dewar/v1/LOG-2/status", retain=True)  # sent nobody knows when
    loggers.publish(b"bad", "dewar/v1/LOG-1/status", retain=True)
    await loggers.published()
    await start()
    await store.until("SELECT count(*) = 1 FROM refusals")
    loggers.publish(reading(2, seq=1))
    await store.until_stored(1)
    assert await store.readings("seq") == [(1,)]
    assert await store.pool.fetch("SELECT FROM device_states WHERE connection IS NOT NULL") == []
    assert await store.refused("reason", "origin") == [("not_json", "dewar/v1/LOG-1/status")]


async def test_a_reading_that_is_published_as_retained_counts_once(start, store, loggers):
    await start()
    loggers.publish(reading(1, seq=0), retain=True)
    await loggers.acknowledged(lambda ack: ack["through"] == 0)
    loggers.publish(reading(2, seq=1))
    await loggers.acknowledged(lambda ack: ack["through"] == 1)
    assert await store.refused("reason") == []


async def test_an_error_of_our_own_ends_the_task(start, store, loggers, monkeypatch):
    ingester = await start()

    async def fail(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(Ingest, "prepare", fail)
    loggers.publish(reading(1))
    with pytest.raises(BaseExceptionGroup) as raised:
        await asyncio.wait_for(ingester.task, 20)
    assert raised.value.split(ZeroDivisionError)[1] is None
    monkeypatch.undo()
    await start()
    await store.until_stored(1)


async def test_a_redelivered_message_is_a_duplicate(start, store, loggers):
    ingester = await start()
    await store.store(message(reading(1, seq=0)))
    loggers.publish(reading(1, seq=0))
    loggers.publish(reading(2, seq=1))
    await loggers.acknowledged(lambda ack: ack["through"] == 1)
    assert len(await store.readings("seq")) == 2
    assert not ingester.task.done()


async def test_ingester_and_loggers_survive_a_restart_of_the_broker(broker, store):
    async with ingesters(broker.url, store.url) as start_one:
        ingester = await start_one()
        with connected(broker.url) as loggers:
            for number in range(1000):
                loggers.publish(reading(number, seq=number))
            await store.until_stored(1)
            await asyncio.to_thread(broker.restart)
            await ingester.until(lambda state: state.connected)
            for number in range(1000, 2000):
                loggers.publish(reading(number, seq=number))
            await store.until_stored(2000)
            await loggers.acknowledged(lambda ack: ack["through"] == 1999)
