"""Queues a message for a partner's webhook, which signs, tries and records it like every other event."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg

from alerts.notifications.queue import Claimed
from alerts.notifications.retry import Outcome, Result
from alerts.webhooks import message
from telemetry.channels import NotifyChannel
from telemetry.registry.ids import id_of

TYPE: Final = "alert.notification"
_NONE: Final = "no webhook that is active and may see this has the id or the URL {}"

# An endpoint of another organization, or one that may not see these shipments, gets nothing. An endpoint of an
# organization gets no digest that contains anything of another one.
FIND = """
SELECT id FROM webhooks
WHERE (id::text = $1 OR url = $1) AND deleted_at IS NULL AND state = 'active'
    AND (organization IS NULL OR (organization = $2 AND NOT EXISTS (
        SELECT FROM notifications AS part WHERE part.digest_id = $4 AND part.organization IS DISTINCT FROM $2)))
    AND (sees_shipment_ids IS NULL OR $3 = ANY (sees_shipment_ids))
ORDER BY created_at LIMIT 1
"""

WRITE_MESSAGE = """
INSERT INTO webhook_messages (id, type, shipment_id, created_at, body) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING
"""

WRITE_DELIVERY = """
INSERT INTO webhook_deliveries (webhook_id, message_id, created_at, next_at, set_at) VALUES ($1, $2, $3, now(), now())
ON CONFLICT DO NOTHING
"""


async def hand_over(pool: asyncpg.Pool, claimed: Claimed, written: Mapping[str, Any]) -> Result:
    """Queue a message for an endpoint, once however often this is called."""
    async with pool.acquire() as connection, connection.transaction():
        webhook_id = await connection.fetchval(
            FIND, claimed.address, claimed.organization, claimed.scope, claimed.id
        )
        if webhook_id is None:
            return Result(outcome=Outcome.REFUSED, detail=_NONE.format(claimed.address))
        event_id = f"notification-{claimed.id}"
        at = datetime.fromisoformat(written["at"])
        body = message.body(TYPE, at, _data(claimed, written)).decode()
        await connection.execute(WRITE_MESSAGE, event_id, TYPE, claimed.scope or None, at, body)
        await connection.execute(WRITE_DELIVERY, webhook_id, event_id, at)
        await connection.execute(f"NOTIFY {NotifyChannel.WEBHOOKS}")
    return Result(outcome=Outcome.SENT, detail=f"handed to webhook {webhook_id} as {event_id}")


def _data(claimed: Claimed, written: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": str(claimed.id),
        "shipment_id": id_of(claimed.scope) or None,
        "organization": claimed.organization,
        "incident_id": _text(claimed.incident_id),
        "alert_ids": [str(id_) for id_ in claimed.alert_ids],
        "severity": claimed.severity,
        "drill": claimed.drill,
        "purpose": claimed.purpose,
        "level": claimed.level,
        "repeat": claimed.repeat,
        "reason": claimed.reason,
        "contact_id": None if claimed.contact_id is None else id_of(claimed.contact_id),
        "subject": written["subject"],
        "text": written["text"],
    }


def _text(id_: UUID | None) -> str | None:
    return None if id_ is None else str(id_)
