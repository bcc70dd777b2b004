"""Saves what was decided of due shipments, with the events that tell of it, in the transaction of the claim."""

from collections.abc import Iterable, Iterator, Sequence

from alerts.evaluation.checkpoint import Standing
from alerts.evaluation.judgement import DeviceVerdict, Verdict
from alerts.evaluation.queue import EVALUATIONS
from alerts.events.write import WRITE_EVENTS, Whose
from alerts.excursions.load_readings import FROM_THE_START
from alerts.model import Change, Excursion, ExcursionState, Instant, to_datetime
from alerts.tables import (
    evaluation_safe_points,
    evaluation_states,
    excursion_revisions,
    excursions,
)
from alerts.triage.payloads import alert_event, excursion_event
from alerts.triage.store import WRITE_ALERT_REVISIONS, WRITE_ALERTS, alert_revision_row, alert_rows
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


DROP_SAFE_POINTS = """
DELETE FROM evaluation_safe_points AS s
USING unnest($1::text[], $2::text[], $3::timestamptz[]) AS refolded(shipment_id, device_id, after)
WHERE s.shipment_id = refolded.shipment_id AND s.device_id = refolded.device_id AND s.seen > refolded.after
"""


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
        (WRITE_ALERTS, alert_rows(steps)),
        (WRITE_ALERT_REVISIONS, [alert_revision_row(step, now) for step in steps]),
        (WRITE_EVENTS, list(_events(verdicts))),
    ]
    await execute(connection, writes)


async def write_deadlines(
    connection: Connection, verdicts: Sequence[Verdict], claimed: Claimed, now: Instant
) -> None:
    """Write that the shipments were evaluated, and when to look at them again if no reading comes first."""
    deadlines = {
        v.identity.shipment_id: None if v.evaluate_at is None else to_datetime(v.evaluate_at)
        for v in verdicts
    }
    await EVALUATIONS.write_deadlines(connection, claimed, deadlines, done_at=to_datetime(now))


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
    """Return the last state of each excursion, open ones at the end: a run may open only where another has closed."""
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
