"""A connection to the broker: paho's protocol on our own event loop, without a thread that could die unnoticed."""

import asyncio
import socket
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Self, TypeAlias, TypeVar
from urllib.parse import unquote, urlsplit

import structlog
from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from telemetry.mqtt.packet_socket import PacketSocket
from telemetry.mqtt.packets import Publish, encode_pubacks

log = structlog.get_logger(__name__)

T = TypeVar("T")
DeliverCallback: TypeAlias = Callable[["BrokerConnection", list[Publish]], None]

RECEIVE_MAXIMUM = 10_000
"""Unacknowledged messages that the broker may send us; some brokers exceed it."""
MAX_PACKET_BYTES = 4 * 2**20
KEEPALIVE_S = 15  # a broker that is silent is noticed after twice that
ANSWER_TIMEOUT_S = 10.0
_NEVER_EXPIRES = 0xFFFFFFFF
_MAX_INFLIGHT = 100
_TICK_S = 1.0
_UNSUPPORTED_VERSION = 0x84
_MQTT_PORT, _MQTTS_PORT = 1883, 8883


class BrokerError(Exception):
    """The broker cannot be reached or refuses us; trying again later may help."""


class UnsupportedVersionError(BrokerError):
    """The broker does not speak this version of MQTT."""


class _Client(Client):
    """paho's client, with its socket replaced by a PacketSocket."""

    packet_socket: PacketSocket

    def _create_socket(self) -> PacketSocket:
        inner: Any = super()._create_socket()
        inner.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.packet_socket = PacketSocket(inner, properties=self.protocol == MQTTProtocolVersion.MQTTv5)
        return self.packet_socket


class BrokerConnection:
    """One connection to the broker, from its start to its end; a reconnection is another object.

    Acknowledgements go through the connection that brought the message. Once that has ended they are dropped, because
    on the next connection the same packet id may belong to another message.
    """

    def __init__(self, client: _Client, deliver: DeliverCallback) -> None:
        self._loop = asyncio.get_running_loop()
        self._client = client
        self._socket = client.packet_socket
        self._fileno = self._socket.fileno()
        self._deliver = deliver
        self._connack: asyncio.Future[tuple[ReasonCode, Properties | None]] = self._loop.create_future()
        self._answers: dict[int, asyncio.Future[list[ReasonCode]]] = {}
        self._max_inflight = _MAX_INFLIGHT
        self._inflight = 0
        self.paused = False
        self.received = 0
        """The number of messages delivered so far."""
        self.session_present = False
        """Whether the broker had kept our session."""
        self.closed: asyncio.Future[str] = self._loop.create_future()
        """Set to the reason once the connection has ended; to an exception if our own code failed."""
        client.on_connect = self._on_connack
        client.on_subscribe = client.on_unsubscribe = self._on_answer
        client.on_publish = self._on_puback
        client.on_disconnect = self._on_disconnect
        client.on_socket_close = self._detach
        client.on_socket_register_write = self._schedule_io
        self._timer = self._loop.call_later(_TICK_S, self._run_timers)
        self.resume()
        self._do_io()

    @classmethod
    async def open(
        cls, url: str, *, client_id: str, protocol: MQTTProtocolVersion, deliver: DeliverCallback
    ) -> Self:
        """Connect, and resume the session of `client_id`, which never expires; raises BrokerError.

        `deliver` is called with the messages that have arrived; it must not block.
        """
        client, connect = _prepare(url, client_id, protocol)
        connecting = asyncio.ensure_future(asyncio.to_thread(connect))
        try:
            await asyncio.shield(connecting)
        except OSError as error:
            raise BrokerError(f"cannot be reached: {error}") from error
        except asyncio.CancelledError:
            # paho gives up after some seconds; it must not leave a socket behind.
            await asyncio.wait([connecting])
            client.disconnect()
            raise
        connection = cls(client, deliver)
        try:
            reason, properties = await connection._wait_for(connection._connack, timeout_s=ANSWER_TIMEOUT_S)
        except BaseException:
            connection.close()
            raise
        if reason.is_failure:
            connection.close()
            refused = UnsupportedVersionError if reason.value == _UNSUPPORTED_VERSION else BrokerError
            raise refused(f"refuses the connection: {reason}")
        connection._max_inflight = min(_MAX_INFLIGHT, getattr(properties, "ReceiveMaximum", _MAX_INFLIGHT))
        return connection

    async def subscribe(
        self,
        topics: Sequence[str],
        *,
        qos: int = 1,
        always_retained: bool = False,
        never_retained: Collection[str] = (),
    ) -> None:
        """Subscribe; unless `always_retained`, retained messages are sent only for new subscriptions. Raises BrokerError.

        Those on topics `never_retained` are not sent, where the broker speaks MQTT 5.
        """
        if self._client.protocol == MQTTProtocolVersion.MQTTv5:
            if_new = SubscribeOptions.RETAIN_SEND_IF_NEW_SUB
            retain = SubscribeOptions.RETAIN_SEND_ON_SUBSCRIBE if always_retained else if_new
            never = SubscribeOptions.RETAIN_DO_NOT_SEND
            options = [
                SubscribeOptions(qos=qos, retainHandling=never if topic in never_retained else retain)
                for topic in topics
            ]
            _, mid = self._client.subscribe(list(zip(topics, options, strict=True)))
        else:
            _, mid = self._client.subscribe([(topic, qos) for topic in topics])
        for topic, reason in zip(topics, await self._answer(mid), strict=False):
            if reason.is_failure:
                raise BrokerError(f"refuses the subscription to {topic}: {reason}")

    async def unsubscribe(self, topics: Sequence[str]) -> None:
        """Unsubscribe from new messages; those that the broker holds for us still come. Raises BrokerError."""
        _, mid = self._client.unsubscribe(list(topics))
        await self._answer(mid)

    def acknowledge(self, packet_ids: Sequence[int]) -> None:
        """Acknowledge messages, in the order in which they arrived."""
        if packet_ids and not self.closed.done():
            self._socket.send(encode_pubacks(packet_ids))
            self._do_io()

    def may_publish(self) -> bool:
        """Return whether the broker has confirmed enough of the earlier publications."""
        return not self.closed.done() and self._inflight < self._max_inflight

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Publish with QoS 1."""
        self._inflight += 1
        self._client.publish(topic, payload, qos=1, retain=retain)

    def pause(self) -> None:
        """Stop reading; the broker then disconnects after a while, and keeps the messages for the next connection."""
        self.paused = True
        self._loop.remove_reader(self._fileno)

    def resume(self) -> None:
        """Resume reading."""
        self.paused = False
        if not self.closed.done():
            self._loop.add_reader(self._fileno, self._read)

    def close(self, *, end_session: bool = False) -> None:
        """Disconnect; `end_session` makes the broker discard the session and what it holds (MQTT 5)."""
        properties = None
        if end_session and self._client.protocol == MQTTProtocolVersion.MQTTv5:
            properties = Properties(PacketTypes.DISCONNECT)  # type: ignore[no-untyped-call]  # paho's own
            properties.SessionExpiryInterval = 0
        self._client.disconnect(properties=properties)
        self._do_io()

    async def _answer(self, mid: int | None) -> list[ReasonCode]:
        if mid is None:
            raise BrokerError("ended the connection")
        answer = self._answers[mid] = self._loop.create_future()
        # No timeout: the answer comes after all messages that the broker was sending, and to give up while these are
        # being stored would make it send all of them again. The keepalive ends a dead connection.
        return await self._wait_for(answer)

    async def _wait_for(self, answer: asyncio.Future[T], *, timeout_s: float | None = None) -> T:
        either: list[asyncio.Future[Any]] = [answer, self.closed]
        await asyncio.wait(either, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            return answer.result()
        if self.closed.done():
            raise BrokerError(f"ended the connection: {self.closed.result()}")
        raise BrokerError(f"did not answer within {timeout_s:.0f} s")

    # Callbacks of the event loop.

    def _read(self) -> None:
        with self._ending_on_error():
            publishes = self._socket.receive()
            if publishes:
                self.received += len(publishes)
                self._deliver(self, publishes)
        self._do_io()

    def _do_io(self) -> None:
        """Let paho write, flush the socket, and let paho read its packets."""
        with self._ending_on_error():
            if self._client.want_write():
                self._client.loop_write()
            self._socket.flush()
            while self._socket.has_packets_for_paho and not self.closed.done():
                self._client.loop_read()
        if self.closed.done():
            return
        if self._socket.has_unsent:
            self._loop.add_writer(self._fileno, self._do_io)
        else:
            self._loop.remove_writer(self._fileno)

    def _schedule_io(self, *_: object) -> None:
        self._loop.call_soon(self._do_io)

    def _run_timers(self) -> None:
        with self._ending_on_error():
            self._client.loop_misc()
        if not self.closed.done():
            self._timer = self._loop.call_later(_TICK_S, self._run_timers)

    @contextmanager
    def _ending_on_error(self) -> Iterator[None]:
        """End the connection with whatever our own code raises; the owner sees it in `closed`, and stops."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 -- handed on as it is
            self._detach()
            if not self.closed.done():
                self.closed.set_exception(error)
            self._socket.close()

    # Callbacks of paho, called from within the above.

    def _on_connack(
        self, _client: Client, _: Any, flags: ConnectFlags, reason: ReasonCode, properties: Properties | None
    ) -> None:
        self.session_present = flags.session_present
        if not self._connack.done():
            self._connack.set_result((reason, properties))

    def _on_answer(
        self, _client: Client, _: Any, mid: int, reasons: list[ReasonCode], _properties: Properties | None
    ) -> None:
        answer = self._answers.pop(mid, None)
        if answer is not None and not answer.done():
            answer.set_result(reasons)

    def _on_puback(
        self, _client: Client, _: Any, _mid: int, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        self._inflight -= 1
        if reason.is_failure:
            log.warning("ack_refused", reason=str(reason), hint="may the service publish dewar/v1/+/ack?")

    def _on_disconnect(
        self, _client: Client, _: Any, _flags: DisconnectFlags, reason: ReasonCode, _properties: object
    ) -> None:
        if not self.closed.done():
            self.closed.set_result(str(reason))

    def _detach(self, *_: object) -> None:
        self._timer.cancel()
        self._loop.remove_reader(self._fileno)
        self._loop.remove_writer(self._fileno)


def _prepare(
    url: str, client_id: str, protocol: MQTTProtocolVersion
) -> tuple[_Client, Callable[[], MQTTErrorCode]]:
    """Create a client, and the blocking call that connects it."""
    parts = urlsplit(url)
    version_5 = protocol == MQTTProtocolVersion.MQTTv5
    client = _Client(
        CallbackAPIVersion.VERSION2,
        client_id=client_id,
        clean_session=None if version_5 else False,
        protocol=protocol,
        reconnect_on_failure=False,
        manual_ack=True,
    )
    if parts.username is not None:
        client.username_pw_set(unquote(parts.username), unquote(parts.password or ""))
    if parts.scheme == "mqtts":
        client.tls_set()
    client.max_inflight_messages = _MAX_INFLIGHT
    port = parts.port or (_MQTTS_PORT if parts.scheme == "mqtts" else _MQTT_PORT)
    connect = partial(client.connect, parts.hostname or "", port, KEEPALIVE_S)
    if not version_5:
        return client, connect
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho's own
    properties.SessionExpiryInterval = _NEVER_EXPIRES
    properties.ReceiveMaximum = RECEIVE_MAXIMUM
    properties.MaximumPacketSize = MAX_PACKET_BYTES
    return client, partial(connect, clean_start=False, properties=properties)
