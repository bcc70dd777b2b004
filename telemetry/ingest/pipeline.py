"""Judge, store, answer: each batch one transaction, and no answer before it is committed."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from time import monotonic, perf_counter
from typing import Any, NamedTuple, TypeVar

import asyncpg
import structlog

from telemetry import metrics
from telemetry.ingest import store
from telemetry.ingest.build_batch import judge_at_once, judge_one_by_one, open_all
from telemetry.ingest.copy_batch import Fresh, prepare_fresh
from telemetry.ingest.decode import address
from telemetry.ingest.duplicates import Key, tell_apart
from telemetry.ingest.insert_batch import Batch, prepare
from telemetry.ingest.sequences import Acknowledgement
from telemetry.ingest.store import Connection
from telemetry.ingest.validate_message import Examined, examine_many, named_device
from telemetry.model import DEVICE_ID, Message, Reading, RefusalReason, Refused, Source
from telemetry.slices import in_slices

log = structlog.get_logger(__name__)

T = TypeVar("T")

TRANSACTION_LIMIT_S = 60.0
CONNECT_LIMIT_S = 10.0
HTTP_PATIENCE_S = 5.0
HOPEFUL_FROM = 500
"""Readings of a batch that is first tried as if all of them were new."""
CAREFUL_BATCHES = 20
"""How many are not, after one in which something was there already."""
_FIRST_BACKOFF_S, _LONGEST_BACKOFF_S = 0.05, 5.0

DATA_ERRORS = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
)
"""The data's fault: trying again does not help, and it must not stop the rest."""


class VanishedError(Exception):
    """What a reading repeats was removed in between, so that it is neither stored nor a repetition."""


FAULTS = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # what asyncpg says of a connection that broke at an unlucky moment
    OSError,
    TimeoutError,
    VanishedError,
)
"""Everything else that a database can do to us: nothing is answered until it has passed."""


class StorageAwayError(Exception):
    """The database did not take it in time; nothing is known to be stored, and sending again is safe."""


class MessageOutcome(NamedTuple):
    """What became of one message."""

    accepted: int = 0
    """Stored now."""
    duplicates: int = 0
    refused: Sequence[Refused] = ()


class BatchOutcome(NamedTuple):
    """What became of a batch; committed."""

    messages: Sequence[MessageOutcome]
    acknowledgements: Sequence[Acknowledgement]


class Ingest:
    """The one way of readings into the database, whether they come by MQTT or by HTTP."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._registered: set[str] = set()
        self._repetitions_expected = 0

    async def store(self, messages: Sequence[Message]) -> BatchOutcome:
        """Judge and store what came by MQTT; returns once it is committed, however long that takes."""
        return await self.commit_batch(await self.judge(messages))

    async def store_readings(
        self,
        raws: Sequence[Any],
        *,
        payload: bytes,
        caller: str,
        received_at: datetime,
        allowed: Callable[[str], bool] = lambda _: True,
    ) -> MessageOutcome:
        """Judge and store what came by HTTP: parsed readings, each of which names its device, and the body's bytes.

        `allowed` tells which devices the caller may send for. Raises StorageAwayError where the database does not
        take it within a few seconds.
        """
        message = Message(source=Source.HTTP, origin=caller, payload=payload, received_at=received_at)
        named = {device_id for raw in raws if (device_id := named_device(raw))}
        await self._look_up(named, patience_s=HTTP_PATIENCE_S)
        examined = examine_many(message, raws, self._registered, allowed)
        return (await self.commit([examined], patience_s=HTTP_PATIENCE_S)).messages[0]

    async def judge(self, messages: Sequence[Message]) -> Batch | Fresh:
        """Take MQTT messages apart, letting others run in between; asks the database only about unknown devices."""
        await self._look_up({address(message.origin)[0] for message in messages})
        opened = await open_all(messages, self._registered)
        if self._all_may_be_new(sum(one.size for one in opened)):
            fresh = await judge_at_once(opened)
            if fresh is not None:
                return fresh
        return await judge_one_by_one(opened)

    async def commit(self, examined: Sequence[Examined], *, patience_s: float | None = None) -> BatchOutcome:
        """Store messages of one source that were examined; otherwise as `commit_batch`."""
        fresh = self._all_may_be_new(sum(one.size for one in examined))
        batch = prepare_fresh(examined) if fresh else prepare(examined)
        return await self.commit_batch(batch, patience_s=patience_s)

    async def commit_batch(
        self,
        batch: Batch | Fresh,
        *,
        patience_s: float | None = None,
        on_sent: Callable[[], None] = lambda: None,
    ) -> BatchOutcome:
        """Store what was judged, in one transaction; what the database does not take is found by halving, and refused.

        Tries again for as long as it takes, or raises StorageAwayError after `patience_s` seconds. `on_sent` is called
        whenever the database has got readings, and is busy for a while.
        """
        if isinstance(batch, Fresh):
            try:
                if not self._repetitions_expected:
                    return await self._outlast(lambda: self._transact(batch, on_sent), patience_s)
            except asyncpg.UniqueViolationError:
                self._repetitions_expected = CAREFUL_BATCHES
            except DATA_ERRORS as error:
                log.warning("copy_refused", error=str(error), hint="what it is about is looked for")
            return await self._commit_carefully(await judge_one_by_one(batch.examined), patience_s, on_sent)
        return await self._commit_carefully(batch, patience_s, on_sent)

    async def _commit_carefully(
        self, batch: Batch, patience_s: float | None, on_sent: Callable[[], None]
    ) -> BatchOutcome:
        try:
            return await self._outlast(lambda: self._transact(batch, on_sent), patience_s)
        except DATA_ERRORS as error:
            if len(batch.examined) > 1:
                middle = len(batch.examined) // 2
                halves = prepare(batch.examined[:middle]), prepare(batch.examined[middle:])
                first, second = [await self._commit_carefully(half, patience_s, on_sent) for half in halves]
                return BatchOutcome(
                    [*first.messages, *second.messages], [*first.acknowledgements, *second.acknowledgements]
                )
            if not batch.readings:
                raise
            log.exception("reading_poisoned", origin=batch.examined[0].message.origin)
            metrics.POISONED.inc()
            poisoned = prepare([_poisoned(batch.examined[0], error)])
            return await self._commit_carefully(poisoned, patience_s, on_sent)

    def _all_may_be_new(self, readings: int) -> bool:
        """Expect it of a large batch, unless there was a repetition not long ago: they seldom come alone."""
        careful = self._repetitions_expected > 0
        self._repetitions_expected = max(0, self._repetitions_expected - 1)
        return readings >= HOPEFUL_FROM and not careful

    async def _look_up(self, device_ids: set[str], patience_s: float | None = None) -> None:
        # What is no id is in no table, and may be a text that no database takes.
        unknown = {device_id for device_id in device_ids - self._registered if DEVICE_ID.fullmatch(device_id)}
        if unknown:
            ask = partial(store.known_devices, self._pool, unknown)
            self._registered |= await self._outlast(ask, patience_s)

    async def _transact(self, batch: Batch | Fresh, on_sent: Callable[[], None]) -> BatchOutcome:
        started = perf_counter()
        async with self._pool.acquire(timeout=CONNECT_LIMIT_S) as connection, connection.transaction():
            await store.update_states(connection, batch.states)
            messages = await _store_readings(connection, batch, on_sent)
            acknowledgements = await store.add_sequences(connection, batch.sequences)
            evidence = [
                (one.message, outcome.refused)
                for one, outcome in zip(batch.examined, messages, strict=True)
                if outcome.refused
            ]
            if evidence:
                await store.keep_refused(connection, evidence)
        outcome = BatchOutcome(messages, acknowledgements)
        _count(batch, outcome, perf_counter() - started)
        return outcome

    async def _outlast(self, work: Callable[[], Awaitable[T]], patience_s: float | None) -> T:
        """Do the work again until the database takes it, waiting longer each time."""
        started, backoff_s = monotonic(), _FIRST_BACKOFF_S
        while True:
            try:
                async with asyncio.timeout(patience_s or TRANSACTION_LIMIT_S):
                    return await work()
            except DATA_ERRORS:
                raise
            except FAULTS as error:
                if patience_s is not None and monotonic() - started + backoff_s > patience_s:
                    raise StorageAwayError("the database did not take it in time") from error
                log.warning("storing_failed", error=str(error) or repr(error), retry_in_s=backoff_s)
                metrics.RETRIES.labels(type(error).__name__).inc()
            await asyncio.sleep(backoff_s)
            backoff_s = min(backoff_s * 2, _LONGEST_BACKOFF_S)


async def _store_readings(
    connection: Connection, batch: Batch | Fresh, on_sent: Callable[[], None]
) -> list[MessageOutcome]:
    if isinstance(batch, Fresh):
        await store.copy_readings(connection, batch, on_sent)
        return [MessageOutcome(one.size, 0, one.refused) for one in batch.examined]
    on_sent()  # whoever hears it comes to run once the statement is on its way
    new = await store.insert_readings(connection, batch)
    first = None if new is None else await _stored_before(connection, batch, new)
    return await in_slices(partial(_outcome, first=first), batch.examined)


async def _stored_before(connection: Connection, batch: Batch, new: set[Key]) -> dict[Key, Reading]:
    """Give what was there before under the keys of readings that are not new."""
    repeated = {reading[:2] for reading in batch.readings} - new
    stored = await store.stored_readings(connection, repeated) if repeated else {}
    if len(stored) < len(repeated):
        raise VanishedError
    return stored


def _outcome(one: Examined, first: dict[Key, Reading] | None) -> MessageOutcome:
    if first is None:
        return MessageOutcome(len(one.readings), 0, one.refused)
    accepted, duplicates, conflicts = tell_apart(one.readings, one.places, first)
    return MessageOutcome(accepted, duplicates, [*one.refused, *conflicts])


def _poisoned(one: Examined, error: Exception) -> Examined:
    refused = [
        Refused(
            reason=RefusalReason.INVALID_READING,
            detail=f"the database does not take it: {error}",
            index=place,
            device_id=reading.device_id,
            boot=reading.boot,
            seq=reading.seq,
        )
        for reading, place in zip(one.readings, one.places, strict=True)
    ]
    return Examined(one.message, refused=[*one.refused, *refused])


def _count(batch: Batch | Fresh, outcome: BatchOutcome, took_s: float) -> None:
    now = datetime.now(UTC)
    metrics.MESSAGES.labels(batch.source).inc(len(batch.examined))
    metrics.STORED.labels(batch.source).inc(sum(message.accepted for message in outcome.messages))
    metrics.DUPLICATES.labels(batch.source).inc(sum(message.duplicates for message in outcome.messages))
    for message in outcome.messages:
        for refused in message.refused:
            metrics.REFUSED.labels(refused.reason).inc()
    metrics.BATCH_READINGS.observe(batch.size)
    metrics.COMMIT_SECONDS.observe(took_s)
    metrics.COMMIT_LAG_SECONDS.observe((now - batch.examined[0].message.received_at).total_seconds())
    if batch.newest is not None:
        metrics.READING_AGE_SECONDS.observe((now - batch.newest).total_seconds())
