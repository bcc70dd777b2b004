"""Claims due shipments and loads what their judgement depends on: a set of them at a time, never one by one."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias

import asyncpg
import orjson

from alerts.excursion import State
from alerts.judge import Device, DueShipment
from alerts.model import Instant, Reason, Sample, Window, to_datetime, to_instant
from alerts.plan import Plan
from alerts.rows import alert_from_row, excursion_from_row, instant

Connection: TypeAlias = asyncpg.Connection | asyncpg.pool.PoolConnectionProxy
Rows: TypeAlias = Sequence[asyncpg.Record]

_FROM_THE_START = datetime.min.replace(tzinfo=UTC)
_FOR_EVER = datetime.max.replace(tzinfo=UTC)

# The database's clock is everybody's, and even that may be set back: time never goes back for a shipment.
# Who has waited longest comes first: by id, the end of the alphabet would wait for as long as the beginning is busy.
CLAIM = """
SELECT e.shipment_id, greatest(clock_timestamp(), e.evaluated_at) AS now
FROM evaluations AS e JOIN (
    SELECT shipment_id, min(since) AS since FROM (
        (SELECT shipment_id, marked_at AS since FROM evaluation_marks ORDER BY id LIMIT 10 * $1)
        UNION ALL
        (SELECT shipment_id, evaluate_at FROM evaluations WHERE evaluate_at <= now() ORDER BY evaluate_at LIMIT $1)
    ) AS due GROUP BY shipment_id
) AS waiting ON waiting.shipment_id = e.shipment_id
ORDER BY waiting.since LIMIT $1
FOR UPDATE OF e SKIP LOCKED
"""

TAKE_MARKS = """
DELETE FROM evaluation_marks WHERE shipment_id = ANY($1::text[])
RETURNING shipment_id, device_id, dirty_from, marked_at
"""

LOAD_SHIPMENTS = """
SELECT shipment_id, organization, drill, plan, plan_revision, departed_at,
       coalesce(delivered_at, cancelled_at) AS ended_at
FROM shipments WHERE shipment_id = ANY($1::text[])
"""

LOAD_DEVICES = """
SELECT a.shipment_id, a.device_id, a.starts_at, a.ends_at, s.state, s.plan_revision
FROM device_assignments AS a LEFT JOIN evaluation_states AS s USING (shipment_id, device_id)
WHERE a.shipment_id = ANY($1::text[]) ORDER BY a.shipment_id, a.device_id
"""

LOAD_EXCURSIONS = """
SELECT * FROM excursions WHERE shipment_id = ANY($1::text[]) AND state IN ('open', 'closed')
"""

LOAD_ALERTS = "SELECT * FROM alerts WHERE shipment_id = ANY($1::text[]) ORDER BY id FOR UPDATE"

# $6 and $7 bound all of the stretches: constants tell the planner which chunks of the hypertable can be left out.
LOAD_READINGS = """
SELECT wanted.position, r.measured_at, CASE WHEN r.probe_ok THEN r.temperature_c END AS temperature_c, r.received_at
FROM unnest($1::int[], $2::text[], $3::timestamptz[], $4::timestamptz[], $5::timestamptz[])
         AS wanted(position, device_id, starting, after, before)
CROSS JOIN LATERAL (
    SELECT measured_at, temperature_c, probe_ok, received_at FROM readings
    WHERE device_id = wanted.device_id AND measured_at >= wanted.starting AND measured_at > wanted.after
      AND measured_at < wanted.before AND measured_at >= $6 AND measured_at < $7
) AS r
ORDER BY wanted.position, r.measured_at
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Due shipments under this transaction's lock, with what their judgement depends on."""

    now: Instant
    shipments: tuple[DueShipment, ...]
    samples: Mapping[str, Mapping[str, list[Sample]]]
    """By shipment and device: the readings that are not folded in yet."""
    received_at: Mapping[tuple[str, str], Instant]
    """When the newest of them was received."""
    marked_at: Mapping[str, Instant]
    """The oldest mark of each shipment."""


async def claim(connection: Connection, limit: int) -> Batch | None:
    """Lock up to `limit` due shipments that nobody else is at, and load them; None where none is due."""
    claimed = await connection.fetch(CLAIM, limit)
    if not claimed:
        return None
    ids = [row["shipment_id"] for row in claimed]
    now = max(row["now"] for row in claimed)
    # Each statement sees what was committed before it: the readings of every mark taken here are visible below.
    marks = await connection.fetch(TAKE_MARKS, ids)
    shipments = _due_shipments(
        shipments=await connection.fetch(LOAD_SHIPMENTS, ids),
        devices=await connection.fetch(LOAD_DEVICES, ids),
        excursions=await connection.fetch(LOAD_EXCURSIONS, ids),
        alerts=await connection.fetch(LOAD_ALERTS, ids),
        dirty=_dirty(marks),
    )
    samples, received_at = await _load_samples(connection, shipments)
    marked_at: dict[str, Instant] = {}
    for mark in marks:
        at = to_instant(mark["marked_at"])
        marked_at[mark["shipment_id"]] = min(at, marked_at.get(mark["shipment_id"], at))
    return Batch(
        now=to_instant(now),
        shipments=shipments,
        samples=samples,
        received_at=received_at,
        marked_at=marked_at,
    )


def _dirty(marks: Rows) -> Mapping[tuple[str, str | None], datetime]:
    """Give the earliest new reading by shipment and device; device None stands for all of them."""
    dirty: dict[tuple[str, str | None], datetime] = {}
    for mark in marks:
        key = mark["shipment_id"], mark["device_id"]
        since = mark["dirty_from"] or _FROM_THE_START
        dirty[key] = min(since, dirty.get(key, since))
    return dirty


def _due_shipments(
    *,
    shipments: Rows,
    devices: Rows,
    excursions: Rows,
    alerts: Rows,
    dirty: Mapping[tuple[str, str | None], datetime],
) -> tuple[DueShipment, ...]:
    by_shipment = _grouped(devices, "shipment_id")
    alerts_of = _grouped(alerts, "shipment_id")
    on_record = _grouped(excursions, "shipment_id", "device_id")
    due = []
    for row in shipments:
        id_ = row["shipment_id"]
        window = _window(row)
        due.append(
            DueShipment(
                shipment_id=id_,
                organization=row["organization"],
                drill=row["drill"],
                plan=Plan.from_json(orjson.loads(row["plan"])),
                plan_revision=row["plan_revision"],
                window=window,
                devices=tuple(
                    Device(
                        device_id=device["device_id"],
                        starts_at=to_instant(device["starts_at"]),
                        ends_at=instant(device["ends_at"]),
                        state=_usable_state(device, row["plan_revision"], window, dirty),
                        cause=_cause(device, row["plan_revision"], dirty),
                        excursions=tuple(
                            excursion_from_row(e) for e in on_record[(id_, device["device_id"])]
                        ),
                    )
                    for device in by_shipment[(id_,)]
                ),
                alerts={a["subject"]: alert_from_row(a) for a in alerts_of[(id_,)]},
            )
        )
    return tuple(due)


def _window(row: asyncpg.Record) -> Window | None:
    if row["departed_at"] is None:
        return None
    return Window(departed_at=to_instant(row["departed_at"]), delivered_at=instant(row["ended_at"]))


def _usable_state(
    row: asyncpg.Record,
    plan_revision: int,
    window: Window | None,
    dirty: Mapping[tuple[str, str | None], datetime],
) -> State | None:
    """Give the folded state that new readings can go on from; None where all must be folded again.

    That is so after late data, after a change of the plan or the window, and after a change of the fold itself.
    """
    shipment_id, device_id = row["shipment_id"], row["device_id"]
    if row["state"] is None or row["plan_revision"] != plan_revision or (shipment_id, None) in dirty:
        return None
    state = State.from_json(orjson.loads(row["state"]))
    if state is None or state.seen is None or window is None:
        return state
    late = dirty.get((shipment_id, device_id))
    if late is not None and late <= to_datetime(state.seen):
        return None
    ended = window.delivered_at is not None and state.seen >= window.delivered_at
    return None if ended else state


def _cause(
    row: asyncpg.Record, plan_revision: int, dirty: Mapping[tuple[str, str | None], datetime]
) -> Reason:
    """Tell why a device is folded from the start, if it is."""
    if row["plan_revision"] not in {None, plan_revision}:
        return Reason.PLAN_CHANGED
    return Reason.WINDOW_CHANGED if (row["shipment_id"], None) in dirty else Reason.LATE_DATA


async def _load_samples(
    connection: Connection, shipments: Iterable[DueShipment]
) -> tuple[dict[str, dict[str, list[Sample]]], dict[tuple[str, str], Instant]]:
    wanted = [
        (shipment.shipment_id, device, *device.admits(shipment.window))
        for shipment in shipments
        if shipment.window is not None
        for device in shipment.devices
    ]
    starting = [to_datetime(start) for _, _, start, _ in wanted]
    after = [_after(device.state) for _, device, _, _ in wanted]
    before = [_FOR_EVER if end is None else to_datetime(end) for *_, end in wanted]
    rows = await connection.fetch(
        LOAD_READINGS,
        range(len(wanted)),
        [device.device_id for _, device, _, _ in wanted],
        starting,
        after,
        before,
        min(map(max, starting, after), default=_FOR_EVER),
        max(before, default=_FROM_THE_START),
    )
    samples: dict[str, dict[str, list[Sample]]] = defaultdict(lambda: defaultdict(list))
    received_at: dict[tuple[str, str], Instant] = {}
    for position, measured_at, celsius, received in rows:
        shipment_id, device, _, _ = wanted[position]
        samples[shipment_id][device.device_id].append(Sample(to_instant(measured_at), celsius))
        key, at = (shipment_id, device.device_id), to_instant(received)
        received_at[key] = max(at, received_at.get(key, at))
    return samples, received_at


def _after(state: State | None) -> datetime:
    return _FROM_THE_START if state is None or state.seen is None else to_datetime(state.seen)


def _grouped(rows: Rows, *names: str) -> Mapping[tuple[str, ...], list[asyncpg.Record]]:
    groups: dict[tuple[str, ...], list[asyncpg.Record]] = defaultdict(list)
    for row in rows:
        groups[tuple(row[name] for name in names)].append(row)
    return groups
