"""Once the database went back, loggers are asked for what they had been confirmed; the broker keeps what shows it."""

import asyncio
from typing import Any
from uuid import uuid4

import asyncpg
import orjson
import pytest

from simulators.loggers.buffer import Buffer
from simulators.wire.ack import parse_ack
from telemetry.continuity.pulse import Memory, beat, look
from telemetry.mqtt import bridge, pulses, resends
from telemetry.mqtt.bridge import IngestState, run_ingest
from tests.integration.telemetry.conftest import TIMEOUT_S, Loggers, Store, reading


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridge, "PULSE_EVERY_S", 0.02)
    monkeypatch.setattr(pulses, "EVERY_S", 0.3)


async def pulse(store: Store, memory: Memory) -> None:
    async with store.pool.acquire() as connection, connection.transaction():
        memory.own = await beat(connection, await look(connection, memory))


class Ingesting:
    """Ingest at work until the block ends, and what it remembers."""

    def __init__(self, mqtt_url: str, store: Store) -> None:
        self.memory, self._stop, connected = Memory(), asyncio.Event(), asyncio.Event()

        def hear(state: IngestState) -> None:
            if state.connected:
                connected.set()

        self._connected = connected
        self._start = lambda: run_ingest(
            mqtt_url=mqtt_url, pool=store.pool, stop=self._stop, memory=self.memory, on_state=hear
        )

    async def __aenter__(self) -> Memory:
        self._task = asyncio.create_task(self._start())
        await asyncio.wait_for(self._connected.wait(), TIMEOUT_S)
        return self.memory

    async def __aexit__(self, *_: object) -> None:
        self._stop.set()
        await asyncio.wait_for(self._task, TIMEOUT_S)


async def until(condition: Any) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while not condition():
            await asyncio.sleep(0.01)


async def test_the_broker_keeps_the_newest_pulse_and_gives_it_to_whoever_comes_next(
    store: Store, broker: Any
) -> None:
    async with Ingesting(broker.url, store) as memory:
        await pulse(store, memory)
        await until(lambda: memory.outside == memory.own)  # it has come back from the broker
    async with Ingesting(broker.url, store) as later:
        await until(lambda: later.outside is not None)
        assert later.outside == memory.own
        # Nothing takes its place before it is judged.
        await store.pool.execute("UPDATE database_pulses SET at = at - interval '10 seconds'")
        later.own = None
        async with store.pool.acquire() as connection, connection.transaction():
            later.own = await beat(connection, [])
        await asyncio.sleep(0.5)
        assert later.outside == memory.own
        later.outside = None
        await until(lambda: later.outside == later.own)


async def test_loggers_are_asked_and_send_again_what_they_still_have(
    store: Store, loggers: Loggers, broker: Any
) -> None:
    buffer = Buffer(batch=100)
    buffer.fill(10)
    async with Ingesting(broker.url, store):
        loggers.publish([reading(n, seq=n) for n in range(10)])
        await loggers.acknowledged(lambda ack: ack["highest"] == 9)
        buffer.take(0)
        buffer.confirm(parse_ack(orjson.dumps(loggers.acks[-1][1])), 0)
        assert buffer.unconfirmed == 0
        # A restore: what came after the fifth is gone, and that is noticed.
        await store.pool.execute("DELETE FROM readings WHERE seq > 4")
        await store.pool.execute("UPDATE logger_sequences SET received = '{[0,4]}'")
        await noticed(store.pool)
        await loggers.acknowledged(lambda ack: ack == {**asked(4), "resend": True})
        buffer.confirm(parse_ack(orjson.dumps(loggers.acks[-1][1])), 1)
        [batch] = buffer.take(2)
        assert batch == [(5, 9)]
        loggers.publish([reading(n, seq=n) for n in range(5, 10)])
        await loggers.acknowledged(lambda ack: ack == {**asked(9), "resend": True})
    assert await store.pool.fetchval("SELECT count(*) FROM readings") == 10


async def test_they_are_asked_once_and_for_a_week(store: Store) -> None:
    await store.pool.execute(
        "INSERT INTO logger_sequences VALUES ('LOG-1', 0, '{[0,2]}'), ('LOG-1', 3, '{[1,7]}')"
    )
    asking = resends.Resends(store.pool)
    assert (await asking.look(), asking.request()) == ([], {})
    await noticed(store.pool)
    [ack] = await asking.look()
    assert (ack.device_id, ack.content()) == ("LOG-1", {**asked(7, boot=3), "missing": [(0, 0)]})
    assert await asking.look() == []
    assert asking.request() == {"resend": True}
    await store.pool.execute("UPDATE database_restorations SET noticed_at = noticed_at - interval '8 days'")
    assert (await asking.look(), asking.request()) == ([], {})


def asked(highest: int, boot: int = 0) -> dict[str, Any]:
    return {"boot": boot, "through": highest, "missing": [], "highest": highest}


async def noticed(pool: asyncpg.Pool) -> None:
    await pool.execute(
        "INSERT INTO database_restorations (incarnation, former, evidence, known_until, noticed_at) "
        "VALUES ($1, $2, 'went_back', now(), now())",
        uuid4(),
        uuid4(),
    )
