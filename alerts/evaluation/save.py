"""Saves what was decided of due shipments, with the events that tell of it, in the transaction of the claim."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Table

from alerts.evaluation.checkpoint import Standing
from alerts.evaluation.judgement import AlertStep, DeviceVerdict, Verdict
from alerts.excursions.load_readings import FROM_THE_START, Connection
from alerts.model import Change, Excursion, ExcursionState, Instant, to_datetime
from alerts.tables import (
    alert_revisions,
    alerts,
    evaluation_safe_points,
    evaluation_states,
    excursion_revisions,
    excursions,
)
from alerts.triage.alert import Alert
from alerts.triage.payloads import alert_event, excursion_event
from alerts.wording import instant_text

Row = dict[str, Any]


def write(table: Table, columns: Sequence[str], key: Sequence[str] = ()) -> str:
    """Give the statement that writes rows from one JSON array; with `key`, rows that are there are overwritten."""
    names = ", ".join(f'"{name}"' for name in columns)
    source = f"jsonb_populate_recordset(NULL::{table.name}, $1)"
    statement = f"INSERT INTO {table.name} ({names}) SELECT {names} FROM {source}"  # noqa: S608  # our own tables' names
    if not key:
        return statement
    updates = ", ".join(f'"{name}" = EXCLUDED."{name}"' for name in columns if name not in key)
    return f"{statement} ON CONFLICT ({', '.join(key)}) DO UPDATE SET {updates}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Whose:
    """What a thing that is told of is about, and who may hear of it; without a shipment, about the whole fleet."""

    shipment_id: str | None = None
    organization: str | None = None
    drill: bool = False

    def event(self, type_: str, data: Row) -> Row:
        """Give the row of an event, for `WRITE_EVENTS`."""
        return {
            "type": type_,
            "shipment_id": self.shipment_id,
            "organization": self.organization,
            "data": {**data, "organization": self.organization, "drill": self.drill},
        }


WRITE_STATES = write(evaluation_states, evaluation_states.columns.keys(), ["shipment_id", "device_id"])
WRITE_SAFE_POINTS = write(
    evaluation_safe_points,
    evaluation_safe_points.columns.keys(),
    [column.name for column in evaluation_safe_points.primary_key],
)
WRITE_EXCURSIONS = write(excursions, excursions.columns.keys(), ["id"])
WRITE_EXCURSION_REVISIONS = write(excursion_revisions, excursion_revisions.columns.keys())
WRITE_ALERTS = write(alerts, alerts.columns.keys(), ["id"])
WRITE_ALERT_REVISIONS = write(alert_revisions, alert_revisions.columns.keys())

# The counters' rows are locked from here to the commit, in the order of the shipments' ids, so that what commits later
# has the higher number; whoever else tells of a shipment waits, and nobody waits for another one's lock after that.
WRITE_EVENTS = """
WITH told AS MATERIALIZED (
    SELECT place, type, shipment_id, organization, data,
        row_number() OVER (PARTITION BY shipment_id ORDER BY place DESC) - 1 AS before_last
    FROM ROWS FROM (jsonb_to_recordset($1) AS (type text, shipment_id text, organization text, data jsonb))
        WITH ORDINALITY AS row(type, shipment_id, organization, data, place)
), counted AS (
    INSERT INTO event_sequences AS s (shipment_id, last)
    SELECT shipment_id, count(*) FROM told WHERE shipment_id IS NOT NULL GROUP BY shipment_id ORDER BY shipment_id
    ON CONFLICT (shipment_id) DO UPDATE SET last = s.last + EXCLUDED.last
    RETURNING shipment_id, last
)
INSERT INTO outbox (type, shipment_id, organization, data)
SELECT told.type, told.shipment_id, told.organization, CASE WHEN counted.shipment_id IS NULL THEN told.data
    ELSE told.data || jsonb_build_object('sequence', counted.last - told.before_last) END
FROM told LEFT JOIN counted ON counted.shipment_id = told.shipment_id ORDER BY told.place
"""
"""Tells events, given as one JSON array; those of a shipment are numbered by `sequence`, without a gap."""

# As they are once nobody else changes them. An alert gets into an incident, and a comment is a deed, without a revision.
LOCK_UNCHANGED = """
SELECT a.id::text FROM alerts AS a
    JOIN unnest($1::uuid[], $2::int[], $3::uuid[], $4::timestamptz[]) AS seen(id, revision, incident_id, last_action_at)
    USING (id)
WHERE a.revision = seen.revision AND a.incident_id IS NOT DISTINCT FROM seen.incident_id
    AND a.last_action_at IS NOT DISTINCT FROM seen.last_action_at
ORDER BY a.id FOR UPDATE OF a
"""

DROP_SAFE_POINTS = """
DELETE FROM evaluation_safe_points AS s
USING unnest($1::text[], $2::text[], $3::timestamptz[]) AS refolded(shipment_id, device_id, after)
WHERE s.shipment_id = refolded.shipment_id AND s.device_id = refolded.device_id AND s.seen > refolded.after
"""

WRITE_DEADLINES = """
WITH taken AS (DELETE FROM evaluation_marks WHERE id = ANY($4::bigint[]))
UPDATE evaluations AS e SET evaluate_at = d.evaluate_at, evaluated_at = $3, failures = 0, error = NULL
FROM unnest($1::text[], $2::timestamptz[]) AS d(shipment_id, evaluate_at) WHERE e.shipment_id = d.shipment_id
"""


async def lock_unchanged(connection: Connection, seen: Iterable[Alert]) -> set[str]:
    """Lock alerts, given as they were seen, until the commit; give the ids of those that still are so.

    What is to be written was decided on what was seen: whoever decided has to look again where another one was quicker.
    """
    seen = list(seen)
    if not seen:
        return set()
    acted = [one.last_action_at for one in seen]
    found = await connection.fetch(
        LOCK_UNCHANGED,
        [one.id for one in seen],
        [one.revision for one in seen],
        [one.incident_id for one in seen],
        [None if at is None else to_datetime(at) for at in acted],
    )
    return {row["id"] for row in found}


async def save(connection: Connection, verdicts: Sequence[Verdict], now: Instant) -> None:
    """Write all that the verdicts changed and tell of it, in a number of statements that does not grow with theirs."""
    devices = [(verdict, device) for verdict in verdicts for device in verdict.devices]
    changes = [(verdict, device, change) for verdict, device in devices for change in device.changes]
    steps = [step for verdict in verdicts for step in verdict.alerts]
    await _drop_safe_points(connection, devices)
    writes: list[tuple[str, list[Row]]] = [
        (WRITE_STATES, [_state_row(verdict, device) for verdict, device in devices if _moved(device)]),
        (WRITE_SAFE_POINTS, [_safe_point_row(v, d, one) for v, d in devices for one in d.safe_points]),
        (WRITE_EXCURSIONS, _excursion_rows(changes, now)),
        (WRITE_EXCURSION_REVISIONS, [_revision_row(change, now) for _, _, change in changes]),
        (WRITE_ALERTS, _alert_rows(steps)),
        (WRITE_ALERT_REVISIONS, [_alert_revision_row(step, now) for step in steps]),
        (WRITE_EVENTS, list(_events(verdicts))),
    ]
    await execute(connection, writes)


async def save_steps(connection: Connection, steps: Sequence[tuple[Whose, AlertStep]], now: Instant) -> None:
    """Write what became of alerts beside the evaluation of their shipments, and tell of it."""
    only = [step for _, step in steps]
    told = [(whose, alert_event(step.before, step.change)) for whose, step in steps]
    writes: list[tuple[str, list[Row]]] = [
        (WRITE_ALERTS, _alert_rows(only)),
        (WRITE_ALERT_REVISIONS, [_alert_revision_row(step, now) for step in only]),
        (WRITE_EVENTS, [whose.event(*event) for whose, event in told if event is not None]),
    ]
    await execute(connection, writes)


async def execute(connection: Connection, writes: Iterable[tuple[str, list[Row]]]) -> None:
    """Execute statements that take rows as one JSON array, those that have any."""
    for statement, rows in writes:
        if rows:
            await connection.execute(statement, orjson.dumps(rows).decode())


async def write_deadlines(
    connection: Connection, verdicts: Sequence[Verdict], marks: Iterable[int], now: Instant
) -> None:
    """Note that the shipments were evaluated, for which marks, and when to look at them again if no reading comes first."""
    await connection.execute(
        WRITE_DEADLINES,
        [verdict.identity.shipment_id for verdict in verdicts],
        [None if v.evaluate_at is None else to_datetime(v.evaluate_at) for v in verdicts],
        to_datetime(now),
        list(marks),
    )


def _moved(verdict: DeviceVerdict) -> bool:
    return verdict.device.refolds or verdict.standing != verdict.device.standing


async def _drop_safe_points(connection: Connection, devices: Iterable[tuple[Verdict, DeviceVerdict]]) -> None:
    """Remove the safe points that lie after what a device was folded from again: they are not true any more."""
    refolded = [(v.identity.shipment_id, d.device) for v, d in devices if d.device.refolds]
    if refolded:
        await connection.execute(
            DROP_SAFE_POINTS,
            [shipment_id for shipment_id, _ in refolded],
            [device.device_id for _, device in refolded],
            [FROM_THE_START if d.state.seen is None else to_datetime(d.state.seen) for _, d in refolded],
        )


def _state_row(verdict: Verdict, device: DeviceVerdict) -> Row:
    return _folded_fields(verdict, device, device.standing) | {"through": instant_text(device.state.seen)}


def _safe_point_row(verdict: Verdict, device: DeviceVerdict, standing: Standing) -> Row:
    return _folded_fields(verdict, device, standing) | {"seen": instant_text(standing.state.seen)}


def _folded_fields(verdict: Verdict, device: DeviceVerdict, standing: Standing) -> Row:
    return {
        "shipment_id": verdict.identity.shipment_id,
        "device_id": device.device.device_id,
        "plan_revision": verdict.plan_revision,
        "state": standing.to_json(),
    }


def _excursion_rows(changes: Iterable[tuple[Verdict, DeviceVerdict, Change]], now: Instant) -> list[Row]:
    """Give the last state of each excursion, open ones at the end: a run may open only where another has closed."""
    latest = {
        change.after.id: {
            "id": change.after.id,
            "shipment_id": verdict.identity.shipment_id,
            "device_id": device.device.device_id,
            "revision": change.after.revision,
            "opened_at": instant_text(change.after.opened_at),
            **_excursion_fields(change, now),
        }
        for verdict, device, change in changes
    }
    return sorted(latest.values(), key=lambda row: row["state"] == ExcursionState.OPEN)


def _revision_row(change: Change, now: Instant) -> Row:
    return {
        "excursion_id": change.after.id,
        "revision": change.after.revision,
        **_excursion_fields(change, now),
    }


def _excursion_fields(change: Change, now: Instant) -> Row:
    excursion: Excursion = change.after
    run = excursion.run
    return {
        "side": run.side,
        "start_at": instant_text(run.start),
        "end_at": instant_text(run.end),
        "ended_by": run.ended_by,
        "peak_c": run.peak_c,
        "severity": run.severity,
        "has_gap": run.has_gap,
        "state": excursion.state,
        "reason": change.reason,
        "superseded_by": excursion.superseded_by,
        "recorded_at": instant_text(now),
    }


def _alert_rows(steps: Iterable[AlertStep]) -> list[Row]:
    latest: dict[str, Row] = {step.change.alert.id: _alert_row(step.change.alert) for step in steps}
    return list(latest.values())


def _alert_row(alert: Alert) -> Row:
    condition = alert.condition
    return {
        "id": alert.id,
        "shipment_id": alert.shipment_id,
        "subject": condition.subject,
        "kind": condition.kind,
        "severity": condition.severity,
        "state": alert.state,
        "device_id": condition.device_id,
        "excursion_id": condition.excursion_id,
        "message": condition.message,
        "since": instant_text(condition.since),
        "until": instant_text(condition.until),
        "withdrawn": condition.withdrawn,
        "details": condition.details,
        "raised_at": instant_text(alert.raised_at),
        "acknowledged_at": instant_text(alert.acknowledged_at),
        "acknowledged_by": alert.acknowledged_by,
        "resolved_at": instant_text(alert.resolved_at),
        "owner": alert.owner,
        "assigned_at": instant_text(alert.assigned_at),
        "assigned_by": alert.assigned_by,
        "snoozed_until": instant_text(alert.snoozed_until),
        "snoozed_by": alert.snoozed_by,
        "snooze_reason": alert.snooze_reason,
        "last_action_at": instant_text(alert.last_action_at),
        "incident_id": alert.incident_id,
        "revision": alert.revision,
    }


def _alert_revision_row(step: AlertStep, now: Instant) -> Row:
    alert = step.change.alert
    return {
        "alert_id": alert.id,
        "revision": alert.revision,
        "state": alert.state,
        "severity": alert.condition.severity,
        "message": alert.condition.message,
        "since": instant_text(alert.condition.since),
        "until": instant_text(alert.condition.until),
        "withdrawn": alert.condition.withdrawn,
        "details": alert.condition.details,
        "acknowledged_at": instant_text(alert.acknowledged_at),
        "acknowledged_by": alert.acknowledged_by,
        "resolved_at": instant_text(alert.resolved_at),
        "owner": alert.owner,
        "snoozed_until": instant_text(alert.snoozed_until),
        "snooze_reason": alert.snooze_reason,
        "by": step.change.by or f"rule:{alert.condition.kind}",
        "reason": step.change.reason,
        "note": step.change.note,
        "recorded_at": instant_text(now),
    }


def _events(verdicts: Iterable[Verdict]) -> Iterator[Row]:
    for verdict in verdicts:
        shipment = verdict.identity
        whose = Whose(
            shipment_id=shipment.shipment_id, organization=shipment.organization, drill=shipment.drill
        )
        told = [
            excursion_event(change, shipment_id=shipment.shipment_id, device_id=device.device.device_id)
            for device in verdict.devices
            for change in device.changes
        ]
        told += [event for step in verdict.alerts if (event := alert_event(step.before, step.change))]
        for type_, data in told:
            yield whose.event(type_, data)
