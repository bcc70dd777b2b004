"""Webhooks: where events are sent to, what was sent, and to send it again."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response
from sqlalchemy import and_

from alerts.webhooks import deliveries, endpoints
from alerts.webhooks.tables import webhooks as webhooks_table
from api.http.naming import OfShipments, Organization, is_owned_by
from api.http.pagination import DEFAULT_LIMIT, Cursor, Limit, answer, read_cursor, write_cursor
from api.http.problems import invalid
from api.http.routing import Call, Caller, Here, action
from api.http.schemas.fields import ListOf, Words
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
)
from api.identity.access import visible_webhooks
from api.refusals import NotFound
from api.transactions import begin
from api.use_cases import webhooks

router = APIRouter(route_class=Call, tags=["webhooks"])

States = Annotated[list[DeliveryState] | None, Query(alias="state", description="One or several.")]
Types = Annotated[list[Words] | None, Query(alias="type", description="One or several.", max_length=100)]
FewerLimit = Annotated[int, Query(ge=1, le=100, description="How many items a page holds at most.")]


@router.post("/v1/webhooks", status_code=201)
@action("webhooks.create")
async def create_webhook(
    body: WebhookIn, caller: Caller, services: Here, response: Response
) -> WebhookCreated:
    """Have events sent to a URL. The secret that signs them is in this answer and nowhere else."""
    row, secret = await webhooks.create(
        services.engine,
        services.webhook_targets,
        caller,
        body.value(),
        actor=caller.actor,
        quotas=services.gate.quotas,
    )
    response.headers["Location"] = f"/v1/webhooks/{row['id']}"
    return WebhookCreated(**dict(WebhookOut.of(row)), secret=secret)


@router.get("/v1/webhooks")
@action("webhooks.read")
async def list_webhooks(
    caller: Caller,
    services: Here,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    organization: Organization = None,
    created_by: Annotated[
        Words | None, Query(description="Only those that this one made, such as `key:dw_1f0c93ab`.")
    ] = None,
) -> ListOf[WebhookOut]:
    """List webhooks, the newest first, never with their secrets."""
    after = read_cursor(cursor, endpoints.ORDER)
    async with services.engine.connect() as connection:
        visible = and_(visible_webhooks(caller), is_owned_by(webhooks_table.c.organization, organization))
        if created_by is not None:
            visible = and_(visible, webhooks_table.c.created_by == created_by)
        page = await endpoints.page(connection, visible, after=after, limit=limit)
    return answer(page, WebhookOut.of)


@router.get("/v1/webhooks/{webhook_id}")
@action("webhooks.read")
async def get_webhook(webhook_id: UUID, caller: Caller, services: Here) -> WebhookOut:
    """Show one webhook: where it goes, how it fares, and what waits for it."""
    async with services.engine.connect() as connection:
        return WebhookOut.of(await webhooks.get(connection, caller, webhook_id))


@router.patch("/v1/webhooks/{webhook_id}")
@action("webhooks.change")
async def change_webhook(
    webhook_id: UUID, body: WebhookChangeIn, caller: Caller, services: Here
) -> WebhookOut:
    """Change what is given; filters hold for events from now on, a URL for everything that is still to be sent."""
    row = await webhooks.change(
        services.engine, services.webhook_targets, caller, webhook_id, body.changes(), actor=caller.actor
    )
    return WebhookOut.of(row)


@router.delete("/v1/webhooks/{webhook_id}", status_code=204)
@action("webhooks.delete")
async def delete_webhook(webhook_id: UUID, caller: Caller, services: Here) -> None:
    """Send nothing more to it, for good."""
    async with begin(services.engine) as connection:
        await webhooks.delete(connection, caller, webhook_id, actor=caller.actor)


@router.post("/v1/webhooks/{webhook_id}/rotate-secret")
@action("webhooks.rotate_secret")
async def rotate_secret(webhook_id: UUID, caller: Caller, services: Here) -> SecretRotated:
    """Get a new secret. For 24 hours messages carry two signatures, by the new one and by the one of before."""
    async with begin(services.engine) as connection:
        secret, previous_until = await webhooks.rotate_secret(
            connection, caller, webhook_id, actor=caller.actor
        )
    return SecretRotated(secret=secret, previous_secret_until=previous_until)


@router.post("/v1/webhooks/{webhook_id}/test", status_code=202)
@action("webhooks.test")
async def test_webhook(webhook_id: UUID, caller: Caller, services: Here) -> TestSent:
    """Send an event of the type `webhook.test`, at once, to this endpoint alone."""
    async with begin(services.engine) as connection:
        return TestSent(event_id=await webhooks.send_test(connection, caller, webhook_id, actor=caller.actor))


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
    shipment_ids: OfShipments = None,
    organization: Organization = None,
) -> ListOf[DeliveryOut]:
    """List what was or is to be sent, with every attempt, the latest events first."""
    if organization is not None and shipment_ids is None:
        raise invalid("organization", "says whose shipment_id is: give that, too", place="query")
    after = read_cursor(cursor, deliveries.ORDER)
    async with services.engine.connect() as connection:
        await webhooks.get(connection, caller, webhook_id)
        page = await deliveries.page(
            connection,
            webhook_id,
            states=states,
            types=types,
            shipment_ids=shipment_ids,
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
        await webhooks.get(connection, caller, webhook_id)
        row = None if "\0" in event_id else await deliveries.get(connection, webhook_id, event_id)
        if row is None:
            raise NotFound("delivery of the event", event_id)
        tried = await deliveries.attempts(connection, [row["id"]])
    return DeliveryWithBody.of(row, tried[row["id"]])


@router.post("/v1/webhooks/{webhook_id}/replay")
@action("webhooks.replay")
async def replay_deliveries(webhook_id: UUID, body: ReplayIn, caller: Caller, services: Here) -> Replayed:
    """Send again one event, those of a stretch of time, or all that failed for good; each has its old `webhook-id`."""
    async with begin(services.engine) as connection:
        count = await webhooks.replay(
            connection, caller, webhook_id, body.which(), actor=caller.actor, now=services.clock()
        )
    return Replayed(replayed=count)


@router.post("/v1/webhooks/{webhook_id}/pause")
@action("webhooks.pause")
async def pause_webhook(webhook_id: UUID, caller: Caller, services: Here) -> WebhookOut:
    """Send nothing until it is resumed; what comes meanwhile is kept. Again changes nothing."""
    async with begin(services.engine) as connection:
        return WebhookOut.of(await webhooks.pause(connection, caller, webhook_id, actor=caller.actor))


@router.post("/v1/webhooks/{webhook_id}/resume")
@action("webhooks.resume")
async def resume_webhook(webhook_id: UUID, caller: Caller, services: Here) -> WebhookOut:
    """Send again, whether it was paused or switched off; all that has waited goes at once."""
    async with begin(services.engine) as connection:
        return WebhookOut.of(await webhooks.resume(connection, caller, webhook_id, actor=caller.actor))
