"""The plan and the use-by of a shipment, from what was asked for and from its product."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.excursions.plan import Band, Plan, PlanRefused, changed_plan, make_plan
from alerts.rules.registry import refusal
from api.identity.access import Principal, reach_of
from api.refusals import Ambiguous, Invalid
from api.use_cases.naming import PRODUCT, key_meant, own_or_shared
from telemetry.registry.products import PRODUCTS
from telemetry.tables import products


async def product_of(
    connection: AsyncConnection, caller: Principal, product_id: str | None, organization: str | None
) -> RowMapping | None:
    """Load the product that a shipment of this organization names; None where it names none."""
    if product_id is None:
        return None
    visible = reach_of(caller, "products.read").entries(products.c.organization)
    product = await PRODUCTS.get(
        connection, await _key_meant(connection, caller, product_id, organization), visible
    )
    if product is None:
        raise Invalid("product_id", f"names no product that is registered: {product_id}")
    return product


async def _key_meant(
    connection: AsyncConnection, caller: Principal, product_id: str, organization: str | None
) -> str:
    """Return the key of the product that a shipment names: its organization's own, or everybody's.

    For a shipment of nobody, operators may take the product of any organization.
    """
    if organization is None and caller.is_operator:
        try:
            return await key_meant(connection, caller, PRODUCT, product_id)
        except Ambiguous:
            why = (
                f"names a product that several organizations have: {product_id}; say whose, with organization"
            )
            raise Invalid("product_id", why) from None
    found = await own_or_shared(connection, PRODUCT, [product_id], organization)
    return found.get(product_id, product_id)


def plan_of(band: Band | None, given: Mapping[str, Any], product: RowMapping | None) -> Plan:
    """Make the plan of a shipment: fields that are given, and the product's where they are not."""
    if product is not None:
        own = {} if band is None else {"band": band}
        return sound(changed_plan(Plan.from_json(product["plan"]), {**own, **given}))
    if band is None:
        raise Invalid("band", "is required, unless product_id names a product that brings one")
    return sound(make_plan(band, given))


def use_by(packed_out_at: datetime | None, use_within_h: float | None) -> datetime | None:
    """Return until when a payload must be used; None where nothing says so."""
    if packed_out_at is None or use_within_h is None:
        return None
    return packed_out_at + timedelta(hours=use_within_h)


def sound(plan: Plan | PlanRefused) -> Plan:
    """Return a plan that makes sense, and refuse one that does not."""
    if isinstance(plan, PlanRefused):
        raise Invalid(plan.field, plan.why)
    return plan


def tunable(rules: Mapping[str, Mapping[str, Any] | None] | None) -> None:
    """Refuse rules that there are not, and parameters that cannot be tuned so."""
    if refused := refusal(rules):
        raise Invalid(refused.field, refused.why)
