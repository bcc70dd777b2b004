"""Saves what was decided of due shipments, with the events that tell of it, in the transaction of the claim."""

from collections.abc import Iterable, Iterator, Sequence

from alerts.evaluation.acts import write_judged
from alerts.evaluation.judging.checkpoint import Checkpoint
from alerts.evaluation.judging.judgement import DeviceVerdict, Verdict
from alerts.evaluation.queue import EVALUATIONS
from alerts.events.write import WRITE_EVENTS, EventScope
from alerts.excursions.load_readings import FROM_THE_START
from alerts.model import Change, Excursion, ExcursionState, Instant, to_datetime
from alerts.tables import (
    evaluation_safe_points,
    evaluation_states,
    excursion_revisions,
    excursions,
)
from alerts.triage.conditions import excursion_subject
from alerts.triage.payloads import alert_event, excursion_events, peak_event
from alerts.triage.store import WRITE_ALERT_REVISIONS, WRITE_ALERTS, alert_rows
from alerts.triage.write_rows import alert_revision_row, excursion_rows, told_fields
from alerts.wording import instant_text
from alerts.work.bulk import Connection, Row, execute, write
from alerts.work.due_queue import Claimed

WRITE_STATES = write(evaluation_states, evaluation_states.columns.keys(), ["shipment_id", "device_id"])
WRITE_SAFE_POINTS = write(
    evaluation_safe_points,
    evaluation_safe_points.columns.keys(),
    [column.name for column in evaluation_safe_points.primary_key],
)
WRITE_EXCURSIONS = write(excursions, excursions.columns.keys(), ["id"])
WRITE_EXCURSION_REVISIONS = write(excursion_revisions, excursion_revisions.columns.keys())


# What is told later than it was recorded is no change of the excursion, and no revision.
NOTE_TOLD = """
UPDATE excursions AS e SET told_at = t.told_at, told_peak_c = t.told_peak_c
FROM jsonb_to_recordset($1) AS t(id uuid, told_at timestamptz, told_peak_c float8) WHERE e.id = t.id
"""


DROP_SAFE_POINTS = """
DELETE FROM evaluation_safe_points AS s
USING unnest($1::text[], $2::text[], $3::timestamptz[]) AS refolded(shipment_id, device_id, after)
WHERE s.shipment_id = refolded.shipment_id AND s.device_id = refolded.device_id AND s.seen > refolded.after
"""


async def save(connection: Connection, verdicts: Sequence[Verdict], now: Instant) -> None:
    """Write all that the verdicts changed and tell of it, in a number of statements that does not grow with theirs."""
    devices = [(verdict, device) for verdict in verdicts for device in verdict.devices]
    changed = [
        _excursion_rows(verdict, device, change, now)
        for verdict, device in devices
        for change in device.changes
    ]
    steps = [step for verdict in verdicts for step in verdict.alerts]
    await _drop_safe_points(connection, devices)
    writes: list[tuple[str, list[Row]]] = [
        (WRITE_STATES, [_state_row(verdict, device) for verdict, device in devices if _moved(device)]),
        (WRITE_SAFE_POINTS, [_safe_point_row(v, d, one) for v, d in devices for one in d.safe_points]),
        (WRITE_EXCURSIONS, _latest(row for row, _ in changed)),
        (WRITE_EXCURSION_REVISIONS, [revision for _, revision in changed]),
        (NOTE_TOLD, [_told_row(one) for _, device in devices for one in device.told_late]),
        (WRITE_ALERTS, alert_rows(steps)),
        (WRITE_ALERT_REVISIONS, [alert_revision_row(step, now) for step in steps]),
        (WRITE_EVENTS, list(_events(verdicts))),
    ]
    await execute(connection, writes)


async def write_deadlines(
    connection: Connection, verdicts: Sequence[Verdict], claimed: Claimed, now: Instant, clock: Instant
) -> None:
    """Write that the shipments were evaluated, and when to look at them again if no reading comes first.

    `now` is as of when they were judged, and `clock` what the database's clock said: less, if it went back.
    """
    deadlines = {
        v.identity.shipment_id: None if v.evaluate_at is None else to_datetime(v.evaluate_at)
        for v in verdicts
    }
    await EVALUATIONS.write_deadlines(
        connection, claimed, deadlines, as_of=to_datetime(clock), done_at=to_datetime(now)
    )
    await write_judged(connection, verdicts)


def _moved(verdict: DeviceVerdict) -> bool:
    return verdict.device.refolds or verdict.checkpoint != verdict.device.checkpoint


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
    return _folded_fields(verdict, device, device.checkpoint) | {"through": instant_text(device.state.seen)}


def _safe_point_row(verdict: Verdict, device: DeviceVerdict, checkpoint: Checkpoint) -> Row:
    return _folded_fields(verdict, device, checkpoint) | {"seen": instant_text(checkpoint.state.seen)}


def _folded_fields(verdict: Verdict, device: DeviceVerdict, checkpoint: Checkpoint) -> Row:
    return {
        "shipment_id": verdict.identity.shipment_id,
        "device_id": device.device.device_id,
        "plan_revision": verdict.plan_revision,
        "state": checkpoint.to_json(),
    }


def _excursion_rows(verdict: Verdict, device: DeviceVerdict, change: Change, now: Instant) -> tuple[Row, Row]:
    return excursion_rows(
        change, shipment_id=verdict.identity.shipment_id, device_id=device.device.device_id, now=now
    )


def _told_row(excursion: Excursion) -> Row:
    return {"id": excursion.id, **told_fields(excursion)}


def _latest(rows: Iterable[Row]) -> list[Row]:
    """Return the last row of each excursion, open ones at the end: a run may open only where another has closed."""
    latest = {row["id"]: row for row in rows}
    return sorted(latest.values(), key=lambda row: row["state"] == ExcursionState.OPEN)


def _events(verdicts: Iterable[Verdict]) -> Iterator[Row]:
    for verdict in verdicts:
        shipment = verdict.identity
        scope = EventScope(
            shipment_id=shipment.shipment_id, organization=shipment.organization, drill=shipment.drill
        )
        told = [event for device in verdict.devices for event in _excursion_events(verdict, device)]
        told += [event for step in verdict.alerts if (event := alert_event(step.before, step.change))]
        for type_, data in told:
            yield scope.event(type_, data)


def _excursion_events(verdict: Verdict, device: DeviceVerdict) -> Iterator[tuple[str, Row]]:
    shipment_id, device_id = verdict.identity.shipment_id, device.device.device_id
    for change in device.changes:
        if change.is_told:
            yield from excursion_events(
                change,
                shipment_id=shipment_id,
                device_id=device_id,
                incident_id=_incident_of(verdict, change.after),
            )
    for one in device.told_late:
        yield peak_event(
            one, shipment_id=shipment_id, device_id=device_id, incident_id=_incident_of(verdict, one)
        )


def _incident_of(verdict: Verdict, excursion: Excursion) -> str | None:
    """Return the incident of an excursion's alert; None as long as that is in none."""
    alert = verdict.identity.alerts.get(excursion_subject(excursion))
    return None if alert is None else alert.incident_id
