"""What people do to webhooks: where events are sent to, and whether, and what is sent again."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import RowMapping, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from alerts.model import Severity
from alerts.outbound.resolve import Targets
from alerts.tables import incidents
from alerts.webhooks import deliveries, endpoints
from alerts.webhooks.deliveries import Which
from alerts.webhooks.tables import webhooks as table
from api.identity.access import Principal, owner_of_new, visible_shipments, visible_webhooks
from api.rates.policy import QUOTAS, Limited, Quotas
from api.refusals import Conflict, Invalid, NotFound
from api.security.events import SecurityEventType
from api.security.record import record
from api.transactions import begin
from api.use_cases.naming import shipments_listed
from api.use_cases.quotas import stop_if_full
from telemetry.actor import Actor
from telemetry.registry import organizations
from telemetry.registry.ids import id_of
from telemetry.tables import shipments


@dataclass(frozen=True, slots=True, kw_only=True)
class NewWebhook:
    """A webhook as it is made; None chooses every event, and every shipment that its owner may see."""

    url: str
    events: Sequence[str] | None = None
    min_severity: Severity | None = None
    shipment_ids: Sequence[str] | None = None
    incident_ids: Sequence[UUID] | None = None
    peaks: bool = True
    """Whether it is sent that the peak of an excursion moved."""
    organization: str | None = None
    description: str | None = None


async def create(
    engine: AsyncEngine,
    targets: Targets,
    caller: Principal,
    new: NewWebhook,
    *,
    actor: Actor,
    quotas: Quotas = QUOTAS,
) -> tuple[RowMapping, str]:
    """Make a webhook; returns it with the secret that signs its messages, to be shown once.

    It belongs to the organization of the caller's key, or to the operating organization, and lives on when the key
    ends. One that a key without an organization made, as such keys once did, belongs to that key and ends with it.

    The URL is looked up first, then all is done in one transaction.
    """
    organization = owner_of_new(caller, new.organization, verb="makes", noun="webhook")
    values = asdict(new) | {
        "url": await _checked(targets, new.url, organization),
        "organization": organization,
        "sees_shipment_ids": None if caller.shipment_ids is None else sorted(caller.shipment_ids),
    }
    async with begin(engine) as connection:
        if organization is not None:
            await organizations.ensure(connection, organization)
            await _stop_if_full(connection, caller, organization, quotas)
        if new.shipment_ids is not None:
            values["shipment_ids"] = await _known_shipments(
                connection, caller, new.shipment_ids, organization
            )
        if new.incident_ids is not None:
            values["incident_ids"] = await _known_incidents(connection, caller, new.incident_ids)
        made = await endpoints.add(connection, values, actor=actor)
        await _record(
            connection,
            SecurityEventType.WEBHOOK_CREATED,
            made[0]["id"],
            actor,
            {"organization": organization},
        )
    return made


async def change(
    engine: AsyncEngine,
    targets: Targets,
    caller: Principal,
    webhook_id: UUID,
    changes: Mapping[str, Any],
    *,
    actor: Actor,
) -> RowMapping:
    """Change what is given; filters hold for events from now on, a URL for everything that is still to be sent.

    `changes` has fields of `NewWebhook` other than its organization. A URL is looked up first, once it is known that
    there is such a webhook; then all is done in one transaction.
    """
    values = dict(changes)
    if "url" in values:
        async with engine.connect() as connection:
            row = await get(connection, caller, webhook_id)
        values["url"] = await _checked(targets, values["url"], row["organization"])
    async with begin(engine) as connection:
        await _living(connection, caller, webhook_id)
        if values.get("shipment_ids") is not None:
            row = await get(connection, caller, webhook_id)
            values["shipment_ids"] = await _known_shipments(
                connection, caller, values["shipment_ids"], row["organization"]
            )
        if values.get("incident_ids") is not None:
            values["incident_ids"] = await _known_incidents(connection, caller, values["incident_ids"])
        await endpoints.change(connection, webhook_id, visible_webhooks(caller), values)
        row = await get(connection, caller, webhook_id)
        await _record(
            connection,
            SecurityEventType.WEBHOOK_CHANGED,
            webhook_id,
            actor,
            {"changed": sorted(changes)},
        )
    return row


async def _known_shipments(
    connection: AsyncConnection, caller: Principal, ids: Sequence[str], organization: str | None
) -> list[str]:
    """Return the keys of the shipments of a filter; refuse what names none, of which no event would ever come."""
    keys = await shipments_listed(connection, caller, ids, organization)
    there = set(
        await connection.scalars(select(shipments.c.shipment_id).where(shipments.c.shipment_id.in_(keys)))
    )
    if unknown := [id_of(key) for key in keys if key not in there]:
        raise Invalid("shipment_ids", f"names no shipment: {', '.join(unknown[:5])}")
    return keys


async def _known_incidents(connection: AsyncConnection, caller: Principal, ids: Sequence[UUID]) -> list[str]:
    """Return the incidents of a filter, each once; refuse what names none that the caller may see."""
    wanted = [str(id_) for id_ in dict.fromkeys(ids)]
    there = (
        select(incidents.c.id)
        .join(shipments, shipments.c.shipment_id == incidents.c.shipment_id, isouter=True)
        .where(incidents.c.id.in_(ids), visible_shipments(caller))
    )
    found = {str(id_) for id_ in await connection.scalars(there)}
    if unknown := [id_ for id_ in wanted if id_ not in found]:
        raise Invalid("incident_ids", f"names no incident: {', '.join(unknown[:5])}")
    return wanted


async def delete(connection: AsyncConnection, caller: Principal, webhook_id: UUID, *, actor: Actor) -> None:
    """Send nothing more to a webhook, for good."""
    row = await get(connection, caller, webhook_id)
    if not await endpoints.remove(connection, webhook_id, visible_webhooks(caller)):
        raise NotFound("webhook", webhook_id)
    await endpoints.tell(connection, "webhook.deleted", row, by=str(actor))
    await _record(connection, SecurityEventType.WEBHOOK_DELETED, webhook_id, actor)


async def rotate_secret(
    connection: AsyncConnection, caller: Principal, webhook_id: UUID, *, actor: Actor
) -> tuple[str, datetime]:
    """Make a new secret; returns it, and until when the one of before signs beside it."""
    await _living(connection, caller, webhook_id)
    rotated = await endpoints.rotate(connection, webhook_id, visible_webhooks(caller))
    if rotated is None:
        raise NotFound("webhook", webhook_id)
    await _record(connection, SecurityEventType.WEBHOOK_SECRET_ROTATED, webhook_id, actor)
    return rotated


async def send_test(connection: AsyncConnection, caller: Principal, webhook_id: UUID, *, actor: Actor) -> str:
    """Send an event of the type `webhook.test` to this endpoint alone, and return its id."""
    row = await _living(connection, caller, webhook_id)
    if row["state"] != "active":
        raise Conflict(f"This webhook is {row['state']}: resume it first.")
    event_id = await deliveries.test(connection, webhook_id)
    await _record(connection, SecurityEventType.WEBHOOK_TESTED, webhook_id, actor)
    return event_id


async def replay(
    connection: AsyncConnection,
    caller: Principal,
    webhook_id: UUID,
    which: Which,
    *,
    actor: Actor,
    now: datetime,
) -> int:
    """Send some events again, each under its old id, and return how many."""
    await _living(connection, caller, webhook_id)
    if which.since is not None and which.since > now:
        raise Invalid("from", "lies in the future: nothing has been sent since")
    count = await deliveries.replay(connection, webhook_id, which)
    if which.event_id is not None and not count:
        raise NotFound("delivery of the event", which.event_id)
    await _record(connection, SecurityEventType.WEBHOOK_REPLAYED, webhook_id, actor)
    return count


async def pause(
    connection: AsyncConnection, caller: Principal, webhook_id: UUID, *, actor: Actor
) -> RowMapping:
    """Send nothing until it is resumed; what comes meanwhile is kept. Again changes nothing."""
    before = await _living(connection, caller, webhook_id)
    await endpoints.pause(connection, webhook_id, visible_webhooks(caller))
    row = await get(connection, caller, webhook_id)
    if before["state"] != row["state"]:
        await endpoints.tell(connection, "webhook.paused", row, by=str(actor))
    await _record(connection, SecurityEventType.WEBHOOK_PAUSED, webhook_id, actor)
    return row


async def resume(
    connection: AsyncConnection, caller: Principal, webhook_id: UUID, *, actor: Actor
) -> RowMapping:
    """Send again, whether it was paused or switched off; all that has waited goes at once."""
    before = await _living(connection, caller, webhook_id)
    await endpoints.resume(connection, webhook_id, visible_webhooks(caller))
    row = await get(connection, caller, webhook_id)
    if before["state"] != row["state"]:
        await endpoints.tell(connection, "webhook.resumed", row, by=str(actor))
    await _record(connection, SecurityEventType.WEBHOOK_RESUMED, webhook_id, actor)
    return row


async def get(connection: AsyncConnection, caller: Principal, webhook_id: UUID) -> RowMapping:
    """Load a webhook that the caller may see."""
    row = await endpoints.get(connection, webhook_id, visible_webhooks(caller))
    if row is None:
        raise NotFound("webhook", webhook_id)
    return row


async def _living(connection: AsyncConnection, caller: Principal, webhook_id: UUID) -> RowMapping:
    """Load a webhook that the caller may see, and refuse one that has ended with its key."""
    row = await get(connection, caller, webhook_id)
    if row["disabled_reason"] == "key_ended" or (row["ends_at"] and row["ends_at"] <= datetime.now(UTC)):
        raise Conflict("This webhook has ended with the key that it belonged to: make another one.")
    return row


async def _record(
    connection: AsyncConnection,
    type_: SecurityEventType,
    webhook_id: UUID,
    actor: Actor,
    details: Mapping[str, Any] | None = None,
) -> None:
    """Put on record who did it: of a webhook itself the database has only who created it. Never its URL."""
    await record(connection, type_, actor=actor, subject=f"webhook:{webhook_id}", details=details)


async def _stop_if_full(
    connection: AsyncConnection, caller: Principal, organization: str, quotas: Quotas
) -> None:
    living = (table.c.organization == organization) & table.c.deleted_at.is_(None)
    await stop_if_full(
        connection,
        caller,
        Limited.WEBHOOKS,
        (table, living),
        owner=organization,
        most=quotas.webhooks,
        instead="delete one first",
        counts_operators=True,  # each costs as much to send to, whoever made it
    )


async def _checked(targets: Targets, url: str, organization: str | None) -> str:
    """Return a URL as it is stored, and refuse one that must not be sent to."""
    target = await targets.check(url, organization)
    if isinstance(target, str):
        raise Invalid("url", target)
    return target.url
