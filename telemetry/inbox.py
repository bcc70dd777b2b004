"""What has been received and is not committed yet: bounded, small messages before large ones that came earlier."""

import asyncio
from collections import Counter, deque
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from telemetry import metrics
from telemetry.broker import RECEIVE_MAXIMUM, Connection
from telemetry.frames import Publish
from telemetry.model import Message, Source

BATCH_MESSAGES = 1000
BATCH_BYTES = 512 * 1024
MOST_MESSAGES = 2 * RECEIVE_MAXIMUM
MOST_BYTES = 48 * 2**20
SMALL_BYTES = 2 * 1024
"""What a logger sends that is under way. Larger messages are the past of one that was away, and can wait."""
LARGE_BYTES_BESIDE_LIVE = 96 * 1024
"""So much of the large ones makes a batch while there are small ones, which wait for no more than that."""
_LIVE_FOR = timedelta(seconds=1)
READ_AGAIN_BELOW = 0.9
"""The part of what may be held below which a connection that was stopped reads again."""


class Delivery(NamedTuple):
    """A message, and where and under which number its receipt is to be confirmed."""

    message: Message
    connection: Connection
    packet_id: int


class Inbox:
    """Deliveries on their way into the database; above its limits, connections stop reading.

    Where hundreds of loggers hand in a whole flight, live readings do not queue up behind it: every other batch is of
    small messages, and those of large ones are short. Messages of one topic keep their order, and receipts are
    confirmed in the order of receipt (MQTT 5.0, 4.6).
    """

    def __init__(self) -> None:
        self._small: deque[Delivery] = deque()
        self._large: deque[Delivery] = deque()
        self._large_of: Counter[str] = Counter()
        """How many large messages of a topic wait: its small ones must not overtake them."""
        self._large_next = False
        self._live_until = datetime.min.replace(tzinfo=UTC)
        self._newest = self._live_until
        self._waiting_bytes = 0
        self._held: Counter[Connection] = Counter()
        self._unconfirmed: dict[Connection, deque[int]] = {}
        self._committed: dict[Connection, set[int]] = {}
        self._paused: set[Connection] = set()
        self._changed = asyncio.Event()
        self.messages = 0
        """Received and not settled, those that were taken included."""
        self.bytes = 0
        """Their payloads."""

    @property
    def full(self) -> bool:
        """Whether as much waits as fits into a batch."""
        return len(self._small) + len(self._large) >= BATCH_MESSAGES or self._waiting_bytes >= BATCH_BYTES

    @property
    def empty(self) -> bool:
        """Whether nothing waits to be taken."""
        return not (self._small or self._large)

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
            if len(payload) > SMALL_BYTES or topic in self._large_of:
                self._large.append(delivery)
                self._large_of[topic] += 1
            else:
                self._small.append(delivery)
                self._live_until = received_at + _LIVE_FOR
            self._waiting_bytes += len(payload)
            self.bytes += len(payload)
        self._unconfirmed.setdefault(connection, deque()).extend(
            packet_id for _, packet_id, _ in publishes if packet_id
        )
        if self._above(1):
            self._paused.add(connection)
            connection.pause()
        self._tell()

    def take(self) -> list[Delivery]:
        """Give the next batch, which is empty only where nothing waits."""
        large = bool(self._large) and (self._large_next or not self._small)
        lane = self._large if large else self._small
        most = LARGE_BYTES_BESIDE_LIVE if large and self._newest < self._live_until else BATCH_BYTES
        self._large_next = not large
        batch: list[Delivery] = []
        size = 0
        while lane and len(batch) < BATCH_MESSAGES and size < most:
            batch.append(lane.popleft())
            size += len(batch[-1].message.payload)
            if large:
                self._forget_large(batch[-1].message.origin)
        self._waiting_bytes -= size
        return batch

    def _forget_large(self, topic: str) -> None:
        self._large_of[topic] -= 1
        if not self._large_of[topic]:
            del self._large_of[topic]

    def settle(self, batch: Sequence[Delivery]) -> dict[Connection, list[int]]:
        """Forget a batch that is committed, and give the receipts that can be confirmed now, in their order.

        Once some of what is allowed is free, connections read again.
        """
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
