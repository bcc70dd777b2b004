"""API keys: made and revoked."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import RowMapping, select
from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.webhooks import endpoints
from alerts.wording import rfc3339
from api.identity import keys
from api.identity.keys import COURIER_KEY_LASTS, KeyRefused, NewKey
from api.identity.permissions import KeyRole
from api.refusals import Invalid, NotFound
from api.security.events import SecurityEventType
from api.security.record import record
from api.use_cases.naming import shipments_named
from telemetry.actor import Actor, ActorKind
from telemetry.registry import devices
from telemetry.registry.ids import id_of
from telemetry.tables import shipments


async def create(
    connection: AsyncConnection,
    *,
    role: KeyRole,
    organization: str | None = None,
    shipment_ids: Sequence[str] | None = None,
    device_ids: Sequence[str] | None = None,
    expires_at: datetime | None = None,
    actor: Actor,
    now: datetime,
    courier_key_lasts: timedelta = COURIER_KEY_LASTS,
) -> NewKey:
    """Make a key in the transaction of the caller's; it is shown this once. One that would let nobody in is refused."""
    if expires_at is not None and expires_at <= now:
        raise Invalid("expires_at", "lies in the past")
    if shipment_ids is not None:
        shipment_ids = await shipments_named(connection, shipment_ids, organization)
    if role is KeyRole.COURIER and shipment_ids:
        organization = await _one_organization(connection, organization, shipment_ids)
    made = await keys.create(
        connection,
        role=role,
        organization=organization,
        shipment_ids=shipment_ids,
        device_ids=device_ids,
        expires_at=expires_at,
        actor=actor,
    )
    if isinstance(made, KeyRefused):
        raise Invalid(made.field, made.why)
    ends_at = await _end_of(connection, made, courier_key_lasts, now)
    await record(
        connection,
        SecurityEventType.KEY_CREATED,
        actor=actor,
        subject=str(Actor(ActorKind.KEY, made.prefix)),
        details={
            "role": role,
            "organization": organization,
            "shipments": None if shipment_ids is None else len(shipment_ids),
            "loggers": None if device_ids is None else len(device_ids),
            "expires_at": None if expires_at is None else expires_at.isoformat(),
        },
    )
    known = await devices.registered(connection, device_ids or ())
    unknown = tuple(one for one in device_ids or () if one not in known)
    return replace(made, ends_at=ends_at, unregistered_device_ids=unknown)


async def _end_of(
    connection: AsyncConnection, made: NewKey, courier_key_lasts: timedelta, now: datetime
) -> datetime | None:
    """Return when a new key ends by itself, as known now; refuse one that has ended already."""
    row = await keys.get(connection, made.id, courier_key_lasts=courier_key_lasts)
    assert row is not None
    ends_at: datetime | None = row["ends_at"]
    if ends_at is not None and ends_at <= now:
        raise Invalid(
            "shipment_ids",
            f"names only shipments that are over: the key would have ended at {rfc3339(ends_at)} already; to let it in "
            "all the same, give expires_at",
        )
    return ends_at


async def _one_organization(
    connection: AsyncConnection, named: str | None, shipment_ids: Sequence[str]
) -> str | None:
    """Return the one organization whose shipments these are; None: nobody's. A courier's key stays in it."""
    columns = (shipments.c.shipment_id, shipments.c.organization)
    found = await connection.execute(select(*columns).where(shipments.c.shipment_id.in_(shipment_ids)))
    owners: dict[str, str | None] = {row.shipment_id: row.organization for row in found}
    if unknown := [one for one in shipment_ids if one not in owners]:
        raise Invalid("shipment_ids", f"names no shipment: {', '.join(map(id_of, unknown[:5]))}")
    if named is not None and (others := [one for one in shipment_ids if owners[one] != named]):
        raise Invalid(
            "shipment_ids", f"names shipments that are not of {named}: {', '.join(map(id_of, others[:5]))}"
        )
    organizations = sorted({owner or "nobody" for owner in owners.values()})
    if len(organizations) > 1:
        raise Invalid(
            "shipment_ids",
            f"names shipments of {' and '.join(organizations)}: the key of a courier is for shipments of one "
            "organization; make one for each",
        )
    (owner,) = set(owners.values())
    return owner


async def revoke(
    connection: AsyncConnection, key_id: UUID | str, *, end_webhooks: bool = False, actor: Actor
) -> Sequence[RowMapping]:
    """Let nobody in with a key any more, for good; within a second it stops to work everywhere.

    Its streams end, and the webhooks that belong to it; with `end_webhooks`, also those that were made with it. Returns
    those that were made with it and live on.
    """
    revoked = await keys.revoke(connection, key_id)
    if revoked is None:
        raise NotFound("API key", key_id)
    prefix, is_new = revoked
    if is_new:
        subject = str(Actor(ActorKind.KEY, prefix))
        await record(connection, SecurityEventType.KEY_REVOKED, actor=actor, subject=subject)
    for webhook_id in await endpoints.end_with_key(connection, prefix, also_made=end_webhooks):
        await record(
            connection, SecurityEventType.WEBHOOK_ENDED, actor=actor, subject=f"webhook:{webhook_id}"
        )
    return await endpoints.living_of(connection, prefix)
