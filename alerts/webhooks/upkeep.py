"""Maintains failing endpoints: warns the owner, then disables them unless something critical is open."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID, uuid4

import asyncpg
import orjson
import structlog

from alerts import metrics
from alerts.webhooks import message
from alerts.wording import rfc3339
from alerts.work.bulk import Connection
from alerts.work.clock import SET_IN_THE_FUTURE
from telemetry.channels import NotifyChannel

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

END = f"""
UPDATE webhooks AS w SET state = 'disabled', state_changed_at = now(), disabled_reason = 'key_ended'
WHERE w.ends_at <= now() AND w.deleted_at IS NULL AND w.disabled_reason IS DISTINCT FROM 'key_ended'
RETURNING {_SHOWN}
"""  # noqa: S608 - our own words

# A hold of a clock that was ahead lasts from now on for as long as it was meant to last from then.
MEND_HOLDS = f"""
WITH ahead AS (
    SELECT id, extract(epoch FROM hold_set_at - now()) AS ahead_s FROM webhooks
    WHERE hold_until > now() AND hold_{SET_IN_THE_FUTURE} FOR UPDATE SKIP LOCKED
)
UPDATE webhooks AS w SET hold_until = now() + (w.hold_until - w.hold_set_at), hold_set_at = now()
FROM ahead WHERE w.id = ahead.id
RETURNING ahead.ahead_s
"""  # noqa: S608 - our own words

LET_GO = "SELECT pg_notify($1, $2)"

TELL = "INSERT INTO outbox (type, organization, data) VALUES ($1, $2, $3)"

WAITING = """
SELECT count(*) AS waiting, coalesce(extract(epoch FROM now() - min(d.created_at)), 0)::float8 AS age
FROM webhook_deliveries AS d JOIN webhooks AS w ON w.id = d.webhook_id
WHERE d.state = 'waiting' AND w.state = 'active'
"""

PRUNE = """
WITH old AS (
    SELECT id FROM webhook_deliveries WHERE created_at < now() - $1::interval AND state = 'delivered'
    ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED
), attempts AS (
    DELETE FROM webhook_attempts WHERE delivery_id IN (SELECT id FROM old)
)
DELETE FROM webhook_deliveries WHERE id IN (SELECT id FROM old)
"""

# What no endpoint has accepted. Deliveries waiting for a paused endpoint are kept.
_UNACCEPTED = """
d.webhook_id = w.id AND d.created_at < now() - $1::interval
    AND (d.state = 'exhausted' OR d.state = 'waiting' AND (w.state = 'disabled' OR w.deleted_at IS NOT NULL))
"""

# Endpoints first and deliveries after them, as everybody locks them who locks both.
LOSING = f"""
SELECT w.id FROM webhooks AS w WHERE EXISTS (SELECT FROM webhook_deliveries AS d WHERE {_UNACCEPTED})
ORDER BY w.id FOR UPDATE OF w SKIP LOCKED
"""  # noqa: S608 - our own words

# The endpoint keeps count of what it has lost until it is told.
DROP = f"""
WITH old AS (
    SELECT d.id, d.webhook_id, d.created_at FROM webhook_deliveries AS d JOIN webhooks AS w ON {_UNACCEPTED}
    WHERE w.id = ANY ($3::uuid[]) ORDER BY d.created_at LIMIT $2 FOR UPDATE OF d SKIP LOCKED
), attempts AS (
    DELETE FROM webhook_attempts WHERE delivery_id IN (SELECT id FROM old)
), gone AS (
    DELETE FROM webhook_deliveries WHERE id IN (SELECT id FROM old)
), lost AS (
    SELECT webhook_id, count(*)::int AS events, min(created_at) AS first, max(created_at) AS last FROM old GROUP BY webhook_id
), counted AS (
    UPDATE webhooks AS w SET dropped = w.dropped + lost.events,
        dropped_from = least(w.dropped_from, lost.first), dropped_until = greatest(w.dropped_until, lost.last)
    FROM lost WHERE w.id = lost.webhook_id
)
SELECT webhook_id, events, first, last FROM lost
"""  # noqa: S608 - our own words

# An endpoint that takes messages again hears what it has lost, once.
OWED = """
UPDATE webhooks AS w SET dropped = 0, dropped_from = NULL, dropped_until = NULL
FROM (
    SELECT id, dropped, dropped_from, dropped_until FROM webhooks
    WHERE dropped > 0 AND state = 'active' AND deleted_at IS NULL AND (ends_at IS NULL OR ends_at > now())
    ORDER BY id FOR UPDATE SKIP LOCKED
) AS before
WHERE w.id = before.id RETURNING w.id, before.dropped, before.dropped_from, before.dropped_until
"""
OWE = """
WITH message AS (
    INSERT INTO webhook_messages (id, type, created_at, body) VALUES ($1, 'webhook.events_dropped', $2, $3)
)
INSERT INTO webhook_deliveries (webhook_id, message_id, created_at, next_at) VALUES ($4, $1, $2, now())
"""

PRUNE_MESSAGES = """
DELETE FROM webhook_messages WHERE id IN (
    SELECT m.id FROM webhook_messages AS m WHERE m.created_at < now() - $1::interval
        AND NOT EXISTS (SELECT FROM webhook_deliveries AS d WHERE d.message_id = m.id)
    LIMIT $2)
"""


class StateChange(NamedTuple):
    """An endpoint that was warned of or disabled, to be logged after the commit."""

    type: str
    webhook_id: UUID
    organization: str | None
    reason: str


async def maintain(pool: asyncpg.Pool, retention: timedelta, *, may_remove: bool = True) -> None:
    """Measure the backlog, warn about and disable failing endpoints, and prune a chunk past its retention."""
    async with pool.acquire() as connection:
        waiting = await connection.fetchrow(WAITING)
        assert waiting is not None
        metrics.WEBHOOKS_WAITING.set(waiting["waiting"])
        metrics.WEBHOOKS_OLDEST_SECONDS.set(waiting["age"])
        async with connection.transaction():
            changes = [
                *await warn(connection),
                *await switch_off(connection),
                *await switch_off_ended(connection),
            ]
        say(changes)
        if may_remove:
            await connection.execute(PRUNE, retention, _CHUNK)
            await drop(connection, retention)
        async with connection.transaction():
            await tell_dropped(connection)
        if may_remove:
            await connection.execute(PRUNE_MESSAGES, retention, _CHUNK)


async def mend_holds(pool: asyncpg.Pool) -> Sequence[float]:
    """Mend the holds that a clock has set that was ahead; return by how many seconds it was, for each endpoint."""
    return [float(row["ahead_s"]) for row in await pool.fetch(MEND_HOLDS)]


async def drop(connection: Connection, retention: timedelta) -> None:
    """Remove a chunk of what no endpoint has accepted in all its retention, and say so."""
    async with connection.transaction():
        losing = await connection.fetch(LOSING, retention)
        dropped = (
            await connection.fetch(DROP, retention, _CHUNK, [row["id"] for row in losing]) if losing else []
        )
    for row in dropped:
        metrics.WEBHOOKS_DROPPED.inc(row["events"])
        log.warning(
            "webhook_events_dropped",
            webhook=str(row["webhook_id"]),
            events=row["events"],
            first=rfc3339(row["first"]),
            last=rfc3339(row["last"]),
        )


async def tell_dropped(connection: Connection) -> None:
    """Tell each endpoint that takes messages again how many events it has lost, and from when."""
    now = await connection.fetchval("SELECT now()")
    for row in await connection.fetch(OWED):
        data = {
            "webhook_id": str(row["id"]),
            "events": row["dropped"],
            "first": rfc3339(row["dropped_from"]),
            "last": rfc3339(row["dropped_until"]),
            "message": "These events are not kept any more, and were never accepted here: read the lists again.",
        }
        body = message.body("webhook.events_dropped", now, data).decode()
        await connection.execute(OWE, f"dropped-{uuid4()}", now, body, row["id"])
        await connection.execute(LET_GO, NotifyChannel.WEBHOOKS.value, "")


async def warn(connection: Connection, after: timedelta = WARN_AFTER) -> list[StateChange]:
    """Warn the owners of endpoints that have failed for this long, once until they work again."""
    rows = await connection.fetch(WARN, after)
    return [await _tell(connection, "webhook.failing", row, _why(row)) for row in rows]


async def switch_off(
    connection: Connection,
    after: timedelta = SWITCH_OFF_AFTER,
    warned_for: timedelta = WARNED_FOR,
    only: Sequence[UUID] | None = None,
) -> list[StateChange]:
    """Disable endpoints that have failed for this long or answered 410, unless something critical is open."""
    rows = await connection.fetch(SWITCH_OFF, after, warned_for, only)
    return [await _tell(connection, "webhook.disabled", row, _why(row)) for row in rows]


async def switch_off_ended(connection: Connection) -> list[StateChange]:
    """Disable endpoints whose key has ended; nothing has been sent to them since."""
    rows = await connection.fetch(END)
    for row in rows:  # what waits for it in a process is not sent any more
        await connection.execute(LET_GO, NotifyChannel.WEBHOOKS.value, str(row["id"]))
    return [await _tell(connection, "webhook.disabled", row, "key_ended") for row in rows]


async def switch_off_gone(connection: Connection, ids: Sequence[UUID]) -> list[StateChange]:
    """Disable endpoints that answered 410; if something critical is open for one, warn its owner instead."""
    return [*await switch_off(connection, only=ids), *await warn(connection)]


def say(changes: Sequence[StateChange]) -> None:
    """Log and count what was changed, once it is committed."""
    for change in changes:
        if change.type == "webhook.disabled":
            metrics.WEBHOOKS_DISABLED.inc()
            log.warning(
                "webhook_disabled",
                webhook=str(change.webhook_id),
                organization=change.organization,
                reason=change.reason,
            )
        else:
            log.warning("webhook_failing", webhook=str(change.webhook_id), organization=change.organization)


def _why(row: asyncpg.Record) -> str:
    return "gone" if row["gone_at"] is not None else "failing"


async def _tell(connection: Connection, type_: str, row: asyncpg.Record, reason: str) -> StateChange:
    data: dict[str, Any] = {
        "webhook_id": str(row["id"]),
        "organization": row["organization"],
        "url": row["url"],
        "state": row["state"],
        "failures": row["failures"],
        "reason": reason,
        "failing_since": None if row["failing_since"] is None else rfc3339(row["failing_since"]),
    }
    await connection.execute(TELL, type_, row["organization"], orjson.dumps(data).decode())
    return StateChange(type_, row["id"], row["organization"], reason)
