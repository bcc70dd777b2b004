"""What has been received and is not committed yet: bounded, in the order of receipt."""

import asyncio
from collections import Counter, deque
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from telemetry import metrics
from telemetry.broker import RECEIVE_MAXIMUM, Connection
from telemetry.frames import Publish
from telemetry.model import Message, Source

BATCH_MESSAGES = 1000
BATCH_BYTES = 512 * 1024
MOST_MESSAGES = 2 * RECEIVE_MAXIMUM
MOST_BYTES = 32 * 2**20


class Delivery(NamedTuple):
    """A message, and where and under which number its receipt is to be confirmed."""

    message: Message
    connection: Connection
    packet_id: int


class Inbox:
    """Deliveries on their way into the database; above its limits, connections stop reading."""

    def __init__(self) -> None:
        self._waiting: deque[Delivery] = deque()
        self._waiting_bytes = 0
        self._held: Counter[Connection] = Counter()
        self._paused: set[Connection] = set()
        self._changed = asyncio.Event()
        self.messages = 0
        """Received and not settled, those that were taken included."""
        self.bytes = 0
        """Their payloads."""

    @property
    def full(self) -> bool:
        """Whether as much waits as fits into a batch."""
        return len(self._waiting) >= BATCH_MESSAGES or self._waiting_bytes >= BATCH_BYTES

    @property
    def empty(self) -> bool:
        """Whether nothing waits to be taken."""
        return not self._waiting

    @property
    def crowded(self) -> bool:
        """Whether more is held than should be; half of it must be settled before that is over."""
        return bool(self._paused) or self._above(1)

    def _above(self, part: float) -> bool:
        return self.messages > MOST_MESSAGES * part or self.bytes > MOST_BYTES * part

    def add(self, connection: Connection, publishes: Sequence[Publish], received_at: datetime) -> None:
        """Take in what arrived at once on a connection."""
        self._held[connection] += len(publishes)
        self.messages += len(publishes)
        for topic, packet_id, payload in publishes:
            message = Message(Source.MQTT, topic, payload, received_at)
            self._waiting.append(Delivery(message, connection, packet_id))
            self._waiting_bytes += len(payload)
            self.bytes += len(payload)
        if self._above(1):
            self._paused.add(connection)
            connection.pause()
        self._tell()

    def take(self) -> list[Delivery]:
        """Give the next batch, which is empty only where nothing waits."""
        batch: list[Delivery] = []
        size = 0
        while self._waiting and len(batch) < BATCH_MESSAGES and size < BATCH_BYTES:
            batch.append(self._waiting.popleft())
            size += len(batch[-1].message.payload)
        self._waiting_bytes -= size
        return batch

    def settle(self, batch: Sequence[Delivery]) -> None:
        """Forget a batch that is committed; once half of what is allowed is free, connections read again."""
        self.messages -= len(batch)
        self.bytes -= sum(len(delivery.message.payload) for delivery in batch)
        self._held -= Counter(
            delivery.connection for delivery in batch
        )  # which also forgets those with none left
        if not self._above(0.5):
            while self._paused:
                self._paused.pop().resume()
        self._tell()

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
