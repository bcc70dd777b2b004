"""A logger that somebody else has locked in the database waits by itself: no other logger waits with it."""

import asyncio

import pytest

from telemetry.mqtt import bridge
from telemetry.mqtt.inbox import Lane, QueuedMessage
from telemetry.mqtt.set_aside import SetAside
from tests.integration.telemetry.conftest import ingesters, message, reading

STATE = "SELECT FROM device_states WHERE device_id = 'LOG-1' FOR NO KEY UPDATE"
QUOTA = "SELECT FROM refusal_quotas FOR UPDATE"
OF_OTHER = "SELECT count(*) = $1 FROM readings WHERE device_id = 'LOG-2'"
OTHER = "dewar/v1/LOG-2/readings"


@pytest.fixture(autouse=True)
def often(monkeypatch):
    monkeypatch.setattr(bridge, "ASIDE_EVERY_S", 0.05)


async def test_a_lock_on_one_logger_delays_that_logger_alone(broker, store, loggers):
    async with ingesters(broker.url, store.url) as start, store.another_connection() as frozen:
        ingester = await start()
        held = frozen.transaction()
        await held.start()
        await frozen.execute(STATE)
        for seq in range(20):
            loggers.publish(reading(seq, seq=seq))
            loggers.publish(reading(seq, seq=seq), OTHER)
        await store.until(OF_OTHER, 20)
        await loggers.acknowledged(lambda ack: ack["through"] == 19, "LOG-2")
        await ingester.until(lambda state: state.locked == 1)
        async with asyncio.timeout(bridge.ASIDE_EVERY_S + 0.4):  # less than anybody waits for a lock
            loggers.publish(reading(20, seq=20), OTHER)
            loggers.publish(reading(20, seq=20))
            await store.until(OF_OTHER, 21)
        assert await store.pool.fetchval("SELECT count(*) FROM readings WHERE device_id = 'LOG-1'") == 0
        await held.rollback()
        await loggers.acknowledged(lambda ack: ack["through"] == 20)
        await ingester.until(lambda state: state.locked == 0 and state.waiting == 0)


async def test_so_does_a_lock_on_what_is_kept_of_its_refusals(broker, store, loggers):
    async with ingesters(broker.url, store.url) as start, store.another_connection() as frozen:
        ingester = await start()
        loggers.publish(b"garbage")
        await store.until("SELECT count(*) = 1 FROM refusals")
        held = frozen.transaction()
        await held.start()
        await frozen.execute(QUOTA)
        loggers.publish(b"more of it")
        await ingester.until(lambda state: state.locked == 1)  # though its batch was of this logger alone
        loggers.publish(reading(1, seq=1), OTHER)
        await store.until(OF_OTHER, 1)
        await held.rollback()
        await store.until("SELECT count(*) = 2 FROM refusals")


async def test_a_locked_table_is_nobodys_lock_and_is_waited_out(broker, store, loggers):
    async with ingesters(broker.url, store.url) as start, store.another_connection() as frozen:
        ingester = await start()
        held = frozen.transaction()
        await held.start()
        await frozen.execute("LOCK TABLE readings")
        loggers.publish(reading(1, seq=1))
        loggers.publish(reading(1, seq=1), OTHER)
        await ingester.until(lambda state: state.waiting == 2)
        async with asyncio.timeout(5):
            while not await store.pool.fetchval(
                "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'readings'::regclass"
            ):
                await asyncio.sleep(0.01)
        await held.rollback()
        await store.until_stored(2)
        assert max(state.locked for state in ingester.states) == 0


def test_what_a_logger_sends_later_never_overtakes_what_waits_of_it():
    def queued(device_id, second):
        return QueuedMessage(message(reading(second), device_id), None, second)

    aside = SetAside()
    first = [queued("LOG-1", 1), queued("LOG-2", 2), queued("LOG-1", 3)]
    assert aside.divert(Lane.SMALL, first, {"LOG-1"}) == [first[1]]
    later = [queued("LOG-1", 4), queued("LOG-2", 5)]
    assert aside.divert(Lane.LARGE, later) == [later[1]]
    assert aside.oldest({"LOG-2"}) is None
    lane, batch = aside.oldest({"LOG-1", "LOG-2"})
    assert (lane, batch) == (Lane.SMALL, [first[0], first[2]])
    aside.divert(Lane.SMALL, [last := queued("LOG-1", 6)])  # while that is being stored
    aside.remove(batch)
    assert aside.oldest({"LOG-1"}) == (Lane.LARGE, [later[0]])
    aside.remove([later[0]])
    assert aside.oldest({"LOG-1"}) == (Lane.SMALL, [last])
    aside.remove([last])
    assert aside.loggers == frozenset()
