"""The bridge from the broker to ingest: received, stored, and only then acknowledged."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from time import monotonic
from typing import Any

import asyncpg
import orjson
import structlog
from paho.mqtt.enums import MQTTProtocolVersion

from telemetry import metrics
from telemetry.ingest.copy_batch import Fresh
from telemetry.ingest.insert_batch import Batch
from telemetry.ingest.pipeline import Ingest
from telemetry.ingest.sequences import Acknowledgement
from telemetry.mqtt.connection import BrokerError, Connection, UnsupportedVersionError
from telemetry.mqtt.inbox import Delivery, Inbox, Lane
from telemetry.mqtt.packets import Publish
from telemetry.mqtt.sessions import adopt, client_id, empty, topics
from telemetry.mqtt.slots import Slot
from telemetry.slices import can_wait

log = structlog.get_logger(__name__)

LINGER_S = 0.004
"""How long a batch that is not full waits for more, while none is being committed."""
REST_S = 0.03
"""How long the lane of large messages rests after a batch beside live ones, which share processor and database."""
ACKS_EVERY_S = 0.1
ACKS_AT_ONCE = 200
MOST_ACKS = 100_000
DRAIN_LIMIT_S = 10.0
_FIRST_BACKOFF_S, _LONGEST_BACKOFF_S = 0.1, 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestState:
    """How ingest is, for readiness."""

    connected: bool
    """Subscribed at the broker."""
    problem: str | None
    """Why it is not connected."""
    slot: int | None
    waiting: int
    """Messages received and not committed."""
    waiting_bytes: int


async def run_ingest(
    *,
    mqtt_url: str,
    pool: asyncpg.Pool,
    stop: asyncio.Event,
    on_state: Callable[[IngestState], None] | None = None,
) -> None:
    """Take what loggers send into the database until `stop` is set, over every outage of broker and database.

    At the end commits what has been received, for at most DRAIN_LIMIT_S seconds; what is not committed by then stays
    at the broker. Keeps one connection of the pool to itself. `on_state` is called about once a second.
    """
    await Bridge(mqtt_url, pool, on_state or (lambda _: None)).run(stop)


class Bridge:
    """Tasks that share an inbox: each holds the slot, or the connection, or stores, or answers, or looks around."""

    def __init__(self, mqtt_url: str, pool: asyncpg.Pool, on_state: Callable[[IngestState], None]) -> None:
        self._url = mqtt_url
        self._on_state = on_state
        self._ingest = Ingest(pool)
        self._inbox = Inbox()
        self._slot = Slot(pool)
        self._protocol = MQTTProtocolVersion.MQTTv5
        self._connection: Connection | None = None
        self._problem: str | None = "not connected yet"
        self._receiving = True
        self._committing: set[Lane] = set()
        self._acks: dict[tuple[str, int], Acknowledgement] = {}
        self._acks_wanted = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop` is set; an error of our own code in any part ends all of it."""
        try:
            async with asyncio.TaskGroup() as group:
                connecting = group.create_task(self._stay_connected(), name="ingest:connection")
                adopting = group.create_task(
                    adopt(self._url, self._slot, self._inbox, self._deliver), name="ingest:adopt"
                )
                others = [
                    group.create_task(self._slot.hold(), name="ingest:slot"),
                    *(group.create_task(self._store(lane), name=f"ingest:store:{lane}") for lane in Lane),
                    group.create_task(self._answer(), name="ingest:acks"),
                    group.create_task(self._report(), name="ingest:report"),
                ]
                await stop.wait()
                connecting.cancel()
                adopting.cancel()
                await self._drain()
                for task in others:
                    task.cancel()
        finally:
            self._lose_connection("stopped")

    # The connection.

    async def _stay_connected(self) -> None:
        backoff_s = _FIRST_BACKOFF_S
        while True:
            await self._slot.other_than(None)
            while self._inbox.crowded:  # what is not acknowledged would come again on top of it
                await self._inbox.change()
            since = monotonic()
            try:
                assert self._slot.number is not None
                problem = await self._be_connected(self._slot.number)
            except BrokerError as error:
                problem = f"the broker {error}"
            self._lose_connection(problem)
            if monotonic() - since > _LONGEST_BACKOFF_S:
                backoff_s = _FIRST_BACKOFF_S
            log.warning("broker_away", problem=problem, retry_in_s=backoff_s)
            await asyncio.sleep(backoff_s)
            backoff_s = min(2 * backoff_s, _LONGEST_BACKOFF_S)

    async def _be_connected(self, slot: int) -> str:
        """Connect and subscribe; say why when the connection has ended, or the slot is ours no longer."""
        try:
            self._connection = connection = await Connection.open(
                self._url,
                client_id=client_id(self._url, slot),
                protocol=self._protocol,
                deliver=self._deliver,
            )
        except UnsupportedVersionError:
            newer = self._protocol == MQTTProtocolVersion.MQTTv5
            self._protocol = MQTTProtocolVersion.MQTTv311 if newer else MQTTProtocolVersion.MQTTv5
            raise
        await connection.subscribe(topics(slot, self._protocol))
        metrics.CONNECTIONS.inc()
        metrics.CONNECTED.set(1)
        log.info("broker_connected", slot=slot, protocol=self._protocol.name)
        self._problem = None
        self._tell()
        moved = asyncio.ensure_future(self._slot.other_than(slot))
        either: list[asyncio.Future[Any]] = [connection.closed, moved]
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            moved.cancel()
        return connection.closed.result() if connection.closed.done() else "our slot is another one now"

    def _lose_connection(self, problem: str) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None
        self._problem = problem
        metrics.CONNECTED.set(0)
        self._tell()

    def _deliver(self, connection: Connection, publishes: list[Publish]) -> None:
        if self._receiving:
            self._inbox.add(connection, publishes, datetime.now(UTC))

    # Into the database.

    async def _store(self, lane: Lane) -> None:
        """Judge a batch while the database stores the one before it, and commit in the order of receipt.

        The lanes do not wait for each other. Where both have something of one logger, the database has the later
        transaction wait for the row of its state (see store).
        """
        can_wait.set(lane is Lane.LARGE)
        committing: asyncio.Task[None] | None = None
        async with asyncio.TaskGroup() as group:
            while True:
                batch = await self._next_batch(lane)
                judged = await self._ingest.judge([delivery.message for delivery in batch])
                if committing is not None:
                    await committing
                self._committing.add(lane)
                sent = asyncio.Event()
                committing = group.create_task(self._commit(lane, batch, judged, sent), name="ingest:commit")
                await sent.wait()  # each answer of the database would have to wait for a piece of judging
                if lane is Lane.LARGE and self._inbox.beside_live:
                    await committing
                    await asyncio.sleep(REST_S)

    async def _next_batch(self, lane: Lane) -> list[Delivery]:
        """Wait for a full batch, or while nothing is being committed for whatever comes within a few ms.

        Large messages that are still pouring in are left where they are: to receive them is enough to do.
        """
        while not self._inbox.full(lane):
            if not self._inbox.empty(lane) and lane not in self._committing:
                await asyncio.sleep(LINGER_S)
                break
            await self._inbox.change()
        while lane is Lane.LARGE and self._inbox.pouring(datetime.now(UTC)):  # noqa: ASYNC110 -- it ends by itself
            await asyncio.sleep(LINGER_S)
        return self._inbox.take(lane)

    async def _commit(
        self, lane: Lane, batch: list[Delivery], judged: Batch | Fresh, sent: asyncio.Event
    ) -> None:
        outcome = await self._ingest.commit_batch(judged, on_sent=sent.set)
        for connection, packet_ids in self._inbox.settle(lane, batch).items():
            connection.acknowledge(packet_ids)
        self._acks |= {(ack.device_id, ack.boot): ack for ack in outcome.acknowledgements}
        while len(self._acks) > MOST_ACKS:  # a logger that misses one sends again, and hears more
            del self._acks[next(iter(self._acks))]
        self._acks_wanted.set()
        self._committing.discard(lane)

    # Back to the loggers.

    async def _answer(self) -> None:
        while True:
            await self._acks_wanted.wait()
            self._send_acks()
            await asyncio.sleep(ACKS_EVERY_S)

    def _send_acks(self) -> None:
        """Send what is newest of each logger, oldest first, as many as the broker takes."""
        connection = self._connection
        for key in list(islice(self._acks, ACKS_AT_ONCE)):
            if connection is None or not connection.may_publish():
                return
            ack = self._acks.pop(key)
            connection.publish(f"dewar/v1/{ack.device_id}/ack", orjson.dumps(ack.content()))
            metrics.ACKS_SENT.inc()
        if not self._acks:
            self._acks_wanted.clear()

    # The rest.

    async def _drain(self) -> None:
        """Commit and acknowledge what has been received; an ingester that is not the first gives back its session."""
        connection, slot, left = self._connection, self._slot.number, False
        self._receiving = bool(slot)
        with suppress(TimeoutError, BrokerError):
            async with asyncio.timeout(DRAIN_LIMIT_S):
                if connection is not None and slot:
                    await empty(connection, topics(slot, self._protocol), self._inbox)
                    left = True
                while self._inbox.messages:
                    await self._inbox.change()
        self._send_acks()
        if connection is not None:
            connection.close(end_session=left)
        if self._inbox.messages:
            log.warning("stopped_before_all_was_stored", messages=self._inbox.messages, kept_by="the broker")

    async def _report(self) -> None:
        while True:
            self._tell()
            await asyncio.sleep(1)

    def _tell(self) -> None:
        self._on_state(
            IngestState(
                connected=self._problem is None,
                problem=self._problem,
                slot=self._slot.number,
                waiting=self._inbox.messages,
                waiting_bytes=self._inbox.bytes,
            )
        )
