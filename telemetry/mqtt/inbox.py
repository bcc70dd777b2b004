"""The messages received from the broker and not yet committed: bounded, with small messages apart from large ones."""

import asyncio
from collections import Counter, deque
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from telemetry import metrics
from telemetry.model import RawMessage, Source
from telemetry.mqtt.connection import RECEIVE_MAXIMUM, BrokerConnection
from telemetry.mqtt.packets import Publish

BATCH_MESSAGES = 1000
BATCH_BYTES = 512 * 1024
MAX_HELD_MESSAGES = 2 * RECEIVE_MAXIMUM
MAX_HELD_BYTES = 48 * 2**20
MAX_SMALL_BYTES = 2 * 1024
"""The largest payload in the small lane. Loggers under way send such messages. Larger ones are backlog and can wait."""
LARGE_BATCH_BYTES_BESIDE_LIVE = 256 * 1024
"""The limit of a batch of large messages during live traffic, which shares the processor and the database with it."""
_LIVE_FOR = timedelta(seconds=1)
BACKLOG_MAX_PAUSE = timedelta(milliseconds=20)
"""Backlog counts as still arriving if the newest large message is no older than this,"""
BACKLOG_MAX_WAIT = timedelta(milliseconds=500)
"""the oldest one that waits is no older than this,"""
BACKLOG_MAX_FILL = 0.8
"""and the inbox is no fuller than this part of its limits."""
RESUME_BELOW = 0.9
"""The part of the limits below which paused connections read again."""


class Lane(StrEnum):
    """The queues of the inbox: they are stored in parallel, so that neither waits for the other."""

    SMALL = "small"
    LARGE = "large"


class QueuedMessage(NamedTuple):
    """A message, the connection that brought it, and its packet id, which is 0 if no receipt is expected."""

    message: RawMessage
    connection: BrokerConnection
    packet_id: int


class Inbox:
    """Messages on their way into the database; above the limits of the inbox, connections stop reading.

    Live readings do not queue up behind hundreds of loggers that upload a whole flight: small and large messages are
    batched separately, and batches of large ones are short during live traffic. A small message never overtakes a
    large one on its topic, and receipts are confirmed in the order of receipt (MQTT 5.0, 4.6).
    """

    def __init__(self) -> None:
        self._waiting: dict[Lane, deque[QueuedMessage]] = {lane: deque() for lane in Lane}
        self._waiting_bytes: Counter[Lane] = Counter()
        self._large_of: Counter[str] = Counter()
        """Messages in the large lane, by topic, that are not completed: small ones must not overtake them."""
        self._live_until = datetime.min.replace(tzinfo=UTC)
        self._newest = self._live_until
        self._held: Counter[BrokerConnection] = Counter()
        self._unconfirmed: dict[BrokerConnection, deque[int]] = {}
        self._committed: dict[BrokerConnection, set[int]] = {}
        self._paused: set[BrokerConnection] = set()
        self._changed = asyncio.Event()
        self.messages = 0
        """Messages received and not completed, including those taken in a batch."""
        self.bytes = 0
        """The bytes of their payloads."""

    def has_full_batch(self, lane: Lane) -> bool:
        """Return whether enough messages wait to fill a batch."""
        return len(self._waiting[lane]) >= BATCH_MESSAGES or self._waiting_bytes[lane] >= BATCH_BYTES

    def is_empty(self, lane: Lane) -> bool:
        """Return whether no message waits to be taken."""
        return not self._waiting[lane]

    @property
    def has_live_traffic(self) -> bool:
        """Whether small messages arrived within the last second."""
        return self._newest < self._live_until

    def backlog_is_arriving(self, now: datetime) -> bool:
        """Return whether so many large messages are arriving that only small ones should be stored meanwhile."""
        large = self._waiting[Lane.LARGE]
        return (
            now < self._live_until
            and bool(large)
            and now < large[-1].message.received_at + BACKLOG_MAX_PAUSE
            and now < large[0].message.received_at + BACKLOG_MAX_WAIT
            and not self._is_above(BACKLOG_MAX_FILL)
        )

    @property
    def is_over_limit(self) -> bool:
        """Whether more is held than is allowed, or connections are still paused because it was."""
        return bool(self._paused) or self._is_above(1)

    def _is_above(self, part: float) -> bool:
        return self.messages > MAX_HELD_MESSAGES * part or self.bytes > MAX_HELD_BYTES * part

    def add(
        self,
        connection: BrokerConnection,
        publishes: Sequence[Publish],
        received_at: datetime,
        unwanted: Collection[str] = (),
        *,
        clock_is_sure: bool = True,
    ) -> list[int]:
        """Add messages that arrived together on a connection, but for those on unwanted topics.

        Returns the receipts that can be confirmed now: of unwanted messages, in the order of receipt as all others.
        """
        self._newest = received_at
        wanted = [publish for publish in publishes if publish.topic not in unwanted]
        self._held[connection] += len(wanted)
        self.messages += len(wanted)
        for topic, packet_id, payload, is_replayed in wanted:
            message = RawMessage(Source.MQTT, topic, payload, received_at, clock_is_sure, is_replayed)
            queued = QueuedMessage(message, connection, packet_id)
            lane = Lane.LARGE if len(payload) > MAX_SMALL_BYTES or topic in self._large_of else Lane.SMALL
            if lane is Lane.LARGE:
                self._large_of[topic] += 1
            else:
                self._live_until = received_at + _LIVE_FOR
            self._waiting[lane].append(queued)
            self._waiting_bytes[lane] += len(payload)
            self.bytes += len(payload)
        self._unconfirmed.setdefault(connection, deque()).extend(
            publish.packet_id for publish in publishes if publish.packet_id
        )
        if self._is_above(1):
            self._paused.add(connection)
            connection.pause()
        self._notify()
        if len(wanted) == len(publishes):
            return []
        metrics.DISCARDED.inc(len(publishes) - len(wanted))
        self._committed.setdefault(connection, set()).update(
            publish.packet_id for publish in publishes if publish.packet_id and publish.topic in unwanted
        )
        return self._confirm(connection)

    def discard(self, unwanted: Collection[str]) -> dict[BrokerConnection, list[int]]:
        """Remove all messages on unwanted topics that wait to be taken; return receipts as `complete` does."""
        confirmed: dict[BrokerConnection, list[int]] = {}
        for lane, waiting in self._waiting.items():
            found = [queued for queued in waiting if queued.message.origin in unwanted]
            self._waiting[lane] = deque(queued for queued in waiting if queued.message.origin not in unwanted)
            self._waiting_bytes[lane] -= sum(len(queued.message.payload) for queued in found)
            metrics.DISCARDED.inc(len(found))
            for connection, packet_ids in self.complete(lane, found).items():
                confirmed.setdefault(connection, []).extend(packet_ids)
        return confirmed

    def take(self, lane: Lane) -> list[QueuedMessage]:
        """Take the next batch; it is empty only if nothing waits."""
        limit = LARGE_BATCH_BYTES_BESIDE_LIVE if lane is Lane.LARGE and self.has_live_traffic else BATCH_BYTES
        waiting = self._waiting[lane]
        batch: list[QueuedMessage] = []
        size = 0
        while waiting and len(batch) < BATCH_MESSAGES and size < limit:
            batch.append(waiting.popleft())
            size += len(batch[-1].message.payload)
        self._waiting_bytes[lane] -= size
        return batch

    def complete(self, lane: Lane, batch: Sequence[QueuedMessage]) -> dict[BrokerConnection, list[int]]:
        """Remove a committed batch, and return the receipts that can be confirmed now, in their order.

        Paused connections read again once enough space is free.
        """
        if lane is Lane.LARGE:
            self._large_of -= Counter(queued.message.origin for queued in batch)  # topics at zero are dropped
        self.messages -= len(batch)
        self.bytes -= sum(len(queued.message.payload) for queued in batch)
        self._held -= Counter(queued.connection for queued in batch)  # connections at zero are dropped
        if not self._is_above(RESUME_BELOW):
            while self._paused:
                self._paused.pop().resume()
        self._notify()
        for _, connection, packet_id in batch:
            if packet_id:
                self._committed.setdefault(connection, set()).add(packet_id)
        return {connection: self._confirm(connection) for connection in {one.connection for one in batch}}

    def _confirm(self, connection: BrokerConnection) -> list[int]:
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

    async def wait_until_completed(self, connection: BrokerConnection) -> None:
        """Wait until every message from this connection is completed."""
        while self._held[connection]:
            await self.wait_for_change()

    async def wait_for_change(self) -> None:
        """Wait until something is added or completed."""
        self._changed.clear()
        await self._changed.wait()

    def _notify(self) -> None:
        metrics.UNACKNOWLEDGED.set(self.messages)
        metrics.UNACKNOWLEDGED_BYTES.set(self.bytes)
        self._changed.set()
