"""The ingest pipeline: validate messages, store each batch in one transaction, and answer after the commit."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from time import perf_counter
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

import asyncpg
import structlog

from telemetry import metrics
from telemetry.database.clocks import Clocks
from telemetry.ingest import store
from telemetry.ingest.build_batch import build_copy_batch, build_insert_batch, parse_messages
from telemetry.ingest.copy_batch import CopyBatch, prepare_copy
from telemetry.ingest.decode import parse_topic
from telemetry.ingest.duplicates import ReadingKey, check_duplicates
from telemetry.ingest.evidence import Evidence, EvidenceLimits, keep_message
from telemetry.ingest.fields.meanings import NAMES
from telemetry.ingest.fields.set_aside import names
from telemetry.ingest.insert_batch import InsertBatch, prepare_insert
from telemetry.ingest.retry import (
    DATA_ERRORS,
    DATABASE_FAULTS,
    LoggersLockedError,
    StorageUnavailableError,
    VanishedReadingError,
    retry,
)
from telemetry.ingest.senders import LookUpRights, RightsChangedError
from telemetry.ingest.sequences import Acknowledgement
from telemetry.ingest.store import DatabaseConnection
from telemetry.ingest.validate_message import (
    ParsedMessage,
    ValidatedMessage,
    combine_http_readings,
    unknown_device,
    validate_http_reading,
)
from telemetry.model import DEVICE_ID, JsonObject, RawMessage, Reading, Refusal, RefusalReason, Source
from telemetry.slices import in_slices

log = structlog.get_logger(__name__)

CONNECT_TIMEOUT_S = 10.0
HTTP_TIMEOUT_S = 5.0
COPY_MIN_READINGS = 500
"""Readings from which on a batch is first tried by COPY, as if all of them were new."""
INSERTS_AFTER_REPETITION = 20
"""Large batches stored by INSERT after one that held a repetition."""


SET_ASIDE_TOLD = 100
"""Readings of a call of which the caller is told what is set aside; the trace shows it of all."""
_ATTEMPTS_AT_RIGHTS = 5

Check: TypeAlias = Callable[[DatabaseConnection], Awaitable[None]] | None


class MessageOutcome(NamedTuple):
    """The outcome of one message."""

    accepted: int = 0
    """Readings stored now."""
    duplicates: int = 0
    refusals: Sequence[Refusal] = ()
    set_aside: Mapping[int, JsonObject] = MappingProxyType({})
    """What is set aside of readings that came by HTTP and are stored, by their places; of the first ones, if it is many."""


class BatchOutcome(NamedTuple):
    """The outcome of a committed batch."""

    messages: Sequence[MessageOutcome]
    acknowledgements: Sequence[Acknowledgement]


class _Way(NamedTuple):
    """How a batch is stored; see `Ingest.commit_batch`."""

    timeout_s: float | None
    on_sent: Callable[[], None]
    check: Check
    names_locked: bool


class Ingest:
    """Stores readings in the database, whether they come by MQTT or by HTTP."""

    def __init__(
        self, pool: asyncpg.Pool, limits: EvidenceLimits | None = None, clocks: Clocks | None = None
    ) -> None:
        """Nothing is refused for its time while `clocks` are not sure; without them, our own clock is."""
        self._pool = pool
        self._clocks = clocks
        self._limits = limits or EvidenceLimits()
        self.failing: str | None = None
        """The kind of error that the last transaction failed with; None if it was committed."""
        self._registered: set[str] = set()
        self._inserts_left = 0

    async def store(self, messages: Sequence[RawMessage]) -> BatchOutcome:
        """Validate and store messages that came by MQTT; return once they are committed, however long that takes."""
        return await self.commit_batch(await self.prepare(messages))

    async def store_http_readings(
        self,
        raws: Sequence[Any],
        *,
        payload: bytes,
        caller: str,
        received_at: datetime,
        rights: LookUpRights | None = None,
    ) -> MessageOutcome:
        """Validate and store readings that came by HTTP: parsed, each naming its device; `payload` is the body.

        `rights` looks up what the caller may send of some loggers between two instants; None: everything. What it found
        is looked at again once the loggers are locked, and looked up again if it has changed meanwhile.
        Raises StorageUnavailableError if the database does not answer within a few seconds.
        """
        message = RawMessage(Source.HTTP, caller, payload, received_at, self.clock_is_sure())
        results = [validate_http_reading(raw, message.latest_from) for raw in raws]
        device_ids = {one.device_id for one in results if one.device_id is not None}
        if rights is None:
            await self._look_up(device_ids, timeout_s=HTTP_TIMEOUT_S)
            known = [
                unknown_device(one.device_id)
                if isinstance(one, Reading) and one.device_id not in self._registered
                else one
                for one in results
            ]
            validated = combine_http_readings(message, known, None)
            outcome = await self.commit_messages([validated], timeout_s=HTTP_TIMEOUT_S)
            return _with_set_aside(outcome.messages[0], validated)
        for _ in range(_ATTEMPTS_AT_RIGHTS):
            found = await rights(device_ids, *_span(results, received_at))
            judged = [found.judged(one) for one in results]
            validated = combine_http_readings(message, judged, found.speaks_for)
            try:
                outcome = await self.commit_messages(
                    [validated], timeout_s=HTTP_TIMEOUT_S, check=partial(store.check_rights, rights=found)
                )
            except RightsChangedError:
                continue
            return _with_set_aside(outcome.messages[0], validated)
        raise StorageUnavailableError(
            "the loggers' shipments change faster than their readings can be stored"
        )

    async def prepare(self, messages: Sequence[RawMessage]) -> InsertBatch | CopyBatch:
        """Validate messages that came by MQTT, in slices; the database is only asked about unknown devices."""
        if not self.clock_is_sure():
            messages = [message._replace(clock_is_sure=False) for message in messages]
        await self._look_up({parse_topic(message.origin)[0] for message in messages})
        parsed = await parse_messages(messages, self._registered)
        if self._may_copy(sum(message.size for message in parsed)):
            batch = await build_copy_batch(parsed)
            if batch is not None:
                return batch
        return await build_insert_batch(parsed)

    def clock_is_sure(self) -> bool:
        """Return whether the service's clock can be trusted now, so that something may be refused for its time."""
        return self._clocks is None or self._clocks.are_sure()

    async def commit_messages(
        self,
        messages: Sequence[ValidatedMessage],
        *,
        timeout_s: float | None = None,
        check: Check = None,
    ) -> BatchOutcome:
        """Store validated messages from one source; otherwise as `commit_batch`."""
        may_copy = self._may_copy(sum(message.size for message in messages))
        batch = prepare_copy(messages) if may_copy else prepare_insert(messages)
        return await self.commit_batch(batch, timeout_s=timeout_s, check=check)

    async def commit_batch(
        self,
        batch: InsertBatch | CopyBatch,
        *,
        timeout_s: float | None = None,
        on_sent: Callable[[], None] = lambda: None,
        check: Check = None,
        names_locked: bool = False,
    ) -> BatchOutcome:
        """Store a batch in one transaction; messages that the database rejects are found by bisection and refused.

        Retries for as long as it takes, or raises StorageUnavailableError after `timeout_s` seconds. `on_sent` is
        called whenever readings have been sent to the database, which is then busy for a while. `check` is called in the
        transaction once the loggers are locked, and what it raises rolls everything back. With `names_locked`, it raises
        LoggersLockedError where it is the locks of some loggers that it would wait for.
        """
        way = _Way(timeout_s=timeout_s, on_sent=on_sent, check=check, names_locked=names_locked)
        if isinstance(batch, CopyBatch):
            try:
                if not self._inserts_left:
                    return await self._store(batch, way)
            except asyncpg.UniqueViolationError:
                self._inserts_left = INSERTS_AFTER_REPETITION
            except DATA_ERRORS as error:
                log.warning(
                    "copy_refused", error=str(error), hint="the batch is stored by INSERT to find the cause"
                )
            batch = await build_insert_batch(batch.messages)
        return await self._commit_insert(batch, way)

    async def _commit_insert(self, batch: InsertBatch, way: _Way) -> BatchOutcome:
        try:
            return await self._store(batch, way)
        except DATA_ERRORS as error:
            if len(batch.messages) > 1:
                middle = len(batch.messages) // 2
                halves = prepare_insert(batch.messages[:middle]), prepare_insert(batch.messages[middle:])
                first, second = [await self._commit_insert(half, way) for half in halves]
                return BatchOutcome(
                    [*first.messages, *second.messages], [*first.acknowledgements, *second.acknowledgements]
                )
            if not batch.readings:
                raise
            log.exception("reading_poisoned", origin=batch.messages[0].message.origin)
            metrics.POISONED.inc()
            refused = prepare_insert([_refuse_all(batch.messages[0], error)])
            return await self._commit_insert(refused, way)

    async def _store(self, batch: InsertBatch | CopyBatch, way: _Way) -> BatchOutcome:
        outcome = await retry(
            lambda: self._transact(batch, way), way.timeout_s, partial(self._note_failure, batch, way)
        )
        self.failing = None
        return outcome

    async def _note_failure(self, batch: InsertBatch | CopyBatch, way: _Way, error: Exception) -> None:
        """Raise LoggersLockedError if a transaction has failed for the locks of some loggers."""
        self.failing = type(error).__name__
        if not way.names_locked or not isinstance(error, asyncpg.LockNotAvailableError):
            return
        loggers = {parse_topic(message.message.origin)[0] for message in batch.messages}
        try:
            locked = await self.locked_loggers(loggers)
        except DATABASE_FAULTS:  # it is more than some loggers: the batch is tried again as a whole
            return
        # The only other lock is that of the quota of who has something refused.
        refused = {parse_topic(one.message.origin)[0] for one in batch.messages if one.refusals}
        if found := locked or refused:
            raise LoggersLockedError(found)

    async def locked_loggers(self, loggers: Collection[str]) -> set[str]:
        """Return which of the loggers somebody else has locked in the database now."""
        return await store.locked_loggers(self._pool, self._registered.intersection(loggers))

    def _may_copy(self, readings: int) -> bool:
        """Decide whether to try COPY: for a large batch, unless a recent one held a repetition, as more will follow."""
        repetitions_expected = self._inserts_left > 0
        self._inserts_left = max(0, self._inserts_left - 1)
        return readings >= COPY_MIN_READINGS and not repetitions_expected

    async def _look_up(self, device_ids: set[str], timeout_s: float | None = None) -> None:
        # A malformed id is in no table, and the database may not even accept it as text.
        unknown = {device_id for device_id in device_ids - self._registered if DEVICE_ID.fullmatch(device_id)}
        if unknown:
            query = partial(store.registered_devices, self._pool, unknown)
            self._registered |= await retry(query, timeout_s)

    async def _transact(self, batch: InsertBatch | CopyBatch, way: _Way) -> BatchOutcome:
        started = perf_counter()
        async with self._pool.acquire(timeout=CONNECT_TIMEOUT_S) as connection, connection.transaction():
            if way.names_locked:
                await store.wait_briefly(connection)
            await store.update_states(connection, batch.states, batch.source)
            if way.check is not None:
                await way.check(connection)
            outcomes = await _store_readings(connection, batch, way.on_sent)
            acknowledgements = await store.add_sequences(connection, batch.sequences)
            refused = [
                (message.message, outcome.refusals)
                for message, outcome in zip(batch.messages, outcomes, strict=True)
                if outcome.refusals
            ]
            if any(message.is_replayed for message, _ in refused):
                known = await self._on_record(connection, [message for message, _ in refused])
                refused = [one for one in refused if one[0] not in known]
                outcomes = [
                    MessageOutcome() if message.message in known else outcome
                    for message, outcome in zip(batch.messages, outcomes, strict=True)
                ]
            evidence = (
                await store.store_refusals(connection, refused, self._limits) if refused else Evidence()
            )
        outcome = BatchOutcome(outcomes, acknowledgements)
        _observe(batch, outcome, perf_counter() - started)
        _observe_evidence(evidence)
        return outcome

    async def _on_record(
        self, connection: DatabaseConnection, messages: Sequence[RawMessage]
    ) -> set[RawMessage]:
        """Return which of these messages were retained by the broker, which says them at each start, and refused before."""
        retained = [message for message in messages if message.is_replayed]
        kept = [keep_message(message, self._limits) for message in retained]
        return {retained[place] for place in await store.already_refused(connection, kept)}


async def _store_readings(
    connection: DatabaseConnection, batch: InsertBatch | CopyBatch, on_sent: Callable[[], None]
) -> list[MessageOutcome]:
    if isinstance(batch, CopyBatch):
        await store.copy_readings(connection, batch, on_sent)
        return [MessageOutcome(message.size, 0, message.refusals) for message in batch.messages]
    on_sent()  # whoever it wakes runs only once the statement has been sent
    new = await store.insert_readings(connection, batch)
    first = None if new is None else await _stored_before(connection, batch, new)
    return await in_slices(partial(_outcome, first=first), batch.messages)


async def _stored_before(
    connection: DatabaseConnection, batch: InsertBatch, new: set[ReadingKey]
) -> dict[ReadingKey, Reading]:
    """Load the readings that were stored earlier under the keys that are not new."""
    repeated = {reading[:2] for reading in batch.readings} - new
    stored = await store.stored_readings(connection, repeated) if repeated else {}
    if len(stored) < len(repeated):
        raise VanishedReadingError
    return stored


def _outcome(message: ValidatedMessage, first: dict[ReadingKey, Reading] | None) -> MessageOutcome:
    if first is None:
        return MessageOutcome(len(message.readings), 0, message.refusals)
    accepted, duplicates, conflicts = check_duplicates(message.readings, message.positions, first)
    return MessageOutcome(accepted, duplicates, [*message.refusals, *conflicts])


def _with_set_aside(outcome: MessageOutcome, message: ValidatedMessage) -> MessageOutcome:
    refused = {refusal.index for refusal in outcome.refusals}
    found = {
        position: reading.set_aside
        for reading, position in zip(message.readings, message.positions, strict=True)
        if reading.set_aside and position is not None and position not in refused
    }
    return outcome._replace(set_aside=dict(islice(found.items(), SET_ASIDE_TOLD))) if found else outcome


def _span(results: Sequence[Reading | Refusal], received_at: datetime) -> tuple[datetime, datetime]:
    instants = [one.measured_at for one in results if isinstance(one, Reading)] or [received_at]
    return min(instants), max(instants)


def _refuse_all(message: ValidatedMessage, error: Exception) -> ValidatedMessage:
    refusals = [
        Refusal(
            reason=RefusalReason.INVALID_READING,
            detail=f"the database does not accept it: {error}",
            index=position,
            device_id=reading.device_id,
            boot=reading.boot,
            seq=reading.seq,
        )
        for reading, position in zip(message.readings, message.positions, strict=True)
    ]
    return message._replace(readings=(), positions=(), refusals=[*message.refusals, *refusals])


def _observe(batch: InsertBatch | CopyBatch, outcome: BatchOutcome, took_s: float) -> None:
    """Update the metrics after a commit."""
    now = datetime.now(UTC)
    metrics.MESSAGES.labels(batch.source).inc(len(batch.messages))
    metrics.STORED.labels(batch.source).inc(sum(message.accepted for message in outcome.messages))
    metrics.DUPLICATES.labels(batch.source).inc(sum(message.duplicates for message in outcome.messages))
    for message in outcome.messages:
        for refusal in message.refusals:
            metrics.REFUSED.labels(refusal.reason).inc()
    if batch.sets_aside:
        _observe_set_aside(batch.messages, outcome)
    metrics.BATCH_READINGS.observe(batch.size)
    metrics.COMMIT_SECONDS.observe(took_s)
    metrics.COMMIT_LAG_SECONDS.observe((now - batch.messages[0].message.received_at).total_seconds())
    if batch.newest is not None:
        metrics.READING_AGE_SECONDS.observe((now - batch.newest).total_seconds())


def _observe_set_aside(messages: Sequence[ValidatedMessage | ParsedMessage], outcome: BatchOutcome) -> None:
    """Count the fields that are set aside, by name, but not again what was stored before."""
    for message, stored in zip(messages, outcome.messages, strict=True):
        if stored.accepted and isinstance(message, ValidatedMessage):
            for reading in message.readings:
                for name in names(reading.set_aside or {}, NAMES):
                    metrics.SET_ASIDE.labels(name).inc()


def _observe_evidence(evidence: Evidence) -> None:
    """Update the metrics after a commit, and say once a day which quota is spent."""
    for key, change in evidence.changes.items():
        metrics.REFUSED_KEPT_BYTES.inc(change.bytes)
        if change.not_kept:
            metrics.REFUSED_NOT_KEPT.labels(key.reason).inc(change.not_kept)
    metrics.REFUSED_CUT.inc(evidence.cut)
    for key in evidence.exceeded:
        log.warning(
            "refused_not_kept",
            source=key.source,
            origin=key.origin,
            reason=key.reason,
            hint="its quota is spent: further ones are counted only, see GET /v1/rejected",
        )
