"""A logger's credential opens its own session at the broker and no other, whatever client id, will or topic it names."""

import contextlib
import json
import queue
from collections.abc import Iterator
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from api.identity.device_credentials import DeviceCredentials

REFUSED = 0x80
NEVER = 0xFFFFFFFF
VERSIONS = pytest.mark.parametrize("version", [4, 5])


class Client:
    """One MQTT client that keeps what it hears, and whether it was cut off."""

    def __init__(
        self,
        url: str,
        user: str,
        password: str,
        *,
        client_id: str,
        version: int = 5,
        will: tuple[str, bytes] | None = None,
        keeps: bool = False,
        expires_s: int = 3600,
    ) -> None:
        self.answers: queue.Queue[int] = queue.Queue()
        self.messages: queue.Queue[mqtt.MQTTMessage] = queue.Queue()
        self.ended: queue.Queue[object] = queue.Queue()
        options = {} if version == 5 else {"clean_session": not keeps or not client_id}
        self.mqtt = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id,
            protocol=mqtt.MQTTProtocolVersion(version),
            reconnect_on_failure=False,
            **options,
        )
        self.mqtt.username_pw_set(user, password)
        if will:
            self.mqtt.will_set(will[0], will[1], qos=1, retain=True)
        self.mqtt.on_connect = self._on_connect
        self.mqtt.on_subscribe = lambda _c, _d, _m, reasons, _p: self.answers.put(reasons[0].value)
        self.mqtt.on_publish = lambda _c, _d, _m, reason, _p: self.answers.put(reason.value)
        self.mqtt.on_message = lambda _c, _d, message: self.messages.put(message)
        self.mqtt.on_disconnect = lambda _c, _d, _f, reason, _p: self.ended.put(reason)
        at = mqtt.urllib.parse.urlsplit(url)
        connecting = {}
        if version == 5 and keeps:
            connecting["properties"] = mqtt.Properties(mqtt.PacketTypes.CONNECT)
            connecting["properties"].SessionExpiryInterval = expires_s
            connecting["clean_start"] = False
        self.mqtt.connect(at.hostname, at.port, **connecting)
        self.mqtt.loop_start()
        self.connected = self.answers.get(timeout=5)

    def _on_connect(
        self, _client: object, _data: object, flags: mqtt.ConnectFlags, reason: Any, _: object
    ) -> None:
        self.had_session = flags.session_present
        self.answers.put(reason.value)

    def subscribe(self, topic: str) -> int:
        self.mqtt.subscribe(topic, qos=1)
        return self.answers.get(timeout=5)

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> int:
        self.mqtt.publish(topic, payload, qos=1, retain=retain)
        return self.answers.get(timeout=5)


@contextlib.contextmanager
def client(url: str, user: str, password: str, **options: object) -> Iterator[Client]:
    made = Client(url, user, password, **options)
    try:
        yield made
    finally:
        made.mqtt.disconnect()
        made.mqtt.loop_stop()


@pytest.fixture
async def accounts(broker) -> None:
    credentials = DeviceCredentials(broker.url)
    for device_id in ("A", "B"):
        await credentials.grant(device_id, device_id.lower())


@pytest.fixture(params=["bound", "not bound, as they were before"])
async def all_accounts(broker, accounts, request) -> None:
    for device_id in ("A", "B") if request.param != "bound" else ():
        (answer,) = await DeviceCredentials(broker.url)._ask(
            {"command": "setClientId", "username": device_id, "clientid": ""}
        )
        assert "error" not in answer, answer


@VERSIONS
async def test_nobody_takes_another_session_at_the_loggers_port(broker, all_accounts, version):
    """Whatever client id A names, B stays connected, and B's acknowledgements go to B."""
    url = broker.program.loggers_url
    with client(url, "B", "b", client_id="B", version=version, keeps=True) as b:
        assert b.subscribe("dewar/v1/B/ack") == 1
        with client(url, "A", "a", client_id="B", version=version, keeps=True) as a:
            assert a.connected == 0  # as A, whatever it calls itself
            assert a.subscribe("dewar/v1/B/ack") >= REFUSED
            with client(broker.url, "dewarwatch", "secret", client_id="service") as service:
                assert service.publish("dewar/v1/B/ack", b"for B") < REFUSED
            assert b.messages.get(timeout=5).payload == b"for B"
            assert a.messages.empty()
        assert b.ended.empty()


@VERSIONS
async def test_nobody_gets_what_waits_for_another_that_is_away(broker, accounts, version):
    url = broker.program.loggers_url
    with client(url, "B", "b", client_id="B", version=version, keeps=True) as b:
        assert b.subscribe("dewar/v1/B/ack") == 1
    with client(broker.url, "dewarwatch", "secret", client_id="service") as service:
        assert service.publish("dewar/v1/B/ack", b"for B") < REFUSED
    for where in (url, broker.url):
        with (
            client(where, "A", "a", client_id="B", version=version, keeps=True) as a,
            pytest.raises(queue.Empty),
        ):
            a.messages.get(timeout=0.5)
    with client(url, "B", "b", client_id="B", version=version, keeps=True) as b:
        assert b.messages.get(timeout=5).payload == b"for B"


@VERSIONS
async def test_without_that_setting_a_bound_account_is_refused_under_any_other_client_id(
    broker, accounts, version
):
    """The service's port has no client ids from user names: there the account itself is what holds."""
    with client(broker.url, "B", "b", client_id="B", version=version) as b:
        assert b.connected == 0
        for client_id in ("B", "another", ""):
            with client(broker.url, "A", "a", client_id=client_id, version=version) as a:
                assert a.connected >= REFUSED
        with client(broker.url, "A", "a", client_id="A", version=version) as a:
            assert a.connected == 0
        assert b.publish("dewar/v1/B/readings", b"{}") < REFUSED
        assert b.ended.empty()


@VERSIONS
@pytest.mark.parametrize("client_id", ["4711", "paho/ABC", ""])
async def test_a_logger_with_a_client_id_of_its_own_still_gets_in(broker, accounts, version, client_id):
    url = broker.program.loggers_url
    with client(url, "A", "a", client_id=client_id, version=version) as a:
        assert a.connected == 0
        assert a.publish("dewar/v1/A/readings", b"{}") < REFUSED


@VERSIONS
async def test_a_will_and_a_status_are_ones_own(broker, accounts, version):
    url = broker.program.loggers_url
    with client(broker.url, "dewarwatch", "secret", client_id="service") as service:
        assert service.subscribe("dewar/v1/+/status") == 1
        with client(
            url, "A", "a", client_id="A", version=version, will=("dewar/v1/B/status", b"not B's")
        ) as a:
            if a.connected == 0:
                a.mqtt.socket().close()  # without a farewell, so that the will is published, if there is one
        with client(url, "A", "a", client_id="A", version=version) as a:
            a.publish("dewar/v1/B/status", b"not B's", retain=True)
        own = json.dumps({"state": "offline"}).encode()
        with client(url, "A", "a", client_id="A", version=version, will=("dewar/v1/A/status", own)) as a:
            assert a.connected == 0
            a.mqtt._sock_close()
        heard = service.messages.get(timeout=5)
        assert (heard.topic, heard.payload) == ("dewar/v1/A/status", own)
        assert service.messages.empty()


async def test_one_credential_has_one_connection_and_one_session(broker, accounts):
    """Thousands of connections are one after the other, and sessions that never expire are one."""
    url = broker.program.loggers_url
    with contextlib.ExitStack() as stack:
        many = [
            stack.enter_context(client(url, "A", "a", client_id=f"A{number}", keeps=True))
            for number in range(30)
        ]
        for one in many[:-1]:
            one.ended.get(timeout=5)
        assert many[-1].ended.empty()


async def test_sessions_that_never_expire_are_one_for_each_credential(broker, accounts):
    """And that one ends, whatever it asked for, by `persistent_client_expiration`."""
    had = []
    for number in range(40):
        with client(
            broker.program.loggers_url, "A", "a", client_id=f"A{number}", keeps=True, expires_s=NEVER
        ) as a:
            had.append(a.had_session)
    assert had == [False] + [True] * 39
    assert "persistent_client_expiration 30d" in (broker.program.folder / "mosquitto.conf").read_text()


async def test_a_credential_cannot_pile_up_subscriptions_or_retained_messages(broker, accounts):
    """It subscribes to its acknowledgements, and what it can leave behind is one message on each of its two topics."""
    url = broker.program.loggers_url
    with (
        client(broker.url, "dewarwatch", "secret", client_id="service") as service,
        client(url, "A", "a", client_id="A", keeps=True) as a,
    ):
        for topic in ("dewar/v1/A/ack", "dewar/v1/A/ack"):
            assert a.subscribe(topic) == 1
        for number in range(100):
            for topic in (
                f"dewar/v1/A/{number}",
                f"$share/{number}/dewar/v1/A/ack",
                f"dewar/v1/A/ack/{number}",
                "$SYS/#",
            ):
                assert a.subscribe(topic) >= REFUSED
            assert a.publish(f"dewar/v1/A/status/{number}", b"{}", retain=True) >= REFUSED
            for kind in ("status", "readings"):
                assert a.publish(f"dewar/v1/A/{kind}", b"%d" % number, retain=True) < REFUSED
        assert service.subscribe("dewar/v1/#") == 1
        assert {service.messages.get(timeout=5).payload for _ in range(2)} == {b"99"}
        assert service.messages.empty()


async def test_a_new_password_leaves_no_status_that_was_retained_with_the_old_one(broker, accounts):
    """Whoever had the logger before may have planted it; of readings, nothing that is retained is heard."""
    with client(broker.program.loggers_url, "A", "a", client_id="A") as a:
        assert a.publish("dewar/v1/A/status", b"planted", retain=True) < REFUSED
    await DeviceCredentials(broker.url).grant("A", "another")
    with client(broker.url, "dewarwatch", "secret", client_id="service") as service:
        assert service.subscribe("dewar/v1/#") == 1
        assert service.publish("dewar/v1/A/ack", b"the first") < REFUSED
        assert service.messages.get(timeout=5).payload == b"the first"
