"""What a new shipment is judged by: its plan and its use-by, from what was asked for and from its product."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.excursions.plan import Plan, PlanRefused, changed_plan, make_plan
from alerts.rules.registry import refusal
from api.http.problems import invalid
from api.http.schemas.shipments import ShipmentIn
from api.identity.access import Principal, reach_of
from telemetry.registry.organizations import may_refer_to
from telemetry.registry.products import PRODUCTS
from telemetry.tables import products


async def resolve(
    connection: AsyncConnection, caller: Principal, body: ShipmentIn, organization: str | None
) -> tuple[Plan, dict[str, Any]]:
    """Give the plan, and what else the shipment takes from its product; later changes of the product are not its own."""
    product = await _product(connection, caller, body.product_id, organization)
    use_within_h = None if product is None else product["use_within_h"]
    taken = {
        "use_within_h": use_within_h,
        "use_by": body.use_by or use_by(body.packed_out_at, use_within_h),
    }
    return _plan(body, product), taken


def use_by(packed_out_at: datetime | None, use_within_h: float | None) -> datetime | None:
    """Give until when a payload must be used; None where nothing says so."""
    if packed_out_at is None or use_within_h is None:
        return None
    return packed_out_at + timedelta(hours=use_within_h)


def sound(plan: Plan | PlanRefused) -> Plan:
    """Give a plan that makes sense; raise Problem 422 that names the field of one that does not."""
    if isinstance(plan, PlanRefused):
        raise invalid(plan.field, plan.why)
    return plan


def tunable(rules: Mapping[str, Mapping[str, Any] | None] | None) -> None:
    """Raise Problem 422 that names the rule or parameter that cannot be tuned so."""
    if refused := refusal(rules):
        raise invalid(refused.field, refused.why)


def _plan(body: ShipmentIn, product: RowMapping | None) -> Plan:
    given = body.plan_fields()
    if product is not None:
        own = {} if body.band is None else {"band": body.band}
        return sound(changed_plan(Plan.from_json(product["plan"]), {**own, **given}))
    if body.band is None:
        raise invalid("band", "is required, unless product_id names a product that brings one")
    return sound(make_plan(body.band, given))


async def _product(
    connection: AsyncConnection, caller: Principal, product_id: str | None, organization: str | None
) -> RowMapping | None:
    """Give the product that a shipment of this organization names."""
    if product_id is None:
        return None
    visible = reach_of(caller, "products.read").entries(products.c.organization)
    product = await PRODUCTS.get(connection, product_id, visible)
    if product is None or not may_refer_to(product["organization"], organization):
        raise invalid("product_id", f"names no product that is registered: {product_id}")
    return product
