"""The life of a shipment: each step one transaction, which changes it, makes it due and tells of it."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import RowMapping
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.escalation import registers
from alerts.events import outbox
from alerts.excursions.plan import Plan, changed_plan
from alerts.tables import evaluations
from alerts.wording import rfc3339
from api.http.problems import Problem, invalid, not_found
from api.http.schemas.shipments import LegIn, PlanChangeIn, ScheduleChangeIn, ShipmentIn, ShipmentState
from api.identity.access import Principal, visible_shipments
from api.use_cases import planning, scheduling
from api.use_cases.registering import by
from telemetry import evaluation_marks
from telemetry.registry import assignments, dewars, organizations, shipment_revisions, shipments
from telemetry.registry.assignments import DeviceOccupied, UnregisteredDevices
from telemetry.registry.shipment_revisions import ShipmentStep

AHEAD_AT_MOST = timedelta(minutes=5)

_COPIED = (
    "shipment_id",
    "dewar_id",
    "product_id",
    "origin",
    "destination",
    "planned_departure",
    "planned_arrival",
    "packed_out_at",
    "drill",
    "departed_at",
)


async def create(connection: AsyncConnection, caller: Principal, body: ShipmentIn, now: datetime) -> None:
    """Make a shipment with its plan, put its loggers on it, and let it depart if it already has."""
    planning.tunable(body.rules)
    organization = _organization(caller, body.organization)
    for name in ("departed_at", "packed_out_at"):
        not_ahead(name, getattr(body, name), now)
    if body.dewar_id is not None and await dewars.get(connection, body.dewar_id) is None:
        raise invalid("dewar_id", f"names no dewar that is registered: {body.dewar_id}")
    plan, taken = await planning.resolve(connection, caller, body, organization)
    if organization is not None:
        await organizations.ensure(connection, organization)
    values = {name: getattr(body, name) for name in _COPIED} | {
        **taken,
        "organization": organization,
        "band": plan.band,
        "plan": plan.to_json(),
        "legs": _stored(body.legs),
    }
    scheduling.check_order(values)
    row = await shipments.add(connection, values)
    if row is None:
        raise Problem(409, f"The shipment id {body.shipment_id} is taken.")
    starts_at = min(at for at in (now, body.departed_at, body.packed_out_at) if at is not None)
    found = await assignments.assign(
        connection, shipment_id=body.shipment_id, device_ids=body.device_ids, starts_at=starts_at
    )
    await _stop_if_not_free(connection, caller, found)
    await connection.execute(
        insert(evaluations).values(shipment_id=body.shipment_id).on_conflict_do_nothing()
    )
    await _record(connection, caller, row, ShipmentStep.CREATED)
    if body.departed_at is not None:
        await _tell(connection, "shipment.departed", row)


async def depart(
    connection: AsyncConnection, caller: Principal, shipment_id: str, at: datetime | None, now: datetime
) -> None:
    """Let a shipment depart; from then on its readings are judged. The same again changes nothing."""
    row = await _locked(connection, caller, shipment_id)
    at = _moment(at, now)
    if row["departed_at"] == at and row["cancelled_at"] is None:
        return
    _stop_unless(row, {"planned"}, "depart")
    await _stop_if_not_free(connection, caller, await assignments.start_earlier(connection, shipment_id, at))
    row = await shipments.change(connection, shipment_id, departed_at=at)
    await _record(connection, caller, row, ShipmentStep.DEPARTED)
    await _tell(connection, "shipment.departed", row)


async def deliver(
    connection: AsyncConnection, caller: Principal, shipment_id: str, at: datetime | None, now: datetime
) -> None:
    """Let a shipment arrive; its loggers are free from then on. The same again changes nothing."""
    row = await _locked(connection, caller, shipment_id)
    at = _moment(at, now)
    if row["delivered_at"] == at:
        return
    _stop_unless(row, {"in_transit"}, "be delivered")
    _not_before_departure(row, at)
    await assignments.release(connection, shipment_id, at)
    row = await shipments.change(connection, shipment_id, delivered_at=at)
    await _record(connection, caller, row, ShipmentStep.DELIVERED, dirty_from=at)
    await registers.look_again(connection, shipment_id)  # somebody else holds it
    await _tell(connection, "shipment.delivered", row)


async def cancel(
    connection: AsyncConnection, caller: Principal, shipment_id: str, at: datetime | None, now: datetime
) -> None:
    """Call a shipment off, before it departs or on its way. The same again changes nothing."""
    row = await _locked(connection, caller, shipment_id)
    at = _moment(at, now)
    if row["cancelled_at"] == at:
        return
    _stop_unless(row, {"planned", "in_transit"}, "be cancelled")
    _not_before_departure(row, at)
    await assignments.release(connection, shipment_id, None if row["departed_at"] is None else at)
    row = await shipments.change(connection, shipment_id, cancelled_at=at)
    await _record(connection, caller, row, ShipmentStep.CANCELLED, dirty_from=at)


async def change_plan(
    connection: AsyncConnection, caller: Principal, shipment_id: str, body: PlanChangeIn
) -> None:
    """Judge a shipment by another plan from its start on; what had been told stays on record.

    A change that changes nothing is none, also where the caller saw an older plan: it may have been the same call.
    """
    row = await _locked(connection, caller, shipment_id)
    _stop_unless(row, {"planned", "in_transit", "delivered"}, "get another plan")
    planning.tunable(body.rules)
    plan = Plan.from_json(row["plan"])
    changed = planning.sound(changed_plan(plan, body.plan_fields()))
    if changed == plan:
        return
    revision = row["plan_revision"]
    if body.plan_revision not in {None, revision}:
        seen = (
            f"its plan is at revision {revision}, and this change was made to revision {body.plan_revision}"
        )
        raise Problem(409, f"{shipment_id} has another plan by now: {seen}. Look at it and decide again.")
    row = await shipments.change(
        connection, shipment_id, band=changed.band, plan=changed.to_json(), plan_revision=revision + 1
    )
    await _record(connection, caller, row, ShipmentStep.PLAN_CHANGED, reason=body.reason)
    await _tell(connection, "shipment.plan_changed", row, reason=body.reason)


async def change_schedule(
    connection: AsyncConnection, caller: Principal, shipment_id: str, body: ScheduleChangeIn, now: datetime
) -> None:
    """Change where a shipment goes, how and until when; what was planned before stays on record.

    A change that changes nothing is none, also where the caller saw an older schedule: it may have been the same call.
    """
    row = await _locked(connection, caller, shipment_id)
    _stop_unless(row, {"planned", "in_transit"}, "get another schedule")
    not_ahead("packed_out_at", body.packed_out_at, now)
    values = {name: getattr(body, name) for name in body.fields()}
    if "legs" in values:
        values["legs"] = _stored(body.legs)
    if "packed_out_at" in values and "use_by" not in values and _use_by_follows(row):
        values["use_by"] = planning.use_by(body.packed_out_at, row["use_within_h"])
    changed = {name: value for name, value in values.items() if row[name] != value}
    if not changed:
        return
    revision = row["schedule_revision"]
    if body.schedule_revision not in {None, revision}:
        seen = f"its schedule is at revision {revision}, and this change was made to revision {body.schedule_revision}"
        raise Problem(409, f"{shipment_id} has another schedule by now: {seen}. Look at it and decide again.")
    if scheduling.TIMES & changed.keys():
        scheduling.check_order({**row, **changed})
    if body.packed_out_at is not None:
        found = await assignments.start_earlier(connection, shipment_id, body.packed_out_at)
        await _stop_if_not_free(connection, caller, found)
    row = await shipments.change(connection, shipment_id, schedule_revision=revision + 1, **changed)
    await _record(connection, caller, row, ShipmentStep.SCHEDULE_CHANGED, dirty_from=now, reason=body.reason)
    await _tell(connection, "shipment.schedule_changed", row, reason=body.reason)


def not_ahead(field: str, at: datetime | None, now: datetime) -> None:
    """Refuse what is told before it has happened; clocks differ by some minutes at most."""
    if at is not None and at > now + AHEAD_AT_MOST:
        raise invalid(field, "lies more than 5 minutes ahead: tell of it once it has happened")


def _use_by_follows(row: RowMapping) -> bool:
    """Tell whether a shipment's use-by is counted from its pack-out, and not one that somebody gave."""
    return row["use_by"] in {None, planning.use_by(row["packed_out_at"], row["use_within_h"])}


def _stored(legs: Sequence[LegIn]) -> list[Any]:
    return [orjson.loads(leg.model_dump_json(by_alias=True)) for leg in legs]


def _organization(caller: Principal, named: str | None) -> str | None:
    if caller.organization is None:
        return named
    if named not in {None, caller.organization}:
        raise Problem(403, f"This key makes shipments of {caller.organization} only.")
    return caller.organization


async def _locked(connection: AsyncConnection, caller: Principal, shipment_id: str) -> RowMapping:
    row = await shipments.lock(connection, shipment_id, visible_shipments(caller))
    if row is None:
        raise not_found("shipment", shipment_id)
    return row


def _moment(at: datetime | None, now: datetime) -> datetime:
    not_ahead("at", at, now)
    return at or now


def _not_before_departure(row: RowMapping, at: datetime) -> None:
    departed_at = row["departed_at"]
    if departed_at is not None and at < departed_at:
        raise invalid("at", f"is before the departure at {rfc3339(departed_at)}")


_RECORDED = {
    "planned": "it has not departed yet",
    "in_transit": "it departed at {departed_at}",
    "delivered": "it was delivered at {delivered_at}",
    "cancelled": "it was cancelled at {cancelled_at}",
}


def _stop_unless(row: RowMapping, statuses: set[str], step: str) -> None:
    if row["status"] in statuses:
        return
    times = {
        name: rfc3339(row[name]) for name in ("departed_at", "delivered_at", "cancelled_at") if row[name]
    }
    recorded = _RECORDED[row["status"]].format_map(times)
    raise Problem(409, f"{row['shipment_id']} cannot {step}: {recorded}.")


async def _stop_if_not_free(
    connection: AsyncConnection, caller: Principal, found: UnregisteredDevices | DeviceOccupied | None
) -> None:
    if isinstance(found, UnregisteredDevices):
        raise invalid("device_ids", f"names loggers that are not registered: {', '.join(found.device_ids)}")
    if isinstance(found, DeviceOccupied):
        other = await shipments.get(connection, found.shipment_id, visible_shipments(caller))
        which = f"shipment {found.shipment_id}" if other else "a shipment of another organization"
        if found.ends_at is None:
            told = f"is on {which} at that time: deliver or cancel it first"
        else:
            told = f"was on {which} until {rfc3339(found.ends_at)}: its time on this one begins then at the earliest"
        raise Problem(409, f"Logger {found.device_id} {told}.")


async def _record(
    connection: AsyncConnection,
    caller: Principal,
    row: RowMapping,
    step: ShipmentStep,
    *,
    dirty_from: datetime | None = None,
    reason: str | None = None,
) -> None:
    """Write down what a step has made of the shipment, and make it due from the instant on that the step touches."""
    await shipment_revisions.add(connection, row["shipment_id"], step=step, by=by(caller), reason=reason)
    await evaluation_marks.mark(connection, row["shipment_id"], dirty_from)


async def _tell(connection: AsyncConnection, event: str, row: RowMapping, **more: Any) -> None:
    devices = await shipments.devices_on(connection, [row["shipment_id"]])
    device_ids = [device["device_id"] for device in devices[row["shipment_id"]]]
    data: dict[str, Any] = ShipmentState.of(row, device_ids).model_dump(mode="json", by_alias=True)
    await outbox.tell(
        connection,
        type=event,
        shipment_id=row["shipment_id"],
        organization=row["organization"],
        data={**data, **more},
    )
