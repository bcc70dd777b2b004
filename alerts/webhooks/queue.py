"""The queue of deliveries: claims those that are due, and records the attempts to send them.

A claim moves `next_at` to the end of its lease, so deliveries claimed by a process that dies become due
again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import asyncpg

from alerts.outbound.post import Answer
from alerts.webhooks import upkeep
from alerts.work.bulk import Connection
from alerts.work.lease_queue import Lease, LeaseQueue

LEASE: Final = timedelta(seconds=60)
GONE: Final = 410

DELIVERIES: Final = LeaseQueue(
    table="webhook_deliveries",
    id_type="bigint",
    state="waiting",
    due_at="next_at",
    lease_until="next_at",
    token="lease",  # noqa: S106 -- a column
)

# For each endpoint as many as it has room for, starting after the endpoint at which the last claim ended.
CLAIM = f"""
WITH ready AS MATERIALIZED (
    SELECT w.id, CASE WHEN w.failures >= $6 THEN 1 ELSE $5 END - coalesce(busy.held, 0) AS room
    FROM webhooks AS w LEFT JOIN unnest($1::uuid[], $2::int[]) AS busy(id, held) ON busy.id = w.id
    WHERE w.state = 'active' AND w.deleted_at IS NULL AND (w.ends_at IS NULL OR w.ends_at > now())
        AND (w.hold_until IS NULL OR w.hold_until <= now())
    ORDER BY w.id > $3 DESC, w.id
), chosen AS (
    SELECT due.id FROM ready CROSS JOIN LATERAL (
        SELECT d.id FROM webhook_deliveries AS d
        WHERE d.webhook_id = ready.id AND {DELIVERIES.is_due("d")}
        ORDER BY d.next_at, d.id LIMIT greatest(ready.room, 0) FOR UPDATE SKIP LOCKED
    ) AS due LIMIT $4
)
UPDATE webhook_deliveries AS d
SET {DELIVERIES.takes("d", "$7")}, first_tried_at = coalesce(d.first_tried_at, clock_timestamp())
FROM chosen, webhook_messages AS m, webhooks AS w
WHERE d.id = chosen.id AND m.id = d.message_id AND w.id = d.webhook_id
RETURNING {DELIVERIES.returns("d")}, d.tries, d.webhook_id, d.message_id, d.created_at, m.body, w.url, w.organization, w.failures, w.secret,
    extract(epoch FROM now() - w.failing_since)::float8 AS failing_for_s,
    CASE WHEN w.previous_secret_until > now() THEN w.previous_secret END AS previous_secret
"""  # noqa: S608 -- our own words

RECORD = f"""
WITH result AS (
    SELECT * FROM unnest($1::bigint[], $2::int[], $3::timestamptz[], $4::float8[], $5::int[], $6::text[], $7::bytea[],
        $8::text[], $9::float8[]) AS r(id, token, started_at, seconds, status, error, answer, state, delay_s)
), counted AS (
    UPDATE webhook_deliveries AS d SET state = r.state, tries = d.tries + 1,
        next_at = clock_timestamp() + coalesce(r.delay_s, 0) * interval '1 second', set_at = clock_timestamp(),
        finished_at = CASE WHEN r.state <> 'waiting' THEN clock_timestamp() END
    FROM result AS r WHERE {DELIVERIES.is_ours("d", "r")}
    RETURNING d.id, d.lease AS token
)
INSERT INTO webhook_attempts (delivery_id, lease, started_at, seconds, status, error, answer, counted)
SELECT r.id, r.token, r.started_at, r.seconds, r.status, r.error, r.answer, c.id IS NOT NULL
FROM result AS r LEFT JOIN counted AS c ON c.id = r.id AND c.token = r.token
ON CONFLICT DO NOTHING
RETURNING counted
"""  # noqa: S608 -- our own words

# In the order of their ids, so that two processes do not deadlock.
LOCK_ENDPOINTS = "SELECT FROM webhooks WHERE id = ANY ($1::uuid[]) ORDER BY id FOR NO KEY UPDATE"

RECORD_HEALTH = """
UPDATE webhooks AS w SET
    failures = CASE WHEN h.succeeded THEN h.failures ELSE w.failures + h.failures END,
    failing_since = CASE WHEN h.failures = 0 THEN NULL WHEN h.succeeded OR w.failing_since IS NULL THEN now()
        ELSE w.failing_since END,
    gone_at = CASE WHEN h.gone THEN now() END,
    warned_at = CASE WHEN h.succeeded THEN NULL ELSE w.warned_at END,
    last_success_at = CASE WHEN h.succeeded THEN now() ELSE w.last_success_at END,
    hold_until = greatest(w.hold_until, now() + h.hold_s * interval '1 second'),
    hold_set_at = CASE WHEN h.hold_s IS NULL THEN w.hold_set_at ELSE now() END
FROM unnest($1::uuid[], $2::bool[], $3::int[], $4::bool[], $5::float8[]) AS h(id, succeeded, failures, gone, hold_s)
WHERE w.id = h.id
"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Claimed(Lease):
    """A message that is ours to send until the lease ends."""

    id: int
    tries: int
    """Attempts made before this one."""
    webhook_id: UUID
    event_id: str
    created_at: datetime
    """When the event was created."""
    body: str
    url: str
    organization: str | None
    """Whose endpoint it is; None: the operating organization's."""
    failures: int
    """The endpoint's failures in a row when this was claimed."""
    failing_for_s: float
    secrets: Sequence[bytes]

    @property
    def target(self) -> UUID:
        """The endpoint."""
        return self.webhook_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """How many deliveries may be claimed."""

    held: Mapping[UUID, int]
    """How many this process has claimed and not finished, by endpoint."""
    of_each: int
    """The most of these for one endpoint."""
    at_most: int
    after: UUID
    """The endpoint at which the last claim ended."""
    trips_at: int
    """After this many failures in a row an endpoint gets one delivery at a time."""
    lease: timedelta = LEASE


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """One attempt and its consequences."""

    claimed: Claimed
    started_at: datetime
    answer: Answer
    state: str
    """The delivery's new state: delivered, waiting or exhausted."""
    delay_s: float | None = None
    """When it is tried again, if it is waiting."""
    hold_s: float | None = None
    """How long nothing is sent to the endpoint."""


async def claim(connection: Connection, room: Room) -> list[Claimed]:
    """Claim due deliveries, for each endpoint no more than it has room for."""
    rows = await connection.fetch(
        CLAIM,
        list(room.held),
        list(room.held.values()),
        room.after,
        room.at_most,
        room.of_each,
        room.trips_at,
        room.lease,
    )
    return [
        Claimed(
            id=row["id"],
            token=row["token"],
            until=row["until"],
            tries=row["tries"],
            webhook_id=row["webhook_id"],
            event_id=row["message_id"],
            created_at=row["created_at"],
            body=row["body"],
            url=row["url"],
            organization=row["organization"],
            failures=row["failures"],
            failing_for_s=row["failing_for_s"] or 0.0,
            secrets=tuple(filter(None, (row["secret"], row["previous_secret"]))),
        )
        for row in rows
    ]


async def record(pool: asyncpg.Pool, tried: Sequence[Tried], noteworthy: Sequence[UUID]) -> int:
    """Record attempts, the new states of their deliveries, and the health of the `noteworthy` endpoints.

    Returns how many came after their lease had ended: these are recorded, but change nothing else.
    """
    async with pool.acquire() as connection, connection.transaction():
        if noteworthy:
            await connection.execute(LOCK_ENDPOINTS, noteworthy)
        counted = await connection.fetch(
            RECORD,
            [one.claimed.id for one in tried],
            [one.claimed.token for one in tried],
            [one.started_at for one in tried],
            [one.answer.seconds for one in tried],
            [one.answer.status for one in tried],
            [one.answer.error for one in tried],
            [one.answer.content for one in tried],
            [one.state for one in tried],
            [one.delay_s for one in tried],
        )
        changes = await _record_health(connection, tried, noteworthy) if noteworthy else []
    upkeep.say(changes)
    return sum(not row["counted"] for row in counted)


async def _record_health(
    connection: Connection, tried: Sequence[Tried], noteworthy: Sequence[UUID]
) -> list[upkeep.StateChange]:
    of_each: dict[UUID, list[Tried]] = {id_: [] for id_ in noteworthy}
    for one in tried:
        if one.claimed.webhook_id in of_each:
            of_each[one.claimed.webhook_id].append(one)
    ids, succeeded, failures, gone, hold = [], [], [], [], []
    for id_, attempts in of_each.items():
        ids.append(id_)
        succeeded.append(any(one.answer.ok for one in attempts))
        failures.append(_failures_at_end(attempts))
        gone.append(attempts[-1].answer.status == GONE)
        hold.append(max((one.hold_s for one in attempts if one.hold_s is not None), default=None))
    await connection.execute(RECORD_HEALTH, ids, succeeded, failures, gone, hold)
    if left := [id_ for id_, is_gone in zip(ids, gone, strict=True) if is_gone]:
        return await upkeep.switch_off_gone(connection, left)
    return []


def _failures_at_end(attempts: Sequence[Tried]) -> int:
    """Return the number of failures after the last success."""
    count = 0
    for one in reversed(attempts):
        if one.answer.ok:
            break
        count += 1
    return count
