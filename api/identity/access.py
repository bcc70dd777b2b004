"""Whether a caller may do something, and whose things it reaches; the only place that decides either."""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, and_, cast, false, or_, true
from sqlalchemy.dialects.postgresql import ARRAY, TEXT

from alerts.webhooks.tables import webhooks
from api.identity.permissions import PERMISSIONS, KeyRole, Need, Scope
from api.refusals import Forbidden
from telemetry.actor import Actor, ActorKind
from telemetry.registry.holding.things import Holder
from telemetry.tables import shipments

OPERATING = frozenset({KeyRole.ADMIN, KeyRole.OPS, KeyRole.QA})
"""The roles whose keys, bound to nothing, belong to the operating organization and reach everything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who is calling."""

    name: str
    """What records say: the key's prefix, or what else let the caller in; never a secret."""
    role: KeyRole
    organization: str | None = None
    shipment_ids: frozenset[str] | None = None
    """The shipments that the key is bound to; None: to none in particular."""
    device_ids: frozenset[str] | None = None
    expires_at: datetime | None = None
    scope: Scope | None = field(default=None, compare=False)
    """The scope of the current action, from its permission; None before one is found, and then it reaches nothing."""

    @property
    def actor(self) -> Actor:
        """Who records say did what this caller does."""
        return Actor(ActorKind.KEY, self.name)

    @property
    def is_operator(self) -> bool:
        """Whether the key belongs to the operating organization, which owns the fleet and the keys."""
        return self.role in OPERATING and self.organization is None and self.shipment_ids is None


def refusal(principal: Principal, action: str) -> str | None:
    """Return why the caller may not do this and who may; None if it may."""
    permission = PERMISSIONS.of(principal.role, action)
    if permission is None:
        *most, last = PERMISSIONS.roles(action)
        may = f"{', '.join(most)} and {last}" if most else last
        return f"A key with the role {principal.role} may not do this: only {may} may."
    if permission.needs is Need.OPERATOR and not principal.is_operator:
        return "This takes a key of the operating organization, bound to no organization and no shipment."
    return None


def permitted(principal: Principal, action: str) -> Principal:
    """Return the caller with the scope of an action; with none if its role may not do it."""
    permission = PERMISSIONS.of(principal.role, action)
    return replace(principal, scope=None if permission is None else permission.scope)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """Whose things a caller reaches. Each SQL condition has its twin in Python below it, and they agree."""

    everything: bool = False
    owners: frozenset[str | None] | None = None
    """The organizations, with None among them for what belongs to nobody; None: any."""
    shipment_ids: frozenset[str] | None = None
    """The shipments; None: any."""

    def shipments(self) -> ColumnElement[bool]:
        """Return the condition on the table `shipments`."""
        if self.everything:
            return true()
        conditions: list[ColumnElement[bool]] = []
        if self.owners is not None:
            conditions.append(_among(shipments.c.organization, self.owners))
        if self.shipment_ids is not None:
            conditions.append(shipments.c.shipment_id.in_(sorted(self.shipment_ids)))
        return and_(true(), *conditions)

    def sees_shipment(self, shipment_id: str | None, owner: str | None) -> bool:
        """Return whether the caller reaches what is about this shipment of this organization."""
        if self.everything:
            return True
        is_owned = self.owners is None or owner in self.owners
        return is_owned and (self.shipment_ids is None or shipment_id in self.shipment_ids)

    def entries(self, owner: ColumnElement[str | None]) -> ColumnElement[bool]:
        """Return the condition on the owner of register entries: sites, products, policies and contacts."""
        return true() if self.everything else _among(owner, self.owners or ())

    def sees_entry(self, owner: str | None) -> bool:
        """Return whether the caller reaches an entry of a register that belongs to this organization."""
        return self.everything or owner in (self.owners or ())


NOTHING: Final = Reach(owners=frozenset(), shipment_ids=frozenset())
EVERYTHING: Final = Reach(everything=True)


def reach(principal: Principal, scope: Scope | None) -> Reach:
    """Return whose things a caller reaches in a scope."""
    if scope is None:
        return NOTHING
    if principal.is_operator:
        return EVERYTHING
    if scope is Scope.FLEET:
        return NOTHING
    organization, shipment_ids = principal.organization, principal.shipment_ids
    if organization is None or scope in {Scope.SHIPMENTS, Scope.LOGGERS}:
        shipment_ids = shipment_ids or frozenset()
    if scope is Scope.SHARED:
        return Reach(owners=frozenset({organization, None}), shipment_ids=shipment_ids)
    # A courier's key stays in one organization; one without, with shipments that belong to nobody.
    anybodys = organization is None and principal.role is not KeyRole.COURIER
    owners = None if anybodys else frozenset({organization})
    return Reach(owners=owners, shipment_ids=shipment_ids)


def reach_of(principal: Principal, action: str) -> Reach:
    """Return whose things a caller reaches with an action other than the current one."""
    return reach(principal, permitted(principal, action).scope)


def visible_shipments(principal: Principal) -> ColumnElement[bool]:
    """Return the condition on `shipments` for those that this call reaches."""
    return reach(principal, principal.scope).shipments()


def holder(principal: Principal) -> Holder | None:
    """Return as whom the caller holds loggers and dewars in this call; None for the operating organization.

    What is lent to its organization is not for a key that is bound to shipments.
    """
    if principal.is_operator:
        return None
    is_bound = principal.shipment_ids is not None or principal.scope in {Scope.SHIPMENTS, Scope.LOGGERS}
    return Holder(
        organization=None if is_bound else principal.organization, shipments=visible_shipments(principal)
    )


def owner_of_new(
    caller: Principal, named: str | None, *, verb: str, noun: str, nouns: str = ""
) -> str | None:
    """Return whose a thing is that the caller makes: the only place where a caller names an organization.

    Only the operating organization names one, or nobody. Others make things for their own organization, and without one
    they make nothing. Refused with, for instance, `This key registers sites of acme only.`
    """
    if caller.is_operator:
        return named
    if caller.organization is None:
        without = "is bound to shipments" if caller.shipment_ids is not None else "has no organization"
        raise Forbidden(f"A key that {without} {verb} no {noun}.")
    if named not in {None, caller.organization}:
        raise Forbidden(f"This key {verb} {nouns or f'{noun}s'} of {caller.organization} only.")
    return caller.organization


def own_entries(principal: Principal, owner: ColumnElement[str | None]) -> ColumnElement[bool]:
    """Return the condition on the owner of contacts for those whose addresses the caller may see."""
    return reach_of(principal, "contacts.read").entries(owner)


def visible_webhooks(principal: Principal) -> ColumnElement[bool]:
    """Return the condition on `webhooks` for those that send nothing beyond what this call reaches."""
    reached = reach(principal, principal.scope)
    if reached.everything:
        return true()
    owners: Collection[str | None] = [None] if reached.owners is None else reached.owners
    conditions = [_among(webhooks.c.organization, owners)]
    if reached.shipment_ids is not None:
        own = cast(sorted(reached.shipment_ids), ARRAY(TEXT))
        conditions.append(cast(webhooks.c.sees_shipment_ids, ARRAY(TEXT)).contained_by(own))
    return and_(*conditions)


def _among(owner: ColumnElement[str | None], owners: Collection[str | None]) -> ColumnElement[bool]:
    """Return the condition that an owner is one of these; None stands for nobody."""
    named = sorted(one for one in owners if one is not None)
    conditions = [owner == one for one in named] + ([owner.is_(None)] if None in owners else [])
    return or_(false(), *conditions)
