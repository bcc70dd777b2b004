"""A logger at the broker: one connection with its own account, which publishes and hears what is acknowledged."""

import ssl
import threading
from collections.abc import Callable
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import orjson
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

PATIENCE_S = 15.0
T = TypeVar("T")


class Link:
    """A connection to the broker; what arrives on its thread wakes whoever waits in `until`."""

    def __init__(
        self,
        url: str,
        username: str | None = None,
        password: str | None = None,
        *,
        trusted: ssl.SSLContext | None = None,
    ) -> None:
        at = urlsplit(url)
        self.heard = threading.Condition()
        self.connected: ReasonCode | None = None
        self.acks: list[tuple[str, dict[str, Any]]] = []
        self.answered = 0
        self._topics: list[str] = []
        self._answers: dict[int, ReasonCode] = {}
        # A logger has its device id, and so its user name, as client id, as the guide says.
        self._client = Client(
            CallbackAPIVersion.VERSION2, username or "", protocol=MQTTProtocolVersion.MQTTv5
        )
        self._client.username_pw_set(username or at.username, password or at.password)
        if at.scheme == "mqtts":
            self._client.tls_set_context(trusted)
        self._client.max_inflight_messages_set(1000)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = lambda _c, _u, mid, reasons, _p: self._answer(mid, reasons[0])
        self._client.on_publish = lambda _c, _u, mid, reason, _p: self._answer(mid, reason)
        self._client.on_message = self._on_message
        self._client.connect_async(at.hostname or "localhost", at.port or 1883)
        self._client.loop_start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def until(self, condition: Callable[[], T], within_s: float = PATIENCE_S) -> T:
        """Waits for something that the broker's messages bring about."""
        with self.heard:
            self.heard.wait_for(condition, within_s)
            found = condition()
        assert found, f"not within {within_s:g} s; acknowledged was {self.acks[-3:]}"
        return found

    def send(self, topic: str, payload: bytes) -> int:
        """Publishes, and gives the number under which the broker answers."""
        return self._client.publish(topic, payload, qos=1).mid

    def publish(self, topic: str, payload: object) -> ReasonCode:
        """Publishes bytes as they are and all else as JSON, and gives the broker's answer."""
        body = payload if isinstance(payload, bytes) else orjson.dumps(payload)
        return self._answer_to(self.send(topic, body))

    def subscribe(self, topic: str) -> ReasonCode:
        """Subscribes, again after every reconnection, and gives the broker's answer."""
        self._topics.append(topic)
        _, mid = self._client.subscribe(topic, qos=1)
        assert mid is not None
        return self._answer_to(mid)

    def acknowledged(self, device_id: str, boot: int, seq: int) -> dict[str, Any]:
        """Waits until the service has acknowledged everything of a boot up to this one."""

        def found() -> dict[str, Any] | None:
            return next(
                (
                    ack
                    for device, ack in self.acks
                    if device == device_id and ack["boot"] == boot and ack["through"] >= seq
                ),
                None,
            )

        ack = self.until(found)
        assert ack is not None
        return ack

    def _answer_to(self, mid: int) -> ReasonCode:
        self.until(lambda: mid in self._answers)
        return self._answers[mid]

    # Called on paho's thread.

    def _on_connect(self, client: Client, _u: object, _flags: object, reason: ReasonCode, _p: object) -> None:
        with self.heard:
            for topic in self._topics:
                client.subscribe(topic, qos=1)
            self.connected = reason
            self.heard.notify_all()

    def _answer(self, mid: int, reason: ReasonCode) -> None:
        with self.heard:
            self._answers[mid] = reason
            self.answered += 1
            self.heard.notify_all()

    def _on_message(self, _client: Client, _u: object, message: MQTTMessage) -> None:
        with self.heard:
            self.hear(message.topic.split("/")[2], message.payload)
            self.heard.notify_all()

    def hear(self, device_id: str, ack: bytes) -> None:
        """Takes an acknowledgement in."""
        self.acks.append((device_id, orjson.loads(ack)))


class Logger(Link):
    """One logger, let in as itself."""

    def __init__(
        self, device_id: str, mqtt: dict[str, Any], *, trusted: ssl.SSLContext | None = None
    ) -> None:
        super().__init__(mqtt["url"], mqtt["username"], mqtt["password"], trusted=trusted)
        self.device_id = device_id
        self.topic = f"dewar/v1/{device_id}/readings"
        self.until(lambda: self.connected is not None)
        assert not self.connected.is_failure, self.connected
        assert not self.subscribe(f"dewar/v1/{device_id}/ack").is_failure
