"""The outbox: what is to be told is written with what it tells of, and read by position so that nothing is skipped.

Transactions commit in another order than their rows were numbered, so "after the last id" skips rows. A row is
settled once no transaction as old as its own can still commit; up to there (transaction_id, id) is a safe position.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple

import asyncpg
import orjson
from sqlalchemy import func, insert, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.record import OUTBOX_CHANNEL
from alerts.tables import event_sequences, outbox
from alerts.traces import Connection
from alerts.wording import rfc3339
from telemetry.model import JsonObject

LARGEST_ID = 2**63 - 1


class Position(NamedTuple):
    """A place in the outbox; everything settled up to it has been read."""

    transaction_id: int
    id: int

    def __str__(self) -> str:
        return f"{self.transaction_id}-{self.id}"

    @classmethod
    def parse(cls, text_: str) -> "Position | None":
        """Read what `str` gave; None where it is something else."""
        found = re.fullmatch(r"([0-9]{1,20})-([0-9]{1,19})", text_, re.ASCII)
        if found is None:
            return None
        position = cls(int(found[1]), int(found[2]))
        return position if position.transaction_id < 2**64 and position.id <= LARGEST_ID else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that was told."""

    position: Position
    created_at: datetime
    type: str
    shipment_id: str | None
    organization: str | None
    data: JsonObject

    def body(self) -> dict[str, Any]:
        """Give what is sent: the same to everybody who may see it."""
        return {"type": self.type, "timestamp": rfc3339(self.created_at), "data": self.data}


async def tell(
    connection: AsyncConnection,
    *,
    type: str,  # noqa: A002 - the word of the contract
    shipment_id: str | None,
    organization: str | None,
    data: JsonObject,
) -> None:
    """Write an event, to be told if and when the transaction commits; one of a shipment gets its `sequence`."""
    if shipment_id is not None:
        data = {**data, "sequence": await _next_sequence(connection, shipment_id)}
    await connection.execute(
        insert(outbox).values(type=type, shipment_id=shipment_id, organization=organization, data=data)
    )
    await connection.execute(select(func.pg_notify(OUTBOX_CHANNEL, "")))


async def _next_sequence(connection: AsyncConnection, shipment_id: str) -> int:
    """Count on, as `record.WRITE_EVENTS` does; whoever else tells of the shipment waits until the commit."""
    counted = (
        upsert(event_sequences)
        .values(shipment_id=shipment_id, last=1)
        .on_conflict_do_update(index_elements=["shipment_id"], set_={"last": event_sequences.c.last + 1})
        .returning(event_sequences.c.last)
    )
    return int((await connection.execute(counted)).scalar_one())


_HORIZON = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text"

_AFTER = """
SELECT transaction_id::text, id, created_at, type, shipment_id, organization, data,
       transaction_id < pg_snapshot_xmin(pg_current_snapshot()) AS settled
FROM outbox WHERE (transaction_id, id) > ($1::text::xid8, $2)
ORDER BY outbox.transaction_id, outbox.id LIMIT $3
"""


async def end(connection: Connection) -> Position:
    """Give the position after everything that is settled now."""
    return Position(int(await connection.fetchval(_HORIZON)) - 1, LARGEST_ID)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """Events after a position may be lost to whoever reads on from there."""

    reason: Literal["pruned", "unknown_position"]
    go_on_after: Position
    """Behind it nothing is missing."""
    at: str
    """When that was found, RFC 3339."""


_LOST = """
SELECT $1::text::xid8 >= pg_snapshot_xmax(pg_current_snapshot()) AS ahead, clock_timestamp() AS at,
       p.transaction_id::text AS pruned_transaction, p.id AS pruned_id, (pg_snapshot_xmin(pg_current_snapshot()))::text AS horizon
FROM (SELECT) AS one LEFT JOIN outbox_pruned AS p ON (p.transaction_id, p.id) > ($1::text::xid8, $2)
"""


async def lost(connection: Connection, after: Position) -> Lost | None:
    """Tell whether events after a position have been removed, or whether this database cannot have given it."""
    row = await connection.fetchrow(_LOST, str(after.transaction_id), after.id)
    assert row is not None
    if row["ahead"]:
        now = Position(int(row["horizon"]) - 1, LARGEST_ID)
        return Lost(reason="unknown_position", go_on_after=now, at=rfc3339(row["at"]))
    if row["pruned_id"] is None:
        return None
    kept = Position(int(row["pruned_transaction"]), row["pruned_id"])
    return Lost(reason="pruned", go_on_after=kept, at=rfc3339(row["at"]))


async def read(connection: Connection, after: Position, limit: int) -> tuple[list[Event], bool]:
    """Give the settled events after a position, and whether there are more that will settle soon."""
    rows = await connection.fetch(_AFTER, str(after.transaction_id), after.id, limit)
    events = [_event(row) for row in rows if row["settled"]]
    return events, len(events) < len(rows)


def _event(row: asyncpg.Record) -> Event:
    return Event(
        position=Position(int(row["transaction_id"]), row["id"]),
        created_at=row["created_at"],
        type=row["type"],
        shipment_id=row["shipment_id"],
        organization=row["organization"],
        data=orjson.loads(row["data"]),
    )
