"""Who names an organization: only the operating one. Whoever has none makes nothing, whatever the key is bound to."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Final

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from alerts.excursions.plan import Band
from alerts.model import AlertKind
from alerts.outbound.resolve import Targets
from api.identity.access import Principal, permitted
from api.identity.permissions import KeyRole
from api.refusals import Forbidden, NotFound
from api.use_cases import webhooks
from api.use_cases.registry import contacts, policies, products, sites
from api.use_cases.registry.policies import PolicyTrial
from api.use_cases.registry.products import NewProduct
from api.use_cases.shipments import lifecycle as shipments
from api.use_cases.shipments.lifecycle import NewShipment
from api.use_cases.webhooks import NewWebhook
from tests.integration.api.use_cases.conftest import NOW, SHELL, of_acme
from tests.integration.api.use_cases.test_registers import CONTACT, POLICY, SITE

Make = Callable[[AsyncEngine, AsyncConnection, Principal, str | None], Awaitable[Any]]


async def _shipment(_: AsyncEngine, connection: AsyncConnection, caller: Principal, named: str | None) -> Any:
    new = NewShipment(shipment_id="NEW", device_ids=[], organization=named, band=Band.ROOM)
    return await shipments.create(connection, caller, new, actor=SHELL, now=NOW)


async def _site(_: AsyncEngine, connection: AsyncConnection, caller: Principal, named: str | None) -> Any:
    new = replace(SITE, organization=named)
    return await sites.register(connection, caller, new, actor=SHELL)


async def _product(_: AsyncEngine, connection: AsyncConnection, caller: Principal, named: str | None) -> Any:
    new = NewProduct(product_id="P", band=Band.ROOM, organization=named)
    return await products.register(connection, caller, new, actor=SHELL)


async def _contact(engine: AsyncEngine, _: AsyncConnection, caller: Principal, named: str | None) -> Any:
    return await contacts.register(
        engine, Targets(), caller, replace(CONTACT, organization=named), actor=SHELL
    )


async def _policy(_: AsyncEngine, connection: AsyncConnection, caller: Principal, named: str | None) -> Any:
    new = replace(POLICY, organization=named, steps=())
    return await policies.register(connection, caller, new, actor=SHELL)


async def _trial(_: AsyncEngine, connection: AsyncConnection, caller: Principal, named: str | None) -> Any:
    trial = PolicyTrial(kind=AlertKind.LATE, at=NOW, organization=named)
    return await policies.dry_run(connection, caller, trial, now=NOW)


async def _webhook(engine: AsyncEngine, _: AsyncConnection, caller: Principal, named: str | None) -> Any:
    hook = NewWebhook(url="https://93.184.216.34/hook", organization=named)
    return await webhooks.create(engine, Targets(), caller, hook, actor=SHELL)


ACTS: Final[dict[str, Make]] = {
    "shipments.create": _shipment,
    "sites.register": _site,
    "products.register": _product,
    "contacts.register": _contact,
    "policies.register": _policy,
    "policies.dry_run": _trial,
    "webhooks.create": _webhook,
}
_COUNTED: Final = (
    "SELECT (SELECT count(*) FROM organizations), (SELECT count(*) FROM shipments), (SELECT count(*) FROM sites), "
    "(SELECT count(*) FROM products), (SELECT count(*) FROM contacts), (SELECT count(*) FROM policies), "
    "(SELECT count(*) FROM webhooks)"
)


WITHOUT: Final = {
    "ops of a shipment": Principal(name="dw_1", role=KeyRole.OPS, shipment_ids=frozenset({"S1"})),
    "partner of a shipment": Principal(name="dw_2", role=KeyRole.PARTNER, shipment_ids=frozenset({"S1"})),
    "partner": Principal(name="dw_3", role=KeyRole.PARTNER),
}
"""Keys without an organization; of partners there are none since that is checked, but a row may be of before."""


async def test_without_an_organization_nothing_is_made(
    engine: AsyncEngine, connection: AsyncConnection
) -> None:
    before = (await connection.execute(text(_COUNTED))).one()
    for action, make in ACTS.items():
        for who, caller in WITHOUT.items():
            for named in ("bcell", "invented", None):
                says = r"A key that (is bound to shipments|has no organization) \w+ no "
                with pytest.raises(Forbidden, match=says):
                    await make(engine, connection, permitted(caller, action), named)
                assert (await connection.execute(text(_COUNTED))).one() == before, (action, who, named)


async def test_with_an_organization_no_other_is_named(
    engine: AsyncEngine, connection: AsyncConnection
) -> None:
    before = (await connection.execute(text(_COUNTED))).one()
    for action, make in ACTS.items():
        with pytest.raises((Forbidden, NotFound), match=r"of acme only\.|no organization bcell\."):
            await make(engine, connection, of_acme(action), "bcell")
        assert (await connection.execute(text(_COUNTED))).one() == before, action
