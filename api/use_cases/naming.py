"""What people mean by the ids that they give: each is resolved to a key, for whoever gives it, and nowhere else.

Whoever belongs to an organization means its own, and in registers that everybody uses, then everybody's. Operators see
several organizations: an id that only one of them has is found, and otherwise they say whose it is.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from api.identity.access import Principal
from api.refusals import Ambiguous, Invalid, NotFound
from telemetry.registry import organizations
from telemetry.registry.ids import id_of, key_of, meant, organization_of

NOBODYS: Final = ""
"""Given as the organization: what belongs to nobody, or to everybody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """What an organization gives ids to, by its name in sentences and its column."""

    noun: str
    table: str
    is_shared: bool
    """Whether what belongs to nobody is everybody's."""

    @property
    def column(self) -> str:
        """The column that has its key."""
        return f"{self.noun}_id"


SHIPMENT: Final = Named(noun="shipment", table="shipments", is_shared=False)
SITE: Final = Named(noun="site", table="sites", is_shared=True)
PRODUCT: Final = Named(noun="product", table="products", is_shared=True)
CONTACT: Final = Named(noun="contact", table="contacts", is_shared=False)
POLICY: Final = Named(noun="policy", table="policies", is_shared=True)


def stop_if_anothers(caller: Principal, organization: str | None) -> None:
    """Refuse to look at what is another organization's, as if there were none: nothing would be taken for what is its."""
    if organization is not None and caller.organization not in {None, organization}:
        raise NotFound("organization", organization)


def certain_key(caller: Principal, what: Named, id_: str, organization: str | None) -> str | None:
    """Return the key that a caller means by an id, if that can be said without the database; else None.

    `organization` is whose the caller says it is: `NOBODYS`, or None where it does not say. Whether the caller reaches
    what has the key is not asked here.
    """
    if organization is not None:
        return key_of(id_, organization or None)
    if caller.is_operator:
        return None
    if what is SHIPMENT and caller.organization is None:
        bound = sorted(key for key in caller.shipment_ids or () if id_of(key) == id_)
        if len(bound) > 1:
            raise Ambiguous(what.noun, id_, map(organization_of, bound))
        return bound[0] if bound else id_
    return None if what.is_shared else key_of(id_, caller.organization)


async def key_meant(
    connection: AsyncConnection, caller: Principal, what: Named, id_: str, organization: str | None = None
) -> str:
    """Return the key that a caller means by an id in an address; of what there is not, one that finds nothing."""
    certain = certain_key(caller, what, id_, organization)
    if certain is not None:
        return certain
    if caller.is_operator:
        keys = (await _keys_of_anybody(connection, what, [id_])).get(id_, [])
        if len(keys) > 1:
            raise Ambiguous(what.noun, id_, map(organization_of, keys))
    else:
        keys = await _existing(connection, what, meant(id_, caller.organization))
    return keys[0] if keys else id_


async def check_there_is(connection: AsyncConnection, caller: Principal, organization: str | None) -> None:
    """Refuse an organization that there is not, which is a slip of the pen: whatever it had would not be found.

    Only operators are told. To all others, what is another organization's is not there, whether or not that one is.
    """
    if organization and caller.is_operator and not await organizations.exists(connection, organization):
        raise NotFound("organization", organization)


async def told_contacts(
    connection: AsyncConnection, caller: Principal, id_: str, organization: str | None = None
) -> list[str]:
    """Return every key under which a contact of this id can have been told of what the caller sees.

    A contact may have been told and be gone since, and those of sites are in no register. Operators say whose it is
    where several organizations have told one of this id.
    """
    keys = await _contact_keys(connection, caller, id_, organization)
    if not caller.is_operator or organization is not None:
        return keys
    query = text(
        "SELECT key FROM unnest(CAST(:keys AS text[])) AS one(key) "
        "WHERE EXISTS (SELECT FROM notifications WHERE contact_id = key) "
        "OR EXISTS (SELECT FROM contacts WHERE contact_id = key)"
    )
    there = list((await connection.execute(query, {"keys": keys})).scalars())
    if len(there) > 1:
        raise Ambiguous("contact", id_, map(organization_of, there))
    return there


async def _contact_keys(
    connection: AsyncConnection, caller: Principal, id_: str, organization: str | None
) -> list[str]:
    if organization is not None:
        word, colon, own = id_.rpartition("site:")
        return [f"{word}{colon}{key_of(own, organization or None)}"]
    if caller.is_operator:
        slugs = await organizations.slugs(connection)
    else:
        bound = (organization_of(key) for key in caller.shipment_ids or ())
        slugs = [slug for slug in {caller.organization, *bound} if slug is not None]
    word, colon, own = id_.rpartition("site:")
    return [id_, *(f"{word}{colon}{key_of(own, slug)}" for slug in slugs)]


async def shipments_listed(
    connection: AsyncConnection, caller: Principal, ids: Sequence[str], organization: str | None
) -> list[str]:
    """Return the keys of shipments that a caller lists, of an organization or of whatever the caller means."""
    certain = [certain_key(caller, SHIPMENT, id_, organization) for id_ in ids]
    if None in certain:
        return await shipments_named(connection, ids, organization)
    return [key for key in certain if key is not None]


async def shipments_named(
    connection: AsyncConnection, ids: Sequence[str], organization: str | None
) -> list[str]:
    """Return the keys of shipments that an operator lists, of an organization or of whichever has them.

    One that there is not yet is the organization's, or nobody's. One that several have is refused.
    """
    if organization is not None:
        return [key_of(id_, organization) for id_ in ids]
    found = await _keys_of_anybody(connection, SHIPMENT, ids)
    if several := [id_ for id_ in ids if len(found.get(id_, ())) > 1]:
        why = f"names shipments that several organizations have: {', '.join(several)}; say whose, with organization"
        raise Invalid("shipment_ids", why)
    return [found.get(id_, [id_])[0] for id_ in ids]


async def own_or_shared(
    connection: AsyncConnection, what: Named, ids: Collection[str], organization: str | None
) -> Mapping[str, str]:
    """Return the keys of what something of an organization refers to by these ids, its own first, as far as there are any."""
    there = set(await _existing(connection, what, [key for id_ in ids for key in meant(id_, organization)]))
    found = {id_: [key for key in meant(id_, organization) if key in there] for id_ in ids}
    return {id_: keys[0] for id_, keys in found.items() if keys}


async def _existing(connection: AsyncConnection, what: Named, keys: Sequence[str]) -> list[str]:
    """Return which keys there are, in the order given."""
    query = text(f"SELECT {what.column} FROM {what.table} WHERE {what.column} = ANY (:keys)")  # noqa: S608 - our own words
    there = set((await connection.execute(query, {"keys": list(keys)})).scalars())
    return [key for key in keys if key in there]


async def _keys_of_anybody(
    connection: AsyncConnection, what: Named, ids: Collection[str]
) -> Mapping[str, list[str]]:
    """Return the keys that there are of each id, of whatever organization: as many look-ups as there are organizations."""
    query = text(
        f"SELECT {what.column} FROM {what.table} WHERE {what.column} = ANY (ARRAY("  # noqa: S608 - our own words
        "SELECT whose.prefix || one.id FROM unnest(CAST(:ids AS text[])) AS one(id), "
        "(SELECT '' UNION ALL SELECT slug || '/' FROM organizations) AS whose(prefix))) "
        f"ORDER BY {what.column}"
    )
    found: dict[str, list[str]] = {}
    for key in (await connection.execute(query, {"ids": list(ids)})).scalars():
        found.setdefault(id_of(key), []).append(key)
    return found
