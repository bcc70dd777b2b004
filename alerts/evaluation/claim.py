"""Claims due shipments and loads what their judgement depends on: a set of them at a time, never one by one.

Nothing is locked that anybody else may want while shipments are judged: the claim is an advisory lock, and marks and
alerts are taken once all is judged.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

import asyncpg

from alerts.evaluation.judge_batch import told
from alerts.evaluation.judgement import Device, DueShipment, Identity
from alerts.evaluation.load_facts import (
    Surroundings,
    departing_of,
    facts_of,
    held_back,
    load_shipments,
    load_surroundings,
    plan_of,
)
from alerts.evaluation.resume import Dirty, Folding, Resumed, resume
from alerts.excursions.load_readings import FROM_THE_START
from alerts.model import Instant, Reason, to_datetime, to_instant
from alerts.rules.registry import CHANNELS, tuned
from alerts.triage.alert import Alert
from alerts.triage.rows import alert_from_row, excursion_from_row
from alerts.work.bulk import Connection
from telemetry.locks import LockSpace

Rows: TypeAlias = Sequence[asyncpg.Record]

_CLAIM = """
WITH waiting AS MATERIALIZED (
    SELECT shipment_id, evaluated_at FROM (
        SELECT shipment_id, min(since) AS since FROM ({due}) AS due GROUP BY shipment_id
    ) AS waiting JOIN evaluations USING (shipment_id) {where} ORDER BY since
), claimed AS MATERIALIZED (
    SELECT shipment_id, evaluated_at FROM waiting WHERE pg_try_advisory_xact_lock({locks}, hashtext(shipment_id)) LIMIT $1
)
SELECT claimed.*, m.id, m.device_id, m.dirty_from, m.marked_at
FROM claimed LEFT JOIN evaluation_marks AS m ON m.shipment_id = claimed.shipment_id
"""

_MARKS = """
(SELECT shipment_id, marked_at AS since FROM evaluation_marks WHERE {late} ORDER BY id LIMIT 10 * $1)
"""

# Who has waited longest comes first: by id, the end of the alphabet would wait for as long as the beginning is busy.
_DEADLINES = """
(SELECT shipment_id, evaluate_at FROM evaluations WHERE evaluate_at <= now() ORDER BY evaluate_at LIMIT $1)
"""
CLAIM_LIVE = _CLAIM.format(
    due=" UNION ALL ".join((_MARKS.format(late="NOT late"), _DEADLINES)), where="", locks=LockSpace.EVALUATION
)

# What loggers bring back from a flight is much, and hours old: live data does not wait for it.
# A mark from the future has waited: the clock was set back.
_WAITED = """
WHERE shipment_id <> ALL($2::text[]) AND NOT (
    waiting.since > statement_timestamp() - $3 * interval '1 second' AND waiting.since <= statement_timestamp())
"""
CLAIM_PAST = _CLAIM.format(due=_MARKS.format(late="late"), where=_WAITED, locks=LockSpace.EVALUATION)
PAST_PART = 4
"""Where both are claimed, one in so many shipments, at least, may be one with readings of the past."""

CLAIM_THESE = """
SELECT shipment_id, evaluated_at FROM evaluations WHERE shipment_id = ANY($1::text[]) ORDER BY shipment_id
"""

WAIT_FOR = """
SELECT pg_advisory_xact_lock($2, hashtext(shipment_id)) FROM unnest($1::text[]) AS s(shipment_id) ORDER BY hashtext(shipment_id)
"""

READ_MARKS = """
SELECT id, shipment_id, device_id, dirty_from, marked_at FROM evaluation_marks WHERE shipment_id = ANY($1::text[])
"""

LOAD_DEVICES = """
SELECT a.shipment_id, a.device_id, a.starts_at, a.ends_at, s.state, s.plan_revision, d.interval_s
FROM device_assignments AS a JOIN devices AS d USING (device_id)
    LEFT JOIN evaluation_states AS s USING (shipment_id, device_id)
WHERE a.shipment_id = ANY($1::text[]) ORDER BY a.shipment_id, a.device_id
"""

# What readings up to the resumed state have ended stays as it is, and is not looked at.
LOAD_EXCURSIONS = """
SELECT e.* FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS w(shipment_id, device_id, settled)
JOIN excursions AS e ON e.shipment_id = w.shipment_id AND e.device_id = w.device_id
WHERE e.state IN ('open', 'closed') AND (e.end_at IS NULL OR e.end_at > w.settled)
"""

LOAD_ALERTS = """
SELECT * FROM alerts WHERE shipment_id = ANY($1::text[])
    AND (state <> 'resolved' OR kind <> 'excursion' OR excursion_id = ANY($2::uuid[]))
ORDER BY id
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Poisoned:
    """A shipment whose judgement fails, and with what."""

    identity: Identity
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Due shipments, with what their judgement depends on."""

    now: Instant
    shipments: tuple[DueShipment, ...]
    poisoned: tuple[Poisoned, ...]
    received_at: Mapping[tuple[str, str], Instant]
    """When the newest of a logger's new readings was received."""
    marks: Rows
    """Those that told of something new."""

    @property
    def readings(self) -> int:
        """How many are to be folded."""
        return sum(len(device.trace) for shipment in self.shipments for device in shipment.devices)


class Share(StrEnum):
    """Which of the due shipments to claim."""

    LIVE = "live"
    """Those with live data, or a deadline."""
    PAST = "past"
    """Those with readings of the past, as after a flight."""
    ALL = "all"
    """Both; of the second fewer where there are many of the first."""


async def claim(
    connection: Connection, limit: int, share: Share = Share.ALL, late_wait_s: float = 0
) -> Batch | None:
    """Lock due shipments that nobody else is at, about `limit` of them, and load them; None where none is due.

    Those with readings of the past are due once they have waited for `late_wait_s` seconds.
    """
    live = [] if share is Share.PAST else await connection.fetch(CLAIM_LIVE, limit)
    past: Rows = ()
    if share is not Share.LIVE:
        taken = list({row["shipment_id"]: None for row in live})
        room = max(limit - len(taken), limit // PAST_PART, 1)
        past = await connection.fetch(CLAIM_PAST, room, taken, late_wait_s)
    claimed = [*live, *past]
    # Each statement sees what was committed before it: the readings of every mark read here are visible to those that
    # follow. A reading that comes in between can be folded already; its mark stays, and has it folded once more. A mark
    # that another one has just taken may still be seen, and has something folded again that is folded already.
    marks = [row for row in claimed if row["id"] is not None]
    return await _load(connection, claimed, marks, from_the_start=False) if claimed else None


async def claim_these(connection: Connection, shipment_ids: Sequence[str]) -> Batch | None:
    """Wait for and lock certain shipments, and load them to be folded from the start; None where there are none."""
    await connection.execute(WAIT_FOR, shipment_ids, LockSpace.EVALUATION)
    claimed = await connection.fetch(CLAIM_THESE, shipment_ids)
    if not claimed:
        return None
    marks = await connection.fetch(READ_MARKS, [row["shipment_id"] for row in claimed])
    return await _load(connection, claimed, marks, from_the_start=True, lock="FOR UPDATE")


async def look_at(connection: Connection, shipment_ids: Sequence[str]) -> Batch | None:
    """Load certain shipments to be folded from the start, and take nothing away: for a look without consequences."""
    found = await connection.fetch(CLAIM_THESE, shipment_ids)
    return await _load(connection, found, (), from_the_start=True) if found else None


async def _load(
    connection: Connection, claimed: Rows, marks: Rows, *, from_the_start: bool, lock: str = ""
) -> Batch:
    ids = list({row["shipment_id"]: None for row in claimed})
    shipments = await load_shipments(connection, ids)
    around = await load_surroundings(connection, shipments.values())
    dirty = Dirty.everything(ids) if from_the_start else Dirty.of(marks)
    devices = await connection.fetch(LOAD_DEVICES, ids)
    foldings, broken = _foldings(shipments, devices, dirty)
    resumed = await resume(connection, foldings, CHANNELS)
    on_record = await _excursions(connection, resumed)
    excursion_ids = [row["id"] for row in on_record]
    alerts = await connection.fetch(f"{LOAD_ALERTS} {lock}", ids, excursion_ids)
    causes = _Causes(dirty, reevaluated=from_the_start)
    due, poisoned = _Making(shipments, devices, around, resumed, on_record, alerts, causes).all(broken)
    return Batch(
        now=await _now(connection, claimed),
        shipments=due,
        poisoned=poisoned,
        received_at={
            (one.folding.shipment_id, one.folding.device_id): one.loaded.received_at
            for one in resumed
            if one.loaded.received_at is not None
        },
        marks=marks,
    )


async def _now(connection: Connection, claimed: Rows) -> Instant:
    """Give the instant at which all that was loaded was known: what follows from it was not known before.

    The database's clock is everybody's, and even that may be set back: time never goes back for a shipment.
    """
    clock = await connection.fetchval("SELECT clock_timestamp()")
    return to_instant(max(clock, *(row["evaluated_at"] or clock for row in claimed)))


def oldest(marks: Rows) -> dict[str, Instant]:
    """Give the oldest mark of each shipment."""
    oldest: dict[str, Instant] = {}
    for mark in marks:
        at = to_instant(mark["marked_at"])
        oldest[mark["shipment_id"]] = min(at, oldest.get(mark["shipment_id"], at))
    return oldest


def _foldings(
    shipments: Mapping[str, asyncpg.Record], devices: Rows, dirty: Dirty
) -> tuple[list[Folding], dict[str, str]]:
    """Give what is to be folded of each device of a shipment that has departed, and what cannot be read at all."""
    foldings, broken = [], {}
    for row in devices:
        shipment = shipments[row["shipment_id"]]
        try:
            watching = tuned(plan_of(shipment["plan"]))
            folding = Folding.of(row, shipment, dirty, watching, to_instant(shipment["looked_at"]))
        except Exception as error:  # noqa: BLE001 -- a row that cannot be read must not stop the others
            broken[row["shipment_id"]] = told(error)
            continue
        if folding is not None:
            foldings.append(folding)
    return foldings, broken


async def _excursions(connection: Connection, resumed: Iterable[Resumed]) -> Rows:
    keys = [(r.folding.shipment_id, r.folding.device_id, r.state.seen) for r in resumed]
    return await connection.fetch(
        LOAD_EXCURSIONS,
        [shipment_id for shipment_id, _, _ in keys],
        [device_id for _, device_id, _ in keys],
        [FROM_THE_START if seen is None else to_datetime(seen) for _, _, seen in keys],
    )


class _Making:
    """Puts shipments together from rows; one whose rows make no sense is poisoned, and costs the others nothing."""

    def __init__(
        self,
        shipments: Mapping[str, asyncpg.Record],
        devices: Rows,
        around: Surroundings,
        resumed: Iterable[Resumed],
        on_record: Rows,
        alerts: Rows,
        causes: "_Causes",
    ) -> None:
        self._shipments = shipments
        self._causes = causes
        self._around = around
        self._devices = defaultdict(list)
        for row in devices:
            self._devices[row["shipment_id"]].append(row)
        self._resumed = defaultdict(list)
        for one in resumed:
            self._resumed[one.folding.shipment_id].append(one)
        self._on_record = defaultdict(list)
        for row in on_record:
            self._on_record[row["shipment_id"], row["device_id"]].append(row)
        self._alerts = defaultdict(list)
        for row in alerts:
            self._alerts[row["shipment_id"]].append(row)

    def all(self, broken: Mapping[str, str]) -> tuple[tuple[DueShipment, ...], tuple[Poisoned, ...]]:
        """Give those that can be judged, and those that cannot."""
        due, poisoned = [], []
        for shipment_id, row in self._shipments.items():
            identity = _identity(row, {})
            try:
                identity = _identity(
                    row, {a["subject"]: alert_from_row(a) for a in self._alerts[shipment_id]}
                )
                if shipment_id in broken:
                    poisoned.append(Poisoned(identity=identity, error=broken[shipment_id]))
                else:
                    due.append(self._due(row, identity))
            except Exception as error:  # noqa: BLE001 -- as above
                poisoned.append(Poisoned(identity=identity, error=told(error)))
        return tuple(due), tuple(poisoned)

    def _due(self, row: asyncpg.Record, identity: Identity) -> DueShipment:
        departed_at = row["departed_at"]
        return DueShipment(
            identity=identity,
            plan_revision=row["plan_revision"],
            facts=facts_of(row, self._devices[row["shipment_id"]], self._around),
            watched_from=to_instant(
                row["created_at"] if departed_at is None else max(departed_at, row["created_at"])
            ),
            devices=tuple(self._device(one) for one in self._resumed[row["shipment_id"]]),
            departing=departing_of(row),
            held_back=held_back(row),
        )

    def _device(self, one: Resumed) -> Device:
        folding = one.folding
        return Device(
            device_id=folding.device_id,
            standing=one.standing,
            trace=one.loaded.trace,
            refolds=one.refolds,
            excursions=tuple(
                excursion_from_row(row) for row in self._on_record[folding.shipment_id, folding.device_id]
            ),
            cause=self._causes.of(folding),
        )


@dataclass(frozen=True, slots=True)
class _Causes:
    """Tells why what was told of a device before may change."""

    dirty: Dirty
    reevaluated: bool

    def of(self, folding: Folding) -> Reason:
        if folding.stored_under not in {None, folding.plan_revision}:
            return Reason.PLAN_CHANGED
        if self.reevaluated:
            return Reason.REEVALUATED
        window_moved = self.dirty.whole_shipment(folding.shipment_id)
        return Reason.WINDOW_CHANGED if window_moved else Reason.LATE_DATA


def _identity(row: asyncpg.Record, alerts: Mapping[str, Alert]) -> Identity:
    return Identity(
        shipment_id=row["shipment_id"], organization=row["organization"], drill=row["drill"], alerts=alerts
    )
