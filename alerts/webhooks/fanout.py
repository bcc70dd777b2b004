"""Fans the outbox's events out: a delivery for each endpoint that wants them, committed with the position."""

from collections.abc import Sequence
from typing import NamedTuple

import asyncpg

from alerts.events import outbox
from alerts.events.outbox import Event, Position
from alerts.webhooks import message
from alerts.work.bulk import Connection
from telemetry.channels import NotifyChannel

_PAGE = 200

POSITION = "SELECT position FROM webhook_fanout FOR UPDATE SKIP LOCKED"
MOVE = "UPDATE webhook_fanout SET position = $1"

# The only place that decides which endpoint gets which event. Events without a severity pass `min_severity`. An opening
# that comes once more is for those alone from whom `min_severity` hid it.
FAN_OUT = """
WITH event AS (
    SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::text[],
        $8::text[], $11::text[], $12::boolean[], $13::boolean[])
    AS e(message_id, position, type, shipment_id, organization, created_at, severity, webhook_id, incident_id, moved_peak,
        was_hidden)
), wanted AS MATERIALIZED (
    SELECT w.id AS webhook_id, e.message_id, e.created_at FROM event AS e JOIN webhooks AS w ON
        w.deleted_at IS NULL
        AND (w.ends_at IS NULL OR w.ends_at > e.created_at)
        AND e.position > w.since_position
        AND e.webhook_id IS DISTINCT FROM w.id::text
        AND (e.type = ANY ($10::text[]) OR (w.organization IS NULL OR w.organization = e.organization)
        AND (w.sees_shipment_ids IS NULL OR e.shipment_id = ANY (w.sees_shipment_ids))
        AND (w.events IS NULL OR e.type = ANY (w.events))
        AND CASE WHEN e.was_hidden THEN w.min_severity = 'critical'
            ELSE w.min_severity IS NULL OR e.severity IS NULL OR w.min_severity = 'major' OR e.severity = 'critical' END
        AND (w.shipment_ids IS NULL OR e.shipment_id = ANY (w.shipment_ids))
        AND (w.incident_ids IS NULL OR e.incident_id = ANY (w.incident_ids))
        AND (w.peaks OR NOT e.moved_peak))
), messages AS (
    INSERT INTO webhook_messages (id, type, shipment_id, created_at, body)
    SELECT m.id, e.type, e.shipment_id, e.created_at, m.body
    FROM unnest($1::text[], $9::text[]) AS m(id, body) JOIN event AS e ON e.message_id = m.id
    WHERE m.id IN (SELECT message_id FROM wanted)
    ON CONFLICT DO NOTHING
)
INSERT INTO webhook_deliveries (webhook_id, message_id, created_at, next_at, set_at)
SELECT webhook_id, message_id, created_at, now(), now() FROM wanted
ON CONFLICT DO NOTHING
"""


class FannedOut(NamedTuple):
    """The result of one step."""

    events: int
    deliveries: int
    more: bool
    """Whether there may be more events already: the page was full."""


_NOTHING = FannedOut(0, 0, more=False)


async def fan_out(pool: asyncpg.Pool) -> FannedOut:
    """Fan the next events out; do nothing if another process is doing so."""
    async with pool.acquire() as connection, connection.transaction():
        position = await connection.fetchval(POSITION)
        if position is None:
            return _NOTHING
        events = await outbox.read(connection, Position(position), _PAGE)
        if not events:
            return _NOTHING
        hidden = await outbox.hidden_openings(connection, events)
        inserted = await _insert(connection, events, list(hidden.values()))
        await connection.execute(MOVE, events[-1].position.number)
        if inserted:
            await connection.execute(f"NOTIFY {NotifyChannel.WEBHOOKS}")
        return FannedOut(len(events), inserted, more=len(events) == _PAGE)


async def _insert(connection: Connection, page: Sequence[Event], hidden: Sequence[Event]) -> int:
    events = [*hidden, *page]
    done = await connection.execute(
        FAN_OUT,
        [str(event.position) for event in events],
        [event.position.number for event in events],
        [event.type for event in events],
        [event.shipment_id for event in events],
        [event.organization for event in events],
        [event.created_at for event in events],
        [event.severity for event in events],
        [event.data.get("webhook_id") for event in events],
        [message.body(event.type, event.created_at, event.data).decode() for event in events],
        list(outbox.FOR_EVERYBODY),
        [event.incident_id for event in events],
        [event.is_moved_peak for event in events],
        [True] * len(hidden) + [False] * len(page),
    )
    return int(done.split()[-1])
