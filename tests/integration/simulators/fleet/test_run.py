"""A simulated fleet against a real broker, and a service that stores and acknowledges only some readings."""

import asyncio
import random
import threading
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import orjson
import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from simulators.fleet.run import run
from simulators.fleet.settings import SimulationSettings, build_fleet
from simulators.wire.publisher import BrokerLoginRefusedError

SPEED = 7200  # a journey of 6 hours takes 3 s


class Service:
    """Subscribes to all readings, stores them by chance, and acknowledges by chance what it has stored."""

    def __init__(self, url, *, stores=1.0, acknowledges=1.0):
        self.stored = defaultdict(set)  # of each device and boot, the seqs
        self.received = 0
        self.statuses = {}
        self._subscribed = threading.Event()
        self._chance = random.Random(1)
        self._stores, self._acknowledges = stores, acknowledges
        at = urlsplit(url)
        self._client = Client(CallbackAPIVersion.VERSION2, clean_session=True)
        self._client.username_pw_set(at.username, at.password)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe(
            [("dewar/v1/+/readings", 1), ("dewar/v1/+/status", 1)]
        )
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = self._take
        self._client.connect(at.hostname, at.port)
        self._client.loop_start()
        assert self._subscribed.wait(10)

    def close(self):
        self._client.disconnect()
        self._client.loop_stop()

    @property
    def readings(self):
        return sum(map(len, self.stored.values()))

    def _take(self, client, _, message):
        device_id, kind = message.topic.split("/")[2:]
        said = orjson.loads(message.payload)
        if kind == "status":
            self.statuses[device_id] = said["state"]
            return
        if self._chance.random() >= self._stores:
            return
        readings = said if isinstance(said, list) else [said]
        self.received += len(readings)
        for boot in {reading["boot"] for reading in readings}:
            has = self.stored[device_id, boot]
            has.update(reading["seq"] for reading in readings if reading["boot"] == boot)
            if self._chance.random() < self._acknowledges:
                client.publish(f"dewar/v1/{device_id}/ack", orjson.dumps(ack(boot, has)), qos=1)


def ack(boot, has):
    highest = max(has)
    missing = [[seq, seq] for seq in range(highest) if seq not in has]
    through = missing[0][0] - 1 if missing else highest
    return {"boot": boot, "through": through, "missing": missing, "highest": highest}


@pytest.fixture
def service_at():
    services = []

    def service(url, **chances):
        services.append(Service(url, **chances))
        return services[-1]

    yield service
    for each in services:
        each.close()


def settings(url, **changes):
    defaults = {
        "scenario": "flight-upload",
        "fleet": 6,
        "speed": SPEED,
        "start": datetime.now(UTC),
        "ack_timeout_s": 0.3,
    }
    return SimulationSettings(mqtt_url=url, **defaults | changes)


def everything(asked):
    """What a service must have in the end: every seq of every journey."""
    fleet = build_fleet(asked)
    journeys = [next(fleet.journeys(index)) for index in range(fleet.size)]
    return {(j.device_id, j.boot): set(range(j.tick_count)) for j in journeys}


async def test_all_arrives_whatever_is_lost_and_acks_clear_the_memory(broker, service_at):
    service, asked = service_at(broker.url, stores=0.8, acknowledges=0.8), settings(broker.url)
    summary = await asyncio.wait_for(run(asked, stop=asyncio.Event()), 60)
    assert service.stored == everything(asked)
    assert summary.readings_unconfirmed == 0
    assert summary.readings_taken == summary.readings_confirmed == service.readings
    assert summary.readings_sent > summary.readings_taken
    assert service.received > service.readings
    assert set(service.statuses.values()) == {"offline"}
    assert len(service.statuses) == 6


async def test_a_broker_that_is_restarted_costs_nothing(broker, service_at):
    service, asked = service_at(broker.url), settings(broker.url, speed=SPEED / 2)
    taken = asyncio.Event()
    running = asyncio.create_task(
        run(asked, on_progress=lambda p: p.readings_taken > 300 and taken.set(), stop=asyncio.Event())
    )
    await asyncio.wait_for(taken.wait(), 30)
    await asyncio.to_thread(broker.kill)
    await asyncio.to_thread(broker.start)
    await asyncio.wait_for(running, 60)
    assert service.stored == everything(asked)


async def test_stopped_and_started_again_it_goes_on(broker, service_at):
    asked, stop = settings(broker.url), asyncio.Event()
    # No service is there: nothing of the first run is ever acknowledged, or even heard.
    first = await run(asked, on_progress=lambda p: p.readings_taken > 100 and stop.set(), stop=stop)
    assert first.readings_unconfirmed == first.readings_taken > 100
    service = service_at(broker.url)
    await asyncio.wait_for(run(asked, stop=asyncio.Event()), 60)
    assert service.stored == everything(asked)


async def test_at_the_end_of_its_time_every_logger_is_read_out_and_the_truth_written(
    broker, service_at, tmp_path
):
    service = service_at(broker.url)
    asked = settings(broker.url, scenario="demo", duration_s=2.0, truth=tmp_path / "truth.json")
    summary = await asyncio.wait_for(run(asked, stop=asyncio.Event()), 60)
    truth = orjson.loads(asked.truth.read_bytes())
    assert summary.readings_unconfirmed == 0
    assert sum(shipment["readings"] for shipment in truth["shipments"]) == service.readings
    assert datetime.fromisoformat(truth["evaluated_at"]) - asked.start < timedelta(seconds=2.001)
    assert truth["shipments"][0]["excursions"][0]["ended_by"] == "recovery"


async def test_a_wrong_password_is_said_so(broker):
    url = broker.url.replace("secret", "wrong")
    assert url != broker.url
    with pytest.raises(BrokerLoginRefusedError, match="refuses the connection"):
        await asyncio.wait_for(run(settings(url), stop=asyncio.Event()), 20)


async def test_a_broker_that_is_not_there_is_waited_for_until_stopped(broker):
    await asyncio.to_thread(broker.stop)
    stop = asyncio.Event()
    running = asyncio.create_task(run(settings(broker.url), stop=stop))
    await asyncio.sleep(0)
    stop.set()
    summary = await asyncio.wait_for(running, 20)
    assert not summary.connected
    assert summary.messages == 0
