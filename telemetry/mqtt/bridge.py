"""The bridge from the broker to ingest: messages are received, stored, and only then acknowledged."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Sequence
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
from telemetry.continuity.pulse import Memory
from telemetry.database.clocks import Clocks
from telemetry.ingest.copy_batch import CopyBatch
from telemetry.ingest.evidence import EvidenceLimits
from telemetry.ingest.insert_batch import InsertBatch
from telemetry.ingest.pipeline import BatchOutcome, Ingest
from telemetry.ingest.retry import DATABASE_FAULTS, LoggersLockedError
from telemetry.ingest.sequences import Acknowledgement
from telemetry.mqtt.broker_figures import FIGURES, BrokerFigures
from telemetry.mqtt.connection import BrokerConnection, BrokerError, UnsupportedVersionError
from telemetry.mqtt.guard import BrokerAccounts, Guard
from telemetry.mqtt.inbox import Inbox, Lane, QueuedMessage
from telemetry.mqtt.packets import Publish
from telemetry.mqtt.pulses import BrokerPulses
from telemetry.mqtt.resends import Resends
from telemetry.mqtt.sessions import (
    STATUS_SLOT,
    address_of,
    adopt_orphaned_sessions,
    client_id,
    drain_session,
    subscriptions,
)
from telemetry.mqtt.set_aside import SetAside
from telemetry.mqtt.slots import Slot
from telemetry.slices import can_wait

log = structlog.get_logger(__name__)

LINGER_S = 0.004
"""How long a partial batch waits for more messages while no other is being committed."""
ASIDE_EVERY_S = 0.5
"""How often to look whether loggers that were locked no longer are."""
LARGE_LANE_PAUSE_S = 0.03
"""The pause after a batch of large messages during live traffic, which shares the processor and the database."""
ACKS_EVERY_S = 0.1
ACKS_PER_ROUND = 200
PULSE_EVERY_S = 2.0
MAX_PENDING_ACKS = 100_000
DRAIN_TIMEOUT_S = 10.0
_FIRST_BACKOFF_S, _LONGEST_BACKOFF_S = 0.1, 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestState:
    """The state of ingest, for the readiness probe."""

    connected: bool
    """Subscribed at the broker."""
    problem: str | None
    """Why it is not connected, or None if it is."""
    slot: int | None
    waiting: int
    """Messages received and not yet committed."""
    waiting_bytes: int
    locked: int = 0
    """Loggers whose messages wait because somebody else has locked them in the database."""
    locked_for_s: float = 0.0
    away_for_s: float = 0.0
    """For how long it has not been connected."""
    stuck_for_s: float = 0.0
    """For how long messages have waited and nothing was committed, of all or of the small or the large ones."""
    error: str | None = None
    """The kind of error for which nothing is committed."""


async def run_ingest(
    *,
    mqtt_url: str,
    pool: asyncpg.Pool,
    stop: asyncio.Event,
    on_state: Callable[[IngestState], None] | None = None,
    limits: EvidenceLimits | None = None,
    accounts: BrokerAccounts | None = None,
    clocks: Clocks | None = None,
    memory: Memory | None = None,
) -> None:
    """Store what loggers publish until `stop` is set, and survive any outage of the broker or the database.

    Before it returns, it commits what has been received, for at most DRAIN_TIMEOUT_S seconds; the rest stays at the
    broker. It holds one connection of the pool all the time. `on_state` is called about once a second. `limits` says
    how much is kept of what is refused, and `clocks` whether anything may be refused for its time. Loggers that flood the
    service are suspended, with `accounts` at the broker, too. `memory` gets the pulse that the broker kept, whose newest it
    is made to keep.
    """
    on_state = on_state or (lambda _: None)
    ingest = Ingest(pool, limits, clocks)
    await Bridge(mqtt_url, ingest, pool, on_state, accounts, memory).run(stop)


class Bridge:
    """Tasks that share an inbox.

    They hold the slot, stay connected, store, acknowledge, adopt sessions, suspend floods, and report.
    """

    def __init__(
        self,
        mqtt_url: str,
        ingest: Ingest,
        pool: asyncpg.Pool,
        on_state: Callable[[IngestState], None],
        accounts: BrokerAccounts | None,
        memory: Memory | None = None,
    ) -> None:
        self._url = mqtt_url
        self._on_state = on_state
        self._ingest = ingest
        self._inbox = Inbox()
        self._aside = SetAside()
        self._guard = Guard(pool, accounts)
        self._figures = BrokerFigures()
        self._pulses = None if memory is None else BrokerPulses(memory)
        self._resends = Resends(pool)
        self._slot = Slot(pool, address_of(mqtt_url))
        self._protocol = MQTTProtocolVersion.MQTTv5
        self._connection: BrokerConnection | None = None
        self._problem: str | None = "not connected yet"
        self._away_since: float | None = monotonic()
        self._progress_at = monotonic()
        self._receiving = True
        self._committing: dict[Lane, float] = {}
        """Since when each lane has been committing a batch, by a steady clock."""
        self._acks: dict[tuple[str, int], Acknowledgement] = {}
        self._acks_pending = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop` is set; an error in our own code, in any task, ends all of them."""
        try:
            async with asyncio.TaskGroup() as group:
                connecting = group.create_task(self._stay_connected(), name="ingest:connection")
                adopting = group.create_task(
                    adopt_orphaned_sessions(self._url, self._slot, self._inbox, self._deliver),
                    name="ingest:adopt",
                )
                others = [
                    group.create_task(self._slot.hold(), name="ingest:slot"),
                    *(group.create_task(self._store(lane), name=f"ingest:store:{lane}") for lane in Lane),
                    group.create_task(self._store_set_aside(), name="ingest:aside"),
                    group.create_task(self._acknowledge(), name="ingest:acks"),
                    group.create_task(self._ask_again(), name="ingest:resends"),
                    group.create_task(self._guard.run(), name="ingest:guard"),
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
            await self._slot.wait_for_other_than(None)
            while self._inbox.is_over_limit:  # a new connection would bring all unacknowledged messages again
                await self._inbox.wait_for_change()
            since = monotonic()
            try:
                assert self._slot.number is not None
                problem = await self._run_connection(self._slot.number)
            except BrokerError as error:
                problem = f"the broker {error}"
            self._lose_connection(problem)
            if monotonic() - since > _LONGEST_BACKOFF_S:
                backoff_s = _FIRST_BACKOFF_S
            log.warning("broker_away", problem=problem, retry_in_s=backoff_s)
            await asyncio.sleep(backoff_s)
            backoff_s = min(2 * backoff_s, _LONGEST_BACKOFF_S)

    async def _run_connection(self, slot: int) -> str:
        """Connect and subscribe; return the reason once the connection has ended or the slot has changed."""
        try:
            self._connection = connection = await BrokerConnection.open(
                self._url,
                client_id=client_id(self._url, slot, self._slot.broker),
                protocol=self._protocol,
                deliver=self._deliver,
            )
        except UnsupportedVersionError:
            newer = self._protocol == MQTTProtocolVersion.MQTTv5
            self._protocol = MQTTProtocolVersion.MQTTv311 if newer else MQTTProtocolVersion.MQTTv5
            raise
        topics = subscriptions(slot, self._protocol)
        await connection.subscribe(
            topics, never_retained=[one for one in topics if one.endswith("/readings")]
        )
        if slot == STATUS_SLOT:
            await self._watch_broker(connection)
        if self._pulses is not None:
            await self._pulses.subscribe(connection)
        metrics.CONNECTIONS.inc()
        metrics.CONNECTED.set(1)
        log.info("broker_connected", slot=slot, protocol=self._protocol.name)
        self._problem = None
        self._away_since = None
        self._report_state()
        moved = asyncio.ensure_future(self._slot.wait_for_other_than(slot))
        either: list[asyncio.Future[Any]] = [connection.closed, moved]
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            moved.cancel()
        return connection.closed.result() if connection.closed.done() else "the slot has changed"

    async def _watch_broker(self, connection: BrokerConnection) -> None:
        """Ask for the broker's figures; with QoS 0, so that none wait for an absent service."""
        try:
            await connection.subscribe(FIGURES, qos=0)
        except BrokerError as error:
            if connection.closed.done():
                raise
            log.info("broker_figures_refused", problem=str(error), hint="may the service read $SYS/broker/#?")

    def _lose_connection(self, problem: str) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None
        self._problem = problem
        self._away_since = self._away_since or monotonic()
        metrics.CONNECTED.set(0)
        self._report_state()

    def _deliver(self, connection: BrokerConnection, publishes: list[Publish]) -> None:
        publishes = self._figures.take(publishes)
        if self._pulses is not None:
            publishes = self._pulses.take(publishes)
        if not self._receiving:
            return
        if self._guard.see_arrival(publishes):
            self._discard()
        if not self._inbox.messages:
            self._progress_at = monotonic()
        connection.acknowledge(
            self._inbox.add(
                connection,
                publishes,
                datetime.now(UTC),
                self._guard.unwanted,
                clock_is_sure=self._ingest.clock_is_sure(),
            )
        )

    def _discard(self) -> None:
        """Drop what waits of suspended loggers: they still have it, and it would hold up all others."""
        for connection, packet_ids in self._inbox.discard(self._guard.unwanted).items():
            connection.acknowledge(packet_ids)

    # Storage.

    async def _store(self, lane: Lane) -> None:
        """Validate a batch while the database stores the previous one, and commit in the order of receipt.

        The lanes do not wait for each other. If both hold messages from one logger, the later transaction waits in the
        database for the row of the logger's state (see ingest.store).
        """
        can_wait.set(lane is Lane.LARGE)
        committing: asyncio.Task[None] | None = None
        async with asyncio.TaskGroup() as group:
            while True:
                batch = await self._next_batch(lane)
                prepared = await self._ingest.prepare([queued.message for queued in batch])
                if self._guard.see_validated(prepared.messages):
                    self._discard()
                if committing is not None:
                    await committing
                self._committing[lane] = monotonic()
                sent = asyncio.Event()
                committing = group.create_task(
                    self._commit(lane, batch, prepared, sent), name="ingest:commit"
                )
                await sent.wait()  # otherwise validation would delay each answer of the database
                if lane is Lane.LARGE and self._inbox.has_live_traffic:
                    await committing
                    await asyncio.sleep(LARGE_LANE_PAUSE_S)

    async def _next_batch(self, lane: Lane) -> list[QueuedMessage]:
        """Wait for a full batch, or, while nothing is being committed, take what arrives within a few ms.

        While a backlog of large messages is arriving, it is only received and not yet stored. All that is waited for may
        be of a logger that is suspended meanwhile; then there is nothing to take.
        """
        while True:
            while not self._inbox.has_full_batch(lane):
                if not self._inbox.is_empty(lane) and lane not in self._committing:
                    await asyncio.sleep(LINGER_S)
                    break
                await self._inbox.wait_for_change()
            while lane is Lane.LARGE and self._inbox.backlog_is_arriving(datetime.now(UTC)):  # noqa: ASYNC110 -- ends by itself
                await asyncio.sleep(LINGER_S)
            if batch := self._inbox.take(lane):
                return batch

    async def _commit(
        self,
        lane: Lane,
        batch: list[QueuedMessage],
        prepared: InsertBatch | CopyBatch,
        sent: asyncio.Event,
    ) -> None:
        try:
            locked: Collection[str] = ()
            while rest := self._aside.divert(lane, batch, locked):
                if len(rest) < len(batch):
                    batch = rest
                    prepared = await self._ingest.prepare([queued.message for queued in batch])
                try:
                    outcome = await self._ingest.commit_batch(prepared, on_sent=sent.set, names_locked=True)
                except LoggersLockedError as error:
                    locked = error.device_ids
                    log.warning("loggers_locked", loggers=len(locked), some=sorted(locked)[:5])
                    continue
                self._complete(lane, batch, outcome)
                return
        finally:
            sent.set()
            self._committing.pop(lane, None)

    async def _store_set_aside(self) -> None:
        """Store what was set aside, once its loggers are no longer locked."""
        while True:
            metrics.LOCKED.set(len(self._aside.loggers))
            await asyncio.sleep(ASIDE_EVERY_S)
            try:
                free = self._aside.loggers - await self._ingest.locked_loggers(self._aside.loggers)
            except DATABASE_FAULTS as error:
                log.warning("set_aside_waits", error=str(error) or repr(error))
                continue
            while found := self._aside.oldest(free):
                lane, batch = found
                try:
                    prepared = await self._ingest.prepare([queued.message for queued in batch])
                    outcome = await self._ingest.commit_batch(prepared, names_locked=True)
                except LoggersLockedError as error:
                    free -= error.device_ids
                    continue
                self._aside.remove(batch)
                self._complete(lane, batch, outcome)

    def _complete(self, lane: Lane, batch: Sequence[QueuedMessage], outcome: BatchOutcome) -> None:
        """Acknowledge a batch that is stored, to the broker at once and to the loggers soon."""
        self._progress_at = monotonic()
        for connection, packet_ids in self._inbox.complete(lane, batch).items():
            connection.acknowledge(packet_ids)
        if self._guard.see_outcome([queued.message for queued in batch], outcome.messages):
            self._discard()
        self._will_acknowledge(outcome.acknowledgements)

    # Acknowledgements to the loggers.

    def _will_acknowledge(self, acknowledgements: Iterable[Acknowledgement]) -> None:
        self._acks |= {(ack.device_id, ack.boot): ack for ack in acknowledgements}
        while len(self._acks) > MAX_PENDING_ACKS:  # a logger that misses one sends again, and gets the next
            del self._acks[next(iter(self._acks))]
        self._acks_pending.set()

    async def _ask_again(self) -> None:
        """Tell every logger what is stored once the database went back, and have the broker keep the newest pulse."""
        while True:
            self._will_acknowledge(await self._resends.look())
            if self._pulses is not None:
                self._pulses.publish()
            await asyncio.sleep(PULSE_EVERY_S)

    async def _acknowledge(self) -> None:
        while True:
            await self._acks_pending.wait()
            self._send_acks()
            await asyncio.sleep(ACKS_EVERY_S)

    def _send_acks(self) -> None:
        """Send the newest acknowledgement of each logger, oldest first, as many as the broker accepts."""
        connection = self._connection
        for key in list(islice(self._acks, ACKS_PER_ROUND)):
            if connection is None or not connection.may_publish():
                return
            ack = self._acks.pop(key)
            content = {**ack.content(), **self._resends.request()}
            connection.publish(f"dewar/v1/{ack.device_id}/ack", orjson.dumps(content))
            metrics.ACKS_SENT.inc()
        if not self._acks:
            self._acks_pending.clear()

    # Shutdown and state.

    async def _drain(self) -> None:
        """Commit and acknowledge what has been received; any slot but 0 also drains its session and gives it back."""
        connection, slot, drained = self._connection, self._slot.number, False
        self._receiving = bool(slot)
        with suppress(TimeoutError, BrokerError):
            async with asyncio.timeout(DRAIN_TIMEOUT_S):
                if connection is not None and slot:
                    await drain_session(connection, subscriptions(slot, self._protocol), self._inbox)
                    drained = True
                while self._inbox.messages:
                    await self._inbox.wait_for_change()
        self._send_acks()
        if connection is not None:
            connection.close(end_session=drained)
        if self._inbox.messages:
            log.warning("stopped_before_all_was_stored", messages=self._inbox.messages, kept_by="the broker")

    async def _report(self) -> None:
        while True:
            self._report_state()
            await asyncio.sleep(1)

    def _report_state(self) -> None:
        now = monotonic()
        is_stuck = self._inbox.messages > self._aside.messages
        # One lane may be stuck while the other is not; before long its receipts hold up everything.
        since = min([*self._committing.values(), *([self._progress_at] if is_stuck else [])], default=now)
        self._on_state(
            IngestState(
                connected=self._problem is None,
                problem=self._problem,
                slot=self._slot.number,
                waiting=self._inbox.messages,
                waiting_bytes=self._inbox.bytes,
                locked=len(self._aside.loggers),
                locked_for_s=self._aside.waiting_for_s(),
                away_for_s=0.0 if self._away_since is None else now - self._away_since,
                stuck_for_s=now - since,
                error=self._ingest.failing,
            )
        )
