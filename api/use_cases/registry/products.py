"""What people do to products, the templates for the plans of shipments: to register and describe them.

Each function works in the transaction of its caller's.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.excursions.plan import Band, Plan, changed_plan, make_plan
from api.identity.access import Principal
from api.rates.policy import QUOTAS, Quotas
from api.use_cases.registry.registering import PRODUCT
from api.use_cases.shipments.planning import sound, tunable
from telemetry.actor import Actor


@dataclass(frozen=True, slots=True, kw_only=True)
class NewProduct:
    """A product as it is registered; `use_within_h` are the hours from pack-out to use."""

    product_id: str
    band: Band
    plan: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the plan by their names, `rules` among them; None is no limit."""
    organization: str | None = None
    name: str | None = None
    use_within_h: float | None = None
    note: str | None = None


async def register(
    connection: AsyncConnection, caller: Principal, new: NewProduct, *, actor: Actor, quotas: Quotas = QUOTAS
) -> RowMapping:
    """Register a product: shipments that name it take from it what they do not give themselves."""
    tunable(new.plan.get("rules"))
    plan = sound(make_plan(new.band, new.plan))
    values = {
        "product_id": new.product_id,
        "organization": new.organization,
        "name": new.name,
        "use_within_h": new.use_within_h,
        "note": new.note,
        "band": plan.band,
        "plan": plan.to_json(),
    }
    return await PRODUCT.add(connection, caller, values, actor=actor, quotas=quotas)


async def change(
    connection: AsyncConnection,
    caller: Principal,
    product_id: str,
    changes: Mapping[str, Any],
    *,
    plan: Mapping[str, Any],
    seen: int | None = None,
    actor: Actor,
    reason: str | None,
) -> RowMapping:
    """Describe a product anew, for shipments to come: those that exist keep what they took from it.

    `changes` has fields of `NewProduct` other than those of the plan; `plan` has these, and the band.
    """
    tunable(plan.get("rules"))
    row = await PRODUCT.lock(connection, caller, product_id)
    changed = sound(changed_plan(Plan.from_json(row["plan"]), plan))
    values = {**changes, "band": changed.band, "plan": changed.to_json()}
    return await PRODUCT.change(connection, row, values, seen=seen, actor=actor, reason=reason)
