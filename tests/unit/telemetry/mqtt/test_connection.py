"""A connection to a broker, against a scripted peer."""

import asyncio
import contextlib
import struct
from datetime import UTC, datetime

import pytest
from paho.mqtt.enums import MQTTProtocolVersion

from telemetry.mqtt.connection import BrokerConnection, BrokerError, UnsupportedVersionError
from telemetry.mqtt.inbox import Inbox, Lane
from telemetry.mqtt.packets import Publish
from telemetry.mqtt.sessions import drain_session

CONNECT, SUBSCRIBE, UNSUBSCRIBE, PUBACK, DISCONNECT = 0x10, 0x82, 0xA2, 0x40, 0xE0


def publish(packet_id, payload=b"{}"):
    body = struct.pack("!H", 1) + b"t" + struct.pack("!H", packet_id) + b"\x00" + payload
    length, rest = b"", len(body)
    while rest > 127:
        length, rest = length + bytes([rest % 128 | 128]), rest // 128
    return b"\x32" + length + bytes([rest]) + body


class Peer:
    """A scripted broker that accepts or refuses connections and subscriptions, and records all other packets.

    `redelivered` is sent before a subscription is granted; `queued` has the packets to send after each acknowledgement.
    """

    def __init__(self, *, connack=0, suback=1, redelivered=b"", queued=()):
        self.packets = asyncio.Queue()
        self.writers = []
        self._connack, self._suback = connack, suback
        self._redelivered, self._queued = redelivered, list(queued)

    async def serve(self, reader, writer):
        self.writers.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                kind, size = await reader.readexactly(2)
                body = await reader.readexactly(size)
                if kind == CONNECT:
                    writer.write(bytes([0x20, 3, 0, self._connack, 0]))
                elif kind == UNSUBSCRIBE:
                    writer.write(bytes([0xB0, 4]) + body[:2] + bytes([0, 0]))
                elif kind == PUBACK and self._queued:
                    writer.write(self._queued.pop(0))
                elif kind == SUBSCRIBE:
                    writer.write(self._redelivered + bytes([0x90, 4]) + body[:2] + bytes([0, self._suback]))
                else:
                    self.packets.put_nowait((kind, body))
        writer.close()

    def send(self, data):
        self.writers[-1].write(data)

    def hang_up(self):
        self.writers[-1].close()

    async def packet(self):
        return await asyncio.wait_for(self.packets.get(), 5)


@contextlib.asynccontextmanager
async def peer(**behaviour):
    one = Peer(**behaviour)
    server = await asyncio.start_server(one.serve, "127.0.0.1", 0)
    one.url = f"mqtt://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield one
    finally:
        server.close()
        for writer in one.writers:
            writer.close()


class Owner:
    """The owner of connections: it records which messages each of them delivers."""

    def __init__(self):
        self.delivered = asyncio.Queue()

    def deliver(self, connection, publishes):
        for one in publishes:
            self.delivered.put_nowait((connection, one))

    async def connect(self, url, protocol=MQTTProtocolVersion.MQTTv5):
        return await BrokerConnection.open(url, client_id="one", protocol=protocol, deliver=self.deliver)

    async def message(self):
        return await asyncio.wait_for(self.delivered.get(), 5)


async def ended(connection):
    return await asyncio.wait_for(asyncio.shield(connection.closed), 5)


async def test_messages_are_delivered_and_acknowledged_in_order():
    async with peer() as broker:
        owner = Owner()
        connection = await owner.connect(broker.url)
        await connection.subscribe(["t"])
        broker.send(publish(1, b"a") + publish(2, b"b"))
        assert [(await owner.message())[1] for _ in range(2)] == [
            Publish("t", 1, b"a"),
            Publish("t", 2, b"b"),
        ]
        connection.acknowledge([1, 2])
        assert [await broker.packet() for _ in range(2)] == [(PUBACK, b"\x00\x01"), (PUBACK, b"\x00\x02")]
        connection.close()
        assert (await broker.packet())[0] == DISCONNECT


async def test_a_message_may_come_in_pieces():
    async with peer() as broker:
        owner = Owner()
        connection = await owner.connect(broker.url)
        whole = publish(7, b"in pieces")
        for byte in whole:
            broker.send(bytes([byte]))
            await broker.writers[-1].drain()
        assert (await owner.message())[1] == Publish("t", 7, b"in pieces")
        connection.close()


async def test_an_acknowledgement_never_reaches_a_later_connection():
    async with peer() as broker:
        owner = Owner()
        first = await owner.connect(broker.url)
        broker.send(publish(1, b"of the first"))
        brought_by, _ = await owner.message()
        assert brought_by is first
        broker.hang_up()
        await ended(first)
        second = await owner.connect(broker.url)
        broker.send(publish(1, b"of the second"))
        assert (await owner.message())[0] is second
        first.acknowledge([1])
        second.acknowledge([9])
        assert await broker.packet() == (PUBACK, b"\x00\x09")
        second.close()


async def test_an_error_of_our_own_ends_the_connection_and_reaches_its_owner():
    def fail(_connection, _publishes):
        raise ZeroDivisionError

    async with peer() as broker:
        connection = await BrokerConnection.open(
            broker.url, client_id="one", protocol=MQTTProtocolVersion.MQTTv5, deliver=fail
        )
        broker.send(publish(1))
        with pytest.raises(ZeroDivisionError):
            await ended(connection)
        connection.close()


async def test_a_paused_connection_leaves_what_comes_at_the_broker():
    async with peer() as broker:
        owner = Owner()
        connection = await owner.connect(broker.url)
        connection.pause()
        broker.send(publish(1))
        await broker.writers[-1].drain()
        connection.acknowledge([5])  # writing goes on
        assert (await broker.packet())[0] == PUBACK
        assert owner.delivered.empty()
        connection.resume()
        assert (await owner.message())[1].packet_id == 1
        connection.close()


async def test_a_broker_that_does_not_let_us_in():
    async with peer(connack=0x87) as broker:
        with pytest.raises(BrokerError, match="refuses the connection: Not authorized"):
            await Owner().connect(broker.url)


async def test_a_broker_that_does_not_let_us_listen():
    async with peer(suback=0x87) as broker:
        connection = await Owner().connect(broker.url)
        with pytest.raises(BrokerError, match="refuses the subscription to t: Not authorized"):
            await connection.subscribe(["t"])
        connection.close()


async def test_a_broker_of_another_version():
    async with peer(connack=0x84) as broker:
        with pytest.raises(UnsupportedVersionError):
            await Owner().connect(broker.url)


async def test_nobody_there():
    async with peer() as broker:
        url = broker.url
    with pytest.raises(BrokerError, match="cannot be reached"):
        await Owner().connect(url)


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"\xe0\x02\x8e\x00", "Session taken over"), (b"\x32\x05\x00\x09topi", "Unspecified error")],
)
async def test_a_broker_that_ends_it(data, reason):
    async with peer() as broker:
        connection = await Owner().connect(broker.url)
        broker.send(data)
        assert await ended(connection) == reason
        assert not connection.may_publish()
        connection.acknowledge([1])  # goes nowhere
        connection.close()


async def test_a_subscription_on_a_connection_that_has_ended():
    async with peer() as broker:
        connection = await Owner().connect(broker.url)
        broker.hang_up()
        await ended(connection)
        with pytest.raises(BrokerError):
            await connection.subscribe(["t"])


class Keeper(Owner):
    """An owner that keeps what is delivered in an inbox, and stores it on request."""

    def __init__(self):
        super().__init__()
        self.inbox = Inbox()

    def deliver(self, connection, publishes):
        super().deliver(connection, publishes)
        self.inbox.add(connection, publishes, datetime.now(UTC))

    def store(self):
        for lane in Lane:
            batch = self.inbox.take(lane)
            for delivery in batch:
                delivery.connection.acknowledge([delivery.packet_id])
            self.inbox.complete(lane, batch)


async def test_an_answer_behind_more_messages_than_are_held_is_waited_for(monkeypatch):
    """To give up would make the broker send all of them again, forever, as it once did after a database outage."""
    monkeypatch.setattr("telemetry.mqtt.connection.ANSWER_TIMEOUT_S", 0.5)
    monkeypatch.setattr("telemetry.mqtt.inbox.MAX_HELD_MESSAGES", 4)
    count, size = 12, 50_000  # more than is read at once, so that the answer stays at the broker
    async with peer(redelivered=b"".join(publish(n + 1, b"x" * size) for n in range(count))) as broker:
        keeper = Keeper()
        connection = await keeper.connect(broker.url)
        subscribing = asyncio.ensure_future(connection.subscribe(["t"]))
        while not connection.paused:
            await keeper.inbox.wait_for_change()
        # The database is away for longer than any other answer is waited for: nothing is stored, nothing given up.
        given_up, _ = await asyncio.wait(
            [subscribing, connection.closed], timeout=0.8, return_when=asyncio.FIRST_COMPLETED
        )
        assert not given_up
        while not subscribing.done():
            keeper.store()
            await asyncio.wait([subscribing], timeout=0.01)
        await subscribing
        keeper.store()
        acknowledged = [await broker.packet() for _ in range(count)]
        assert acknowledged == [(PUBACK, struct.pack("!H", n + 1)) for n in range(count)]
        assert len(broker.writers) == 1
        connection.close()


async def test_a_session_is_empty_only_when_a_slow_broker_says_so(monkeypatch):
    monkeypatch.setattr("telemetry.mqtt.sessions.QUIET_S", 0)
    async with peer(queued=[publish(n) for n in range(2, 8)]) as broker:
        keeper = Keeper()
        connection = await keeper.connect(broker.url)
        broker.send(publish(1))
        await keeper.message()
        emptying = asyncio.ensure_future(drain_session(connection, ["t"], keeper.inbox))
        while not emptying.done():
            keeper.store()
            await asyncio.sleep(0)
        await emptying
        assert connection.received == 7
        connection.close()


async def test_a_connection_that_ends_while_its_session_is_emptied(monkeypatch):
    monkeypatch.setattr("telemetry.mqtt.sessions.QUIET_S", 0)
    async with peer() as broker:
        keeper = Keeper()
        connection = await keeper.connect(broker.url)
        broker.send(publish(1))
        await keeper.message()
        emptying = asyncio.ensure_future(drain_session(connection, ["t"], keeper.inbox))
        broker.hang_up()
        await ended(connection)
        keeper.store()
        with pytest.raises(BrokerError):
            await emptying
