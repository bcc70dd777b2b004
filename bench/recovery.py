"""How long it takes to evaluate everything again after all folded state was lost, and how that grows."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from statistics import median

import asyncpg

from alerts.evaluation.loop import evaluate_due
from bench import fleet
from bench.support.ground import Ground
from bench.support.report import BenchError, Measure, Result, Verdict, progress

SIZES = (100, 300, 1_000)
READINGS = 5_000
"""Readings of each shipment, a minute apart."""
EXCURSION_EVERY, EXCURSION_LENGTH = 1_000, 5
UPLOAD = 60
"""Readings of a logger that arrived together, and so are adjacent in the table."""
ROUNDS = 3

_READINGS = """
INSERT INTO readings (
    device_id, measured_at, received_at, source, probe_ok, temperature_c, seq, boot, lat, lon, battery_pct, ambient_c)
SELECT id, $2::timestamptz + nth * interval '1 minute',
    least(now(), $2::timestamptz + last * interval '1 minute'), 'mqtt', true,
    $3::float8 + round(random() * 200) / 100 + CASE WHEN (nth + place * 7) % $6::int < $7::int THEN 45 ELSE 0 END,
    nth, 1, 48 + random(), 8 + random(), 93.5, 21.5
FROM generate_series($4::int, $5::int + $4 - 1, $4) AS last, unnest($1::text[]) WITH ORDINALITY AS logger(id, place),
    generate_series(last - $4 + 1, least(last, $5)) AS nth
"""
_LOSE = "TRUNCATE evaluation_states, evaluation_safe_points"
_MARK = "INSERT INTO evaluation_marks (shipment_id) SELECT 'S-' || unnest($1::text[])"
_SAME_COLUMNS = "device_id, measured_at, temperature_c, probe_ok, received_at, flight_mode_until"


async def recovery(ground: Ground) -> Result:
    """Measure on one database with all shipments, of which some are evaluated again."""
    loggers = fleet.device_ids(max(SIZES))
    await ground.clear(())
    async with asyncpg.create_pool(ground.servers.admin_url, min_size=1, max_size=1) as pool:
        await _fill(pool, loggers)
        runs: dict[int, list[float]] = {size: [] for size in SIZES}
        copied: list[float] = []
        for turn in range(ROUNDS):
            for size in SIZES:
                runs[size].append(await ground.patience.undisturbed(partial(_rebuild, pool, loggers[:size])))
            copied.append(await ground.patience.undisturbed(lambda: _copy(pool)))
            progress(f"round {turn + 1} of {ROUNDS}: {runs[SIZES[-1]][-1]:.1f} s for {SIZES[-1]:,} shipments")
        await _check(pool, len(loggers))
    rates = {size: [size * READINGS / took for took in of_size] for size, of_size in runs.items()}
    limit = [SIZES[-1] * READINGS / took for took in copied]
    return Result(
        title=f"Recovery: all state lost, {READINGS:,} readings a shipment",
        measures=[
            Measure(what="limit: COPY of the same columns, by logger", unit="readings/s", runs=limit),
            *(Measure(what=f"{size:,} shipments judged again", unit="s", runs=runs[size]) for size in SIZES),
            *(Measure(what="  readings/s", unit="readings/s", runs=of_size) for of_size in rates.values()),
        ],
        verdicts=[
            Verdict(
                what=f"time a reading with {SIZES[-1]:,} shipments, to that with {SIZES[0]:,}",
                value=median(rates[SIZES[0]]) / median(rates[SIZES[-1]]),
                target=1.2,
                at_most=True,
            ),
        ],
    )


async def _fill(pool: asyncpg.Pool, loggers: Sequence[str]) -> None:
    began = datetime.now(UTC) - timedelta(minutes=READINGS + 1)
    warm = EXCURSION_EVERY, EXCURSION_LENGTH
    progress(f"{len(loggers) * READINGS:,} readings")
    async with pool.acquire() as connection:
        await fleet.ship(connection, loggers, began)
        await connection.execute(
            _READINGS, loggers, began, fleet.SAFE_C, UPLOAD, READINGS, *warm, timeout=600
        )
        await connection.execute("VACUUM ANALYZE", timeout=600)
        await connection.execute("CHECKPOINT")
    await _rebuild(pool, loggers)  # the excursions recorded now are found again each time


async def _rebuild(pool: asyncpg.Pool, loggers: Sequence[str]) -> float:
    """Delete the state, mark the shipments, and return how long it takes until none of them is due."""
    await pool.execute(_LOSE)
    await pool.execute(_MARK, loggers)
    began, found = time.perf_counter(), 0
    while found < len(loggers):
        if not (some := await evaluate_due(pool)):
            raise BenchError(f"{found} shipments were due, {len(loggers)} should have been")
        found += some
    return time.perf_counter() - began


async def _copy(pool: asyncpg.Pool) -> float:
    """Return how long the database takes to COPY out the same columns, in the order of the fold."""
    received = 0

    async def receive(data: bytes) -> None:
        nonlocal received
        received += len(data)

    began = time.perf_counter()
    async with pool.acquire() as connection:
        query = f"SELECT {_SAME_COLUMNS} FROM readings ORDER BY device_id, measured_at"
        await connection.copy_from_query(query, output=receive, format="binary", timeout=600)
    took = time.perf_counter() - began
    if received < SIZES[-1] * READINGS:
        raise BenchError(f"only {received} bytes were copied")
    return took


async def _check(pool: asyncpg.Pool, shipments: int) -> None:
    """Raise BenchError unless the recorded excursions are those that were put in."""
    found = await pool.fetchval("SELECT count(*) FROM excursions WHERE state IN ('open', 'closed')")
    least = shipments * (READINGS // EXCURSION_EVERY)
    if not least <= found <= least + shipments:
        raise BenchError(f"{found} excursions are on record, {least} or a few more should be")
