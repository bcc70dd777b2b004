"""The outbox: events are written in the transaction of what they tell of, and read by position so that none is skipped.

Transactions commit in another order than their rows were numbered, so "after the last id" skips rows. So each event gets
its position at commit, by a trigger that lets one transaction after the other do so: what commits later comes after it.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

import asyncpg
import orjson
from sqlalchemy import insert
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.model import Severity, to_instant
from alerts.tables import event_sequences, outbox
from alerts.wording import rfc3339
from alerts.work.bulk import Connection
from telemetry.model import JsonObject

_LARGEST = 2**63 - 1
RESTORED: Final = "record.restored"
TURNED_CRITICAL: Final = "excursion.became_critical"
FOR_EVERYBODY: Final = frozenset({RESTORED})
"""Types that reach every listener and endpoint, whatever it may see and has asked for: they say what it has lost."""


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in the outbox; everything up to it has been read."""

    number: int
    created_us: int = field(default=0, compare=False)
    """When its event was made, in µs since 1970, to recognize it again; 0 for no event."""

    def __str__(self) -> str:
        return f"{self.number}-{self.created_us}"

    @classmethod
    def parse(cls, text_: str) -> "Position | None":
        """Parse what `str` wrote; None for anything else."""
        found = re.fullmatch(r"([0-9]{1,19})-([0-9]{1,19})", text_, re.ASCII)
        if found is None:
            return None
        position = cls(int(found[1]), int(found[2]))
        return position if max(position.number, position.created_us) <= _LARGEST else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event."""

    position: Position
    created_at: datetime
    type: str
    shipment_id: str | None
    organization: str | None
    data: JsonObject

    @property
    def severity(self) -> str | None:
        """What filters by severity go by: the worst that what it is about has been so far; None if it has none.

        So whoever heard that something is critical hears all that comes of it.
        """
        severity: str | None = self.data.get("worst_severity") or self.data.get("severity")
        return severity

    @property
    def incident_id(self) -> str | None:
        """The incident that it is about; None if it is about none, or it is not known yet of which."""
        incident_id: str | None = self.data.get("id" if self.type.startswith("incident.") else "incident_id")
        return incident_id

    @property
    def is_moved_peak(self) -> bool:
        """Whether it tells only that the peak of an open excursion has moved further out."""
        return self.type == "excursion.amended" and self.data.get("reason") == "peak_moved"

    def body(self) -> dict[str, Any]:
        """Return what is sent, the same for every consumer."""
        return {"type": self.type, "timestamp": rfc3339(self.created_at), "data": self.data}


async def tell(
    connection: AsyncConnection,
    *,
    type: str,  # noqa: A002 - the word of the contract
    shipment_id: str | None,
    organization: str | None,
    data: JsonObject,
) -> None:
    """Write an event that is told when the transaction commits; an event of a shipment gets its `sequence`."""
    if shipment_id is not None:
        data = {**data, "sequence": await _next_sequence(connection, shipment_id)}
    await connection.execute(
        insert(outbox).values(type=type, shipment_id=shipment_id, organization=organization, data=data)
    )


async def _next_sequence(connection: AsyncConnection, shipment_id: str) -> int:
    """Take the shipment's next number, as `write.WRITE_EVENTS` does; other writers of the shipment wait for the commit."""
    counted = (
        upsert(event_sequences)
        .values(shipment_id=shipment_id, last=1)
        .on_conflict_do_update(index_elements=["shipment_id"], set_={"last": event_sequences.c.last + 1})
        .returning(event_sequences.c.last)
    )
    return int((await connection.execute(counted)).scalar_one())


_END = """
SELECT outbox_end() AS number, (SELECT created_at FROM outbox WHERE position = outbox_end()) AS created_at
"""

_AFTER = """
SELECT position, created_at, type, shipment_id, organization, data FROM outbox
WHERE position > $1 ORDER BY position LIMIT $2
"""


async def end(connection: Connection) -> Position:
    """Return the position after the newest event."""
    row = await connection.fetchrow(_END)
    assert row is not None
    return Position(row["number"], 0 if row["created_at"] is None else to_instant(row["created_at"]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """Events after a position may be missing for a consumer that goes on from there."""

    reason: Literal["pruned", "unknown_position"]
    go_on_after: Position
    """After this position nothing is missing."""
    at: str
    """When that was found, RFC 3339."""


# A position that is not of this database's history, as after one was restored: another event is there, or none although
# nothing was removed so far (a sequence leaves numbers out after a crash), or it is still to come.
_LOST = """
SELECT outbox_end() AS end, clock_timestamp() AS at, coalesce(p.position, 0) AS pruned, o.created_at
FROM (SELECT) AS one LEFT JOIN outbox_pruned AS p ON true LEFT JOIN outbox AS o ON o.position = $1
"""


async def lost(connection: Connection, after: Position) -> Lost | None:
    """Return whether events after a position were pruned, or whether the position is not of this database's history."""
    row = await connection.fetchrow(_LOST, after.number)
    assert row is not None
    at = rfc3339(row["at"])
    if after.number < row["pruned"]:
        return Lost(reason="pruned", go_on_after=Position(row["pruned"]), at=at)
    there = None if row["created_at"] is None else to_instant(row["created_at"])
    another = after.created_us and after.number > row["pruned"] and there != after.created_us
    if another or after.number > row["end"]:
        return Lost(reason="unknown_position", go_on_after=await end(connection), at=at)
    return None


async def read(connection: Connection, after: Position, limit: int) -> list[Event]:
    """Return the next events after a position: fewer than `limit` where there are no more."""
    return [_event(row) for row in await connection.fetch(_AFTER, after.number, limit)]


_OPENINGS = """
SELECT DISTINCT ON (data->>'id') position, created_at, type, shipment_id, organization, data FROM outbox
WHERE type = 'excursion.opened' AND data->>'id' = ANY($1::text[]) AND position IS NOT NULL
ORDER BY data->>'id', position
"""


async def hidden_openings(connection: Connection, events: Iterable[Event]) -> Mapping[Position, Event]:
    """Return what opened the excursions that became critical among some events, by the positions of these.

    A filter by severity has hidden it, so whom it hid it from gets it with the turn. One that is kept no more is left out.
    """
    turned = {event.data.get("id"): event.position for event in events if event.type == TURNED_CRITICAL}
    if not turned:
        return {}
    opened = [_event(row) for row in await connection.fetch(_OPENINGS, list(turned))]
    return {turned[one.data["id"]]: one for one in opened if one.severity != Severity.CRITICAL}


async def read_on(connection: Connection, after: Position, limit: int) -> list[Event] | Lost:
    """Return the next events, as `read` does, or `Lost` if the database has gone back behind what was read.

    To see that costs nothing: the event that was read last is read once more.
    """
    events = [_event(row) for row in await connection.fetch(_AFTER, after.number - 1, limit + 1)]
    if events and events[0].position == after:
        if events[0].position.created_us == after.created_us:
            return events[1:]
        del events[0]
    return await lost(connection, after) or events[:limit]


def _event(row: asyncpg.Record) -> Event:
    return Event(
        position=Position(row["position"], to_instant(row["created_at"])),
        created_at=row["created_at"],
        type=row["type"],
        shipment_id=row["shipment_id"],
        organization=row["organization"],
        data=orjson.loads(row["data"]),
    )
