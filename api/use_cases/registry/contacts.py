"""What people do to contacts: to register and describe who can be told, and to test whether messages get through."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import RowMapping, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from alerts.escalation.policy import Channel
from alerts.escalation.registers import look_again
from alerts.escalation.tables import contacts
from alerts.notifications import test_message
from alerts.outbound.resolve import Targets
from alerts.webhooks import endpoints
from api.identity.access import Principal, own_entries
from api.rates.policy import QUOTAS, Quotas
from api.refusals import Conflict, Invalid, NotFound, TooManyTests
from api.use_cases import naming
from api.use_cases.naming import own_or_shared
from api.use_cases.registry.registering import CONTACT
from telemetry.actor import Actor
from telemetry.registry.ids import id_of


@dataclass(frozen=True, slots=True, kw_only=True)
class NewContact:
    """A contact as it is registered."""

    contact_id: str
    name: str
    timezone: str
    channels: Sequence[Mapping[str, Any]]
    """Each with `channel`, `address`, `min_severity` and `outside_office_hours`."""
    organization: str | None = None
    parties: Sequence[str] = ()
    places: Sequence[str] = ()
    phone: str | None = None
    """For people to ring; nothing is sent there."""
    office_hours: Mapping[str, Any] | None = None
    """As `telemetry.registry.receiving_hours` reads them; None: always there."""
    fallback: str | None = None
    """The contact to ask instead where this one is not there."""
    last_resort: bool = False
    active: bool = True
    note: str | None = None


async def register(
    engine: AsyncEngine,
    targets: Targets,
    caller: Principal,
    new: NewContact,
    *,
    actor: Actor,
    quotas: Quotas = QUOTAS,
) -> RowMapping:
    """Register somebody who can be told; what nobody could be told of so far is told at once.

    The addresses are looked up first, then all is done in one transaction.
    """
    await _check_addresses(targets, new.channels, caller.organization or new.organization)
    async with engine.begin() as connection:
        owner = CONTACT.owner(caller, new.organization)
        fallback = await _fallback(connection, new.contact_id, new.fallback, owner)
        row = await CONTACT.add(
            connection, caller, asdict(new) | {"fallback": fallback}, actor=actor, quotas=quotas
        )
        await _check_webhooks(connection, new.channels, row["organization"])
        await look_again(connection)
    return row


async def change(
    engine: AsyncEngine,
    targets: Targets,
    caller: Principal,
    contact_id: str,
    changes: Mapping[str, Any],
    *,
    seen: int | None = None,
    actor: Actor,
    reason: str | None,
) -> RowMapping:
    """Describe a contact anew; it holds for what is decided from now on. `changes` has fields of `NewContact`.

    The addresses are looked up first, then all is done in one transaction.
    """
    if channels := changes.get("channels"):
        async with engine.connect() as connection:
            owner = caller.organization or await connection.scalar(
                select(contacts.c.organization).where(contacts.c.contact_id == contact_id)
            )
        await _check_addresses(targets, channels, owner)
    async with engine.begin() as connection:
        row = await CONTACT.lock(connection, caller, contact_id)
        if "fallback" in changes:
            named = changes["fallback"]
            fallback = await _fallback(connection, id_of(contact_id), named, row["organization"])
            changes = {**changes, "fallback": fallback}
        await _check_webhooks(connection, changes.get("channels") or (), row["organization"])
        changed = await CONTACT.change(connection, row, changes, seen=seen, actor=actor, reason=reason)
        if changed["revision"] != row["revision"]:
            await look_again(connection)
    return changed


async def send_test(
    connection: AsyncConnection, caller: Principal, contact_id: str, *, actor: Actor
) -> Sequence[Mapping[str, Any]]:
    """Have a test message sent by each channel of a contact, at once; returns the notifications that were made.

    All is in the transaction of the caller's.
    """
    mine = own_entries(caller, contacts.c.organization)
    wanted = select(contacts).where(contacts.c.contact_id == contact_id, mine)
    contact = (await connection.execute(wanted)).mappings().first()
    if contact is None:
        raise NotFound("contact", contact_id)
    if (address := await test_message.tested_enough(connection, contact)) is not None:
        raise TooManyTests(address, most=test_message.MOST, within=test_message.WITHIN)
    sent = await test_message.send(connection, contact, actor=actor)
    if not sent:
        raise Conflict(f"The contact {id_of(contact_id)} has no channel to test: give it one first.")
    return sent


async def _check_addresses(
    targets: Targets, channels: Sequence[Mapping[str, Any]], organization: str | None
) -> None:
    """Refuse a room of a chat that messages of this organization may not lead to."""
    for number, way in enumerate(channels):
        if way["channel"] != Channel.CHAT:
            continue
        if isinstance(why := await targets.check(way["address"], organization), str):
            raise Invalid(f"channels[{number}].address", why)


async def _check_webhooks(
    connection: AsyncConnection, channels: Sequence[Mapping[str, Any]], organization: str | None
) -> None:
    """Refuse a channel to a webhook that the contact's organization does not have."""
    named = {
        way["address"]: number for number, way in enumerate(channels) if way["channel"] == Channel.WEBHOOK
    }
    if missing := await endpoints.unknown(connection, named, organization):
        of = "the operating organization" if organization is None else organization
        raise Invalid(
            f"channels[{named[missing[0]]}].address", f"is neither the id nor the URL of a webhook of {of}"
        )


async def _fallback(
    connection: AsyncConnection, contact_id: str, fallback: str | None, organization: str | None
) -> str | None:
    """Return the key of the contact to ask instead of one of an organization; ids are as they were given."""
    if fallback is None:
        return None
    if fallback == contact_id:
        raise Invalid("fallback", "must be another contact")
    found = await own_or_shared(connection, naming.CONTACT, [fallback], organization)
    if fallback not in found:
        raise Invalid("fallback", f"names no contact that may be told instead: {fallback}")
    return found[fallback]
