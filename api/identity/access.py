"""Pure: who may call what, and who sees what; the only place that decides either."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import ColumnElement, and_, cast, false, or_, true
from sqlalchemy.dialects.postgresql import ARRAY, TEXT

from alerts.webhooks.tables import webhooks
from telemetry.actor import Actor, ActorKind
from telemetry.tables import shipments


class KeyRole(StrEnum):
    """What an API key is for."""

    ADMIN = "admin"
    OPS = "ops"
    QA = "qa"
    COURIER = "courier"
    PARTNER = "partner"
    DEVICE = "device"
    VIEWER = "viewer"


OPERATING = frozenset({KeyRole.ADMIN, KeyRole.OPS, KeyRole.QA})
"""The roles that, without an organization, are those of the operating organization and see everything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who is calling."""

    name: str
    """For the records: the key's prefix, or what else let the caller in; never a secret."""
    role: KeyRole
    organization: str | None = None
    shipment_ids: frozenset[str] | None = None
    """None: no limit to certain shipments."""
    device_ids: frozenset[str] | None = None
    expires_at: datetime | None = None

    @property
    def actor(self) -> Actor:
        """Who records say did what this caller does."""
        return Actor(ActorKind.KEY, self.name)

    @property
    def is_operator(self) -> bool:
        """Whether it belongs to the operating organization, whose fleet and keys these are."""
        return self.role in OPERATING and self.organization is None and self.shipment_ids is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Which roles may make a call; admin always may."""

    roles: frozenset[KeyRole]
    operator_only: bool = False
    """Only for keys that are bound to no organization: the fleet is nobody else's."""


def _rule(*roles: KeyRole, operator_only: bool = False) -> Rule:
    return Rule(roles=frozenset({KeyRole.ADMIN, *roles}), operator_only=operator_only)


_ALL = _rule(KeyRole.OPS, KeyRole.QA, KeyRole.COURIER, KeyRole.PARTNER, KeyRole.VIEWER)
_FLEET = _rule(KeyRole.OPS, operator_only=True)
_SEE_FLEET = _rule(KeyRole.OPS, KeyRole.QA, operator_only=True)
_SEE_REGISTER = _rule(KeyRole.OPS, KeyRole.QA)
_ON_THE_WAY = _rule(KeyRole.OPS, KeyRole.COURIER)
_TAKE = _rule(KeyRole.OPS, KeyRole.COURIER)
"""Who has the shipper in hand can say so; only the desk hands alerts on or lets them be quiet."""
_QUIET = _rule(KeyRole.OPS)
_ADMIN = _rule(operator_only=True)
_WEBHOOKS = _rule(KeyRole.OPS, KeyRole.PARTNER)

RULES: Mapping[str, Rule] = {
    "POST /v1/devices": _FLEET,
    "GET /v1/devices": _SEE_FLEET,
    "GET /v1/devices/{device_id}": _SEE_FLEET,
    "POST /v1/devices/{device_id}/rotate-credentials": _FLEET,
    "POST /v1/dewars": _FLEET,
    "GET /v1/dewars": _SEE_FLEET,
    "GET /v1/dewars/{dewar_id}": _SEE_FLEET,
    "PATCH /v1/dewars/{dewar_id}": _FLEET,
    "GET /v1/dewars/{dewar_id}/revisions": _SEE_FLEET,
    "POST /v1/dewars/{dewar_id}/charge": _ON_THE_WAY,
    "POST /v1/dewars/{dewar_id}/charges/correct": _FLEET,
    "GET /v1/dewars/{dewar_id}/charges": _SEE_FLEET,
    "POST /v1/sites": _rule(KeyRole.OPS),
    "GET /v1/sites": _SEE_REGISTER,
    "GET /v1/sites/{site_id}": _SEE_REGISTER,
    "PATCH /v1/sites/{site_id}": _rule(KeyRole.OPS),
    "GET /v1/sites/{site_id}/revisions": _SEE_REGISTER,
    "POST /v1/products": _rule(KeyRole.OPS),
    "GET /v1/products": _SEE_REGISTER,
    "GET /v1/products/{product_id}": _SEE_REGISTER,
    "PATCH /v1/products/{product_id}": _rule(KeyRole.OPS),
    "GET /v1/products/{product_id}/revisions": _SEE_REGISTER,
    "POST /v1/shipments": _rule(KeyRole.OPS),
    "GET /v1/shipments": _ALL,
    "GET /v1/shipments/{shipment_id}": _ALL,
    "POST /v1/shipments/{shipment_id}/depart": _ON_THE_WAY,
    "POST /v1/shipments/{shipment_id}/deliver": _ON_THE_WAY,
    "POST /v1/shipments/{shipment_id}/cancel": _ON_THE_WAY,
    "POST /v1/shipments/{shipment_id}/plan": _rule(KeyRole.OPS),
    "POST /v1/shipments/{shipment_id}/schedule": _rule(KeyRole.OPS),
    "GET /v1/shipments/{shipment_id}/revisions": _ALL,
    "GET /v1/shipments/{shipment_id}/readings": _ALL,
    "GET /v1/shipments/{shipment_id}/excursions": _ALL,
    "GET /v1/shipments/{shipment_id}/summary": _ALL,
    "GET /v1/shipments/{shipment_id}/forecast": _ALL,
    "POST /v1/readings": _rule(KeyRole.OPS, KeyRole.COURIER, KeyRole.DEVICE),
    "GET /v1/excursions": _ALL,
    "GET /v1/excursions/{excursion_id}": _ALL,
    "GET /v1/alerts": _ALL,
    "GET /v1/alerts/{alert_id}": _ALL,
    "POST /v1/alerts/{alert_id}/acknowledge": _TAKE,
    "POST /v1/alerts/{alert_id}/assign": _QUIET,
    "POST /v1/alerts/{alert_id}/snooze": _QUIET,
    "POST /v1/alerts/{alert_id}/resolve": _QUIET,
    "POST /v1/alerts/{alert_id}/comment": _TAKE,
    "GET /v1/incidents": _ALL,
    "GET /v1/incidents/{incident_id}": _ALL,
    "POST /v1/incidents/{incident_id}/acknowledge": _TAKE,
    "POST /v1/incidents/{incident_id}/assign": _QUIET,
    "POST /v1/incidents/{incident_id}/snooze": _QUIET,
    "POST /v1/incidents/{incident_id}/resolve": _QUIET,
    "POST /v1/incidents/{incident_id}/comment": _TAKE,
    "POST /v1/contacts": _rule(KeyRole.OPS),
    "GET /v1/contacts": _SEE_REGISTER,
    "GET /v1/contacts/{contact_id}": _SEE_REGISTER,
    "PATCH /v1/contacts/{contact_id}": _rule(KeyRole.OPS),
    "GET /v1/contacts/{contact_id}/revisions": _SEE_REGISTER,
    "POST /v1/contacts/{contact_id}/test": _rule(KeyRole.OPS),
    "POST /v1/policies": _rule(KeyRole.OPS),
    "GET /v1/policies": _SEE_REGISTER,
    "GET /v1/policies/{policy_id}": _SEE_REGISTER,
    "PATCH /v1/policies/{policy_id}": _rule(KeyRole.OPS),
    "GET /v1/policies/{policy_id}/revisions": _SEE_REGISTER,
    "POST /v1/policies/dry-run": _SEE_REGISTER,
    "POST /v1/shipments/{shipment_id}/handovers": _ON_THE_WAY,
    "GET /v1/shipments/{shipment_id}/handovers": _ALL,
    "GET /v1/notifications": _SEE_REGISTER,
    "GET /v1/shipments/{shipment_id}/notifications": _ALL,
    "POST /v1/backtests": _rule(KeyRole.OPS, KeyRole.QA),
    "GET /v1/rejected": _FLEET,
    "GET /v1/rejected/{rejected_id}": _FLEET,
    "GET /v1/stream": _ALL,
    "POST /v1/webhooks": _WEBHOOKS,
    "GET /v1/webhooks": _WEBHOOKS,
    "GET /v1/webhooks/{webhook_id}": _WEBHOOKS,
    "PATCH /v1/webhooks/{webhook_id}": _WEBHOOKS,
    "DELETE /v1/webhooks/{webhook_id}": _WEBHOOKS,
    "POST /v1/webhooks/{webhook_id}/rotate-secret": _WEBHOOKS,
    "POST /v1/webhooks/{webhook_id}/test": _WEBHOOKS,
    "GET /v1/webhooks/{webhook_id}/deliveries": _WEBHOOKS,
    "GET /v1/webhooks/{webhook_id}/deliveries/{event_id}": _WEBHOOKS,
    "POST /v1/webhooks/{webhook_id}/replay": _WEBHOOKS,
    "POST /v1/webhooks/{webhook_id}/pause": _WEBHOOKS,
    "POST /v1/webhooks/{webhook_id}/resume": _WEBHOOKS,
    "POST /v1/keys": _ADMIN,
    "GET /v1/keys": _ADMIN,
    "GET /v1/keys/{key_id}": _ADMIN,
    "DELETE /v1/keys/{key_id}": _ADMIN,
}
"""Every call that needs a key; a route that is not listed here does not start."""


def refusal(rule: Rule, principal: Principal) -> str | None:
    """Say why the call is refused and what it would take; None where it is allowed."""
    if principal.role not in rule.roles:
        return f"A key with the role {principal.role} may not do this: it takes {_any_of(rule.roles)}."
    if rule.operator_only and not principal.is_operator:
        return "This takes a key of the operating organization, bound to no organization and no shipment."
    return None


def _any_of(roles: frozenset[KeyRole]) -> str:
    return " or ".join(role for role in KeyRole if role in roles)


def visible_shipments(principal: Principal) -> ColumnElement[bool]:
    """Give the condition on `shipments` that holds for what the caller may see; `sees` is its twin."""
    if principal.is_operator:
        return true()
    conditions: list[ColumnElement[bool]] = []
    organization, shipment_ids = _bounds(principal)
    if organization is not None:
        conditions.append(shipments.c.organization == organization)
    if shipment_ids is not None:
        conditions.append(shipments.c.shipment_id.in_(sorted(shipment_ids)))
    return and_(true(), *conditions)


def visible_entries(principal: Principal, owner: ColumnElement[str | None]) -> ColumnElement[bool]:
    """Give the condition on the owner of sites and products that holds for what the caller may see.

    Those without an owner are everybody's.
    """
    if principal.is_operator:
        return true()
    return or_(owner.is_(None), owner == principal.organization)


def own_entries(principal: Principal, owner: ColumnElement[str | None]) -> ColumnElement[bool]:
    """Give the condition on the owner of contacts that holds for those whose addresses the caller may see.

    Those without an owner are the operating organization's own.
    """
    if principal.is_operator:
        return true()
    return false() if principal.organization is None else owner == principal.organization


def visible_webhooks(principal: Principal) -> ColumnElement[bool]:
    """Give the condition on webhooks that holds for those that the caller may see: that tell nothing it may not see."""
    if principal.is_operator:
        return true()
    organization, shipment_ids = _bounds(principal)
    conditions: list[ColumnElement[bool]] = [webhooks.c.organization.is_not_distinct_from(organization)]
    if shipment_ids is not None:
        own = cast(sorted(shipment_ids), ARRAY(TEXT))
        conditions.append(cast(webhooks.c.sees_shipment_ids, ARRAY(TEXT)).contained_by(own))
    return and_(*conditions)


def sees(principal: Principal, *, shipment_id: str | None, organization: str | None) -> bool:
    """Tell whether the caller may see what is about this shipment of this organization."""
    if principal.is_operator:
        return True
    own, shipment_ids = _bounds(principal)
    return (own is None or organization == own) and (shipment_ids is None or shipment_id in shipment_ids)


def _bounds(principal: Principal) -> tuple[str | None, frozenset[str] | None]:
    """Give the organization and the shipments that a caller is bound to; nothing at all where neither is set."""
    shipment_ids = principal.shipment_ids
    if principal.role in {KeyRole.COURIER, KeyRole.DEVICE} or principal.organization is None:
        shipment_ids = shipment_ids or frozenset()
    return principal.organization, shipment_ids
