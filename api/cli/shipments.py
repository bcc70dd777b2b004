"""Shipments on the command line: which ones are meant, and how they are printed."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from api.errors import StartError
from api.refusals import Invalid
from api.use_cases.naming import shipments_named
from telemetry.registry.ids import SEPARATOR, id_of, organization_of


async def shipments_meant(
    connection: AsyncConnection, named: Sequence[str], *, option: str = "--shipment"
) -> list[str]:
    """Return the keys of shipments that `option` names by their ids, or as `organization/id` where several have one."""
    ids = [one for one in named if SEPARATOR not in one]
    try:
        found = dict(zip(ids, await shipments_named(connection, ids, None), strict=True))
    except Invalid as refused:
        told = "; ".join(refused.fields.values()).partition(";")[0]
        raise StartError(f"{option} {told}: write it as organization/id") from None
    return [found.get(one, one) for one in named]


def shown(key: str) -> str:
    """Return how a shipment is printed: `SH-1 (acme)`, or `SH-1` where it is nobody's."""
    organization = organization_of(key)
    return id_of(key) if organization is None else f"{id_of(key)} ({organization})"
