"""Handovers of shipments from hand to hand: who has taken one over is asked about its alerts from then on."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.escalation.hand_over import hand_over as pass_on
from alerts.escalation.registers import unknown_contacts
from alerts.events import outbox
from alerts.wording import rfc3339
from api.identity.access import Principal
from api.refusals import Conflict, Invalid
from api.use_cases.moments import moment
from api.use_cases.shipment_steps import locked
from telemetry.actor import Actor


@dataclass(frozen=True, slots=True, kw_only=True)
class NewHandover:
    """A handover as it is told; the place in words or as the id of a site, and in degrees."""

    from_party: str
    to_party: str
    at: datetime | None = None
    """When it was; None: now. It may be told late, and out of order."""
    to_contact: str | None = None
    """The contact to ask; None: that of the party, or of the place of that name."""
    place: str | None = None
    lat: float | None = None
    lon: float | None = None
    note: str | None = None


async def hand_over(
    connection: AsyncConnection,
    caller: Principal,
    shipment_id: str,
    new: NewHandover,
    *,
    actor: Actor,
    now: datetime,
) -> tuple[RowMapping, bool]:
    """Record a handover in the transaction of the caller's; returns it, and whether it is new.

    The shipment's open alerts pass to whoever has taken it over, except those that somebody else than the former
    holder owns. The latest handover by `at` says who holds it.
    """
    at = moment(new.at, now)
    shipment = await locked(connection, caller, shipment_id)
    await _check(connection, new, shipment)
    values = asdict(new) | {"at": at, "shipment_id": shipment_id}
    row, is_new = await pass_on(connection, shipment, values, actor=actor)
    if is_new:
        await _tell(connection, row, shipment)
    else:
        _same(row, values)
    return row, is_new


async def _check(connection: AsyncConnection, new: NewHandover, shipment: RowMapping) -> None:
    if shipment["status"] == "cancelled":
        raise Conflict(f"{shipment['shipment_id']} was cancelled: it goes to nobody any more.")
    if new.to_contact is not None and await unknown_contacts(
        connection, [new.to_contact], shipment["organization"]
    ):
        raise Invalid("to_contact", f"names no contact that may be told of it: {new.to_contact}")


def _same(row: RowMapping, values: dict[str, Any]) -> None:
    """Refuse another handover at the same instant to the same party."""
    different = [name for name, value in values.items() if row[name] != value]
    if different:
        raise Conflict(
            f"A handover to {row['to_party']} at {rfc3339(row['at'])} is on record already, with another "
            f"{', '.join(different)}; what is on record stays. Tell the next one, or this one with its own time."
        )


async def _tell(connection: AsyncConnection, row: RowMapping, shipment: RowMapping) -> None:
    names = ("at", "from_party", "to_party", "to_contact", "place", "lat", "lon", "note", "recorded_at")
    data = {name: rfc3339(row[name]) if name in {"at", "recorded_at"} else row[name] for name in names}
    await outbox.tell(
        connection,
        type="shipment.handed_over",
        shipment_id=shipment["shipment_id"],
        organization=shipment["organization"],
        data={
            "id": str(row["id"]),
            "shipment_id": shipment["shipment_id"],
            **data,
            "organization": shipment["organization"],
            "drill": shipment["drill"],
        },
    )
