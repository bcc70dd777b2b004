"""The embedded brokers: who may do what, what survives a power cut, and users who come and go at run time."""

import asyncio
import contextlib
import os
import queue
import signal
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from api.embedded.find import nats_of_the_wheel
from api.embedded.nats import Nats
from api.embedded.process import Supervisor
from api.identity.device_credentials import (
    BrokerRefusedError,
    BrokerUnmanagedError,
    BrokerUnreachableError,
    DeviceCredentials,
    NatsDeviceCredentials,
    device_credentials,
)
from tests.conftest import free_port

_REFUSED = 0x80


class Peer:
    """One MQTT client, asked one thing at a time."""

    def __init__(
        self,
        url: str,
        user: str | None,
        password: str | None,
        *,
        version: int,
        client_id: str = "",
        clean: bool = True,
    ):
        self.answers: queue.Queue[int] = queue.Queue()
        self.messages: queue.Queue[mqtt.MQTTMessage] = queue.Queue()
        options = {} if version == 5 else {"clean_session": clean}
        protocol = mqtt.MQTTProtocolVersion(version)
        self.client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id, protocol=protocol, reconnect_on_failure=False, **options
        )
        if user:
            self.client.username_pw_set(user, password)
        self.client.on_connect = lambda _c, _d, _f, reason, _p: self.answers.put(reason.value)
        self.client.on_subscribe = lambda _c, _d, _m, reasons, _p: self.answers.put(reasons[0].value)
        self.client.on_publish = lambda _c, _d, _m, reason, _p: self.answers.put(reason.value)
        self.client.on_message = lambda _c, _d, message: self.messages.put(message)
        parts = urlsplit(url)
        if version == 5 and not clean:
            properties = mqtt.Properties(mqtt.PacketTypes.CONNECT)
            properties.SessionExpiryInterval = 3600
            self.client.connect(parts.hostname, parts.port, clean_start=False, properties=properties)
        else:
            self.client.connect(parts.hostname, parts.port)
        self.client.loop_start()
        self.connected = self.answers.get(timeout=20)

    def subscribe(self, topic: str) -> int:
        self.client.subscribe(topic, qos=1)
        return self.answers.get(timeout=20)

    def publish(self, topic: str, payload: bytes | str = b"{}") -> int:
        self.client.publish(topic, payload, qos=1)
        return self.answers.get(timeout=20)


@contextlib.contextmanager
def connected(
    url: str, user: str | None = None, password: str | None = None, **options: object
) -> Iterator[Peer]:
    parts = urlsplit(url)
    defaults = {"version": 5, "client_id": user or ""}  # a logger's client id is its user name
    peer = Peer(url, user or parts.username, password or parts.password, **{**defaults, **options})
    try:
        yield peer
    finally:
        peer.client.disconnect()
        peer.client.loop_stop()


@pytest.fixture
def nats(servers_dir) -> Iterator[Supervisor]:
    programs = nats_of_the_wheel()
    assert programs
    port = free_port()
    server = Supervisor(Nats(servers_dir / f"nats-{port}", programs, password="secret", port=port), print)
    server.start()
    yield server
    server.stop()


def test_nobody_gets_in_without_a_password(broker):
    parts = urlsplit(broker.url)
    anonymous = Peer(f"mqtt://{parts.hostname}:{parts.port}", None, None, version=5)
    anonymous.client.loop_stop()
    assert anonymous.connected >= _REFUSED
    with connected(broker.url, "dewarwatch", "guessed") as guessing:
        assert guessing.connected >= _REFUSED


def test_the_service_reads_all_topics_also_as_one_of_several(broker):
    with connected(broker.url) as service:
        assert service.subscribe("dewar/v1/+/readings") == 1
        assert service.subscribe("$share/ingest/dewar/v1/+/readings") == 1
        assert service.publish("dewar/v1/LOGGER-1/ack") < _REFUSED
        assert service.subscribe("#") >= _REFUSED


async def test_a_logger_has_its_own_topics_and_no_others(broker):
    await DeviceCredentials(broker.url).grant("LOGGER-1", "first")
    with connected(broker.url) as service, connected(broker.url, "LOGGER-1", "first") as logger:
        assert service.subscribe("dewar/v1/+/readings") == 1
        assert logger.publish("dewar/v1/LOGGER-1/readings", b"mine") < _REFUSED
        assert logger.publish("dewar/v1/LOGGER-1/status") < _REFUSED
        assert logger.subscribe("dewar/v1/LOGGER-1/ack") == 1
        for others in ("dewar/v1/LOGGER-2/readings", "dewar/v1/LOGGER-1/ack", "$CONTROL/dynamic-security/v1"):
            assert logger.publish(others) >= _REFUSED
        for others in ("dewar/v1/LOGGER-2/ack", "dewar/v1/+/ack", "dewar/v1/LOGGER-1/readings", "#"):
            assert logger.subscribe(others) >= _REFUSED
        assert service.publish("dewar/v1/LOGGER-1/ack", b"got it") < _REFUSED
        assert logger.messages.get(timeout=20).payload == b"got it"
        assert service.messages.get(timeout=20).payload == b"mine"
        assert service.messages.empty()


async def test_a_new_password_replaces_the_old_one_and_a_revoked_logger_is_out(broker):
    credentials = DeviceCredentials(broker.url)
    for password in ("first", "first", "second"):
        await credentials.grant("LOGGER-1", password)
    with (
        connected(broker.url, "LOGGER-1", "first") as old,
        connected(broker.url, "LOGGER-1", "second") as new,
    ):
        assert old.connected >= _REFUSED
        assert new.connected == 0
        for _ in range(2):
            await credentials.revoke("LOGGER-1")
    with connected(broker.url, "LOGGER-1", "second") as revoked:
        assert revoked.connected >= _REFUSED


async def test_accounts_that_are_made_at_once_leave_the_broker_working(broker):
    """With a memory_limit it worked no more: its count of memory fell below zero."""
    credentials = DeviceCredentials(broker.url)
    await asyncio.gather(*(credentials.grant(f"LOGGER-{number}", "first") for number in range(24)))
    with connected(broker.url, "LOGGER-23", "first") as logger:
        assert logger.connected == 0


async def test_users_outlive_the_power_cut_of_the_broker(broker):
    await DeviceCredentials(broker.url).grant("LOGGER-1", "first")
    broker.kill()
    broker.start()
    with connected(broker.url, "LOGGER-1", "first") as logger:
        assert logger.connected == 0


async def test_a_logger_cannot_be_named_like_the_service(broker):
    with pytest.raises(BrokerRefusedError, match="dewarwatch is not a logger's"):
        await DeviceCredentials(broker.url).grant("dewarwatch", "mine now")
    assert await DeviceCredentials(broker.url).probe()


async def test_who_may_not_manage_users_is_told_so(broker):
    await DeviceCredentials(broker.url).grant("LOGGER-1", "first")
    logger = DeviceCredentials(broker.program.loggers_url.replace("//", "//LOGGER-1:first@"))
    assert not await logger.probe()
    with pytest.raises(BrokerUnmanagedError):
        await logger.grant("LOGGER-2", "second")


async def test_a_broker_that_is_away_is_waited_for_and_then_given_up(broker):
    broker.stop()
    with pytest.raises(BrokerUnreachableError):
        await DeviceCredentials(broker.url, patience_s=0.5).grant("LOGGER-1", "first")
    broker.start()
    await DeviceCredentials(broker.url).grant("LOGGER-1", "first")


def test_what_an_absent_service_has_not_read_survives_a_power_cut(broker):
    saved = broker.program.folder / "mosquitto.db"
    with connected(broker.url, client_id="ingest", clean=False) as service:
        assert service.subscribe("dewar/v1/+/readings") == 1
    with connected(broker.url) as loggers:
        for number in range(3000):
            loggers.client.publish("dewar/v1/LOGGER-1/readings", str(number), qos=1)
        for _ in range(3000):
            assert loggers.answers.get(timeout=20) < _REFUSED
    assert not saved.exists()
    deadline = time.monotonic() + 5
    os.kill(broker.pid, signal.SIGUSR1)  # it saves now, as it does by itself once a minute
    while not saved.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    broker.kill()
    broker.start()
    with connected(broker.url, client_id="ingest", clean=False) as service:
        assert [int(service.messages.get(timeout=20).payload) for _ in range(3000)] == list(range(3000))


def test_too_large_for_the_contract_still_reaches_the_service(broker):
    longest = "L" * 64
    with connected(broker.url) as service:
        assert service.subscribe("dewar/v1/+/readings") == 1
        assert service.publish(f"dewar/v1/{longest}/readings", b"x" * (1 << 20)) < _REFUSED
        assert len(service.messages.get(timeout=20).payload) == 1 << 20


async def test_the_wheel_s_broker_knows_the_same_rights(nats):
    credentials = device_credentials(nats.url, nats.program)
    assert isinstance(credentials, NatsDeviceCredentials)
    assert await credentials.probe()
    await credentials.grant("LOGGER-1", "first")
    with (
        connected(nats.url, version=4) as service,
        connected(nats.url, "LOGGER-1", "first", version=4) as logger,
    ):
        assert service.subscribe("dewar/v1/+/readings") == 1
        assert logger.subscribe("dewar/v1/LOGGER-1/ack") == 1
        assert logger.subscribe("dewar/v1/LOGGER-2/ack") >= _REFUSED
        logger.publish("dewar/v1/LOGGER-2/readings", b"not mine")
        logger.publish("dewar/v1/LOGGER-1/readings", b"mine")
        assert service.messages.get(timeout=20).payload == b"mine"
        service.publish("dewar/v1/LOGGER-1/ack", b"got it")
        assert logger.messages.get(timeout=20).payload == b"got it"


async def test_the_wheel_s_broker_exchanges_passwords_and_keeps_users(nats):
    credentials = device_credentials(nats.url, nats.program)
    await credentials.grant("LOGGER-1", "first")
    await credentials.grant("LOGGER-1", "second")
    nats.restart()
    with (
        connected(nats.url, "LOGGER-1", "first", version=4) as old,
        connected(nats.url, "LOGGER-1", "second", version=4) as new,
    ):
        assert old.connected >= _REFUSED
        assert new.connected == 0
    await credentials.revoke("LOGGER-1")
    with pytest.raises(BrokerRefusedError):
        await credentials.grant("dewarwatch", "mine now")
