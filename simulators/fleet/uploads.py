"""Passes what the loggers send to the broker, and the service's acknowledgements back to the loggers."""

import asyncio
import time
from collections import deque
from heapq import heappop, heappush

import orjson
import structlog

from simulators.fleet.boots import ReadingsMessage
from simulators.fleet.logger import Logger
from simulators.fleet.roster import Roster
from simulators.instants import moment, rfc3339
from simulators.wall_clock import now_ms
from simulators.wire.ack import parse_ack
from simulators.wire.publisher import MqttPublisher
from simulators.wire.topics import readings_topic, status_topic

# How many messages are prepared in advance. While the broker is slow, no more are.
PREPARED_MESSAGES = 100
# What falls due within this time is done together.
GATHER_S = 0.005
# How long messages are sent before answers are read.
SLICE_S = 0.05

log = structlog.get_logger(__name__)


class Uploads:
    """One schedule for all loggers: a heap of when each has next something to do.

    `online` counts the loggers with a connection. `taken`, `confirmed` and `overwritten` count readings.
    """

    def __init__(self, roster: Roster) -> None:
        self.loggers: list[Logger] = []
        self.online = 0
        self.taken = 0
        self.confirmed = 0
        self.overwritten = 0
        self.readings_sent = 0
        self._roster = roster
        self._index: dict[str, int] = {}
        self._heap: list[tuple[int, int]] = []
        self._due: list[int | None] = []
        self._pending: deque[tuple[Logger, ReadingsMessage | bool]] = deque()
        self._announced: set[int] = set()
        self._connections = 0
        self._finished = 0
        self._wake = asyncio.Event()

    @property
    def finished(self) -> bool:
        """Whether no logger will ever have anything to send again."""
        while self._finished < len(self.loggers) and self.loggers[self._finished].finished:
            self._finished += 1
        return self._roster.complete and self._finished == len(self.loggers)

    @property
    def unconfirmed(self) -> int:
        """Return how many readings are neither confirmed nor overwritten."""
        return self.taken - self.confirmed - self.overwritten

    def wake(self) -> None:
        """Look again at what is to be done."""
        self._wake.set()

    def receive_ack(self, device_id: str, payload: bytes) -> None:
        """Pass an acknowledgement to its logger; ignore what cannot be read, and unknown loggers."""
        index, ack = self._index.get(device_id), parse_ack(payload)
        if index is None or ack is None:
            return
        self.confirmed += self.loggers[index].confirm(ack, now_ms())
        if self.loggers[index].unconfirmed:
            self._schedule(index, now_ms())
            self._wake.set()

    async def run(self, publisher: MqttPublisher) -> None:
        """Send what is due, without end. While the broker is away or slow, no messages are prepared."""
        while True:
            self._wake.clear()
            if publisher.has_room():
                self._collect(now_ms(), publisher.connections)
                self._send(publisher)
            await self._wait(publisher)

    async def announce_offline(self, publisher: MqttPublisher, within_s: float) -> None:
        """Announce every logger that is online as offline, as far as that can be done within the time."""
        self._pending.clear()
        self._pending.extend((self.loggers[index], False) for index in sorted(self._announced))
        try:
            async with asyncio.timeout(within_s):
                while self._pending:
                    self._wake.clear()
                    self._send(publisher)
                    if self._pending:
                        await self._wait(publisher)
                await publisher.flushed()
        except TimeoutError:
            log.info("loggers_left_online", loggers=len(self._pending))

    def _collect(self, now_ms: int, connections: int) -> None:
        if connections != self._connections:
            # After a reconnect the broker may have forgotten who is online.
            self._connections = connections
            self._announced.clear()
        for begins_ms, logger in self._roster.make(now_ms):
            self._index[logger.device_id] = len(self.loggers)
            self._due.append(None)
            self.loggers.append(logger)
            self._schedule(len(self.loggers) - 1, begins_ms)
        while self._heap and self._heap[0][0] <= now_ms and len(self._pending) < PREPARED_MESSAGES:
            due_ms, index = heappop(self._heap)
            if due_ms != self._due[index]:
                continue  # scheduled again since
            logger = self.loggers[index]
            before = logger.taken, logger.overwritten, logger.online
            batches = logger.take(now_ms)
            self.taken += logger.taken - before[0]
            self.overwritten += logger.overwritten - before[1]
            self.online += logger.online - before[2]
            if logger.online != (index in self._announced):
                self._announced ^= {index}
                self._pending.append((logger, logger.online))
            self._pending.extend((logger, batch) for batch in batches)
            self._schedule(index, logger.due_ms(now_ms))

    def _send(self, publisher: MqttPublisher) -> None:
        """Publish pending messages, for no longer than SLICE_S, so that answers are read in between."""
        stop_at = time.monotonic() + SLICE_S
        while self._pending and publisher.has_room() and time.monotonic() < stop_at:
            logger, message = self._pending.popleft()
            if isinstance(message, ReadingsMessage):
                self.readings_sent += message.readings
                publisher.publish(readings_topic(logger.device_id), message.payload())
            else:
                status = {"state": "online" if message else "offline", "at": rfc3339(moment(now_ms()))}
                publisher.publish(status_topic(logger.device_id), orjson.dumps(status), retain=True)

    def _schedule(self, index: int, due_ms: int | None) -> None:
        self._due[index] = due_ms
        if due_ms is not None:
            heappush(self._heap, (due_ms, index))

    def _next_ms(self) -> int:
        times = [self._heap[0][0]] if self._heap else []
        make_ms = self._roster.due_ms
        return min(times if make_ms is None else [*times, make_ms])

    async def _wait(self, publisher: MqttPublisher) -> None:
        """Wait for what is due next, or to be woken. Without room to send, only the publisher can wake it."""
        timer = None
        if publisher.has_room() and (self._pending or self._heap or not self._roster.complete):
            wait_s = 0.0 if self._pending else max(GATHER_S, self._next_ms() / 1000 - time.time())
            timer = asyncio.get_running_loop().call_later(wait_s, self._wake.set)
        await self._wake.wait()
        if timer is not None:
            timer.cancel()
