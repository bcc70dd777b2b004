"""Judges shipments again from the start, a set a transaction, and reports what that changes; or only what it would."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import isclose
from typing import Final, Self, TypeAlias

import asyncpg
import structlog

from alerts.evaluation.claim import Poisoned, look_at
from alerts.evaluation.judging.checkpoint import Checkpoint
from alerts.evaluation.judging.judgement import DeviceVerdict, Verdict
from alerts.evaluation.loop import evaluate_again, judge_batch
from alerts.evaluation.queue import EVALUATIONS
from alerts.evaluation.resume import checkpoint_of
from alerts.excursions.phases import LoggerState
from alerts.excursions.telling import DEFAULT_PEAK_TELLING, PeakTelling
from alerts.model import Change, Instant, to_instant
from alerts.work.bulk import Connection
from alerts.work.wakeup import outlast
from telemetry.actor import Actor

log = structlog.get_logger(__name__)

SET: Final = 50
"""Shipments in one transaction: others wait no longer for their locks than these take."""

Key: TypeAlias = tuple[str, str]
"""A shipment and one of its loggers."""

_EVERY = "SELECT shipment_id FROM evaluations ORDER BY shipment_id"
_KNOWN = "SELECT shipment_id FROM evaluations WHERE shipment_id = ANY($1::text[])"
_MARKED = "SELECT DISTINCT shipment_id FROM evaluation_marks WHERE shipment_id = ANY($1::text[])"
_STATES = "SELECT shipment_id, device_id, state FROM evaluation_states WHERE shipment_id = ANY($1::text[])"
_SAFE_POINTS = """
SELECT shipment_id, device_id, seen, state FROM evaluation_safe_points WHERE shipment_id = ANY($1::text[])
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordChange:
    """A change of an excursion, and of which logger on which shipment."""

    shipment_id: str
    device_id: str
    change: Change


@dataclass(frozen=True, slots=True, kw_only=True)
class StateChange:
    """A logger whose stored state, or one of its safe points, is not what its readings give.

    Where the two states are equal, it is the safe points.
    """

    shipment_id: str
    device_id: str
    before: LoggerState | None
    """None where there was none, or one of another version of the fold."""
    after: LoggerState


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A shipment that could not be judged, and why."""

    shipment_id: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilt:
    """What became of one set of shipments, or would."""

    shipments: int
    readings: int
    changes: tuple[RecordChange, ...] = ()
    alerts: int = 0
    """Changes of alerts."""
    states: tuple[StateChange, ...] = ()
    """Not of loggers with readings that are not evaluated yet, whose state is expected to be behind."""
    failures: tuple[Failure, ...] = ()


async def every_shipment(connection: Connection) -> list[str]:
    """Return the ids of all shipments."""
    return [row["shipment_id"] for row in await connection.fetch(_EVERY)]


async def unknown_shipments(connection: Connection, shipment_ids: Sequence[str]) -> list[str]:
    """Return those ids of which there is no shipment."""
    known = {row["shipment_id"] for row in await connection.fetch(_KNOWN, shipment_ids)}
    return [shipment_id for shipment_id in shipment_ids if shipment_id not in known]


async def rebuild(
    pool: asyncpg.Pool,
    shipment_ids: Sequence[str],
    *,
    dry_run: bool,
    stop: asyncio.Event,
    actor: Actor,
    peaks: PeakTelling = DEFAULT_PEAK_TELLING,
) -> AsyncIterator[Rebuilt]:
    """Judge shipments from the start until `stop` is set, and give what that changed, a set at a time.

    Evaluators may run beside it: each shipment is locked while it is judged here. A dry run locks and changes nothing.
    Outlasts a database that is away; a set that takes too long is tried again as smaller ones.
    """
    if not dry_run:  # what it changes is by the rules; that somebody had them look again is said here
        log.info("reevaluation_started", shipments=len(shipment_ids), actor=str(actor))
    size, done = SET, 0
    while done < len(shipment_ids):
        some = shipment_ids[done : done + size]
        found = await outlast(partial(_one_set, pool, some, peaks, dry_run=dry_run), stop, "reevaluate")
        if found is None:
            return  # stopped
        if found is _TOO_LONG and len(some) > 1:
            size = len(some) // 2
            continue
        if found is _TOO_LONG:
            failure = Failure(shipment_id=some[0], error="it took longer than a statement may")
            found = replace(found, shipments=1, failures=(failure,))
        done, size = done + len(some), min(size + 1, SET)
        yield found


_TOO_LONG: Final = Rebuilt(shipments=0, readings=0)


async def _one_set(
    pool: asyncpg.Pool, shipment_ids: Sequence[str], peaks: PeakTelling, *, dry_run: bool
) -> Rebuilt:
    try:
        async with pool.acquire() as connection:
            if dry_run:
                async with connection.transaction(isolation="repeatable_read", readonly=True):
                    return await _look(connection, shipment_ids)
            async with connection.transaction():
                return await _mend(connection, shipment_ids, peaks)
    except (TimeoutError, asyncpg.QueryCanceledError):
        return _TOO_LONG


async def _look(connection: Connection, shipment_ids: Sequence[str]) -> Rebuilt:
    stored = await _Stored.load(connection, shipment_ids, live=False)
    due = await look_at(connection, shipment_ids)
    verdicts, poisoned = ([], []) if due is None else await judge_batch(due)
    return _rebuilt(stored, verdicts, poisoned)


async def _mend(
    connection: Connection, shipment_ids: Sequence[str], peaks: PeakTelling = DEFAULT_PEAK_TELLING
) -> Rebuilt:
    # The lock comes first: what is compared must be what is overwritten.
    await EVALUATIONS.wait_for(connection, shipment_ids)
    stored = await _Stored.load(connection, shipment_ids, live=True)
    return _rebuilt(stored, *await evaluate_again(connection, shipment_ids, peaks))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stored:
    """What is stored of the folds of some shipments."""

    waiting: frozenset[str]
    """Shipments with something that is not evaluated yet."""
    live: bool
    """Readings may have come since this was read."""
    states: Mapping[Key, Checkpoint | None]
    safe_points: Mapping[Key, Mapping[Instant | None, Checkpoint | None]]

    @classmethod
    async def load(cls, connection: Connection, shipment_ids: Sequence[str], *, live: bool) -> Self:
        marked = await connection.fetch(_MARKED, shipment_ids)
        states = await connection.fetch(_STATES, shipment_ids)
        safe_points: dict[Key, dict[Instant | None, Checkpoint | None]] = defaultdict(dict)
        for row in await connection.fetch(_SAFE_POINTS, shipment_ids):
            key = row["shipment_id"], row["device_id"]
            safe_points[key][to_instant(row["seen"])] = checkpoint_of(row["state"])
        return cls(
            waiting=frozenset(row["shipment_id"] for row in marked),
            live=live,
            states={(row["shipment_id"], row["device_id"]): checkpoint_of(row["state"]) for row in states},
            safe_points=safe_points,
        )

    def is_behind(self, key: Key, after: LoggerState) -> bool:
        """Return whether there are readings that evaluation has not seen yet."""
        before = self.states.get(key)
        return key[0] in self.waiting or (
            self.live and before is not None and before.state.readings < after.readings
        )

    def holds(self, key: Key, verdict: DeviceVerdict) -> bool:
        """Return whether what is stored of a logger is what its readings give."""
        before = self.safe_points.get(key, {})
        after = {one.state.seen: one for one in verdict.safe_points}
        return (
            _same(self.states.get(key) or _empty(verdict), verdict.checkpoint)
            and before.keys() == after.keys()
            and all(_same(before[at], one) for at, one in after.items())
        )


def _empty(verdict: DeviceVerdict) -> Checkpoint:
    """Return what need not be stored: the checkpoint after no readings."""
    return Checkpoint(rules=verdict.checkpoint.rules if verdict.state.seen is None else {})


def _rebuilt(stored: _Stored, verdicts: Sequence[Verdict], poisoned: Sequence[Poisoned]) -> Rebuilt:
    devices = [(verdict.identity.shipment_id, device) for verdict in verdicts for device in verdict.devices]
    return Rebuilt(
        shipments=len(verdicts) + len(poisoned),
        readings=sum(len(device.device.trace) for _, device in devices),
        changes=tuple(
            RecordChange(shipment_id=shipment_id, device_id=device.device.device_id, change=change)
            for shipment_id, device in devices
            for change in device.changes
        ),
        alerts=sum(len(verdict.alerts) for verdict in verdicts),
        states=tuple(_state_changes(stored, verdicts)),
        failures=tuple(Failure(shipment_id=one.identity.shipment_id, error=one.error) for one in poisoned),
    )


def _state_changes(stored: _Stored, verdicts: Sequence[Verdict]) -> Iterator[StateChange]:
    for verdict in verdicts:
        for device in verdict.devices:
            key = verdict.identity.shipment_id, device.device.device_id
            if not stored.is_behind(key, device.state) and not stored.holds(key, device):
                shipment_id, device_id = key
                before = stored.states.get(key)
                yield StateChange(
                    shipment_id=shipment_id,
                    device_id=device_id,
                    before=None if before is None else before.state,
                    after=device.state,
                )


def _same(stored: Checkpoint | None, checkpoint: Checkpoint) -> bool:
    """Return whether two checkpoints are the same, but for the sum that is added up in another order for long traces."""
    if stored is None:
        return False
    before, after = stored.state, checkpoint.state
    return (
        replace(before, exp_sum=after.exp_sum) == after
        and isclose(before.exp_sum, after.exp_sum, rel_tol=1e-9)
        and stored.rules == checkpoint.rules
    )
