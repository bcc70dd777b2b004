"""Watches whether the fleet as a whole is heard, whatever the number of evaluators: one of them looks at a time."""

import asyncio
from typing import Final
from uuid import uuid4

import asyncpg

from alerts.evaluation.judging.outage import (
    DEFAULT_THRESHOLDS,
    SUBJECT,
    FleetSilence,
    OutageThresholds,
    fleet_condition,
)
from alerts.events.write import EventScope
from alerts.model import to_datetime, to_instant
from alerts.tables import alerts
from alerts.triage.alert import follow
from alerts.triage.rows import alert_from_row
from alerts.triage.store import save_steps
from alerts.work.bulk import Connection, columns_of
from alerts.work.wakeup import first_of, outlast
from telemetry.freshness import MISSED_INTERVALS, fresh_for_sql
from telemetry.locks import LockSpace
from telemetry.silence import LANDING, LONGEST, announced_until_sql

EVERY_S: Final = 10.0

_HALF = "(s.plan->>'max_gap_s')::float8 / 2"
_FRESH_S = fresh_for_sql("v.interval_s", MISSED_INTERVALS, otherwise=_HALF, at_most=_HALF)
_ANNOUNCED_UNTIL = announced_until_sql(
    "d.measured_at",
    "d.flight_mode_until",
    longest="$3",
    landing="$4::interval / coalesce((s.plan->>'time_lapse')::float8, 1)",
)
# Who had been silent for a day before has no part in it, nor has a drill, nor whoever was not heard since their shipment
# was made known: that may be a past one, which is being entered.
HEAR = f"""
WITH live AS (
    SELECT a.shipment_id, d.measured_at,
        d.measured_at + ({_FRESH_S}) * interval '1 second' < $1 AS overdue
    FROM device_assignments AS a
    JOIN shipments AS s USING (shipment_id)
    JOIN device_states AS d USING (device_id)
    JOIN devices AS v USING (device_id)
    WHERE a.ends_at IS NULL AND s.status = 'in_transit' AND NOT s.drill AND d.measured_at > $2
        AND d.measured_at >= s.created_at
        AND NOT coalesce({_ANNOUNCED_UNTIL} > $1, false)
)
SELECT count(*) AS live, count(*) FILTER (WHERE overdue) AS silent,
    count(DISTINCT shipment_id) FILTER (WHERE overdue) AS shipments, max(measured_at) FILTER (WHERE overdue) AS newest
FROM live
"""  # noqa: S608 - our own words

ON_RECORD = f"""
SELECT {columns_of(alerts)} FROM alerts WHERE shipment_id IS NULL AND subject = $1 FOR UPDATE
"""  # noqa: S608 - our own words


async def watch_fleet(
    pool: asyncpg.Pool, stop: asyncio.Event, outage: OutageThresholds = DEFAULT_THRESHOLDS
) -> None:
    """Look at the fleet now and then until `stop` is set; outlasts a database that is away."""
    while not stop.is_set():
        await first_of(stop, patience_s=EVERY_S)
        await outlast(lambda: hear_fleet(pool, outage), stop, "fleet")


async def hear_fleet(
    pool: asyncpg.Pool, outage: OutageThresholds = DEFAULT_THRESHOLDS
) -> FleetSilence | None:
    """See how much of the fleet is heard, and let its alert follow; None where somebody else is at it."""
    async with pool.acquire() as connection, connection.transaction():
        if not await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", LockSpace.FLEET_OUTAGE):
            return None
        return await _hear(connection, outage)


async def _hear(connection: Connection, outage: OutageThresholds) -> FleetSilence:
    row = await connection.fetchrow(ON_RECORD, SUBJECT)
    alert = None if row is None else alert_from_row(row)
    clock = await connection.fetchval("SELECT clock_timestamp()")
    now = to_instant(clock)
    on = alert is not None and alert.condition.holds
    before = alert.condition.since if alert is not None and on else now
    heard = await connection.fetchrow(HEAR, clock, to_datetime(before) - LONGEST, LONGEST, LANDING)
    assert heard is not None
    newest = None if heard["newest"] is None else to_instant(heard["newest"])
    hearing = FleetSilence(
        live=heard["live"], silent=heard["silent"], shipments=heard["shipments"], newest=newest
    )
    condition = fleet_condition(hearing, alert, now, outage)
    if condition is not None:
        steps = follow(alert, None, condition, now, lambda: str(uuid4()))
        await save_steps(connection, [(EventScope(), step) for step in steps], now)
    return hearing
