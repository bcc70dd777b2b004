"""Dewars, sites, products, contacts and policies: whose they are, who may describe them anew, and what that needs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, true
from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.escalation.registers import CONTACTS, POLICIES
from api.identity.access import Principal, owner_of_new, reach, reach_of
from api.rates.policy import QUOTAS, Limited, Quotas
from api.refusals import Conflict, Forbidden, NotFound
from api.use_cases.quotas import stop_if_full
from api.use_cases.reasons import stated_if_given
from telemetry.actor import Actor
from telemetry.paging import Page
from telemetry.registry import organizations
from telemetry.registry.devices import DEVICES
from telemetry.registry.dewars import DEWARS
from telemetry.registry.ids import id_of, key_of
from telemetry.registry.products import PRODUCTS
from telemetry.registry.revisioned_table import RevisionedTable
from telemetry.registry.sites import SITES


@dataclass(frozen=True, slots=True, kw_only=True)
class Noun:
    """What is registered, by its name in sentences and its register."""

    name: str
    plural: str
    register: RevisionedTable
    read: str
    """The action of reading them, whose scope says which of them a caller sees."""
    quota: Limited | None = None
    """What limits how many an organization may have."""

    def owner(self, caller: Principal, named: str | None) -> str | None:
        """Return whose one is that the caller registers: its organization's, or whose an operator says it is."""
        return owner_of_new(caller, named, verb="registers", noun=self.name, nouns=self.plural)

    async def add(
        self,
        connection: AsyncConnection,
        caller: Principal,
        values: Mapping[str, Any],
        *,
        actor: Actor,
        quotas: Quotas = QUOTAS,
    ) -> RowMapping:
        """Register one for the caller's organization, for the one that an operator names, or for everybody."""
        owner = self.owner(caller, values["organization"])
        if owner is not None:
            await organizations.ensure(connection, owner)
            await self._stop_if_full(connection, caller, owner, quotas)
        keyed = {**values, "organization": owner, self._id: key_of(values[self._id], owner)}
        row = await self.register.add(connection, keyed, actor=actor)
        if row is None:
            raise self.taken(values[self._id])
        return row

    async def _stop_if_full(
        self, connection: AsyncConnection, caller: Principal, owner: str, quotas: Quotas
    ) -> None:
        if self.quota is None:
            return
        table = self.register.table
        await stop_if_full(
            connection,
            caller,
            self.quota,
            (table, table.c.organization == owner),
            owner=owner,
            most=getattr(quotas, self.quota),
            instead="change one that is no longer needed into the new one, or ask the operator for more",
        )

    async def get(self, connection: AsyncConnection, caller: Principal, id_: str) -> RowMapping:
        """Load one that the caller may see."""
        row = await self.register.get(connection, id_, self._visible(caller))
        if row is None:
            raise NotFound(self.name, id_)
        return row

    async def lock(self, connection: AsyncConnection, caller: Principal, id_: str) -> RowMapping:
        """Load one that the caller may describe anew, and keep it from others until the transaction ends."""
        row = await self.register.lock(connection, id_, self._visible(caller))
        if row is None:
            raise NotFound(self.name, id_)
        if not reach(caller, caller.scope).sees_entry(row.get("organization")):
            raise Forbidden(
                f"The {self.name} {id_of(id_)} is everybody's: only the operating organization changes it."
            )
        return row

    async def change(
        self,
        connection: AsyncConnection,
        row: RowMapping,
        changes: Mapping[str, Any],
        *,
        seen: int | None,
        actor: Actor,
        reason: str | None,
    ) -> RowMapping:
        """Describe one anew that is locked; `seen` is the revision that the caller looked at.

        A change that changes nothing is none, also where the caller saw an older one: it may have been the same call.
        """
        reason = stated_if_given(reason)
        if all(row[name] == value for name, value in changes.items()):
            return row
        if seen not in {None, row["revision"]}:
            raise Conflict(
                f"The {self.name} {id_of(row[self._id])} is at revision {row['revision']} by now, and this change "
                f"was made to revision {seen}. Look at it and decide again."
            )
        return await self.register.change(connection, row, changes, actor=actor, reason=reason)

    async def page(
        self,
        connection: AsyncConnection,
        caller: Principal,
        *,
        q: str | None,
        after: Sequence[Any] | None,
        limit: int,
    ) -> Page:
        """Load a page of what the caller may see."""
        return await self.register.page(
            connection, q=q, visible=self._visible(caller), after=after, limit=limit
        )

    def taken(self, id_: str) -> Conflict:
        """Return the refusal to register another one of this id."""
        return Conflict(f"There is a {self.name} {id_} already.")

    @property
    def _id(self) -> str:
        """The name of the column that has its id."""
        return str(self.register.key.key)

    def _visible(self, caller: Principal) -> ColumnElement[bool]:
        owner = self.register.table.c.get("organization")
        return true() if owner is None else reach_of(caller, self.read).entries(owner)


DEVICE = Noun(name="logger", plural="loggers", register=DEVICES, read="devices.read")
DEWAR = Noun(name="dewar", plural="dewars", register=DEWARS, read="dewars.read")
"""Nobody's but the operating organization's: only its keys get as far as here."""
SITE = Noun(name="site", plural="sites", register=SITES, read="sites.read", quota=Limited.SITES)
PRODUCT = Noun(
    name="product", plural="products", register=PRODUCTS, read="products.read", quota=Limited.PRODUCTS
)
CONTACT = Noun(
    name="contact", plural="contacts", register=CONTACTS, read="contacts.read", quota=Limited.CONTACTS
)
POLICY = Noun(
    name="policy", plural="policies", register=POLICIES, read="policies.read", quota=Limited.POLICIES
)
