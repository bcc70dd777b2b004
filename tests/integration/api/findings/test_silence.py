"""Who counts as silent in the fleet's statement and in the health of shipments is who is silent by the definition."""

import random
from datetime import datetime, timedelta
from typing import Any

import orjson

from alerts.evaluation.fleet_outage import HEAR
from alerts.evaluation.judging.outage import GRACE_S, SUBJECT
from alerts.excursions.plan import Plan, make_plan
from telemetry.freshness import MISSED_INTERVALS, fresh_for
from telemetry.silence import LANDING, LONGEST, announced_until, heard_until
from tests.integration.api.conftest import Desk

LOGGERS = 200
plan = make_plan("cryogenic", {})
assert isinstance(plan, Plan)
_LOGGERS = """
WITH sent AS (
    SELECT * FROM jsonb_to_recordset($1)
        AS r (id text, interval_s float8, measured_at timestamptz, flight_mode_until timestamptz, plan jsonb)
), a AS (
    INSERT INTO devices (device_id, interval_s) SELECT id, interval_s FROM sent
), b AS (
    INSERT INTO device_states (device_id, measured_at, flight_mode_until, probe_ok)
    SELECT id, measured_at, flight_mode_until, true FROM sent
), c AS (
    INSERT INTO shipments (shipment_id, band, plan, departed_at, created_at)
    SELECT id, 'cryogenic', plan, now() - interval '9 days', now() - interval '9 days' FROM sent
)
INSERT INTO device_assignments (device_id, shipment_id, starts_at)
SELECT id, id, now() - interval '9 days' FROM sent
"""
_OUTAGE = """
INSERT INTO alerts (id, subject, kind, severity, state, message, since, withdrawn, raised_at, details)
VALUES (gen_random_uuid(), $1, 'signal_lost', 'critical', 'firing', '', now(), false, now(), jsonb_build_object($2::text, 600))
"""


def sampled(chance: random.Random, now: datetime) -> list[dict[str, Any]]:
    """Loggers under way, none of them within half a minute of any bound."""
    rows = []
    for n in range(LOGGERS):
        seen = now - timedelta(minutes=chance.choice((1, 20, 29, 31, 59, 61, 200, 1300, 1450)), seconds=30)
        announced = seen + timedelta(minutes=chance.choice((-90, 0, 30, 59, 90, 600, 1500, 9000)))
        rows.append(
            {
                "id": f"L{n:03}",
                "interval_s": chance.choice((None, 60.0, 600.0, 3600.0)),
                "measured_at": seen,
                "flight_mode_until": chance.choice((None, announced)),
                "plan": plan.to_json()
                | {"max_gap_s": chance.choice((600, 1800, 7200)), "time_lapse": chance.choice((1, 1, 60))},
            }
        )
    return rows


def overdue(row: dict[str, Any], now: datetime) -> bool | None:
    """Whether the fleet misses it; None where it announced its silence, and is not counted."""
    excused = announced_until(
        row["measured_at"],
        row["flight_mode_until"],
        longest=LONGEST,
        landing=LANDING / row["plan"]["time_lapse"],
    )
    if excused is not None and excused > now:
        return None
    half = row["plan"]["max_gap_s"] / 2
    fresh_s = fresh_for(row["interval_s"], MISSED_INTERVALS, otherwise=half, at_most=half)
    return bool(row["measured_at"] + timedelta(seconds=fresh_s) < now)


def silent(row: dict[str, Any], now: datetime) -> bool:
    """Whether its shipment shows it."""
    fresh = timedelta(seconds=row["plan"]["max_gap_s"])
    return heard_until(row["measured_at"], fresh, row["flight_mode_until"]) < now


async def test_statements_count_as_silent_who_is_silent(desk: Desk, run_seed: int) -> None:
    now = await desk.pool.fetchval("SELECT clock_timestamp()")
    rows = sampled(random.Random(run_seed), now)
    await desk.pool.execute(_LOGGERS, orjson.dumps(rows).decode())

    heard = await desk.pool.fetchrow(HEAR, now, now - LONGEST, LONGEST, LANDING)
    counted = [overdue(row, now) for row in rows if row["measured_at"] > now - LONGEST]
    assert 0 < counted.count(True) < LOGGERS
    assert counted.count(None)
    assert (heard["live"], heard["silent"]) == (len(counted) - counted.count(None), counted.count(True))

    missed = [row["id"] for row in rows if silent(row, now)]
    assert 0 < len(missed) < LOGGERS
    ask = "/v1/shipments"
    assert await desk.items(ask, limit=LOGGERS, health="no_signal") == []  # nobody is held back
    await desk.pool.execute(_OUTAGE, SUBJECT, GRACE_S)
    shown = await desk.items(ask, limit=LOGGERS, health="no_signal")
    assert sorted(shipment["shipment_id"] for shipment in shown) == missed
