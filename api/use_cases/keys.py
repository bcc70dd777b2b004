"""API keys: made and revoked."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from api.identity import keys
from api.identity.keys import KeyRefused, NewKey
from api.identity.permissions import KeyRole
from api.refusals import Invalid, NotFound
from telemetry.actor import Actor

log = structlog.get_logger(__name__)


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
) -> NewKey:
    """Make a key in the transaction of the caller's; it is shown this once."""
    if expires_at is not None and expires_at <= now:
        raise Invalid("expires_at", "lies in the past")
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
    return made


async def revoke(connection: AsyncConnection, key_id: UUID, *, actor: Actor) -> None:
    """Let nobody in with a key any more, for good; within a few seconds it stops to work everywhere."""
    if not await keys.revoke(connection, key_id):
        raise NotFound("API key", key_id)
    log.info("api_key_revoked", id=str(key_id), actor=str(actor))  # the database does not have who it was
