"""Sites, such as clinics, depots, hubs and airports: where shipments start, pass through and end."""

from collections.abc import Collection, Mapping

from sqlalchemy import ColumnElement, RowMapping, and_, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from telemetry.registry.ids import id_of
from telemetry.registry.revisioned_table import RevisionedTable
from telemetry.tables import shipments, site_revisions, sites

SITES = RevisionedTable(
    table=sites,
    revisions=site_revisions,
    key=sites.c.site_id,
    searched=(sites.c.site_id, sites.c.name, sites.c.organization),
)


async def find_sites(connection: AsyncConnection, keys: Collection[str]) -> Mapping[str, RowMapping]:
    """Load the sites that there are of these keys, by key; `site_named` says which one a shipment means."""
    if not keys:
        return {}
    found = await connection.execute(select(sites).where(sites.c.site_id.in_(keys)))
    return {row["site_id"]: row for row in found.mappings()}


def may_mean(site: RowMapping) -> ColumnElement[bool]:
    """Return the SQL condition for shipments that name the id of this site among their places, as in `places_of`.

    Everybody's site is not meant by those whose organization has one of the same id; they are among them.
    """
    legs, place = shipments.c.legs, id_of(site["site_id"])
    named = or_(
        shipments.c.origin == place,
        shipments.c.destination == place,
        legs.contains([{"from": place}]),
        legs.contains([{"to": place}]),
    )
    owner = site["organization"]
    return named if owner is None else and_(named, shipments.c.organization == owner)
