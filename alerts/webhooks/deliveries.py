"""Lists an endpoint's deliveries with every attempt, and sends them again."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, RowMapping, Select, and_, func, insert, null, select, true, update
from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.webhooks import message
from alerts.webhooks.endpoints import wake
from alerts.webhooks.tables import webhook_attempts, webhook_deliveries, webhook_messages, webhooks
from telemetry.paging import Page, SortOrder, fetch_page

_D, _M = webhook_deliveries.c, webhook_messages.c
ORDER: Final = SortOrder(columns=(_D.created_at, _D.id), descending=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Which:
    """Which deliveries of an endpoint to send again: of one event, of a period, or all that are exhausted."""

    event_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    failed: bool = False

    def condition(self) -> ColumnElement[bool]:
        """Return the SQL condition on deliveries."""
        conditions: list[ColumnElement[bool]] = []
        if self.event_id is not None:
            conditions.append(_D.message_id == self.event_id)
        if self.since is not None:
            conditions.append(_D.created_at >= self.since)
        if self.until is not None:
            conditions.append(_D.created_at < self.until)
        if self.failed:
            conditions.append(_D.state == "exhausted")
        return and_(true(), *conditions)


def _query(webhook_id: UUID) -> Select[Any]:
    return (
        select(webhook_deliveries, _M.type, _M.shipment_id, _M.body)
        .join(webhook_messages, _M.id == _D.message_id)
        .where(_D.webhook_id == webhook_id)
    )


async def page(
    connection: AsyncConnection,
    webhook_id: UUID,
    *,
    states: Sequence[str] | None,
    types: Sequence[str] | None,
    shipment_ids: Sequence[str] | None,
    after: Sequence[Any] | None,
    limit: int,
) -> Page:
    """Return a page of deliveries, the latest events first."""
    query = _query(webhook_id)
    if states:
        query = query.where(_D.state.in_(states))
    if types:
        query = query.where(_M.type.in_(types))
    if shipment_ids is not None:
        query = query.where(_M.shipment_id.in_(shipment_ids))
    return await fetch_page(connection, query, ORDER, after=after, limit=limit)


async def get(connection: AsyncConnection, webhook_id: UUID, event_id: str) -> RowMapping | None:
    """Return the delivery of one event; None if there is none."""
    found = await connection.execute(_query(webhook_id).where(_D.message_id == event_id))
    row: RowMapping | None = found.mappings().first()
    return row


async def attempts(connection: AsyncConnection, delivery_ids: Sequence[int]) -> dict[int, list[RowMapping]]:
    """Return the attempts of each delivery, in order."""
    a = webhook_attempts.c
    found = await connection.execute(
        select(webhook_attempts).where(a.delivery_id.in_(delivery_ids)).order_by(a.delivery_id, a.lease)
    )
    grouped: dict[int, list[RowMapping]] = {id_: [] for id_ in delivery_ids}
    for row in found.mappings():
        grouped[row["delivery_id"]].append(row)
    return grouped


async def replay(connection: AsyncConnection, webhook_id: UUID, which: Which) -> int:
    """Send deliveries again, with the same id and body and a new schedule; return how many."""
    again = (
        update(webhook_deliveries)
        .where(_D.webhook_id == webhook_id, which.condition())
        .values(state="waiting", tries=0, next_at=func.now(), set_at=func.now(), finished_at=null())
    )
    count = (await connection.execute(again)).rowcount
    await wake(connection)
    return int(count)


async def test(connection: AsyncConnection, webhook_id: UUID) -> str:
    """Send a `webhook.test` event to this endpoint only; return the event's id."""
    event_id, now = f"test-{uuid4()}", datetime.now(UTC)
    data = {"webhook_id": str(webhook_id), "message": "This is a test. Nothing has happened."}
    await connection.execute(
        insert(webhook_messages).values(
            id=event_id,
            type="webhook.test",
            created_at=now,
            body=message.body("webhook.test", now, data).decode(),
        )
    )
    await connection.execute(
        insert(webhook_deliveries).values(
            webhook_id=webhook_id, message_id=event_id, created_at=now, next_at=func.now()
        )
    )
    await connection.execute(update(webhooks).where(webhooks.c.id == webhook_id).values(hold_until=null()))
    await wake(connection)
    return event_id
