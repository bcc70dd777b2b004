"""Records handovers: who holds a shipment from then on, and who owns its open alerts."""

from collections.abc import Mapping
from functools import partial
from typing import Any
from uuid import uuid4

from sqlalchemy import RowMapping, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from alerts import wording
from alerts.escalation.custody import names_of_holder
from alerts.escalation.people import folded, name_of
from alerts.escalation.registers import contacts_for, look_again
from alerts.escalation.tables import handovers
from alerts.triage.act import act_on_shipment
from alerts.triage.actions import pass_on
from telemetry.actor import Actor


async def hand_over(
    connection: AsyncConnection, shipment: RowMapping, values: Mapping[str, Any], *, actor: Actor
) -> tuple[RowMapping, bool]:
    """Record a handover of a locked shipment; return it, and whether it is new.

    One to the same party at the same time is the same handover. The latest by `at` passes open alerts on.
    """
    same = select(handovers).where(
        handovers.c.shipment_id == values["shipment_id"],
        handovers.c.at == values["at"],
        handovers.c.to_party == values["to_party"],
    )
    if (there := (await connection.execute(same)).mappings().first()) is not None:
        return there, False
    made = insert(handovers).values(id=uuid4(), **values, by=str(actor)).returning(handovers)
    row = (await connection.execute(made)).mappings().one()
    delivered_at = shipment["delivered_at"]
    before, latest = await _two_latest(connection, row["shipment_id"])
    if latest["id"] == row["id"] and (delivered_at is None or row["at"] > delivered_at):
        await _pass_alerts_on(connection, shipment, row, before, actor)
    await look_again(connection, row["shipment_id"])
    return row, True


async def _two_latest(connection: AsyncConnection, shipment_id: str) -> tuple[RowMapping | None, RowMapping]:
    """Return the last two handovers by `at`: the one before the last, or None, and the last."""
    query = (
        select(handovers)
        .where(handovers.c.shipment_id == shipment_id)
        .order_by(handovers.c.at.desc(), handovers.c.recorded_at.desc())
        .limit(2)
    )
    latest, *before = (await connection.execute(query)).mappings().all()
    return (before[0] if before else None), latest


async def _pass_alerts_on(
    connection: AsyncConnection,
    shipment: RowMapping,
    row: RowMapping,
    before: RowMapping | None,
    actor: Actor,
) -> None:
    contacts = await contacts_for(connection, shipment["organization"])
    former = names_of_holder(contacts, row["from_party"], None)
    if before is not None:
        former |= names_of_holder(contacts, before["to_party"], before["to_contact"])
    names = {one["contact_id"]: one["name"] for one in contacts}
    owner = names.get(row["to_contact"], row["to_party"])
    action = partial(pass_on, owner=owner, is_former=lambda name: folded(name_of(name)) in former)
    happened = f"Handed over from {row['from_party']} to {row['to_party']} at {wording.rfc3339(row['at'])}."
    reason = f"{happened} {row['note']}" if row["note"] else happened
    await act_on_shipment(connection, row["shipment_id"], action, actor=actor, reason=reason)
