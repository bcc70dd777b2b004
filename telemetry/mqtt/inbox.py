"""What has been received and is not committed yet: bounded, small messages apart from large ones."""

import asyncio
from collections import Counter, deque
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from telemetry import metrics
from telemetry.model import Message, Source
from telemetry.mqtt.connection import RECEIVE_MAXIMUM, Connection
from telemetry.mqtt.packets import Publish

BATCH_MESSAGES = 1000
BATCH_BYTES = 512 * 1024
MOST_MESSAGES = 2 * RECEIVE_MAXIMUM
MOST_BYTES = 48 * 2**20
SMALL_BYTES = 2 * 1024
"""What a logger sends that is under way. Larger messages are the past of one that was away, and can wait."""
LARGE_BYTES_BESIDE_LIVE = 256 * 1024
"""So much of the large ones makes a batch while there are small ones, which share processor and database with it."""
_LIVE_FOR = timedelta(seconds=1)
POURING_FOR = timedelta(milliseconds=20)
"""Large messages are still pouring in if the newest of them is no older,"""
POURING_AT_MOST = timedelta(milliseconds=500)
"""and the oldest that waits is no older than this,"""
POURING_BELOW = 0.8
"""and no larger part of what may be held is."""
READ_AGAIN_BELOW = 0.9
"""The part of what may be held below which a connection that was stopped reads again."""


class Lane(StrEnum):
    """Which messages: both lanes are stored beside each other, so that neither waits for the other."""

    SMALL = "small"
    LARGE = "large"


class Delivery(NamedTuple):
    """A message, and where and under which number its receipt is to be confirmed."""

    message: Message
    connection: Connection
    packet_id: int


class Inbox:
    """Deliveries on their way into the database; above its limits, connections stop reading.

    Where hundreds of loggers hand in a whole flight, live readings do not queue up behind it: small and large messages
    are taken apart from each other, and batches of large ones are short while there are small ones. A small message
    does not overtake a large one of its topic, and receipts are confirmed in the order of receipt (MQTT 5.0, 4.6).
    """

    def __init__(self) -> None:
        self._waiting: dict[Lane, deque[Delivery]] = {lane: deque() for lane in Lane}
        self._waiting_bytes: Counter[Lane] = Counter()
        self._large_of: Counter[str] = Counter()
        """How many messages of a topic in the large lane are not settled: its small ones must not overtake them."""
        self._live_until = datetime.min.replace(tzinfo=UTC)
        self._newest = self._live_until
        self._held: Counter[Connection] = Counter()
        self._unconfirmed: dict[Connection, deque[int]] = {}
        self._committed: dict[Connection, set[int]] = {}
        self._paused: set[Connection] = set()
        self._changed = asyncio.Event()
        self.messages = 0
        """Received and not settled, those that were taken included."""
        self.bytes = 0
        """Their payloads."""

    def full(self, lane: Lane) -> bool:
        """Tell whether as much waits as fits into a batch."""
        return len(self._waiting[lane]) >= BATCH_MESSAGES or self._waiting_bytes[lane] >= BATCH_BYTES

    def empty(self, lane: Lane) -> bool:
        """Tell whether nothing waits to be taken."""
        return not self._waiting[lane]

    @property
    def beside_live(self) -> bool:
        """Whether small messages were among what came in the last second."""
        return self._newest < self._live_until

    def pouring(self, now: datetime) -> bool:
        """Tell whether so many large messages are arriving that only small ones should be stored meanwhile."""
        large = self._waiting[Lane.LARGE]
        return (
            now < self._live_until
            and bool(large)
            and now < large[-1].message.received_at + POURING_FOR
            and now < large[0].message.received_at + POURING_AT_MOST
            and not self._above(POURING_BELOW)
        )

    @property
    def crowded(self) -> bool:
        """Whether more is held than should be; some of it must be settled before that is over."""
        return bool(self._paused) or self._above(1)

    def _above(self, part: float) -> bool:
        return self.messages > MOST_MESSAGES * part or self.bytes > MOST_BYTES * part

    def add(self, connection: Connection, publishes: Sequence[Publish], received_at: datetime) -> None:
        """Take in what arrived at once on a connection."""
        self._newest = received_at
        self._held[connection] += len(publishes)
        self.messages += len(publishes)
        for topic, packet_id, payload in publishes:
            delivery = Delivery(Message(Source.MQTT, topic, payload, received_at), connection, packet_id)
            lane = Lane.LARGE if len(payload) > SMALL_BYTES or topic in self._large_of else Lane.SMALL
            if lane is Lane.LARGE:
                self._large_of[topic] += 1
            else:
                self._live_until = received_at + _LIVE_FOR
            self._waiting[lane].append(delivery)
            self._waiting_bytes[lane] += len(payload)
            self.bytes += len(payload)
        self._unconfirmed.setdefault(connection, deque()).extend(
            packet_id for _, packet_id, _ in publishes if packet_id
        )
        if self._above(1):
            self._paused.add(connection)
            connection.pause()
        self._tell()

    def take(self, lane: Lane) -> list[Delivery]:
        """Give the next batch, which is empty only where nothing waits."""
        most = LARGE_BYTES_BESIDE_LIVE if lane is Lane.LARGE and self.beside_live else BATCH_BYTES
        waiting = self._waiting[lane]
        batch: list[Delivery] = []
        size = 0
        while waiting and len(batch) < BATCH_MESSAGES and size < most:
            batch.append(waiting.popleft())
            size += len(batch[-1].message.payload)
        self._waiting_bytes[lane] -= size
        return batch

    def settle(self, lane: Lane, batch: Sequence[Delivery]) -> dict[Connection, list[int]]:
        """Forget a batch that is committed, and give the receipts that can be confirmed now, in their order.

        Once some of what is allowed is free, connections read again.
        """
        if lane is Lane.LARGE:
            self._large_of -= Counter(
                delivery.message.origin for delivery in batch
            )  # which forgets those without any
        self.messages -= len(batch)
        self.bytes -= sum(len(delivery.message.payload) for delivery in batch)
        self._held -= Counter(
            delivery.connection for delivery in batch
        )  # which also forgets those with none left
        if not self._above(READ_AGAIN_BELOW):
            while self._paused:
                self._paused.pop().resume()
        self._tell()
        for _, connection, packet_id in batch:
            if packet_id:
                self._committed.setdefault(connection, set()).add(packet_id)
        return {connection: self._confirm(connection) for connection in {one.connection for one in batch}}

    def _confirm(self, connection: Connection) -> list[int]:
        """Take the packet ids up to the first that is not committed."""
        waiting = self._unconfirmed.get(connection, deque())
        committed = self._committed.get(connection, set())
        confirmed = []
        while waiting and waiting[0] in committed:
            confirmed.append(waiting.popleft())
            committed.remove(confirmed[-1])
        if not waiting:
            self._unconfirmed.pop(connection, None)
            self._committed.pop(connection, None)
        return confirmed

    async def settled(self, connection: Connection) -> None:
        """Wait until all that this connection brought is settled."""
        while self._held[connection]:
            await self.change()

    async def change(self) -> None:
        """Wait until something is added or settled."""
        self._changed.clear()
        await self._changed.wait()

    def _tell(self) -> None:
        metrics.UNACKNOWLEDGED.set(self.messages)
        metrics.UNACKNOWLEDGED_BYTES.set(self.bytes)
        self._changed.set()
