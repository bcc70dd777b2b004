"""The queue of notifications: claims those that are due, and records the attempts to send them.

Between claim and sending each is confirmed: its text is stored, once, and its lease is checked to last as
long as sending may take.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import asyncpg
import orjson

from alerts.escalation.tables import notifications
from alerts.notifications.retry import Outcome, Result
from alerts.work.bulk import Connection, columns_of
from alerts.work.lease_queue import Lease, LeaseQueue

LEASE: Final = timedelta(seconds=60)

NOTIFICATIONS: Final = LeaseQueue(
    table="notifications",
    id_type="uuid",
    state="pending",
    due_at="send_at",
    lease_until="lease_until",
    token="lease_token",  # noqa: S106 -- a column
)

# Critical ones go first; no address gets more at a time than its limit.
CLAIM = f"""
WITH due AS (
    SELECT n.id, n.address,
        row_number() OVER (PARTITION BY n.address ORDER BY n.severity <> 'critical', n.send_at, n.id) AS place
    FROM notifications AS n
    WHERE n.channel = $1 AND {NOTIFICATIONS.is_due("n")}
), chosen AS (
    SELECT n.id FROM notifications AS n JOIN due USING (id)
        LEFT JOIN unnest($4::text[], $5::int[]) AS busy(address, held) ON busy.address = due.address
    WHERE due.place <= $3 - coalesce(busy.held, 0) AND {NOTIFICATIONS.is_due("n")}
    ORDER BY n.severity <> 'critical', n.send_at, n.id LIMIT $2 FOR UPDATE OF n SKIP LOCKED
)
UPDATE notifications AS n SET {NOTIFICATIONS.takes("n", "$6")}
FROM chosen WHERE n.id = chosen.id
RETURNING {columns_of(notifications, "n")}
"""  # noqa: S608 -- our own words

# The text of the first attempt stays: a second mail with the same Message-ID must be the same mail.
CONFIRM = f"""
UPDATE notifications AS n SET message = coalesce(n.message, c.message)
FROM unnest($1::uuid[], $2::bigint[], $3::jsonb[]) AS c(id, token, message)
WHERE {NOTIFICATIONS.is_ours("n", "c")} AND n.lease_until > now() + $4::interval
RETURNING n.id, n.message
"""  # noqa: S608 -- our own words

# It may be gone: a database that was set back does not know what is being sent.
RECORD = f"""
WITH claim AS (
    SELECT $1::uuid AS id, $2::bigint AS token
), counted AS (
    UPDATE notifications AS n SET attempts = n.attempts + 1, state = $3, lease_until = NULL, set_at = clock_timestamp(),
        send_at = coalesce(clock_timestamp() + $4::float8 * interval '1 second', n.send_at),
        sent_at = CASE WHEN $3 = 'sent' THEN clock_timestamp() END,
        error = CASE WHEN $3 <> 'sent' THEN $7::text END
    FROM claim WHERE {NOTIFICATIONS.is_ours("n", "claim")}
    RETURNING n.id
), attempt AS (
    INSERT INTO notification_attempts (notification_id, number, at, took_s, outcome, detail)
    SELECT $1, $2, $5::timestamptz, $6::float8, CASE WHEN EXISTS (SELECT FROM counted) THEN $8::text ELSE 'fenced' END, $7::text
    WHERE EXISTS (SELECT FROM notifications WHERE id = $1)
    ON CONFLICT DO NOTHING
)
SELECT EXISTS (SELECT FROM counted)
"""  # noqa: S608 -- our own words

# What failed while the mail server was away need not wait any longer; what is leased is being sent.
HASTEN = """
UPDATE notifications SET send_at = now(), set_at = now()
WHERE state = 'pending' AND channel = $1 AND attempts > 0 AND send_at > now() AND lease_until IS NULL
RETURNING id
"""

WAITING = """
SELECT count(*) AS waiting, coalesce(extract(epoch FROM now() - min(decided_at)), 0)::float8 AS age
FROM notifications WHERE state = 'pending' AND decided_at <= now()
"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Claimed(Lease):
    """A notification that is ours to send until the lease ends."""

    id: UUID
    tries: int
    """Attempts made before this one."""
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
    """The text written at the first attempt; None before that."""

    @property
    def target(self) -> str:
        """The address."""
        return self.address


async def claim(
    connection: Connection,
    channel: str,
    *,
    at_most: int,
    of_each: int,
    held: Mapping[Hashable, int],
    lease: timedelta = LEASE,
) -> list[Claimed]:
    """Claim due notifications of a channel: per address at most `of_each`, less those `held` for it."""
    rows = await connection.fetch(CLAIM, channel, at_most, of_each, list(held), list(held.values()), lease)
    return [_claimed(row) for row in rows]


def _claimed(row: asyncpg.Record) -> Claimed:
    same = (
        *("id", "channel", "address", "scope", "incident_id", "alert_ids", "organization", "drill"),
        *("contact_id", "contact_name", "timezone", "purpose", "level", "repeat", "reason", "detail"),
        *("severity", "decided_at"),
    )
    return Claimed(
        **{name: row[name] for name in same},
        token=row["lease_token"],
        until=row["lease_until"],
        tries=row["attempts"],
        message=None if row["message"] is None else orjson.loads(row["message"]),
    )


async def confirm(
    pool: asyncpg.Pool, written: Mapping[Claimed, Mapping[str, Any]], time_limit: timedelta
) -> dict[Claimed, Mapping[str, Any]]:
    """Store the messages about to be sent; return those still leased to us, each as it was first stored."""
    rows = await pool.fetch(
        CONFIRM,
        [one.id for one in written],
        [one.token for one in written],
        [orjson.dumps(message).decode() for message in written.values()],
        time_limit,
    )
    messages = {row["id"]: orjson.loads(row["message"]) for row in rows}
    return {one: messages[one.id] for one in written if one.id in messages}


async def hasten(pool: asyncpg.Pool, channel: str) -> int:
    """Make due what has failed and would be tried again later; return how many there were."""
    return len(await pool.fetch(HASTEN, channel))


async def record(
    pool: asyncpg.Pool, claimed: Claimed, at: datetime, result: Result, retry_after_s: float | None
) -> str | None:
    """Record an attempt and its outcome; return the new state, or None if the lease had ended."""
    state = {Outcome.SENT: "sent", Outcome.REFUSED: "failed"}.get(
        result.outcome, "failed" if retry_after_s is None else "pending"
    )
    counted = await pool.fetchval(
        RECORD,
        claimed.id,
        claimed.token,
        state,
        retry_after_s if state == "pending" else None,
        at,
        result.seconds,
        result.detail.replace("\0", " "),
        str(result.outcome),
    )
    return state if counted else None
