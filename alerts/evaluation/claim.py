"""Claims due shipments and loads what their judgement depends on: a set of them at a time, never one by one.

Nothing is locked that anybody else may want while shipments are judged: the claim is an advisory lock, and marks and
alerts are taken once all is judged.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import asyncpg

from alerts.evaluation.judging.judgement import Device, DueShipment, Identity
from alerts.evaluation.load_facts import (
    Context,
    Numbers,
    departure_facts_of,
    facts_of,
    held_back,
    load_context,
    load_numbers,
    load_shipments,
    plan_of,
    watched_from,
)
from alerts.evaluation.queue import EVALUATIONS, LIVE, PAST
from alerts.evaluation.resume import Dirty, PendingFold, Resumed, resume
from alerts.excursions.load_readings import FROM_THE_START
from alerts.model import AlertKind, Instant, Reason, to_datetime, to_instant
from alerts.rules.facts import Facts
from alerts.rules.kinds.logger_memory_gap import may_lack
from alerts.rules.registry import CHANNELS, tuned_rules
from alerts.tables import alerts, excursions
from alerts.triage.alert import Alert
from alerts.triage.rows import alert_from_row, excursion_from_row
from alerts.work.bulk import Connection, columns_of
from alerts.work.due_queue import NOTHING, Claimed, Rows
from alerts.work.errors import describe_error
from alerts.work.savepoints import LOCK_PATIENCE

PAST_PART = 4
"""Where both are claimed, one in so many shipments, at least, may be one with readings of the past."""

LOAD_DEVICES = """
SELECT a.shipment_id, a.device_id, a.starts_at, a.ends_at, s.state, s.plan_revision, d.interval_s
FROM device_assignments AS a JOIN devices AS d USING (device_id)
    LEFT JOIN evaluation_states AS s USING (shipment_id, device_id)
WHERE a.shipment_id = ANY($1::text[]) ORDER BY a.shipment_id, a.device_id
"""

# What readings up to the resumed state have ended stays as it is, and is not looked at.
LOAD_EXCURSIONS = f"""
SELECT {columns_of(excursions, "e")} FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS w(shipment_id, device_id, settled)
JOIN excursions AS e ON e.shipment_id = w.shipment_id AND e.device_id = w.device_id
WHERE e.state IN ('open', 'closed') AND (e.end_at IS NULL OR e.end_at > w.settled)
"""  # noqa: S608 -- our own words

LOAD_ALERTS = f"""
SELECT {columns_of(alerts)} FROM alerts WHERE shipment_id = ANY($1::text[])
    AND (state <> 'resolved' OR kind <> 'excursion' OR excursion_id = ANY($2::uuid[]))
ORDER BY id
"""  # noqa: S608 -- our own words


NOW = "SELECT clock_timestamp()"
NOW_WITH_PATIENCE = f"{NOW}, set_config('lock_timeout', '{LOCK_PATIENCE}', true)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Poisoned:
    """A shipment whose judgement fails, and with what."""

    identity: Identity
    error: str
    held: bool = False
    """Another process holds something of it for long: nothing is wrong with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DueShipments:
    """Claimed shipments, with what their judgement depends on."""

    now: Instant
    """As of when they are judged."""
    clock: Instant
    """What the database's clock said: less than `now`, if it went back since one of them was judged."""
    claimed: Claimed
    shipments: tuple[DueShipment, ...]
    poisoned: tuple[Poisoned, ...]
    received_at: Mapping[tuple[str, str], Instant]
    """When the newest of a logger's new readings was received."""

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
) -> DueShipments | None:
    """Claim due shipments that nobody else is at, about `limit` of them, and load them; None where none is due.

    Those with readings of the past are due once they have waited for `late_wait_s` seconds.
    """
    claimed = NOTHING if share is Share.PAST else await EVALUATIONS.claim(connection, limit, LIVE)
    if share is not Share.LIVE:
        room = max(limit - len(claimed.keys), limit // PAST_PART, 1)
        claimed += await EVALUATIONS.claim(connection, room, PAST, besides=claimed.keys, wait_s=late_wait_s)
    # A reading that comes in between can be folded already; its mark stays, and has it folded once more.
    return await _load(connection, claimed, from_the_start=False) if claimed.keys else None


async def claim_these(connection: Connection, shipment_ids: Sequence[str]) -> DueShipments | None:
    """Wait for and lock certain shipments, and load them to be folded from the start; None where there are none."""
    await EVALUATIONS.wait_for(connection, shipment_ids)
    claimed = await EVALUATIONS.find(connection, shipment_ids)
    return await _load(connection, claimed, from_the_start=True, lock="FOR UPDATE") if claimed.keys else None


async def look_at(connection: Connection, shipment_ids: Sequence[str]) -> DueShipments | None:
    """Load certain shipments to be folded from the start, and take nothing away: for a look without consequences."""
    found = await EVALUATIONS.find(connection, shipment_ids)
    return await _load(connection, found, from_the_start=True) if found.keys else None


async def _load(
    connection: Connection, claimed: Claimed, *, from_the_start: bool, lock: str = ""
) -> DueShipments:
    ids = claimed.keys
    shipments = await load_shipments(connection, ids)
    context = await load_context(connection, shipments.values())
    dirty = Dirty.everything(ids) if from_the_start else Dirty.of(claimed.marks)
    devices = await connection.fetch(LOAD_DEVICES, ids)
    foldings, broken = _foldings(shipments, devices, dirty)
    resumed = await resume(connection, foldings, CHANNELS)
    came = await load_numbers(connection, _that_may_lack(resumed))
    on_record = await _excursions(connection, resumed)
    excursion_ids = [row["id"] for row in on_record]
    alerts = await connection.fetch(f"{LOAD_ALERTS} {lock}", ids, excursion_ids)
    causes = _Causes(dirty, reevaluated=from_the_start)
    making = _Making(shipments, devices, context, resumed, on_record, alerts, causes, came)
    due, poisoned = making.all(broken)
    now, clock = await _now(connection, claimed, NOW if from_the_start else NOW_WITH_PATIENCE)
    return DueShipments(
        now=now,
        clock=clock,
        claimed=claimed,
        shipments=due,
        poisoned=poisoned,
        received_at={
            (one.pending.shipment_id, one.pending.device_id): one.loaded.received_at
            for one in resumed
            if one.loaded.received_at is not None
        },
    )


async def _now(connection: Connection, claimed: Claimed, statement: str) -> tuple[Instant, Instant]:
    """Return the instant at which all that was loaded was known, and what the clock says.

    What follows from what was loaded was not known before. The database's clock is everybody's, and even that may
    be set back: time never goes back for a shipment.
    """
    clock = await connection.fetchval(statement)
    return to_instant(max([clock, *claimed.done_at.values()])), to_instant(clock)


def _foldings(
    shipments: Mapping[str, asyncpg.Record], devices: Rows, dirty: Dirty
) -> tuple[list[PendingFold], dict[str, str]]:
    """Return what is to be folded of each device of a shipment that has departed, and what cannot be read at all."""
    foldings, broken = [], {}
    for row in devices:
        shipment = shipments[row["shipment_id"]]
        try:
            watching = tuned_rules(plan_of(shipment["plan"]))
            folding = PendingFold.of(row, shipment, dirty, watching, to_instant(shipment["looked_at"]))
        except Exception as error:  # noqa: BLE001 -- a row that cannot be read must not stop the others
            broken[row["shipment_id"]] = describe_error(error)
            continue
        if folding is not None:
            foldings.append(folding)
    return foldings, broken


def _that_may_lack(resumed: Iterable[Resumed]) -> list[str]:
    """Return the loggers of which it must be known what came: nearly always none."""
    kind = AlertKind.LOGGER_MEMORY_GAP
    return [
        one.pending.device_id for one in resumed if may_lack(one.checkpoint.rules.get(kind), one.loaded.trace)
    ]


async def _excursions(connection: Connection, resumed: Iterable[Resumed]) -> Rows:
    keys = [(r.pending.shipment_id, r.pending.device_id, r.state.seen) for r in resumed]
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
        around: Context,
        resumed: Iterable[Resumed],
        on_record: Rows,
        alerts: Rows,
        causes: "_Causes",
        came: Mapping[str, Numbers],
    ) -> None:
        self._shipments = shipments
        self._causes = causes
        self._came = came
        self._around = around
        self._devices = defaultdict(list)
        for row in devices:
            self._devices[row["shipment_id"]].append(row)
        self._resumed = defaultdict(list)
        for one in resumed:
            self._resumed[one.pending.shipment_id].append(one)
        self._on_record = defaultdict(list)
        for row in on_record:
            self._on_record[row["shipment_id"], row["device_id"]].append(row)
        self._alerts = defaultdict(list)
        for row in alerts:
            self._alerts[row["shipment_id"]].append(row)

    def all(self, broken: Mapping[str, str]) -> tuple[tuple[DueShipment, ...], tuple[Poisoned, ...]]:
        """Return those that can be judged, and those that cannot."""
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
                poisoned.append(Poisoned(identity=identity, error=describe_error(error)))
        return tuple(due), tuple(poisoned)

    def _due(self, row: asyncpg.Record, identity: Identity) -> DueShipment:
        return DueShipment(
            identity=identity,
            plan_revision=row["plan_revision"],
            facts=self._facts(row),
            watched_from=watched_from(row),
            devices=tuple(self._device(one) for one in self._resumed[row["shipment_id"]]),
            departure_facts=departure_facts_of(row),
            held_back=held_back(row),
        )

    def _facts(self, row: asyncpg.Record) -> Facts | None:
        devices = self._devices[row["shipment_id"]]
        facts = facts_of(row, devices, self._around)
        came = {
            one["device_id"]: self._came[one["device_id"]]
            for one in devices
            if one["device_id"] in self._came
        }
        return facts if facts is None or not came else replace(facts, came=came)

    def _device(self, one: Resumed) -> Device:
        folding = one.pending
        return Device(
            device_id=folding.device_id,
            window=folding.window,
            checkpoint=one.checkpoint,
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

    def of(self, folding: PendingFold) -> Reason:
        if folding.stored_under not in {None, folding.plan_revision}:
            return Reason.PLAN_CHANGED
        if self.reevaluated:
            return Reason.REEVALUATED
        window_moved = self.dirty.whole_shipment(folding.shipment_id)
        return Reason.WINDOW_CHANGED if window_moved else Reason.LATE_DATA


def _identity(row: asyncpg.Record, alerts: Mapping[str, Alert]) -> Identity:
    return Identity(
        shipment_id=row["shipment_id"],
        organization=row["organization"],
        drill=row["drill"],
        alerts=alerts,
        judged_revision=row["judged_revision"],
        newest_revision=row["newest_revision"],
    )
