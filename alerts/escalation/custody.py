"""The handovers of a shipment on record, and the names under which holders and places are known."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import RowMapping, select
from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.escalation.people import folded
from alerts.escalation.tables import handovers
from telemetry.registry.ids import id_of


async def handovers_of(connection: AsyncConnection, shipment_id: str) -> Sequence[RowMapping]:
    """Load the handovers of a shipment, in the order of their times."""
    query = (
        select(handovers)
        .where(handovers.c.shipment_id == shipment_id)
        .order_by(handovers.c.at, handovers.c.recorded_at)
    )
    return (await connection.execute(query)).mappings().all()


def names_of_holder(
    contacts: Sequence[Mapping[str, Any] | RowMapping], party: str, contact_id: str | None
) -> frozenset[str]:
    """Return the folded names under which a holder is known: its own, its contacts' ids, names and parties."""

    def is_meant(contact: Mapping[str, Any] | RowMapping) -> bool:
        parties: Collection[str] = contact["parties"]
        return contact["contact_id"] == contact_id or folded(party) in {folded(one) for one in parties}

    return frozenset({folded(party)}) | _names(one for one in contacts if is_meant(one))


def names_of_place(
    contacts: Sequence[Mapping[str, Any] | RowMapping],
    place: str | None,
    site: Mapping[str, Any] | RowMapping | None,
) -> frozenset[str]:
    """Return the folded names of whoever holds what is at a place: the place's, and its contacts' as of a holder."""
    if place is None:
        return frozenset()
    own = {folded(place)} | (set() if site is None else {folded(site["name"])})
    return frozenset(own) | _names(one for one in contacts if place in one["places"])


def _names(contacts: Any) -> frozenset[str]:
    return frozenset(
        folded(name) for one in contacts for name in (id_of(one["contact_id"]), one["name"], *one["parties"])
    )
