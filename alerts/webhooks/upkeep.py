"""Maintains failing endpoints: warns the owner, then disables them unless something critical is open."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import asyncpg
import orjson
import structlog

from alerts import metrics
from alerts.wording import rfc3339
from alerts.work.bulk import Connection

log = structlog.get_logger(__name__)

WARN_AFTER: Final = timedelta(hours=24)
SWITCH_OFF_AFTER: Final = timedelta(days=5)
WARNED_FOR: Final = timedelta(days=2)
"""The least time between the warning and the disabling of an endpoint."""
_CHUNK = 5000

_SHOWN = "w.id, w.organization, w.url, w.state, w.failures, w.failing_since, w.gone_at, w.warned_at"

_CRITICAL = """
EXISTS (
    SELECT FROM excursions AS x JOIN shipments AS s USING (shipment_id)
    WHERE x.state = 'open' AND x.severity = 'critical'
        AND (w.organization IS NULL OR s.organization = w.organization)
        AND (w.sees_shipment_ids IS NULL OR s.shipment_id = ANY (w.sees_shipment_ids))
        AND (w.shipment_ids IS NULL OR s.shipment_id = ANY (w.shipment_ids))
)
"""

WARN = f"""
UPDATE webhooks AS w SET warned_at = now()
WHERE w.state = 'active' AND w.deleted_at IS NULL AND w.warned_at IS NULL
    AND (w.failing_since <= now() - $1::interval OR w.gone_at IS NOT NULL)
RETURNING {_SHOWN}
"""  # noqa: S608 - our own words

SWITCH_OFF = f"""
UPDATE webhooks AS w SET state = 'disabled', state_changed_at = now(),
    disabled_reason = CASE WHEN w.gone_at IS NOT NULL THEN 'gone' ELSE 'failing' END
WHERE w.state = 'active' AND w.deleted_at IS NULL AND ($3::uuid[] IS NULL OR w.id = ANY ($3))
    AND (w.gone_at IS NOT NULL
        OR w.failing_since <= now() - $1::interval AND w.warned_at <= now() - $2::interval)
    AND NOT {_CRITICAL}
RETURNING {_SHOWN}
"""  # noqa: S608 - our own words

TELL = "INSERT INTO outbox (type, organization, data) VALUES ($1, $2, $3)"

WAITING = """
SELECT count(*) AS waiting, coalesce(extract(epoch FROM now() - min(d.created_at)), 0)::float8 AS age
FROM webhook_deliveries AS d JOIN webhooks AS w ON w.id = d.webhook_id
WHERE d.state = 'waiting' AND w.state = 'active'
"""

# Deliveries waiting for a paused endpoint are kept; those for a disabled or removed one are pruned like the
# rest.
PRUNE = """
WITH old AS (
    SELECT d.id FROM webhook_deliveries AS d LEFT JOIN webhooks AS w ON w.id = d.webhook_id
    WHERE d.created_at < now() - $1::interval
        AND (d.state <> 'waiting' OR w.state = 'disabled' OR w.deleted_at IS NOT NULL)
    ORDER BY d.created_at LIMIT $2 FOR UPDATE OF d SKIP LOCKED
), attempts AS (
    DELETE FROM webhook_attempts WHERE delivery_id IN (SELECT id FROM old)
)
DELETE FROM webhook_deliveries WHERE id IN (SELECT id FROM old)
"""

PRUNE_MESSAGES = """
DELETE FROM webhook_messages WHERE id IN (
    SELECT m.id FROM webhook_messages AS m WHERE m.created_at < now() - $1::interval
        AND NOT EXISTS (SELECT FROM webhook_deliveries AS d WHERE d.message_id = m.id)
    LIMIT $2)
"""


async def maintain(pool: asyncpg.Pool, retention: timedelta) -> None:
    """Measure the backlog, warn about and disable failing endpoints, and prune a chunk past its retention."""
    async with pool.acquire() as connection:
        waiting = await connection.fetchrow(WAITING)
        assert waiting is not None
        metrics.WEBHOOKS_WAITING.set(waiting["waiting"])
        metrics.WEBHOOKS_OLDEST_SECONDS.set(waiting["age"])
        async with connection.transaction():
            await warn(connection)
            await switch_off(connection)
        await connection.execute(PRUNE, retention, _CHUNK)
        await connection.execute(PRUNE_MESSAGES, retention, _CHUNK)


async def warn(connection: Connection, after: timedelta = WARN_AFTER) -> None:
    """Warn the owners of endpoints that have failed for this long, once until they work again."""
    for row in await connection.fetch(WARN, after):
        log.warning("webhook_failing", webhook=str(row["id"]), organization=row["organization"])
        await _tell(connection, "webhook.failing", row)


async def switch_off(
    connection: Connection,
    after: timedelta = SWITCH_OFF_AFTER,
    warned_for: timedelta = WARNED_FOR,
    only: Sequence[UUID] | None = None,
) -> None:
    """Disable endpoints that have failed for this long or answered 410, unless something critical is open."""
    for row in await connection.fetch(SWITCH_OFF, after, warned_for, only):
        log.warning("webhook_disabled", webhook=str(row["id"]), organization=row["organization"])
        metrics.WEBHOOKS_DISABLED.inc()
        await _tell(connection, "webhook.disabled", row)


async def switch_off_gone(connection: Connection, ids: Sequence[UUID]) -> None:
    """Disable endpoints that answered 410; if something critical is open for one, warn its owner instead."""
    await switch_off(connection, only=ids)
    await warn(connection)


async def _tell(connection: Connection, type_: str, row: asyncpg.Record) -> None:
    data: dict[str, Any] = {
        "webhook_id": str(row["id"]),
        "organization": row["organization"],
        "url": row["url"],
        "state": row["state"],
        "failures": row["failures"],
        "reason": "gone" if row["gone_at"] is not None else "failing",
        "failing_since": None if row["failing_since"] is None else rfc3339(row["failing_since"]),
    }
    await connection.execute(TELL, type_, row["organization"], orjson.dumps(data).decode())
