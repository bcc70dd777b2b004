"""The fleet's one connection to the broker: publishes for all loggers, hears what the service acknowledges."""

import asyncio
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

from simulators.wire.topics import EVERY_ACK, device_id_in

log = structlog.get_logger(__name__)

UNSUPPORTED_VERSION = 0x84
NOT_LET_IN = {0x86: "user name or password is wrong", 0x87: "this account may not connect", 0x8A: "banned"}
OLD_PORT, TLS_PORT = 1883, 8883


class BrokerLoginRefusedError(Exception):
    """The broker is there and does not let this account in; its text says so to a person."""


class MqttPublisher:
    """Publishes with QoS 1 and so many messages under way at most; reconnects by itself, for as long as it takes.

    paho's thread only appends what it hears to a queue and wakes the event loop. What the service acknowledges goes to
    `on_ack(device_id, payload)`, and `on_change()` is called when there is room again or a connection again.
    `on_publish(topic, payload, retain)` is told of every message that is handed over.
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
        self._url = urlsplit(url)
        self._limit = limit
        self._on_ack = on_ack
        self._on_change = on_change
        self._on_publish = on_publish
        self._loop = asyncio.get_running_loop()
        self._heard: deque[Callable[[], None]] = deque()
        self._woken = False
        self._full = False
        self._idle = asyncio.Event()
        self._answered: asyncio.Future[ReasonCode] = self._loop.create_future()
        self._client = self._new_client(MQTTProtocolVersion.MQTTv5)

    def has_room(self) -> bool:
        """Whether a message may be published now; where it may not, `on_change` is called once it may."""
        # Set before counting: a confirmation in between then still leads to a call.
        self._full = True
        if self._under_way < self._limit:
            self._full = False
        return self.connected and not self._full

    @property
    def _under_way(self) -> int:
        # Each of the two is written by one thread only.
        return self.published - self._confirmed

    async def start(self) -> None:
        """Connect, waiting for the broker as long as it takes; one that refuses raises BrokerRefusedError."""
        reason = await self._connect()
        if reason.value == UNSUPPORTED_VERSION:
            log.info("broker_speaks_mqtt_3_only")
            await asyncio.to_thread(self._client.loop_stop)
            self._answered = self._loop.create_future()
            self._client = self._new_client(MQTTProtocolVersion.MQTTv311)
            reason = await self._connect()
        if reason.is_failure:
            await self.stop()
            why = NOT_LET_IN.get(reason.value, str(reason))
            raise BrokerLoginRefusedError(f"the broker at {self._url.hostname} refuses the connection: {why}")

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Hand a message to paho, which sends it again after a reconnection until the broker has it."""
        info = self._client.publish(topic, payload, qos=1, retain=retain)
        if info.rc in (MQTTErrorCode.MQTT_ERR_SUCCESS, MQTTErrorCode.MQTT_ERR_NO_CONN):
            self.published += 1
            if self._on_publish is not None:
                self._on_publish(topic, payload, retain)

    async def flushed(self) -> None:
        """Wait until the broker has confirmed all that was published."""
        self._idle.clear()
        if self._under_way:
            await self._idle.wait()

    async def stop(self) -> None:
        self.connected = False
        self._client.disconnect()
        await asyncio.to_thread(self._client.loop_stop)

    async def _connect(self) -> ReasonCode:
        tls = self._url.scheme == "mqtts"
        port = self._url.port or (TLS_PORT if tls else OLD_PORT)
        self._client.connect_async(self._url.hostname or "localhost", port, keepalive=30)
        self._client.loop_start()
        return await self._answered

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
        client.on_connect = self._hear_connected
        client.on_subscribe = self._hear_subscribed
        client.on_disconnect = self._hear_disconnected
        client.on_message = self._hear_message
        client.on_publish = self._hear_published
        return client

    # Called on paho's thread.

    def _hear_connected(
        self, client: Client, _: Any, _flags: ConnectFlags, reason: ReasonCode, properties: Properties | None
    ) -> None:
        if not reason.is_failure:
            client.subscribe(EVERY_ACK, qos=1)
        receive_maximum = getattr(properties, "ReceiveMaximum", 65_535)
        self._hear(lambda: self._be_connected(reason, receive_maximum))

    def _hear_subscribed(
        self, _client: Client, _: Any, _mid: int, reasons: list[ReasonCode], _properties: object
    ) -> None:
        if any(reason.is_failure for reason in reasons):
            self._hear(
                lambda: log.warning("acks_are_not_ours_to_hear", topic=EVERY_ACK, reason=str(reasons[0]))
            )

    def _hear_disconnected(
        self, _client: Client, _: Any, _flags: DisconnectFlags, reason: ReasonCode, _properties: object
    ) -> None:
        self._hear(lambda: self._be_disconnected(reason))

    def _hear_message(self, _client: Client, _: Any, message: MQTTMessage) -> None:
        device_id = device_id_in(message.topic)
        payload = bytes(message.payload)
        self._hear(lambda: self._on_ack(device_id, payload))

    def _hear_published(
        self, _client: Client, _: Any, _mid: int, reason: ReasonCode, _properties: object
    ) -> None:
        self._confirmed += 1
        if reason.is_failure:
            self.refused += 1
            if self.refused == 1:
                self._hear(lambda: log.warning("publish_refused", reason=str(reason)))
        if not self._under_way:
            self._hear(self._idle.set)
        if self._full and self._under_way <= self._limit // 2:
            self._full = False
            self._hear(self._on_change)

    def _hear(self, action: Callable[[], None]) -> None:
        self._heard.append(action)
        if not self._woken:
            self._woken = True
            self._loop.call_soon_threadsafe(self._attend)

    # Back on the event loop.

    def _attend(self) -> None:
        self._woken = False
        while self._heard:
            self._heard.popleft()()

    def _be_connected(self, reason: ReasonCode, receive_maximum: int) -> None:
        if reason.is_failure and reason.value not in NOT_LET_IN and reason.value != UNSUPPORTED_VERSION:
            log.warning("broker_not_ready", reason=str(reason))
            return
        if not self._answered.done():
            self._answered.set_result(reason)
        # With more than its maximum under way, an MQTT 5 broker hangs up.
        self._limit = min(self._limit, receive_maximum)
        self.connected = not reason.is_failure
        self.connections += self.connected
        self._on_change()

    def _be_disconnected(self, reason: ReasonCode) -> None:
        if self.connected:
            log.warning("broker_lost", reason=str(reason))
        self.connected = False
