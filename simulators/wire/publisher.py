"""The MQTT connection of a fleet or a replay: it publishes messages and receives acknowledgements."""

import asyncio
import contextlib
import secrets
from collections import deque
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote, urlsplit

import structlog
from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from simulators.wire.topics import EVERY_ACK, ack_topic, device_id_in

log = structlog.get_logger(__name__)

UNSUPPORTED_VERSION = 0x84
LOGIN_REFUSALS = {
    0x86: "user name or password is wrong",
    0x87: "this account may not connect",
    0x8A: "this account is banned",
}
PLAIN_PORT, TLS_PORT = 1883, 8883
LISTENING_WITHIN_S = 5.0
TOPICS_AT_ONCE = 100


class BrokerLoginRefusedError(Exception):
    """The broker answers but refuses this account; the text says so to a person."""


class MqttPublisher:
    """Publishes with QoS 1, at most `limit` messages at a time, and reconnects by itself.

    paho runs in its own thread, which only appends events to a queue and wakes the event loop. Every
    acknowledgement of the service goes to `on_ack(device_id, payload)`. `on_change()` is called when there is
    room, or a connection, again. `on_publish(topic, payload, retain)` is called for every message that is
    handed to paho.

    An account that may not listen to every logger, such as a logger's own, listens to each logger that it
    publishes for.
    """

    def __init__(
        self,
        url: str,
        *,
        limit: int,
        on_ack: Callable[[str, bytes], None],
        on_change: Callable[[], None],
        on_publish: Callable[[str, bytes, bool], None] | None = None,
    ) -> None:
        self.connected = False
        self.connections = 0
        self.published = 0
        self.refused = 0
        self._confirmed = 0
        self._topics: set[str] = set()
        self._listens_to_each = False
        self._listening = asyncio.Event()
        self._every_ack_mid: int | None = None
        self._url = urlsplit(url)
        self._limit = limit
        self._on_ack = on_ack
        self._on_change = on_change
        self._on_publish = on_publish
        self._loop = asyncio.get_running_loop()
        self._events: deque[Callable[[], None]] = deque()
        self._woken = False
        self._full = False
        self._idle = asyncio.Event()
        self._connack: asyncio.Future[ReasonCode] = self._loop.create_future()
        self._client = self._new_client(MQTTProtocolVersion.MQTTv5)

    def has_room(self) -> bool:
        """Whether a message may be published now. If not, `on_change` is called as soon as one may."""
        # Set before counting, so that a confirmation that arrives in between still leads to a call.
        self._full = True
        if self._unconfirmed < self._limit:
            self._full = False
        return self.connected and not self._full

    @property
    def _unconfirmed(self) -> int:
        # Each of the two counters is written by one thread only.
        return self.published - self._confirmed

    async def start(self) -> None:
        """Connect, and wait for the broker as long as it takes.

        Raises BrokerLoginRefusedError if it refuses the account.
        """
        reason = await self._connect()
        if reason.value == UNSUPPORTED_VERSION:
            log.info("broker_speaks_only_mqtt_3")
            await asyncio.to_thread(self._client.loop_stop)
            self._connack = self._loop.create_future()
            self._client = self._new_client(MQTTProtocolVersion.MQTTv311)
            reason = await self._connect()
        if reason.is_failure:
            await self.stop()
            why = LOGIN_REFUSALS.get(reason.value, str(reason))
            raise BrokerLoginRefusedError(f"the broker at {self._url.hostname} refuses the connection: {why}")

    async def listening(self, within_s: float = LISTENING_WITHIN_S) -> None:
        """Wait until the broker has answered which acknowledgements this account may receive, if it does.

        What is published later is not confirmed before the account listens.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._listening.wait()

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Hand a message to paho, which repeats it after a reconnect until the broker has confirmed it."""
        if topic not in self._topics:
            self._topics.add(topic)
            if self._listens_to_each:
                self._listen_to({topic})
        info = self._client.publish(topic, payload, qos=1, retain=retain)
        if info.rc in (MQTTErrorCode.MQTT_ERR_SUCCESS, MQTTErrorCode.MQTT_ERR_NO_CONN):
            self.published += 1
            if self._on_publish is not None:
                self._on_publish(topic, payload, retain)

    async def flushed(self) -> None:
        """Wait until the broker has confirmed everything that was published."""
        self._idle.clear()
        if self._unconfirmed:
            await self._idle.wait()

    async def stop(self) -> None:
        """Disconnect, and end paho's thread."""
        self.connected = False
        self._client.disconnect()
        await asyncio.to_thread(self._client.loop_stop)

    async def _connect(self) -> ReasonCode:
        tls = self._url.scheme == "mqtts"
        port = self._url.port or (TLS_PORT if tls else PLAIN_PORT)
        self._client.connect_async(self._url.hostname or "localhost", port, keepalive=30)
        self._client.loop_start()
        return await self._connack

    def _new_client(self, protocol: MQTTProtocolVersion) -> Client:
        client = Client(
            CallbackAPIVersion.VERSION2, f"dewarwatch-simulator-{secrets.token_hex(4)}", protocol=protocol
        )
        if self._url.username is not None:
            client.username_pw_set(unquote(self._url.username), unquote(self._url.password or ""))
        if self._url.scheme == "mqtts":
            client.tls_set()
        client.max_inflight_messages_set(self._limit)
        client.reconnect_delay_set(min_delay=1, max_delay=15)
        client.on_connect = self._on_paho_connect
        client.on_subscribe = self._on_paho_subscribe
        client.on_disconnect = self._on_paho_disconnect
        client.on_message = self._on_paho_message
        client.on_publish = self._on_paho_publish
        return client

    # The following methods run in paho's thread.

    def _on_paho_connect(
        self, client: Client, _: Any, _flags: ConnectFlags, reason: ReasonCode, properties: Properties | None
    ) -> None:
        if not reason.is_failure:
            _, self._every_ack_mid = client.subscribe(EVERY_ACK, qos=1)
        receive_maximum = getattr(properties, "ReceiveMaximum", 65_535)
        self._enqueue(lambda: self._set_connected(reason, receive_maximum))

    def _on_paho_subscribe(
        self, _client: Client, _: Any, mid: int, reasons: list[ReasonCode], _properties: object
    ) -> None:
        refused = next((reason for reason in reasons if reason.is_failure), None)
        if mid == self._every_ack_mid:
            self._enqueue(lambda: self._set_listening(to_each=refused is not None))
        elif refused is not None:
            self._enqueue(lambda: log.warning("ack_subscription_refused", reason=str(refused)))

    def _on_paho_disconnect(
        self, _client: Client, _: Any, _flags: DisconnectFlags, reason: ReasonCode, _properties: object
    ) -> None:
        self._enqueue(lambda: self._set_disconnected(reason))

    def _on_paho_message(self, _client: Client, _: Any, message: MQTTMessage) -> None:
        device_id = device_id_in(message.topic)
        payload = bytes(message.payload)
        self._enqueue(lambda: self._on_ack(device_id, payload))

    def _on_paho_publish(
        self, _client: Client, _: Any, _mid: int, reason: ReasonCode, _properties: object
    ) -> None:
        self._confirmed += 1
        if reason.is_failure:
            self.refused += 1
            if self.refused == 1:
                self._enqueue(lambda: log.warning("publish_refused", reason=str(reason)))
        if not self._unconfirmed:
            self._enqueue(self._idle.set)
        if self._full and self._unconfirmed <= self._limit // 2:
            self._full = False
            self._enqueue(self._on_change)

    def _enqueue(self, action: Callable[[], None]) -> None:
        self._events.append(action)
        if not self._woken:
            self._woken = True
            self._loop.call_soon_threadsafe(self._run_events)

    # The following methods run in the event loop.

    def _run_events(self) -> None:
        self._woken = False
        while self._events:
            self._events.popleft()()

    def _set_connected(self, reason: ReasonCode, receive_maximum: int) -> None:
        if reason.is_failure and reason.value not in LOGIN_REFUSALS and reason.value != UNSUPPORTED_VERSION:
            log.warning("broker_not_ready", reason=str(reason))
            return
        if not self._connack.done():
            self._connack.set_result(reason)
        # An MQTT 5 broker disconnects a client that exceeds its receive maximum.
        self._limit = min(self._limit, receive_maximum)
        self.connected = not reason.is_failure
        self.connections += self.connected
        self._on_change()

    def _set_listening(self, *, to_each: bool) -> None:
        self._listens_to_each = to_each
        if to_each:
            self._listen_to(self._topics)
        self._listening.set()

    def _listen_to(self, topics: set[str]) -> None:
        """Subscribe to the acknowledgements of the loggers that these topics are of."""
        own = sorted({ack_topic(device_id_in(topic)) for topic in topics if device_id_in(topic)})
        for start in range(0, len(own), TOPICS_AT_ONCE):
            self._client.subscribe([(topic, 1) for topic in own[start : start + TOPICS_AT_ONCE]])

    def _set_disconnected(self, reason: ReasonCode) -> None:
        if self.connected:
            log.warning("broker_lost", reason=str(reason))
        self.connected = False
