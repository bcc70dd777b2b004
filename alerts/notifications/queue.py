"""The notifications that are due: claimed under a lease with a fencing token, and recorded when they have been tried.

`lease_token` grows with each claim. What a process that dies had in its hands is due again when its lease ends, and a
result that came too late is on record and changes nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import asyncpg
import orjson

from alerts.notifications.retry import Outcome, Result

LEASE: Final = timedelta(seconds=120)

# What is critical goes first; no address gets more at a time than it has room for.
CLAIM = """
WITH due AS (
    SELECT id, row_number() OVER (PARTITION BY address ORDER BY severity <> 'critical', send_at, id) AS place, address
    FROM notifications
    WHERE state = 'pending' AND channel = $1 AND send_at <= now() AND (lease_until IS NULL OR lease_until <= now())
), chosen AS (
    SELECT n.id FROM notifications AS n JOIN due USING (id)
        LEFT JOIN unnest($4::text[], $5::int[]) AS busy(address, held) ON busy.address = due.address
    WHERE due.place <= $3 - coalesce(busy.held, 0)
        AND n.state = 'pending' AND n.send_at <= now() AND (n.lease_until IS NULL OR n.lease_until <= now())
    ORDER BY n.severity <> 'critical', n.send_at, n.id LIMIT $2 FOR UPDATE OF n SKIP LOCKED
)
UPDATE notifications AS n SET lease_token = n.lease_token + 1, lease_until = now() + $6::interval
FROM chosen WHERE n.id = chosen.id
RETURNING n.*
"""

# What was written at the first try stays: a second mail with the same Message-ID must be the same mail.
CONFIRM = """
UPDATE notifications AS n SET message = coalesce(n.message, c.message)
FROM unnest($1::uuid[], $2::bigint[], $3::jsonb[]) AS c(id, lease_token, message)
WHERE n.id = c.id AND n.lease_token = c.lease_token AND n.state = 'pending' AND n.lease_until > now() + $4::interval
RETURNING n.id, n.message
"""

# Without a lease it is recorded already, or was given back.
RECORD = """
WITH counted AS (
    UPDATE notifications SET attempts = attempts + 1, state = $3, lease_until = NULL,
        send_at = coalesce(clock_timestamp() + $4::float8 * interval '1 second', send_at),
        sent_at = CASE WHEN $3 = 'sent' THEN clock_timestamp() END,
        error = CASE WHEN $3 <> 'sent' THEN $7::text END
    WHERE id = $1 AND lease_token = $2 AND state = 'pending' AND lease_until IS NOT NULL
    RETURNING id
), attempt AS (
    INSERT INTO notification_attempts (notification_id, number, at, took_s, outcome, detail)
    VALUES ($1, $2, $5, $6, CASE WHEN EXISTS (SELECT FROM counted) THEN $8 ELSE 'fenced' END, $7)
    ON CONFLICT DO NOTHING
)
SELECT EXISTS (SELECT FROM counted)
"""

RELEASE = """
UPDATE notifications AS n SET lease_until = NULL FROM unnest($1::uuid[], $2::bigint[]) AS r(id, lease_token)
WHERE n.id = r.id AND n.lease_token = r.lease_token AND n.state = 'pending'
"""

WAITING = """
SELECT count(*) AS waiting, coalesce(extract(epoch FROM now() - min(decided_at)), 0)::float8 AS age
FROM notifications WHERE state = 'pending' AND decided_at <= now()
"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Claimed:
    """A notification that is ours to send until the lease ends."""

    id: UUID
    lease_token: int
    tries: int
    """That it had before."""
    channel: str
    address: str
    scope: str
    incident_id: UUID | None
    alert_ids: Sequence[UUID]
    organization: str | None
    drill: bool
    contact_id: str | None
    contact_name: str | None
    timezone: str | None
    purpose: str
    level: int
    repeat: int
    reason: str
    detail: str | None
    severity: str
    decided_at: datetime
    message: Mapping[str, Any] | None
    """As it was written at the first try; None before."""


async def claim(
    pool: asyncpg.Pool,
    channel: str,
    *,
    at_most: int,
    of_each: int,
    held: Mapping[str, int],
    lease: timedelta = LEASE,
) -> list[Claimed]:
    """Take what is due of a channel, for no address more than `of_each`, less what is in our hands for it."""
    rows = await pool.fetch(CLAIM, channel, at_most, of_each, list(held), list(held.values()), lease)
    return [_claimed(row) for row in rows]


def _claimed(row: asyncpg.Record) -> Claimed:
    same = (
        *(
            "id",
            "lease_token",
            "channel",
            "address",
            "scope",
            "incident_id",
            "alert_ids",
            "organization",
            "drill",
        ),
        *("contact_id", "contact_name", "timezone", "purpose", "level", "repeat", "reason", "detail"),
        *("severity", "decided_at"),
    )
    return Claimed(
        **{name: row[name] for name in same},
        tries=row["attempts"],
        message=None if row["message"] is None else orjson.loads(row["message"]),
    )


async def confirm(
    pool: asyncpg.Pool, written: Mapping[Claimed, Mapping[str, Any]], time_limit: timedelta
) -> dict[Claimed, Mapping[str, Any]]:
    """Keep what is about to be sent, and give what has to be: what was written first; without what is ours no more."""
    rows = await pool.fetch(
        CONFIRM,
        [one.id for one in written],
        [one.lease_token for one in written],
        [orjson.dumps(message).decode() for message in written.values()],
        time_limit,
    )
    messages = {row["id"]: orjson.loads(row["message"]) for row in rows}
    return {one: messages[one.id] for one in written if one.id in messages}


async def record(
    pool: asyncpg.Pool, claimed: Claimed, at: datetime, result: Result, retry_after_s: float | None
) -> str | None:
    """Write down a try and what follows from it; give the new state, None where the lease had ended before."""
    state = {Outcome.SENT: "sent", Outcome.REFUSED: "failed"}.get(
        result.outcome, "failed" if retry_after_s is None else "pending"
    )
    counted = await pool.fetchval(
        RECORD,
        claimed.id,
        claimed.lease_token,
        state,
        retry_after_s if state == "pending" else None,
        at,
        result.seconds,
        result.detail.replace("\0", " "),
        str(result.outcome),
    )
    return state if counted else None


async def release(pool: asyncpg.Pool, claimed: Sequence[Claimed]) -> None:
    """Give back what was claimed and not tried: it is due at once, for whoever looks next."""
    await pool.execute(RELEASE, [one.id for one in claimed], [one.lease_token for one in claimed])
