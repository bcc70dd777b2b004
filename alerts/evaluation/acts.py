"""Loads what people did to shipments since they were last judged, and names the acts that took away from the record."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

import asyncpg
import orjson

from alerts.evaluation.judging.judgement import Verdict
from alerts.evaluation.judging.stretch import stretch_of, window_of_device
from alerts.evaluation.judging.taken_away import Version, attribute, devices_of_interest, is_candidate
from alerts.evaluation.resume import window_of
from alerts.excursions.load_readings import load_readings
from alerts.excursions.plan import Plan
from alerts.excursions.trace import Trace
from alerts.model import Act, EndedBy, Instant, Window, to_instant
from alerts.work.bulk import Connection

SCHEDULE: Final = (
    *("origin", "destination", "legs", "planned_departure", "planned_arrival", "packed_out_at", "use_by"),
)

# The newest that was judged, and what came after it. What is committed while a shipment is loaded is among them: it is
# looked at once more when it is judged.
LOAD_STEPS = """
SELECT r.shipment_id, r.revision, r.recorded_at, r.step, r.by, r.reason, r.plan::text AS plan, r.legs::text AS legs,
    r.origin, r.destination, r.planned_departure, r.planned_arrival, r.packed_out_at, r.use_by,
    r.dewar_id, r.departed_at, r.delivered_at, r.cancelled_at, r.devices::text AS devices
FROM unnest($1::text[], $2::int[]) AS w(shipment_id, judged)
    JOIN shipment_revisions AS r ON r.shipment_id = w.shipment_id AND r.revision >= w.judged
ORDER BY r.shipment_id, r.revision
"""

# Nobody else writes it: the claim is ours.
WRITE_JUDGED = """
UPDATE evaluations AS e SET judged_revision = w.revision FROM unnest($1::text[], $2::int[]) AS w(shipment_id, revision)
WHERE e.shipment_id = w.shipment_id
"""


async def name_acts(
    connection: Connection, verdicts: Sequence[Verdict], now: Instant
) -> tuple[list[Verdict], dict[str, Exception]]:
    """Return verdicts with the act behind each change that takes away from the record, in two statements at most.

    What cannot be read or judged fails for its shipment alone: such are left out, and returned with their errors.
    """
    asked = {v.identity.shipment_id: v for v in verdicts if v.identity.judged_revision and is_candidate(v)}
    if not asked:
        return list(verdicts), {}
    judged = [v.identity.judged_revision for v in asked.values()]
    steps: dict[str, list[asyncpg.Record]] = defaultdict(list)
    for row in await connection.fetch(LOAD_STEPS, list(asked), judged):
        steps[row["shipment_id"]].append(row)
    acted = {id_: rows for id_, rows in steps.items() if len(rows) > 1}
    traces = await _traces(connection, acted, asked)
    named, errors = {}, {}
    for id_, rows in acted.items():
        try:
            named[id_] = attribute(asked[id_], [_version(row, traces) for row in rows], now)
        except Exception as error:  # noqa: BLE001 -- whatever it is, the other shipments must not wait for it
            errors[id_] = error
    kept = [v for v in verdicts if v.identity.shipment_id not in errors]
    return [named.get(v.identity.shipment_id, v) for v in kept], errors


async def write_judged(connection: Connection, verdicts: Sequence[Verdict]) -> None:
    """Write up to which step of its life each shipment is judged, for those with new ones."""
    new = [one.identity for one in verdicts if one.identity.newest_revision != one.identity.judged_revision]
    if new:
        ids, revisions = [one.shipment_id for one in new], [one.newest_revision for one in new]
        await connection.execute(WRITE_JUDGED, ids, revisions)


_Key = tuple[str, int, str]
"""A shipment, its revision, and a logger."""


async def _traces(
    connection: Connection, acted: Mapping[str, Sequence[asyncpg.Record]], asked: Mapping[str, Verdict]
) -> Mapping[_Key, Trace]:
    """Load all readings of each logger as far as it was on the shipment by each of its revisions."""
    keys: list[_Key] = []
    ranges = []
    for shipment_id, rows in acted.items():
        wanted = set(devices_of_interest(asked[shipment_id]))
        for row in rows:
            window = window_of(row)
            if window is None:
                continue
            manual_only = Plan.from_json(orjson.loads(row["plan"])).manual_only
            for device in orjson.loads(row["devices"]):
                if device["device_id"] in wanted:
                    keys.append((shipment_id, row["revision"], device["device_id"]))
                    ranges.append(stretch_of(device, window, manual_only=manual_only))
    loaded = await load_readings(connection, ranges)
    return {key: one.trace for key, one in zip(keys, loaded, strict=True)}


def _version(row: asyncpg.Record, traces: Mapping[_Key, Trace]) -> Version:
    devices: list[dict[str, Any]] = orjson.loads(row["devices"])
    key, window = (row["shipment_id"], row["revision"]), window_of(row)
    on = {} if window is None else {one["device_id"]: window_of_device(one, window) for one in devices}
    return Version(
        act=Act(
            step=row["step"],
            by=row["by"],
            at=to_instant(row["recorded_at"]),
            reason=row["reason"],
        ),
        plan=Plan.from_json(orjson.loads(row["plan"])),
        window=window,
        schedule={name: row[name] for name in SCHEDULE},
        dewar_id=row["dewar_id"],
        devices=frozenset(
            (
                one["device_id"],
                one["starts_at"],
                one["ends_at"] if _taken_off(on.get(one["device_id"])) else None,
            )
            for one in devices
        ),
        windows=on,
        traces={
            one["device_id"]: traces[(*key, one["device_id"])]
            for one in devices
            if (*key, one["device_id"]) in traces
        },
    )


def _taken_off(window: Window | None) -> bool:
    return window is not None and window.ended_by is EndedBy.REMOVAL
