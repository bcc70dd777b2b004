"""A replay against a real broker that is restarted, is slow, or refuses."""

import asyncio

import orjson
import pytest

from simulators.replay.order import paced
from simulators.replay.replay import ReplaySettings, replay
from simulators.wire.message import RecordedMessage
from simulators.wire.publisher import BrokerLoginRefusedError
from tests.integration.simulators.fleet.test_run import Service


def recording(messages, every_ms=10):
    """Messages of ten readings each, of three loggers in turn."""
    for n in range(messages):
        seqs = range(n // 3 * 10, n // 3 * 10 + 10)
        readings = [{"measured_at": 1_795_232_700_000 + seq, "seq": seq, "boot": 4} for seq in seqs]
        yield RecordedMessage(
            1_795_232_700_000 + every_ms * n, f"dewar/v1/LOG-{n % 3}/readings", orjson.dumps(readings)
        )


def sending(broker, messages, **how):
    stop = how.pop("stop", None) or asyncio.Event()
    on_progress = how.pop("on_progress", None)
    settings = ReplaySettings(mqtt_url=broker.url, **how)
    kept = list(messages)
    due = paced(kept, [message.at_ms for message in kept])
    return asyncio.wait_for(replay(settings, due, on_progress=on_progress, stop=stop), 60)


@pytest.fixture
def service(broker):
    service = Service(broker.url)
    yield service
    service.close()


async def test_all_of_it_arrives_and_is_confirmed(broker, service):
    summary = await sending(broker, recording(3000))
    assert service.readings == 30_000
    assert (summary.messages, summary.readings) == (3000, 30_000)
    assert (summary.numbered, summary.confirmed, summary.refused) == (30_000, 30_000, 0)


async def test_what_gets_lost_on_the_way_is_sent_again(broker, service):
    service._stores = 0.9
    summary = await sending(broker, recording(100))
    assert service.readings == 1000
    assert (summary.messages, summary.readings, summary.numbered, summary.confirmed) == (
        100,
        1000,
        1000,
        1000,
    )


async def test_a_broker_that_is_restarted_costs_nothing(broker, service):
    begun = asyncio.Event()
    running = asyncio.create_task(
        sending(
            broker, recording(300), speed=1.0, on_progress=lambda so_far: so_far.messages > 50 and begun.set()
        )
    )
    await asyncio.wait_for(begun.wait(), 30)
    await asyncio.to_thread(broker.kill)
    await asyncio.to_thread(broker.start)
    summary = await running
    assert service.readings == 3000
    assert (summary.numbered, summary.confirmed) == (3000, 3000)


async def test_twice_as_fast_as_recorded(broker, service):
    summary = await sending(broker, recording(50, every_ms=20), speed=2.0)
    assert 0.49 <= summary.elapsed_s < 5
    assert service.readings == 500


async def test_a_wrong_password_is_said_so(broker):
    settings = ReplaySettings(mqtt_url=broker.url.replace("secret", "wrong"))
    with pytest.raises(BrokerLoginRefusedError, match="refuses the connection"):
        await asyncio.wait_for(replay(settings, [], stop=asyncio.Event()), 20)
