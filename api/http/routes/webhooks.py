"""Webhooks: where events are sent to, what was sent, and to send it again."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response
from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.webhooks import deliveries, endpoints
from alerts.webhooks.deliveries import Which
from api.http.pagination import DEFAULT_LIMIT, Cursor, Limit, answer, read_cursor, write_cursor
from api.http.problems import Problem, invalid, not_found
from api.http.routing import Call, Caller, Here, action
from api.http.schemas.fields import Id, ListOf
from api.http.schemas.webhooks import (
    DeliveryOut,
    DeliveryState,
    DeliveryWithBody,
    Replayed,
    ReplayIn,
    SecretRotated,
    TestSent,
    WebhookChangeIn,
    WebhookCreated,
    WebhookIn,
    WebhookOut,
    WebhookState,
)
from api.http.services import Services
from api.identity.access import Principal, visible_webhooks
from api.use_cases.registering import by
from telemetry.registry import organizations

router = APIRouter(route_class=Call, tags=["webhooks"])

States = Annotated[list[DeliveryState] | None, Query(alias="state", description="One or several.")]
Types = Annotated[list[str] | None, Query(alias="type", description="One or several.", max_length=100)]
FewerLimit = Annotated[int, Query(ge=1, le=100, description="How many items a page holds at most.")]


@router.post("/v1/webhooks", status_code=201)
@action("webhooks.create")
async def create_webhook(
    body: WebhookIn, caller: Caller, services: Here, response: Response
) -> WebhookCreated:
    """Have events sent to a URL. The secret that signs them is in this answer and nowhere else."""
    values = body.values() | {
        "url": await _checked(services, body.url),
        "organization": _organization(caller, body.organization),
        "sees_shipment_ids": None if caller.shipment_ids is None else sorted(caller.shipment_ids),
        "created_by": by(caller),
    }
    async with services.engine.begin() as connection:
        if values["organization"] is not None:
            await organizations.ensure(connection, values["organization"])
        made = await endpoints.add(connection, values)
    if made is None:
        most = endpoints.MOST_OF_ONE
        raise Problem(409, f"{values['organization']} has {most} webhooks already: delete one first.")
    row, secret = made
    response.headers["Location"] = f"/v1/webhooks/{row['id']}"
    return WebhookCreated(**dict(WebhookOut.of(row)), secret=secret)


@router.get("/v1/webhooks")
@action("webhooks.read")
async def list_webhooks(
    caller: Caller, services: Here, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> ListOf[WebhookOut]:
    """List webhooks, the newest first, never with their secrets."""
    after = read_cursor(cursor, endpoints.ORDER)
    async with services.engine.connect() as connection:
        page = await endpoints.page(connection, visible_webhooks(caller), after=after, limit=limit)
    return answer(page, WebhookOut.of)


@router.get("/v1/webhooks/{webhook_id}")
@action("webhooks.read")
async def get_webhook(webhook_id: UUID, caller: Caller, services: Here) -> WebhookOut:
    """Show one webhook: where it goes, how it fares, and what waits for it."""
    async with services.engine.connect() as connection:
        return WebhookOut.of(await _found(connection, caller, webhook_id))


@router.patch("/v1/webhooks/{webhook_id}")
@action("webhooks.change")
async def change_webhook(
    webhook_id: UUID, body: WebhookChangeIn, caller: Caller, services: Here
) -> WebhookOut:
    """Change what is given; filters hold for events from now on, a URL for everything that is still to be sent."""
    values = body.values()
    async with services.engine.connect() as connection:
        await _found(connection, caller, webhook_id)
    if body.url is not None:
        values["url"] = await _checked(services, body.url)
    async with services.engine.begin() as connection:
        await endpoints.change(connection, webhook_id, visible_webhooks(caller), values)
        return WebhookOut.of(await _found(connection, caller, webhook_id))


@router.delete("/v1/webhooks/{webhook_id}", status_code=204)
@action("webhooks.delete")
async def delete_webhook(webhook_id: UUID, caller: Caller, services: Here) -> None:
    """Send nothing more to it, for good."""
    async with services.engine.begin() as connection:
        if not await endpoints.remove(connection, webhook_id, visible_webhooks(caller)):
            raise not_found("webhook", webhook_id)


@router.post("/v1/webhooks/{webhook_id}/rotate-secret")
@action("webhooks.rotate_secret")
async def rotate_secret(webhook_id: UUID, caller: Caller, services: Here) -> SecretRotated:
    """Get a new secret. For 24 hours messages carry two signatures, by the new one and by the one of before."""
    async with services.engine.begin() as connection:
        rotated = await endpoints.rotate(connection, webhook_id, visible_webhooks(caller))
    if rotated is None:
        raise not_found("webhook", webhook_id)
    return SecretRotated(secret=rotated[0], previous_secret_until=rotated[1])


@router.post("/v1/webhooks/{webhook_id}/test", status_code=202)
@action("webhooks.test")
async def test_webhook(webhook_id: UUID, caller: Caller, services: Here) -> TestSent:
    """Send an event of the type `webhook.test`, at once, to this endpoint alone."""
    async with services.engine.begin() as connection:
        row = await _found(connection, caller, webhook_id)
        if row["state"] != WebhookState.ACTIVE:
            raise Problem(409, f"This webhook is {row['state']}: resume it first.")
        return TestSent(event_id=await deliveries.test(connection, webhook_id))


@router.get("/v1/webhooks/{webhook_id}/deliveries")
@action("webhooks.read")
async def list_deliveries(
    webhook_id: UUID,
    caller: Caller,
    services: Here,
    limit: FewerLimit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    states: States = None,
    types: Types = None,
    shipment_id: Annotated[Id | None, Query()] = None,
) -> ListOf[DeliveryOut]:
    """List what was or is to be sent, with every attempt, the latest events first."""
    after = read_cursor(cursor, deliveries.ORDER)
    async with services.engine.connect() as connection:
        await _found(connection, caller, webhook_id)
        page = await deliveries.page(
            connection,
            webhook_id,
            states=states,
            types=types,
            shipment_id=shipment_id,
            after=after,
            limit=limit,
        )
        tried = await deliveries.attempts(connection, [row["id"] for row in page.rows])
    return ListOf(
        items=[DeliveryOut.of(row, tried[row["id"]]) for row in page.rows],
        next_cursor=None if page.next_key is None else write_cursor(page.next_key),
    )


@router.get("/v1/webhooks/{webhook_id}/deliveries/{event_id}")
@action("webhooks.read")
async def get_delivery(webhook_id: UUID, event_id: str, caller: Caller, services: Here) -> DeliveryWithBody:
    """Show one delivery: what is sent, and every attempt with its answer."""
    async with services.engine.connect() as connection:
        await _found(connection, caller, webhook_id)
        row = None if "\0" in event_id else await deliveries.get(connection, webhook_id, event_id)
        if row is None:
            raise not_found("delivery of the event", event_id)
        tried = await deliveries.attempts(connection, [row["id"]])
    return DeliveryWithBody.of(row, tried[row["id"]])


@router.post("/v1/webhooks/{webhook_id}/replay")
@action("webhooks.replay")
async def replay_deliveries(webhook_id: UUID, body: ReplayIn, caller: Caller, services: Here) -> Replayed:
    """Send again one event, those of a stretch of time, or all that failed for good; each has its old `webhook-id`."""
    which = Which(event_id=body.event_id, since=body.from_, until=body.to, failed=body.failed is not None)
    async with services.engine.begin() as connection:
        await _found(connection, caller, webhook_id)
        count = await deliveries.replay(connection, webhook_id, which)
    if body.event_id is not None and not count:
        raise not_found("delivery of the event", body.event_id)
    return Replayed(replayed=count)


@router.post("/v1/webhooks/{webhook_id}/pause")
@action("webhooks.pause")
async def pause_webhook(webhook_id: UUID, caller: Caller, services: Here) -> WebhookOut:
    """Send nothing until it is resumed; what comes meanwhile is kept. Again changes nothing."""
    async with services.engine.begin() as connection:
        await endpoints.pause(connection, webhook_id, visible_webhooks(caller))
        return WebhookOut.of(await _found(connection, caller, webhook_id))


@router.post("/v1/webhooks/{webhook_id}/resume")
@action("webhooks.resume")
async def resume_webhook(webhook_id: UUID, caller: Caller, services: Here) -> WebhookOut:
    """Send again, whether it was paused or switched off; all that has waited goes at once."""
    async with services.engine.begin() as connection:
        await endpoints.resume(connection, webhook_id, visible_webhooks(caller))
        return WebhookOut.of(await _found(connection, caller, webhook_id))


async def _found(connection: AsyncConnection, caller: Principal, webhook_id: UUID) -> RowMapping:
    row = await endpoints.get(connection, webhook_id, visible_webhooks(caller))
    if row is None:
        raise not_found("webhook", webhook_id)
    return row


async def _checked(services: Services, url: str) -> str:
    target = await services.webhook_targets.check(url)
    if isinstance(target, str):
        raise invalid("url", target)
    return target.url


def _organization(caller: Principal, named: str | None) -> str | None:
    if caller.organization is None:
        return named
    if named not in {None, caller.organization}:
        raise Problem(403, f"This key makes webhooks of {caller.organization} only.")
    return caller.organization
