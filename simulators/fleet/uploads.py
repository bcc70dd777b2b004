"""Carries what the loggers have to say to the broker, and what the service answers back to them."""

import asyncio
import time
from collections import deque
from heapq import heappop, heappush

import orjson
import structlog

from simulators.fleet.logger import Logger, ReadingsMessage
from simulators.fleet.roster import Roster
from simulators.instants import moment, rfc3339
from simulators.wall_clock import now_ms
from simulators.wire.ack import parse_ack
from simulators.wire.publisher import MqttPublisher
from simulators.wire.topics import readings_topic, status_topic

# Messages made up in advance; what is not made up yet costs nothing while the broker is slow.
AHEAD = 100
# What falls due within so short a time is done in one go.
GATHERED_S = 0.005
SLICE_S = 0.05

log = structlog.get_logger(__name__)


class Uploads:
    """One schedule for all loggers: a heap of when each has next something to do.

    `online` is how many loggers have a connection, `taken`, `confirmed` and `overwritten` how many readings there were.
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
        return self.taken - self.confirmed - self.overwritten

    def wake(self) -> None:
        self._wake.set()

    def hear(self, device_id: str, payload: bytes) -> None:
        """Take in what the service acknowledges; another's logger and nonsense are passed over."""
        index, ack = self._index.get(device_id), parse_ack(payload)
        if index is None or ack is None:
            return
        self.confirmed += self.loggers[index].confirm(ack, now_ms())
        if self.loggers[index].unconfirmed:
            self._schedule(index, now_ms())
            self._wake.set()

    async def run(self, publisher: MqttPublisher) -> None:
        """Send what is due, without end; while the broker is away or slow nothing is even made up."""
        while True:
            self._wake.clear()
            if publisher.has_room():
                self._collect(now_ms(), publisher.connections)
                self._send(publisher)
            await self._rest(publisher)

    async def sign_off(self, publisher: MqttPublisher, within_s: float) -> None:
        """Say of every logger that is online that it no longer is, as far as there is time for it."""
        self._pending.clear()
        self._pending.extend((self.loggers[index], False) for index in sorted(self._announced))
        try:
            async with asyncio.timeout(within_s):
                while self._pending:
                    self._wake.clear()
                    self._send(publisher)
                    if self._pending:
                        await self._rest(publisher)
                await publisher.flushed()
        except TimeoutError:
            log.info("loggers_left_online", loggers=len(self._pending))

    def _collect(self, now_ms: int, connections: int) -> None:
        if connections != self._connections:
            # A broker that comes back may have forgotten who is there.
            self._connections = connections
            self._announced.clear()
        for begins_ms, logger in self._roster.make(now_ms):
            self._index[logger.device_id] = len(self.loggers)
            self._due.append(None)
            self.loggers.append(logger)
            self._schedule(len(self.loggers) - 1, begins_ms)
        while self._heap and self._heap[0][0] <= now_ms and len(self._pending) < AHEAD:
            due_ms, index = heappop(self._heap)
            if due_ms != self._due[index]:
                continue  # it has been scheduled anew since
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
        """Publish what is pending, but for no longer than lets the answers be heard in between."""
        stop_at = time.monotonic() + SLICE_S
        while self._pending and publisher.has_room() and time.monotonic() < stop_at:
            logger, said = self._pending.popleft()
            if isinstance(said, ReadingsMessage):
                self.readings_sent += said.readings
                publisher.publish(readings_topic(logger.device_id), said.payload())
            else:
                status = {"state": "online" if said else "offline", "at": rfc3339(moment(now_ms()))}
                publisher.publish(status_topic(logger.device_id), orjson.dumps(status), retain=True)

    def _schedule(self, index: int, due_ms: int | None) -> None:
        self._due[index] = due_ms
        if due_ms is not None:
            heappush(self._heap, (due_ms, index))

    def _next_ms(self) -> int:
        times = [self._heap[0][0]] if self._heap else []
        to_make_ms = self._roster.due_ms
        return min(times if to_make_ms is None else [*times, to_make_ms])

    async def _rest(self, publisher: MqttPublisher) -> None:
        """Wait for what is due next, or for being woken; without room only the publisher can wake."""
        timer = None
        if publisher.has_room() and (self._pending or self._heap or not self._roster.complete):
            wait_s = 0.0 if self._pending else max(GATHERED_S, self._next_ms() / 1000 - time.time())
            timer = asyncio.get_running_loop().call_later(wait_s, self._wake.set)
        await self._wake.wait()
        if timer is not None:
            timer.cancel()
