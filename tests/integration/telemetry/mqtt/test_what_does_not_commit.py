"""Ingest says that nothing is committed, since when and why: with a full disk, a locked table, a frozen broker."""

import asyncio
import os
import signal

import pytest

from telemetry.mqtt import connection
from tests.integration.telemetry.conftest import ingesters, reading

NO_ROOM = """
CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$;
CREATE TRIGGER no_room BEFORE INSERT ON readings FOR EACH ROW EXECUTE FUNCTION no_room();
"""


@pytest.mark.parametrize(
    ("fault", "heal", "error"),
    [
        (NO_ROOM, "DROP TRIGGER no_room ON readings", "DiskFullError"),
        ("BEGIN; LOCK TABLE readings", "ROLLBACK", "LockNotAvailableError"),
    ],
    ids=["full disk", "locked table"],
)
async def test_what_is_not_stored_is_said_with_its_age_and_the_error(
    broker, store, loggers, fault, heal, error
):
    async with ingesters(broker.url, store.url) as start, store.another_connection() as other:
        ingester = await start()
        await other.execute(fault)
        loggers.publish(reading(1, seq=1))
        await ingester.until(lambda state: state.stuck_for_s > 0.5 and state.error == error)
        assert (ingester.states[-1].connected, ingester.states[-1].locked) == (True, 0)
        await other.execute(heal)
        await loggers.acknowledged(lambda ack: ack["through"] == 1)
        await ingester.until(lambda state: state.stuck_for_s == 0 and state.error is None)


async def test_a_frozen_broker_is_said_and_come_back_to(broker, store, monkeypatch):
    monkeypatch.setattr(connection, "KEEPALIVE_S", 1)
    async with ingesters(broker.url, store.url) as start:
        ingester = await start()
        os.kill(broker.pid, signal.SIGSTOP)
        try:
            await ingester.until(lambda state: not state.connected and state.away_for_s > 0)
        finally:
            os.kill(broker.pid, signal.SIGCONT)
        await ingester.until(lambda state: state.connected and state.away_for_s == 0)


NO_ROOM_FOR_ONE = NO_ROOM.replace("EXECUTE", "WHEN (NEW.device_id = 'LOG-1') EXECUTE")


async def test_large_messages_that_are_not_stored_are_said_though_small_ones_are(broker, store, loggers):
    """As where an old part of the table cannot be written: in the end, all receipts wait behind theirs."""
    async with ingesters(broker.url, store.url) as start:
        ingester = await start()
        await store.pool.execute(NO_ROOM_FOR_ONE)
        loggers.publish([reading(second, seq=second) for second in range(60)])
        await ingester.until(lambda state: state.waiting == 1)
        second = 0
        async with asyncio.timeout(30):
            while ingester.states[-1].stuck_for_s < 1.5:
                loggers.publish(reading(second, seq=second), "dewar/v1/LOG-2/readings")
                second += 1
                await store.until("SELECT count(*) >= $1 FROM readings WHERE device_id = 'LOG-2'", second)
        await store.pool.execute("DROP TRIGGER no_room ON readings")
        await loggers.acknowledged(lambda ack: ack["through"] == 59)
        await ingester.until(lambda state: state.stuck_for_s == 0)
