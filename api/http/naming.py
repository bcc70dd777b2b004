"""Ids in addresses: each parameter is resolved to the key that the caller means, before the route sees it."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import Depends, Path, Query
from pydantic import AfterValidator
from sqlalchemy import ColumnElement, and_, true

from api.http.routing import Caller, Here
from api.http.schemas.fields import Id, OrganizationSlug
from api.http.services import Services
from api.identity.access import Principal, visible_shipments
from api.use_cases import naming
from api.use_cases.naming import CONTACT, NOBODYS, POLICY, PRODUCT, SHIPMENT, SITE, Named
from telemetry.registry.organizations import SLUG
from telemetry.tables import shipments


def _slug_or_nobody(text: str) -> str:
    if text and not SLUG.fullmatch(text):
        raise ValueError("must be a slug such as acme-cell-therapy, or empty for what is nobody's")
    return text


Whose = Annotated[
    Annotated[str, AfterValidator(_slug_or_nobody)] | None,
    Query(
        alias="organization",
        description="Whose it is, for keys that see several organizations of which more than one has that id. Empty: "
        "nobody's.",
        examples=["acme-cell-therapy"],
    ),
]


WhoseOnly = Annotated[
    Annotated[str, AfterValidator(_slug_or_nobody)] | None,
    Query(
        alias="organization",
        description="Only what is of this organization. Empty: only what is nobody's.",
        examples=["acme-cell-therapy"],
    ),
]


async def _key(services: Services, caller: Principal, what: Named, id_: str, whose: str | None) -> str:
    certain = naming.certain_key(caller, what, id_, whose)
    if certain is not None and not (whose and caller.is_operator):
        return certain
    async with services.looking_up.connect() as connection:
        await naming.check_there_is(connection, caller, whose)
        return await naming.key_meant(connection, caller, what, id_, whose)


def _in_path(what: Named) -> Callable[..., Awaitable[str]]:
    async def key(
        id_: Annotated[Id, Path(alias=what.column)], caller: Caller, services: Here, whose: Whose = None
    ) -> str:
        return await _key(services, caller, what, id_, whose)

    return key


async def _filtered_shipments(
    caller: Caller,
    services: Here,
    shipment_id: Annotated[Id | None, Query()] = None,
    whose: WhoseOnly = None,
) -> list[str] | None:
    return None if shipment_id is None else [await _key(services, caller, SHIPMENT, shipment_id, whose)]


async def _checked(caller: Caller, services: Here, whose: WhoseOnly = None) -> str | None:
    if whose:
        naming.stop_if_anothers(caller, whose)
    if whose and caller.is_operator:
        async with services.looking_up.connect() as connection:
            await naming.check_there_is(connection, caller, whose)
    return whose


async def _lent_to(
    caller: Caller,
    services: Here,
    organization: Annotated[
        OrganizationSlug | None, Query(description="Only what is lent to this organization now.")
    ] = None,
) -> str | None:
    return await _checked(caller, services, organization)


async def _visible(caller: Caller, whose: Annotated[str | None, Depends(_checked)]) -> ColumnElement[bool]:
    return and_(visible_shipments(caller), is_owned_by(shipments.c.organization, whose))


def is_owned_by(owner: ColumnElement[Any], whose: str | None) -> ColumnElement[bool]:
    """Return the condition of the filter `organization` on a column that has the owner; None filters nothing."""
    if whose is None:
        return true()
    return owner.is_(None) if whose == NOBODYS else owner == whose


def location(collection: str, id_: str, caller: Principal, owner: str | None) -> str:
    """Return the address of what was just made; operators, who see several organizations, are told whose it is in it."""
    address = f"/v1/{collection}/{id_}"
    return f"{address}?organization={owner or NOBODYS}" if caller.is_operator else address


ShipmentKey = Annotated[str, Depends(_in_path(SHIPMENT))]
"""`{shipment_id}` of an address, as a key."""
SiteKey = Annotated[str, Depends(_in_path(SITE))]
ProductKey = Annotated[str, Depends(_in_path(PRODUCT))]
ContactKey = Annotated[str, Depends(_in_path(CONTACT))]
PolicyKey = Annotated[str, Depends(_in_path(POLICY))]
OfShipments: Any = Annotated[list[str] | None, Depends(_filtered_shipments)]
"""The filter `shipment_id`, as the key that it means; None where it is not given."""
Organization = Annotated[str | None, Depends(_checked)]
"""The filter `organization`: one that there is, `NOBODYS`, or None where it is not given."""
LentTo = Annotated[str | None, Depends(_lent_to)]
"""The filter `organization` on what is lent: one that there is, or None where it is not given."""
Visible: Any = Annotated[ColumnElement[bool], Depends(_visible)]
"""The condition on `shipments` for those that a list may show: what the key sees, of the organization it asks for."""
