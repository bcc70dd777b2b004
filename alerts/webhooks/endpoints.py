"""Manages webhook endpoints: create, change, pause, resume, rotate the secret, remove."""

import base64
import secrets
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final
from uuid import UUID, uuid4

from sqlalchemy import (
    ColumnElement,
    RowMapping,
    Select,
    Text,
    and_,
    cast,
    func,
    insert,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.events import outbox
from alerts.webhooks.message import SECRET_BYTES, SECRET_PREFIX
from alerts.webhooks.tables import webhook_deliveries, webhooks
from alerts.wording import rfc3339
from telemetry.actor import Actor, ActorKind
from telemetry.channels import NotifyChannel
from telemetry.paging import Page, SortOrder, fetch_page

ORDER: Final = SortOrder(columns=(webhooks.c.created_at, webhooks.c.id), descending=True)
OVERLAP: Final = timedelta(hours=24)
"""How long messages are also signed with the previous secret."""

_SECRET = {"secret", "previous_secret"}


def shown(secret: bytes) -> str:
    """Return a secret as Standard Webhooks writes it: `whsec_` and base64."""
    return SECRET_PREFIX + base64.b64encode(secret).decode()


def _query() -> Select[Any]:
    """Select endpoints without their secrets, and with their counts of waiting and exhausted deliveries."""
    count = {
        state: select(func.count())
        .where(webhook_deliveries.c.webhook_id == webhooks.c.id, webhook_deliveries.c.state == state)
        .scalar_subquery()
        .label(state)
        for state in ("waiting", "exhausted")
    }
    columns = [column for column in webhooks.c if column.name not in _SECRET]
    return select(*columns, *count.values()).where(webhooks.c.deleted_at.is_(None))


async def add(
    connection: AsyncConnection, values: Mapping[str, Any], *, actor: Actor
) -> tuple[RowMapping, str]:
    """Create an endpoint and its secret."""
    id_, secret = uuid4(), secrets.token_bytes(SECRET_BYTES)
    await connection.execute(insert(webhooks).values(**values, id=id_, secret=secret, created_by=str(actor)))
    row = (await connection.execute(_query().where(webhooks.c.id == id_))).mappings().one()
    return row, shown(secret)


async def unknown(
    connection: AsyncConnection, addresses: Collection[str], organization: str | None
) -> list[str]:
    """Return the addresses, among those given, that are neither the id nor the URL of an endpoint of this owner."""
    if not addresses:
        return []
    id_text = cast(webhooks.c.id, Text)
    theirs = select(id_text, webhooks.c.url).where(
        or_(id_text.in_(addresses), webhooks.c.url.in_(addresses)),
        webhooks.c.organization.is_not_distinct_from(organization),
        webhooks.c.deleted_at.is_(None),
    )
    known = {name for row in await connection.execute(theirs) for name in row}
    return sorted(set(addresses) - known)


async def page(
    connection: AsyncConnection, visible: ColumnElement[bool], *, after: Sequence[Any] | None, limit: int
) -> Page:
    """Return a page of endpoints, the newest first."""
    return await fetch_page(connection, _query().where(visible), ORDER, after=after, limit=limit)


async def get(connection: AsyncConnection, id_: UUID, visible: ColumnElement[bool]) -> RowMapping | None:
    """Return one endpoint; None if it does not exist or the caller may not see it."""
    found = await connection.execute(_query().where(webhooks.c.id == id_, visible))
    row: RowMapping | None = found.mappings().first()
    return row


async def change(
    connection: AsyncConnection, id_: UUID, visible: ColumnElement[bool], values: Mapping[str, Any]
) -> bool:
    """Change the given fields; False if there is no such endpoint."""
    return await _update(connection, and_(webhooks.c.id == id_, visible), dict(values))


async def pause(connection: AsyncConnection, id_: UUID, visible: ColumnElement[bool]) -> bool:
    """Pause sending, but keep collecting events; False if there is no such endpoint."""
    here = and_(webhooks.c.id == id_, visible)
    paused = {"state": "paused", "state_changed_at": func.now(), "disabled_reason": null()}
    await _update(connection, and_(here, webhooks.c.state != "paused"), paused)
    return await _is_there(connection, here)


async def resume(connection: AsyncConnection, id_: UUID, visible: ColumnElement[bool]) -> bool:
    """Resume a paused or disabled endpoint and send at once what has waited; False if there is none."""
    here = and_(webhooks.c.id == id_, visible)
    if not await _is_there(connection, here):
        return False
    begun = {
        "state": "active",
        "state_changed_at": func.now(),
        "disabled_reason": null(),
        "failures": 0,
        "failing_since": null(),
        "gone_at": null(),
        "warned_at": null(),
        "hold_until": null(),
    }
    await _update(connection, and_(here, webhooks.c.state != "active"), begun)
    await connection.execute(
        update(webhook_deliveries)
        .where(webhook_deliveries.c.webhook_id == id_, webhook_deliveries.c.state == "waiting")
        .where(webhook_deliveries.c.next_at > func.now())
        .values(next_at=func.now(), set_at=func.now())
    )
    await wake(connection)
    return True


async def remove(connection: AsyncConnection, id_: UUID, visible: ColumnElement[bool]) -> bool:
    """Remove an endpoint and its secrets for good; its deliveries are kept until their retention ends."""
    gone = {"deleted_at": func.now(), "secret": b"", "previous_secret": null()}
    return await _update(connection, and_(webhooks.c.id == id_, visible), gone)


async def rotate(
    connection: AsyncConnection, id_: UUID, visible: ColumnElement[bool]
) -> tuple[str, Any] | None:
    """Create a new secret; return it, and until when messages are also signed with the previous one."""
    secret = secrets.token_bytes(SECRET_BYTES)
    rotated = (
        update(webhooks)
        .where(webhooks.c.id == id_, webhooks.c.deleted_at.is_(None), visible)
        .values(
            previous_secret=webhooks.c.secret,
            previous_secret_until=func.now() + OVERLAP,
            secret=secret,
        )
        .returning(webhooks.c.previous_secret_until)
    )
    until = (await connection.execute(rotated)).scalar()
    if until is None:
        return None
    await wake(connection, id_)
    return shown(secret), until


def _made_with(key_prefix: str) -> ColumnElement[bool]:
    return webhooks.c.created_by == str(Actor(ActorKind.KEY, key_prefix))


async def living_of(connection: AsyncConnection, key_prefix: str) -> Sequence[RowMapping]:
    """Return the endpoints that were made with a key and do not end with it, oldest first."""
    query = (
        select(webhooks.c.id, webhooks.c.organization, webhooks.c.url, webhooks.c.state)
        .where(_made_with(key_prefix), webhooks.c.deleted_at.is_(None), webhooks.c.ends_at.is_(None))
        .order_by(webhooks.c.created_at, webhooks.c.id)
    )
    return (await connection.execute(query)).mappings().all()


async def end_with_key(
    connection: AsyncConnection, key_prefix: str, *, also_made: bool = False
) -> list[UUID]:
    """End the endpoints that belong to a key, for good, and return their ids: nothing more is sent to them.

    With `also_made`, also those that were made with it and belong to an organization.
    """
    its = webhooks.c.key_prefix == key_prefix
    ended = (
        update(webhooks)
        .where(or_(its, _made_with(key_prefix)) if also_made else its, webhooks.c.deleted_at.is_(None))
        .where(or_(webhooks.c.ends_at.is_(None), webhooks.c.ends_at > func.now()))
        .values(
            ends_at=func.now(),
            state="disabled",
            state_changed_at=func.now(),
            disabled_reason="key_ended",
        )
        .returning(webhooks.c.id, webhooks.c.organization, webhooks.c.url, webhooks.c.state)
        .returning(webhooks.c.failures, webhooks.c.failing_since)
    )
    rows = (await connection.execute(ended)).mappings().all()
    for row in rows:
        await wake(connection, row["id"])  # what waits for it is not sent any more
        await tell(connection, "webhook.disabled", row, reason="key_ended")
    return [row["id"] for row in rows]


async def tell(connection: AsyncConnection, type_: str, row: RowMapping, **more: str) -> None:
    """Tell that the state of an endpoint has changed, with why or by whom."""
    data = {
        "webhook_id": str(row["id"]),
        "organization": row["organization"],
        "url": row["url"],
        "state": row["state"],
        "failures": row["failures"],
        "failing_since": None if row["failing_since"] is None else rfc3339(row["failing_since"]),
        **more,
    }
    await outbox.tell(connection, type=type_, shipment_id=None, organization=row["organization"], data=data)


async def wake(connection: AsyncConnection, changed: UUID | None = None) -> None:
    """Wake the dispatchers once the transaction commits; of an endpoint that changed they look up everything again."""
    said = "" if changed is None else str(changed)
    await connection.execute(select(func.pg_notify(NotifyChannel.WEBHOOKS.value, said)))


async def _update(connection: AsyncConnection, here: ColumnElement[bool], values: Mapping[str, Any]) -> bool:
    if not values:
        return await _is_there(connection, here)
    changed = update(webhooks).where(here, webhooks.c.deleted_at.is_(None)).values(**values)
    id_ = (await connection.execute(changed.returning(webhooks.c.id))).scalar()
    if id_ is None:
        return False
    await wake(connection, id_)
    return True


async def _is_there(connection: AsyncConnection, here: ColumnElement[bool]) -> bool:
    there = select(webhooks.c.id).where(here, webhooks.c.deleted_at.is_(None))
    return (await connection.execute(there)).first() is not None
