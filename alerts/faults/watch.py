"""Lets an alert follow what processes say does not work, one for each part; one watcher looks at a time."""

import asyncio
from typing import Final
from uuid import uuid4

import asyncpg

from alerts.events.write import EventScope
from alerts.faults.fault import Part, Reported, fault_condition, subject_of
from alerts.model import to_instant
from alerts.tables import alerts
from alerts.triage.alert import follow
from alerts.triage.rows import alert_from_row
from alerts.triage.store import save_steps
from alerts.work.bulk import Connection, columns_of
from alerts.work.wakeup import first_of, outlast
from telemetry.locks import LockSpace

EVERY_S: Final = 5.0
GONE_AFTER_S: Final = 60
"""A process that has said nothing for so long is gone, and its faults with it."""

# What was seen in the future was seen by a clock that has gone back since: it is as if it were seen now.
_BY_THE_CLOCK: Final = (
    "UPDATE service_faults SET seen_at = clock_timestamp() WHERE seen_at > clock_timestamp()"
)
_FORGET: Final = "DELETE FROM service_faults WHERE seen_at < clock_timestamp() - $1 * interval '1 second'"
_LOAD: Final = """
SELECT part, min(since) AS since, count(*) AS processes, bool_or(critical) AS critical,
    (array_agg(problem ORDER BY since))[1] AS problem
FROM service_faults GROUP BY part
"""
_ON_RECORD: Final = f"""
SELECT {columns_of(alerts)} FROM alerts WHERE shipment_id IS NULL AND subject = ANY($1::text[]) ORDER BY id FOR UPDATE
"""  # noqa: S608 -- our own words


async def watch_faults(pool: asyncpg.Pool, stop: asyncio.Event) -> None:
    """Look at what is reported now and then until `stop` is set; outlasts a database that is away."""
    while not stop.is_set():
        await outlast(lambda: follow_faults(pool), stop, "faults")
        await first_of(stop, patience_s=EVERY_S)


async def follow_faults(pool: asyncpg.Pool) -> None:
    """Let the alerts follow what is reported now; nothing where somebody else is at it."""
    async with pool.acquire() as connection, connection.transaction():
        if await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", LockSpace.SERVICE_FAULTS):
            await _follow(connection)


async def _follow(connection: Connection) -> None:
    await connection.execute(_BY_THE_CLOCK)
    await connection.execute(_FORGET, GONE_AFTER_S)
    reported = {
        row["part"]: Reported(
            since=to_instant(row["since"]),
            problem=row["problem"],
            processes=row["processes"],
            critical=row["critical"],
        )
        for row in await connection.fetch(_LOAD)
    }
    subjects = [subject_of(part) for part in Part]
    on_record = {row["subject"]: alert_from_row(row) for row in await connection.fetch(_ON_RECORD, subjects)}
    now = to_instant(await connection.fetchval("SELECT clock_timestamp()"))
    steps = []
    for part in Part:
        alert = on_record.get(subject_of(part))
        condition = fault_condition(part, reported.get(part), alert, now)
        if condition is not None:
            steps += [
                (EventScope(), step) for step in follow(alert, None, condition, now, lambda: str(uuid4()))
            ]
    if steps:
        await save_steps(connection, steps, now)
