"""The pulse of the database: a number that counts up, so that a database that was set back is recognized.

Theory of operation. Every few seconds some process adds a pulse: the next number, with a nonce that nobody can repeat.
Each process remembers the newest pulse that it saw, and the broker keeps one as a retained message, which outlives all
processes. A pulse that is remembered and that the database does not know shows that the database went back to before it.
From then on the pulses belong to a new incarnation, which says from which one it came and where that ended. So whoever
remembers a pulse of before finds that its loss is on record, and says nothing again.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Self, TypeAlias
from uuid import UUID

import asyncpg
import orjson

from telemetry.locks import LockSpace

Connection: TypeAlias = asyncpg.Connection | asyncpg.pool.PoolConnectionProxy

EVERY_S: Final = 5.0
_KEPT: Final = 20_000
"""More than a day of pulses: whoever comes back later than that remembers a number that is not judged any more."""

LOCK = "SELECT pg_advisory_xact_lock($1)"

NEWEST = """
SELECT p.number, p.incarnation, p.nonce, p.at, p.server, clock_timestamp() AS now
FROM (SELECT) AS one LEFT JOIN LATERAL (
    SELECT number, incarnation, nonce, at, server FROM database_pulses ORDER BY number DESC LIMIT 1) AS p ON true
"""

# Some providers let nobody ask for the identifier of the server; the database's own then has to do.
MAY_ASK = "SELECT has_function_privilege('pg_control_system()', 'execute')"
SERVER = "SELECT (SELECT system_identifier FROM pg_control_system())::text || '/' || ({database})"
DATABASE = "SELECT oid::text FROM pg_database WHERE datname = current_database()"

KNOWN = """
SELECT EXISTS (SELECT FROM database_pulses WHERE number = $1 AND nonce = $2) AS there,
    EXISTS (SELECT FROM database_restorations WHERE former = $3) AS loss_on_record,
    $1 < coalesce((SELECT min(number) FROM database_pulses), 0) AS too_old
"""

ADD = """
INSERT INTO database_pulses (number, incarnation, nonce, at, server)
VALUES ($1, $2, gen_random_uuid(), clock_timestamp(), $3) RETURNING number, incarnation, nonce, at
"""
FORGET = "DELETE FROM database_pulses WHERE number < $1"

RESTORED = """
INSERT INTO database_restorations (incarnation, former, evidence, went_back_to, known_until, noticed_at)
VALUES (gen_random_uuid(), $1, $2, $3, $4, $5) RETURNING incarnation
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulse:
    """One pulse; `incarnation` is the life of the database that it belongs to."""

    number: int
    incarnation: UUID
    nonce: UUID
    at: datetime

    def to_json(self) -> bytes:
        """Return what is kept outside of the database."""
        return orjson.dumps(
            {
                "number": self.number,
                "incarnation": str(self.incarnation),
                "nonce": str(self.nonce),
                "at": self.at,
            }
        )

    @classmethod
    def from_json(cls, kept: bytes) -> Self | None:
        """Read what `to_json` gave; None for anything else."""
        try:
            said = orjson.loads(kept)
            return cls(
                number=int(said["number"]),
                incarnation=UUID(said["incarnation"]),
                nonce=UUID(said["nonce"]),
                at=datetime.fromisoformat(said["at"]),
            )
        except (KeyError, TypeError, ValueError):
            return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Restoration:
    """The database is not the one that it was."""

    incarnation: UUID
    """Of the database from now on."""
    evidence: str
    """`went_back`: a pulse is remembered that it does not know. `another_server`: it was copied to where it is."""
    went_back_to: datetime | None
    """When the newest pulse that it has was added: until then it has everything. None: it has none."""
    known_until: datetime
    """When the newest pulse that is remembered of what it was was added."""
    noticed_at: datetime


@dataclass(slots=True)
class Memory:
    """What a process remembers: the newest pulse that it saw, and one that the broker kept."""

    own: Pulse | None = None
    outside: Pulse | None = None
    """Not judged yet; until it is, nothing may be kept in its place."""

    def remembered(self) -> list[Pulse]:
        """Return what the database must know, the newest last."""
        known = [one for one in (self.own, self.outside) if one is not None]
        return sorted(known, key=lambda one: one.at)


async def look(connection: Connection, memory: Memory) -> list[Restoration]:
    """Find out whether the database went back, and add a pulse; in the transaction of the caller's.

    What is found is on record with the commit, and found by nobody else. The lock is held until then.
    """
    await connection.execute(LOCK, LockSpace.PULSES)
    newest = await connection.fetchrow(NEWEST)
    assert newest is not None
    found = [
        await _put_on_record(connection, newest, "went_back", one.incarnation, one.at)
        for one in await _unknown(connection, memory)
    ]
    if not found and newest["server"] not in {None, await _server(connection)}:
        found = [
            await _put_on_record(connection, newest, "another_server", newest["incarnation"], newest["at"])
        ]
    return found


async def beat(connection: Connection, found: list[Restoration]) -> Pulse:
    """Return the newest pulse, after adding one where it is time for that; after `look`, in its transaction."""
    newest = await connection.fetchrow(NEWEST)
    assert newest is not None
    # One from the future was added by a clock that has gone back since: it must not stop the pulse until then.
    is_fresh = newest["at"] is not None and 0 <= (newest["now"] - newest["at"]).total_seconds() < EVERY_S / 2
    if is_fresh and not found:
        return _pulse(newest)
    number = (newest["number"] or 0) + 1
    incarnation = found[-1].incarnation if found else newest["incarnation"]
    if incarnation is None:
        incarnation = await connection.fetchval("SELECT gen_random_uuid()")
    added = await connection.fetchrow(ADD, number, incarnation, await _server(connection))
    assert added is not None
    if number % 100 == 0:
        await connection.execute(FORGET, number - _KEPT)
    return _pulse(added)


async def _unknown(connection: Connection, memory: Memory) -> list[Pulse]:
    """Return the newest of the remembered pulses that the database lacks, where that is not on record."""
    unknown = []
    for one in memory.remembered():
        row = await connection.fetchrow(KNOWN, one.number, one.nonce, one.incarnation)
        assert row is not None
        if not (row["there"] or row["loss_on_record"] or row["too_old"]):
            unknown.append(one)
    return unknown[-1:]


async def _server(connection: Connection) -> str:
    """Return what tells this server, and this database in it, from a copy elsewhere."""
    asking = SERVER.format(database=DATABASE) if await connection.fetchval(MAY_ASK) else DATABASE
    return str(await connection.fetchval(asking))


async def _put_on_record(
    connection: Connection, newest: Any, evidence: str, former: UUID, known_until: datetime
) -> Restoration:
    went_back_to = newest["at"]
    incarnation = await connection.fetchval(
        RESTORED, former, evidence, went_back_to, known_until, newest["now"]
    )
    return Restoration(
        incarnation=incarnation,
        evidence=evidence,
        went_back_to=went_back_to,
        known_until=known_until,
        noticed_at=newest["now"],
    )


def _pulse(row: Any) -> Pulse:
    return Pulse(number=row["number"], incarnation=row["incarnation"], nonce=row["nonce"], at=row["at"])
