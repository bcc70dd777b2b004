"""What every step of a shipment's life needs: to lock it, to refuse what its state does not allow, to record and to tell."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.events import outbox
from alerts.wording import rfc3339
from api.identity.access import Principal, visible_shipments
from api.refusals import Conflict, Invalid, NotFound, StepTaken
from api.use_cases.shipments.event_data import shipment_data
from telemetry import evaluation_marks
from telemetry.actor import Actor
from telemetry.registry import devices, shipment_revisions, shipments
from telemetry.registry.holding.assignments import (
    NotAvailable,
    NotOn,
    Obstacle,
    Occupied,
    Unregistered,
    WasHere,
)
from telemetry.registry.holding.things import Holder
from telemetry.registry.ids import id_of
from telemetry.registry.shipment_revisions import ShipmentStep

_RECORDED: Mapping[str, str] = {
    "planned": "it has not departed yet",
    "in_transit": "it departed at {departed_at}",
    "delivered": "it was delivered at {delivered_at}",
    "cancelled": "it was cancelled at {cancelled_at}",
}


async def locked(connection: AsyncConnection, caller: Principal, shipment_id: str) -> RowMapping:
    """Load a shipment that the caller may see, and keep it from others until the transaction ends."""
    row = await shipments.lock(connection, shipment_id, visible_shipments(caller))
    if row is None:
        raise NotFound("shipment", shipment_id)
    return row


def stop_unless(row: RowMapping, statuses: set[str], step: str) -> None:
    """Refuse a step of a shipment that is in another state, and say that what is on record can be corrected."""
    if row["status"] in statuses:
        return
    times = {
        name: rfc3339(row[name]) for name in ("departed_at", "delivered_at", "cancelled_at") if row[name]
    }
    recorded = _RECORDED[row["status"]].format_map(times)
    text = f"{id_of(row['shipment_id'])} cannot {step}: {recorded}."
    raise StepTaken(text, id_of(row["shipment_id"])) if times else Conflict(text)


def stop_if_not_free(found: Obstacle | None) -> None:
    """Refuse loggers and dewars that are not registered, or are on another shipment at that time.

    Whoever is not of the operating organization gets one answer for what is unknown, not lent to it, or another's.
    """
    if isinstance(found, NotAvailable):
        noun = found.thing.noun
        which = f"{noun.capitalize()} {found.ids[0]} is" if len(found.ids) == 1 else _several(found)
        lent = "".join(f" {id_} is lent to you from {rfc3339(at)} on." for id_, at in found.lent_from.items())
        raise Conflict(
            f"{which} not available to you for that time.{lent} You can use a {noun} that is lent to your "
            "organization then and on no other shipment: ask the operating organization."
        )
    if isinstance(found, Unregistered):
        field, what = _FIELDS[found.thing.noun]
        raise Invalid(field, f"{what}: {', '.join(found.ids)}")
    if isinstance(found, WasHere):
        raise Conflict(
            f"{found.thing.noun.capitalize()} {found.id_} was on this shipment until {rfc3339(found.ends_at)}, and what "
            "it measured since then would be missing: put it on from then on, or take another one."
        )
    if isinstance(found, NotOn):
        until = "" if found.ends_at is None else f": it was until {rfc3339(found.ends_at)}"
        raise Conflict(
            f"{found.thing.noun.capitalize()} {found.id_} is not on this shipment at that time{until}."
        )
    if isinstance(found, Occupied):
        which = f"shipment {id_of(found.shipment_id)}"
        if found.ends_at is None:
            told = f"is on {which} at that time: deliver or cancel it first"
        else:
            told = f"was on {which} until {rfc3339(found.ends_at)}: its time on this one begins then at the earliest"
        raise Conflict(f"{found.thing.noun.capitalize()} {found.id_} {told}.")


async def stop_if_retired(connection: AsyncConnection, device_ids: Collection[str]) -> None:
    """Refuse loggers that are out of use."""
    if found := sorted(await devices.retired(connection, device_ids)):
        told = f"Logger {found[0]} is" if len(found) == 1 else f"Loggers {', '.join(found)} are"
        raise Conflict(f"{told} retired: take another one.")


def _several(found: NotAvailable) -> str:
    return f"{found.thing.noun.capitalize()}s {', '.join(found.ids)} are"


_FIELDS: Mapping[str, tuple[str, str]] = {
    "logger": ("device_ids", "names loggers that are not registered"),
    "dewar": ("dewar_id", "names no dewar that is registered"),
}


def holder_of(caller: Principal, row: RowMapping) -> Holder | None:
    """Return as whom the caller moves what a shipment has: its organization's loans count, whoever of it calls."""
    if caller.is_operator:
        return None
    return Holder(organization=row["organization"], shipments=visible_shipments(caller))


async def record(
    connection: AsyncConnection,
    row: RowMapping,
    step: ShipmentStep,
    *,
    actor: Actor,
    dirty_from: datetime | None = None,
    reason: str | None = None,
) -> None:
    """Write down what a step has made of a shipment, and have it evaluated from the instant on that the step touches."""
    await shipment_revisions.add(connection, row["shipment_id"], step=step, actor=actor, reason=reason)
    await evaluation_marks.mark(connection, row["shipment_id"], dirty_from)


async def tell(connection: AsyncConnection, event: str, row: RowMapping, **more: Any) -> None:
    """Write an event with the whole state of a shipment."""
    on = await shipments.devices_on(connection, [row["shipment_id"]])
    device_ids = [device["device_id"] for device in on[row["shipment_id"]]]
    await outbox.tell(
        connection,
        type=event,
        shipment_id=row["shipment_id"],
        organization=row["organization"],
        data={**shipment_data(dict(row), device_ids), **more},
    )
