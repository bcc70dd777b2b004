"""What people do to shipments, from planning them to delivering or cancelling them.

Each function works in the transaction of its caller's: it changes the shipment, has it evaluated and tells of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.escalation import registers
from alerts.escalation.custody import handovers_of
from alerts.excursions.plan import Band, Plan, changed_plan
from alerts.tables import evaluations
from alerts.views.excursions import reaches_beyond
from alerts.wording import rfc3339
from api.identity.access import Principal, holder, owner_of_new
from api.rates.policy import QUOTAS, Limited, Quotas
from api.refusals import Conflict, Invalid
from api.use_cases.backdating import BY_DEFAULT, Backdating, may_override
from api.use_cases.moments import moment, not_ahead
from api.use_cases.quotas import stop_if_full
from api.use_cases.reasons import stated, stated_if_given
from api.use_cases.shipments import gates, planning, scheduling
from api.use_cases.shipments.excursion_data import excursions_data
from api.use_cases.shipments.steps import (
    holder_of,
    locked,
    record,
    stop_if_not_free,
    stop_if_retired,
    stop_unless,
    tell,
)
from telemetry.actor import Actor
from telemetry.reasons import WANTED
from telemetry.registry import organizations, shipments
from telemetry.registry.holding import assignments
from telemetry.registry.ids import id_of, key_of
from telemetry.registry.shipment_revisions import ShipmentStep
from telemetry.tables import shipments as table


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """One leg of a journey, as planned; `from_` and `to` are ids of sites, or free text."""

    from_: str
    to: str
    carrier: str | None = None
    planned_departure: datetime | None = None
    planned_arrival: datetime | None = None

    def stored(self) -> dict[str, str | None]:
        """Return the leg as it is stored with its shipment."""
        return {
            "from": self.from_,
            "to": self.to,
            "carrier": self.carrier,
            "planned_departure": _text(self.planned_departure),
            "planned_arrival": _text(self.planned_arrival),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class NewShipment:
    """What is said of a shipment when it is made; what is left out comes from its product, or is not known."""

    shipment_id: str
    device_ids: Sequence[str]
    organization: str | None = None
    band: Band | None = None
    plan: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the plan by their names, `rules` among them; None is no limit."""
    dewar_id: str | None = None
    product_id: str | None = None
    origin: str | None = None
    destination: str | None = None
    legs: Sequence[Leg] = ()
    planned_departure: datetime | None = None
    planned_arrival: datetime | None = None
    packed_out_at: datetime | None = None
    use_by: datetime | None = None
    drill: bool = False
    departed_at: datetime | None = None
    """Departs at once, then."""
    override_reason: str | None = None
    """Why what is not in order is used all the same."""


_COPIED = (
    "origin",
    "destination",
    "planned_departure",
    "planned_arrival",
    "packed_out_at",
    "drill",
    "departed_at",
)


async def create(
    connection: AsyncConnection,
    caller: Principal,
    new: NewShipment,
    *,
    actor: Actor,
    now: datetime,
    quotas: Quotas = QUOTAS,
) -> str:
    """Make a shipment with its plan, loggers and dewar, and let it depart if it already has; returns its key."""
    planning.tunable(new.plan.get("rules"))
    organization = owner_of_new(caller, new.organization, verb="makes", noun="shipment")
    for name in ("departed_at", "packed_out_at"):
        not_ahead(name, getattr(new, name), now)
    product = await planning.product_of(connection, caller, new.product_id, organization)
    plan = planning.plan_of(new.band, new.plan, product)
    use_within_h = None if product is None else product["use_within_h"]
    if organization is not None:
        await organizations.ensure(connection, organization)
        await _stop_if_full(connection, caller, organization, quotas)
    shipment_id = key_of(new.shipment_id, organization)
    values = {name: getattr(new, name) for name in _COPIED} | {
        "shipment_id": shipment_id,
        "product_id": None if product is None else product["product_id"],
        "use_within_h": use_within_h,
        "use_by": new.use_by or planning.use_by(new.packed_out_at, use_within_h),
        "organization": organization,
        "band": plan.band,
        "plan": plan.to_json(),
        "legs": [leg.stored() for leg in new.legs],
    }
    scheduling.check_order(values)
    row = await shipments.add(connection, values)
    if row is None:
        raise Conflict(f"The shipment id {new.shipment_id} is taken.")
    starts_at = min(at for at in (now, new.departed_at, new.packed_out_at) if at is not None)
    found = await assignments.assign(
        connection,
        shipment_id=shipment_id,
        device_ids=new.device_ids,
        dewar_id=new.dewar_id,
        starts_at=starts_at,
        holder=holder(caller),
        now=now,
    )
    stop_if_not_free(found)
    await stop_if_retired(connection, new.device_ids)
    overrides = await gates.passed(
        connection,
        row,
        new.device_ids,
        new.dewar_id,
        override_reason=new.override_reason,
        actor=actor,
        now=now,
    )
    if new.dewar_id is not None or overrides:  # not before it is known that the caller may know the dewar
        row = await shipments.change(connection, shipment_id, dewar_id=new.dewar_id, overrides=overrides)
    await connection.execute(insert(evaluations).values(shipment_id=shipment_id).on_conflict_do_nothing())
    await record(connection, row, ShipmentStep.CREATED, actor=actor)
    await tell(connection, "shipment.created", row, by=str(actor))
    if new.departed_at is not None:
        await tell(connection, "shipment.departed", row)
    return shipment_id


async def depart(
    connection: AsyncConnection,
    caller: Principal,
    shipment_id: str,
    *,
    at: datetime | None = None,
    reason: str | None = None,
    actor: Actor,
    now: datetime,
    backdating: Backdating = BY_DEFAULT,
) -> None:
    """Let a shipment depart; from then on its readings are judged. The same again changes nothing."""
    reason = stated_if_given(reason)
    row = await locked(connection, caller, shipment_id)
    at = moment(at, now)
    if row["departed_at"] == at and row["cancelled_at"] is None:
        return
    stop_unless(row, {"planned"}, "depart")
    backdating.check(caller, at, now)
    found = await assignments.start_earlier(connection, shipment_id, at, holder=holder_of(caller, row))
    stop_if_not_free(found)
    overrides = await gates.passed(
        connection,
        row,
        await gates.on_board(connection, shipment_id),
        row["dewar_id"],
        override_reason=None,
        actor=actor,
        now=now,
        refuses=False,
    )
    row = await shipments.change(connection, shipment_id, departed_at=at, overrides=overrides)
    await record(connection, row, ShipmentStep.DEPARTED, actor=actor, reason=reason)
    await tell(connection, "shipment.departed", row)


async def deliver(
    connection: AsyncConnection,
    caller: Principal,
    shipment_id: str,
    *,
    at: datetime | None = None,
    reason: str | None = None,
    actor: Actor,
    now: datetime,
    backdating: Backdating = BY_DEFAULT,
) -> None:
    """Let a shipment arrive; its loggers and its dewar are free from then on. The same again changes nothing.

    Who sets the arrival back to before what an excursion on record or a handover says, has to say why.
    """
    reason = stated_if_given(reason)
    row = await locked(connection, caller, shipment_id)
    chain = await handovers_of(connection, shipment_id)
    # The clock of who told of the last handover may be ahead by as much as one may be told ahead.
    at = max(now, *(one["at"] for one in chain)) if at is None and chain else moment(at, now)
    if row["delivered_at"] == at:
        return
    stop_unless(row, {"in_transit"}, "be delivered")
    _not_before_departure(row, at)
    backdating.check(caller, at, now)
    if reason is None or not may_override(caller):
        await _not_before_what_is_known(connection, row, chain, at, now, backdating)
    await assignments.release(connection, shipment_id, at)
    row = await shipments.change(connection, shipment_id, delivered_at=at)
    await record(connection, row, ShipmentStep.DELIVERED, actor=actor, dirty_from=at, reason=reason)
    await registers.look_again(connection, shipment_id)  # somebody else holds it
    await tell(
        connection,
        "shipment.delivered",
        row,
        by=str(actor),
        reason=reason,
        excursions=await excursions_data(connection, shipment_id, at),
    )


async def cancel(
    connection: AsyncConnection,
    caller: Principal,
    shipment_id: str,
    *,
    at: datetime | None = None,
    reason: str | None,
    actor: Actor,
    now: datetime,
) -> None:
    """Call a shipment off, before it departs or on its way. The same again changes nothing."""
    reason = stated(reason)
    row = await locked(connection, caller, shipment_id)
    at = moment(at, now)
    if row["cancelled_at"] == at:
        return
    stop_unless(row, {"planned", "in_transit"}, "be cancelled")
    _not_before_departure(row, at)
    await assignments.release(connection, shipment_id, None if row["departed_at"] is None else at)
    row = await shipments.change(connection, shipment_id, cancelled_at=at)
    await record(connection, row, ShipmentStep.CANCELLED, actor=actor, dirty_from=at, reason=reason)
    await tell(connection, "shipment.cancelled", row, by=str(actor), reason=reason)


async def change_plan(
    connection: AsyncConnection,
    caller: Principal,
    shipment_id: str,
    changes: Mapping[str, Any],
    *,
    seen: int | None = None,
    actor: Actor,
    reason: str,
) -> None:
    """Judge a shipment by another plan from its start on; what had been told stays on record.

    `changes` has the band and fields of the plan by their names; `seen` is the revision that the caller looked at. A
    change that changes nothing is none, also where the caller saw an older plan: it may have been the same call.
    """
    reason = stated(reason)
    row = await locked(connection, caller, shipment_id)
    stop_unless(row, {"planned", "in_transit", "delivered"}, "get another plan")
    planning.tunable(changes.get("rules"))
    plan = Plan.from_json(row["plan"])
    changed = planning.sound(changed_plan(plan, changes))
    if changed == plan:
        return
    _stop_if_stale(row, "plan", seen)
    row = await shipments.change(
        connection,
        shipment_id,
        band=changed.band,
        plan=changed.to_json(),
        plan_revision=row["plan_revision"] + 1,
    )
    await record(connection, row, ShipmentStep.PLAN_CHANGED, actor=actor, reason=reason)
    await tell(connection, "shipment.plan_changed", row, by=str(actor), reason=reason)


async def change_schedule(
    connection: AsyncConnection,
    caller: Principal,
    shipment_id: str,
    changes: Mapping[str, Any],
    *,
    seen: int | None = None,
    actor: Actor,
    now: datetime,
    reason: str,
    override_reason: str | None = None,
) -> None:
    """Change where a shipment goes, how and until when; what was planned before stays on record.

    The shipment is judged by it from its start on, as by another plan: in which order readings and changes came is
    nothing that a judgement may depend on.

    `changes` has the times, `destination` and `legs` of `NewShipment` that change, by their names; None takes one away.
    A change that changes nothing is none, also where the caller saw an older schedule: it may have been the same call.
    """
    reason = stated(reason)
    row = await locked(connection, caller, shipment_id)
    stop_unless(row, {"planned", "in_transit"}, "get another schedule")
    packed_out_at = changes.get("packed_out_at")
    not_ahead("packed_out_at", packed_out_at, now)
    values = dict(changes)
    if "legs" in values:
        values["legs"] = [leg.stored() for leg in values["legs"]]
    if "packed_out_at" in values and "use_by" not in values and _use_by_follows(row):
        values["use_by"] = planning.use_by(packed_out_at, row["use_within_h"])
    changed = {name: value for name, value in values.items() if row[name] != value}
    if not changed:
        return
    _stop_if_stale(row, "schedule", seen)
    if scheduling.TIMES & changed.keys():
        scheduling.check_order({**row, **changed})
    if packed_out_at is not None:
        found = await assignments.start_earlier(
            connection,
            shipment_id,
            packed_out_at,
            holder=holder_of(caller, row),
            begun_by=row["departed_at"],
        )
        stop_if_not_free(found)
    overrides = await gates.passed(
        connection,
        {**row, **changed},
        await gates.on_board(connection, shipment_id),
        row["dewar_id"],
        override_reason=override_reason,
        actor=actor,
        now=now,
    )
    row = await shipments.change(
        connection,
        shipment_id,
        schedule_revision=row["schedule_revision"] + 1,
        overrides=overrides,
        **changed,
    )
    await record(connection, row, ShipmentStep.SCHEDULE_CHANGED, actor=actor, reason=reason)
    await tell(connection, "shipment.schedule_changed", row, by=str(actor), reason=reason)


async def _stop_if_full(
    connection: AsyncConnection, caller: Principal, organization: str, quotas: Quotas
) -> None:
    planned = (table.c.organization == organization) & (table.c.status == "planned")
    await stop_if_full(
        connection,
        caller,
        Limited.PLANNED_SHIPMENTS,
        (table, planned),
        owner=organization,
        most=quotas.planned_shipments,
        instead="cancel those that will not depart",
    )


def _not_before_departure(row: RowMapping, at: datetime) -> None:
    departed_at = row["departed_at"]
    if departed_at is not None and at < departed_at:
        raise Invalid("at", f"is before the departure at {rfc3339(departed_at)}")


async def _not_before_what_is_known(
    connection: AsyncConnection,
    row: RowMapping,
    chain: Sequence[RowMapping],
    at: datetime,
    now: datetime,
    backdating: Backdating,
) -> None:
    """Refuse to set a delivery back to before what is on record, as long as nobody says why."""
    if chain and chain[-1]["at"] > at:
        told = f"the handover to {chain[-1]['to_party']} at {rfc3339(chain[-1]['at'])}"
        raise Invalid("at", f"is before {told}: a key of the role ops can record it, and says why in reason")
    if backdating.is_far(at, now) and await reaches_beyond(connection, row["shipment_id"], at):
        raise Invalid("reason", f"{WANTED}. An excursion on record lasts beyond {rfc3339(at)}")


def _stop_if_stale(row: RowMapping, what: str, seen: int | None) -> None:
    """Refuse a change of a plan or a schedule that the caller saw as it was before."""
    revision = row[f"{what}_revision"]
    if seen in {None, revision}:
        return
    told = f"its {what} is at revision {revision}, and this change was made to revision {seen}"
    raise Conflict(
        f"{id_of(row['shipment_id'])} has another {what} by now: {told}. Look at it and decide again."
    )


def _use_by_follows(row: RowMapping) -> bool:
    """Return whether a shipment's use-by is counted from its pack-out, and not one that somebody gave."""
    return row["use_by"] in {None, planning.use_by(row["packed_out_at"], row["use_within_h"])}


def _text(at: datetime | None) -> str | None:
    return None if at is None else rfc3339(at)
