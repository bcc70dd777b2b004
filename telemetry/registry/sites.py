"""Sites: of care, depots, hubs and airports; where shipments come from, go through and go to."""

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from telemetry.registry.revisioned_table import Register
from telemetry.tables import shipments, site_revisions, sites

SITES = Register(
    table=sites,
    revisions=site_revisions,
    key=sites.c.site_id,
    mentions=(sites.c.site_id, sites.c.name, sites.c.organization),
)


async def named(connection: AsyncConnection, places: Collection[str]) -> Mapping[str, RowMapping]:
    """Give the sites among some names of places, by id; `is_meant` tells whether a shipment means them."""
    if not places:
        return {}
    found = await connection.execute(select(sites).where(sites.c.site_id.in_(places)))
    return {row["site_id"]: row for row in found.mappings()}


def is_meant(owner: str | None, organization: str | None) -> bool:
    """Tell whether a shipment of an organization, or of none, means an owner's site by its id: not that of a stranger."""
    return owner is None or organization is None or owner == organization


def places_of(shipment: Any) -> set[str]:
    """Give the names of all places of a shipment's row: site ids or free text."""
    ends = [shipment["origin"], shipment["destination"]]
    ends += [leg[end] for leg in shipment["legs"] for end in ("from", "to")]
    return {end for end in ends if end is not None}


def names_place(place: str) -> ColumnElement[bool]:
    """Give the condition on `shipments` that holds for those that name a place; `places_of` is its twin."""
    legs = shipments.c.legs
    return or_(
        shipments.c.origin == place,
        shipments.c.destination == place,
        legs.contains([{"from": place}]),
        legs.contains([{"to": place}]),
    )
