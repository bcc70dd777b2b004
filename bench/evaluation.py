"""What evaluating costs: a cycle for one more reading of each of so many shipments, a late one, and the pure fold."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import asyncpg

from alerts.evaluate import evaluate_due
from alerts.excursion import evaluate
from alerts.model import Sample, Window, to_instant
from alerts.plan import Plan, make_plan
from bench import fleet
from bench.ground import Ground
from bench.report import BenchError, Measure, Result
from telemetry.ingest import Ingest
from telemetry.model import Message, Source

SIZES = (1, 100, 1000)
HISTORY = 100
"""Readings that each logger has already."""
LONG = 100_000
ROUNDS = 5


async def evaluation(ground: Ground) -> Result:
    """Measure the evaluation by itself, in this process, on the real database."""
    loggers = fleet.device_ids(max(SIZES))
    await ground.clear(loggers)
    began = datetime.now(UTC) - timedelta(hours=20)
    async with asyncpg.create_pool(ground.servers.database_url, min_size=2, max_size=2) as pool:
        await _give_history(pool, loggers, began)
        idle, cycles, late = await ground.patience.undisturbed(lambda: _cycles(pool, loggers))
    return Result(
        title="Evaluation: one more reading, in order, of each shipment; one logger a shipment",
        measures=[
            Measure(what="limit: a look at the database that finds nothing due", unit="ms", runs=idle),
            *(Measure(what=f"{size:,} shipments due", unit="ms", runs=runs) for size, runs in cycles.items()),
            Measure(what=f"one late reading, {HISTORY} readings folded again", unit="ms", runs=late),
            _fold("cryogenic", "pure fold from the start, no MKT", -185.0),
            _fold("refrigerated", "pure fold from the start, with MKT", 5.0),
        ],
    )


async def _cycles(
    pool: asyncpg.Pool, loggers: Sequence[str]
) -> tuple[list[float], dict[int, list[float]], list[float]]:
    """Give the milliseconds of looks that find nothing, of cycles by the shipments due, and of late readings."""
    idle = [await _cycle(pool, 0) for _ in range(ROUNDS)]
    cycles: dict[int, list[float]] = {size: [] for size in SIZES}
    late = []
    newest = await pool.fetchval("SELECT max(measured_at) FROM readings")
    for turn in range(ROUNDS):
        for size in SIZES:
            await _store(
                pool, loggers[:size], newest + timedelta(minutes=1 + turn, seconds=SIZES.index(size))
            )
            cycles[size].append(await _cycle(pool, size))
        oldest = await pool.fetchval("SELECT min(measured_at) FROM readings")
        await _store(pool, loggers[:1], oldest - timedelta(minutes=1))
        late.append(await _cycle(pool, 1))
    return idle, cycles, late


async def _give_history(pool: asyncpg.Pool, loggers: Sequence[str], began: datetime) -> None:
    messages = fleet.batches(loggers, len(loggers), HISTORY, after=began)
    async with pool.acquire() as connection:
        rows = list(fleet.rows(messages, datetime.now(UTC)))
        await connection.copy_records_to_table("readings", records=rows, columns=fleet.COLUMNS)
        await connection.execute(
            "INSERT INTO evaluation_marks (shipment_id) SELECT shipment_id FROM shipments"
        )
        await connection.execute("ANALYZE")
    await _cycle(pool, len(loggers))


async def _store(pool: asyncpg.Pool, loggers: Sequence[str], measured_after: datetime) -> None:
    now = datetime.now(UTC)
    messages = [
        Message(Source.MQTT, *message, now)
        for message in fleet.singles(loggers, len(loggers), after=measured_after)
    ]
    await Ingest(pool).store(messages)


async def _cycle(pool: asyncpg.Pool, due: int) -> float:
    """Evaluate until nothing is due; give the milliseconds, without the last look, which finds nothing."""
    began, found = time.perf_counter(), 0
    while True:
        some = await evaluate_due(pool)
        found += some
        took_ms = (time.perf_counter() - began) * 1000
        if found >= due:
            break
        if not some:
            raise BenchError(f"{found} shipments were due, {due} should have been")
    return took_ms


def _fold(band: str, what: str, celsius: float) -> Measure:
    """Fold a long trace that leaves the band now and then."""
    plan = make_plan(band, {})
    assert isinstance(plan, Plan)
    start = to_instant(datetime.now(UTC) - timedelta(days=30))
    second = 1_000_000
    samples = [
        Sample(start + place * 20 * second, celsius + (50 if place % 500 < 5 else 0) + place % 7 / 10)
        for place in range(LONG)
    ]
    window = Window(departed_at=start, delivered_at=None)
    runs = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        found = evaluate(plan, window, samples, samples[-1].at)
        runs.append(LONG / (time.perf_counter() - began))
    if len(found.excursions) != LONG // 500:
        raise BenchError(f"{len(found.excursions)} excursions were found in the trace")
    return Measure(what=what, unit="readings/s", runs=runs)
