"""Suspends loggers that flood the service: at the bridge at once, at the broker right after, and for a time only.

What is discarded meanwhile is lost to nobody who keeps to the contract: it is never acknowledged on the `ack` topic, so
the logger still has it. A suspension is a row, so that whoever starts after a crash goes on with it and ends it.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from time import monotonic
from typing import NamedTuple, Protocol

import asyncpg
import structlog

from telemetry import metrics
from telemetry.ingest.decode import TOPIC_PREFIX, is_packed, parse_topic
from telemetry.ingest.pipeline import MessageOutcome
from telemetry.ingest.retry import DATABASE_FAULTS
from telemetry.ingest.store import DatabaseConnection
from telemetry.ingest.validate_message import ParsedMessage, ValidatedMessage
from telemetry.model import DEVICE_ID, RawMessage, RefusalReason
from telemetry.mqtt.flood import FloodReason, FloodWatch, is_surely_refused, repeated, weight
from telemetry.mqtt.packets import Publish

log = structlog.get_logger(__name__)

CHECK_EVERY_S = 1.0
SWEEP_EVERY_S = 10.0
FIRST_S, LONGEST_S = 60, 3600
"""How long a suspension lasts: the first one, doubled with each that follows within a day, and the longest one."""

# One that is under way is left alone: several ingesters see the same flood.
_SUSPEND = f"""
INSERT INTO device_suspensions AS s (device_id, since, until, reason, times)
SELECT device_id, now(), now() + {FIRST_S} * interval '1 s', $2, 1 FROM devices WHERE device_id = $1
ON CONFLICT (device_id) DO UPDATE SET (since, until, reason, times, shut_at, lifted_at) = (
    SELECT now(), now() + least({LONGEST_S}, {FIRST_S} * 2.0 ^ least(times - 1, 20)) * interval '1 s', excluded.reason,
        times, NULL::timestamptz, NULL::timestamptz
    FROM (SELECT CASE WHEN s.until > now() - interval '1 day' THEN s.times + 1 ELSE 1 END AS times) AS again)
WHERE s.lifted_at IS NOT NULL
RETURNING until, times
"""  # noqa: S608 -- built from the constants above
# One that begins in the future was set by a clock that has gone back since: it would last for too long.
_UNDER_WAY = """
SELECT device_id, until <= now() OR since > now() + interval '1 second' AS is_over, shut_at IS NOT NULL AS is_shut
FROM device_suspensions WHERE lifted_at IS NULL
"""
_LOCK = f"{_UNDER_WAY} AND device_id = $1 FOR UPDATE SKIP LOCKED"
_SHUT = "UPDATE device_suspensions SET shut_at = now() WHERE device_id = $1"
_LIFTED = "UPDATE device_suspensions SET lifted_at = now() WHERE device_id = $1"


class BrokerAccounts(Protocol):
    """The loggers' accounts at the broker; both calls may be repeated, and raise ConnectionError without an answer."""

    async def shut(self, device_id: str) -> bool:
        """Disconnect a logger and keep it out; return False if its account is not ours to manage."""

    async def reopen(self, device_id: str) -> bool:
        """Let it in again, with the password that it has; otherwise as `shut`."""


class _Flood(NamedTuple):
    device_id: str
    reason: FloodReason


class Guard:
    """Sees floods in what arrives and in what becomes of it, and keeps who is suspended."""

    def __init__(self, pool: asyncpg.Pool, accounts: BrokerAccounts | None) -> None:
        self._pool = pool
        self._accounts = accounts
        self._watch = FloodWatch()
        self._pending: dict[str, FloodReason] = {}
        self._woken = asyncio.Event()
        self.unwanted: set[str] = set()
        """The topics of suspended loggers."""

    def see_arrival(self, publishes: Sequence[Publish]) -> bool:
        """Count messages as they arrive; return whether a logger is suspended because of them."""
        now, before = monotonic(), len(self.unwanted)
        sizes: dict[str, list[int]] = {}
        for topic, _, payload, _ in publishes:
            if topic not in self.unwanted:
                sizes.setdefault(topic, []).append(len(payload))
                if is_surely_refused(payload):
                    self._count(FloodReason.GARBAGE, topic, 0, len(payload), now)
        for topic, found in sizes.items():
            self._count(FloodReason.VOLUME, topic, len(found), sum(found), now)
        return len(self.unwanted) > before

    def see_validated(self, messages: Sequence[ValidatedMessage | ParsedMessage]) -> bool:
        """Count what is refused, before it is stored, which takes longest, and what was packed; otherwise as `see_arrival`."""
        now, before = monotonic(), len(self.unwanted)
        for validated in messages:
            origin, payload = validated.message.origin, validated.message.payload
            if is_packed(payload):
                self._count(FloodReason.VOLUME, origin, 0, _weight(validated) - len(payload), now)
            if validated.refusals:
                refused = len(validated.refusals)
                share = refused / (refused + validated.size)
                size = 0 if is_surely_refused(payload) else _weight(validated)  # counted on arrival
                self._count(FloodReason.GARBAGE, origin, share, share * size, now)
        return len(self.unwanted) > before

    def see_outcome(self, messages: Sequence[RawMessage], outcomes: Sequence[MessageOutcome]) -> bool:
        """Count what was stored already, once that is known; otherwise as `see_arrival`."""
        now, before = monotonic(), len(self.unwanted)
        for message, (accepted, duplicates, refusals, _) in zip(messages, outcomes, strict=True):
            if duplicates or not (accepted or refusals):
                share = repeated(accepted, duplicates, len(refusals))
                size = weight(message.payload, accepted + duplicates + len(refusals))
                self._count(FloodReason.REPETITION, message.origin, share, share * size, now)
        return len(self.unwanted) > before

    async def run(self) -> None:
        """Record suspensions and carry them out at the broker, until cancelled."""
        swept_at = monotonic()
        while True:
            try:
                await self._record()
                await self._reconcile()
            except DATABASE_FAULTS as error:
                log.warning("suspensions_wait", error=str(error) or repr(error))
            if monotonic() > swept_at + SWEEP_EVERY_S:
                swept_at = monotonic()
                self._watch.sweep(swept_at)
            with suppress(TimeoutError):
                async with asyncio.timeout(CHECK_EVERY_S):
                    await self._woken.wait()
            self._woken.clear()

    def _count(self, reason: FloodReason, topic: str, messages: float, size: float, now: float) -> None:
        device_id, _ = parse_topic(topic)
        if not DEVICE_ID.fullmatch(device_id) or topic in self.unwanted:
            return
        if self._watch.is_flood(reason, device_id, messages=messages, size=size, now=now):
            self._pending[device_id] = reason
            self.unwanted |= _topics(device_id)
            self._woken.set()

    async def _record(self) -> None:
        for device_id, reason in list(self._pending.items()):
            row = await self._pool.fetchrow(_SUSPEND, device_id, reason)
            del self._pending[device_id]
            if row is not None:
                metrics.SUSPENSIONS.labels(reason).inc()
                log.warning(
                    "logger_suspended",
                    device=device_id,
                    reason=reason,
                    until=row["until"].isoformat(),
                    times=row["times"],
                )

    async def _reconcile(self) -> None:
        """Bring who is kept out here and at the broker in line with the rows, whoever wrote them."""
        rows = await self._pool.fetch(_UNDER_WAY)
        lasting = {row["device_id"] for row in rows if not row["is_over"]}
        self.unwanted = set().union(*(_topics(device_id) for device_id in lasting | self._pending.keys()))
        metrics.SUSPENDED.set(len(lasting))
        for row in rows:
            if row["is_over"] or not row["is_shut"]:
                await self._carry_out(row["device_id"])

    async def _carry_out(self, device_id: str) -> None:
        """Shut or open an account; the row is locked meanwhile, so that two ingesters never cross."""
        async with self._pool.acquire() as connection, connection.transaction():
            row = await connection.fetchrow(_LOCK, device_id)
            if row is None:
                return
            try:
                if row["is_over"]:
                    await self._lift(connection, device_id)
                elif not row["is_shut"]:
                    await self._shut(connection, device_id)
            except ConnectionError as error:
                log.warning("suspension_waits_for_the_broker", device=device_id, error=str(error))

    async def _shut(self, connection: DatabaseConnection, device_id: str) -> None:
        if self._accounts is None or not await self._accounts.shut(device_id):
            hint = "its account is managed elsewhere: shut it there; what it sends is discarded meanwhile"
            log.warning("suspended_logger_stays_connected", device=device_id, hint=hint)
        await connection.execute(_SHUT, device_id)

    async def _lift(self, connection: DatabaseConnection, device_id: str) -> None:
        if self._accounts is not None:
            await self._accounts.reopen(device_id)
        await connection.execute(_LIFTED, device_id)
        log.info("logger_suspension_ended", device=device_id)


def _topics(device_id: str) -> set[str]:
    return {f"{TOPIC_PREFIX}{device_id}/readings", f"{TOPIC_PREFIX}{device_id}/status"}


def _weight(validated: ValidatedMessage | ParsedMessage) -> int:
    is_too_large = any(one.reason is RefusalReason.TOO_LARGE for one in validated.refusals)
    readings = validated.size + len(validated.refusals)
    return weight(validated.message.payload, readings, is_too_large=is_too_large)
