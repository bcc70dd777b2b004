"""Sites, such as clinics, depots, hubs and airports: where shipments start, pass through and end."""

from collections.abc import Collection, Mapping

from sqlalchemy import ColumnElement, RowMapping, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from telemetry.registry.revisioned_table import RevisionedTable
from telemetry.tables import shipments, site_revisions, sites

SITES = RevisionedTable(
    table=sites,
    revisions=site_revisions,
    key=sites.c.site_id,
    searched=(sites.c.site_id, sites.c.name, sites.c.organization),
)


async def find_sites(connection: AsyncConnection, places: Collection[str]) -> Mapping[str, RowMapping]:
    """Load the sites among the names of places, by id; `may_refer_to` decides whether a shipment means them."""
    if not places:
        return {}
    found = await connection.execute(select(sites).where(sites.c.site_id.in_(places)))
    return {row["site_id"]: row for row in found.mappings()}


def has_place(place: str) -> ColumnElement[bool]:
    """Return the SQL condition for shipments with this place among their places, as in `places_of`."""
    legs = shipments.c.legs
    return or_(
        shipments.c.origin == place,
        shipments.c.destination == place,
        legs.contains([{"from": place}]),
        legs.contains([{"to": place}]),
    )
