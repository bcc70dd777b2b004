"""The cost of one more reading, by the number of live shipments: a cycle of 200 due ones among them."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from statistics import median
from urllib.parse import urlsplit

import asyncpg
import orjson

from alerts.evaluation.judging.checkpoint import Checkpoint, fold_forward
from alerts.evaluation.loop import evaluate_due
from alerts.excursions.load_readings import ReadingRange, load_readings
from alerts.model import Window, to_instant
from alerts.rules.facts import Facts
from alerts.rules.registry import CHANNELS, tuned_rules
from api.bootstrap import spare_collections
from api.schema_upgrade import upgrade
from bench import fleet
from bench.support.ground import Ground
from bench.support.machine import cpu_s
from bench.support.report import BenchError, Measure, Result, Verdict, progress
from bench.support.traces import plan_of
from telemetry.ingest.pipeline import Ingest
from telemetry.model import RawMessage, Source

SIZES = (1_000, 10_000, 100_000)
DUE = 200
HISTORY = 10
"""Readings that each logger already has, a minute apart."""
ROUNDS, WARM_UP = 25, 5

_READINGS = """
INSERT INTO readings (device_id, measured_at, received_at, source, probe_ok, temperature_c, seq, boot, lat, lon, battery_pct)
SELECT id, $2::timestamptz + nth * interval '1 minute', now(), 'mqtt', true, $3 + nth % 3, nth, 1, 50.1, 8.6, 93
FROM generate_series(1, $4) AS nth, unnest($1::text[]) AS id
"""
_STATES = """
INSERT INTO evaluation_states (shipment_id, device_id, plan_revision, through, state)
SELECT 'S-' || id, id, 1, $2, $3 FROM unnest($1::text[]) AS id
"""
_DEADLINES = "UPDATE evaluations SET evaluated_at = now(), evaluate_at = now() + interval '25 minutes'"
_TABLES = "readings, devices, device_states, device_assignments, shipments, evaluations, evaluation_states"


@dataclass(slots=True, kw_only=True)
class Runs:
    """The costs of cycles, in seconds."""

    cpu: list[float] = field(default_factory=list)
    """Of this process and of the database's backend that serves it."""
    database: list[float] = field(default_factory=list)
    """Of the backend alone."""
    wall: list[float] = field(default_factory=list)


async def scale(ground: Ground) -> Result:
    """Measure cycles on a database for each size, in turn, so that a disturbance affects all alike."""
    async with AsyncExitStack() as stack:
        pools = {}
        for size in SIZES:
            progress(f"{size:,} shipments")
            pools[size] = await stack.enter_async_context(_live(ground, size))
        runs = await ground.patience.undisturbed(lambda: _rounds(pools))
    return Result(
        title=f"One more reading, in order, of each of {DUE} shipments, by how many are live",
        measures=[
            measure
            for size, of_size in runs.items()
            for measure in (
                Measure(what=f"{size:,} live: CPU a reading", unit="µs", runs=[_each(of_size.cpu)]),
                Measure(what="  of that in the database", unit="µs", runs=[_each(of_size.database)]),
                Measure(what="  elapsed, a reading", unit="µs", runs=[_each(of_size.wall)]),
            )
        ],
        verdicts=[
            Verdict(
                what=f"CPU at {size:,} live, to that at {SIZES[0]:,}",
                value=median(runs[size].cpu) / median(runs[SIZES[0]].cpu),
                target=1.2,
                at_most=True,
            )
            for size in SIZES[1:]
        ],
        notes=[f"medians of {ROUNDS} cycles each, the sizes in turn"],
    )


def _each(seconds: Sequence[float]) -> float:
    return median(seconds) / DUE * 1e6


@asynccontextmanager
async def _live(ground: Ground, size: int) -> AsyncIterator[asyncpg.Pool]:
    """Create a database with `size` shipments in transit, none of them due."""
    name = f"live_{size}"
    async with ground.connected() as connection:
        await connection.execute(f"CREATE DATABASE {name}")
    url = urlsplit(ground.servers.admin_url)._replace(path=f"/{name}").geturl()
    await asyncio.to_thread(lambda: asyncio.run(upgrade(url)))
    async with asyncpg.create_pool(url, min_size=1, max_size=1) as pool:
        async with pool.acquire() as connection:
            await _fill(connection, fleet.device_ids(size))
        yield pool


async def _fill(connection: asyncpg.Connection, loggers: Sequence[str]) -> None:
    began = datetime.now(UTC) - timedelta(minutes=HISTORY + 1)
    await fleet.ship(connection, loggers, began)
    await connection.execute(_READINGS, loggers, began, fleet.SAFE_C, HISTORY, timeout=600)
    instants = [began + timedelta(minutes=nth) for nth in range(1, HISTORY + 1)]
    facts = Facts(plan=plan_of(fleet.BAND), window=Window(departed_at=to_instant(began)))
    # What evaluation would have stored, with all that these readings carry: else the first reading of each
    # logger would cost more than others, and the more loggers there are, the more readings are first ones.
    [one] = await load_readings(
        connection, [ReadingRange(device_id=loggers[0], starting=to_instant(began))], CHANNELS
    )
    forward = fold_forward(facts, tuned_rules(facts.plan), Checkpoint(), one.trace, 0)
    stored = orjson.dumps(forward.checkpoint.to_json()).decode()
    await connection.execute(_STATES, loggers, instants[-1], stored)
    await connection.execute(_DEADLINES)
    for table in _TABLES.split(", "):
        await connection.execute(f"VACUUM (FREEZE, ANALYZE) {table}", timeout=600)
    await connection.execute("CHECKPOINT")


async def _rounds(pools: dict[int, asyncpg.Pool]) -> dict[int, Runs]:
    runs = {size: Runs() for size in pools}
    chance = random.Random(1)
    sent: dict[int, Counter[str]] = {size: Counter() for size in pools}
    spare_collections()  # as the service does
    for turn in range(WARM_UP + ROUNDS):
        for size, pool in pools.items():
            due = chance.sample(fleet.device_ids(size), DUE)
            sent[size].update(due)
            await _store(pool, {logger: HISTORY + sent[size][logger] for logger in due})
            await _cycle(pool, Runs() if turn < WARM_UP else runs[size])
    return runs


async def _store(pool: asyncpg.Pool, numbers: Mapping[str, int]) -> None:
    """Store a reading of each logger, with the given sequence number."""
    now, noise = datetime.now(UTC), random.Random(1)
    readings = {
        logger: fleet.reading(number, int(now.timestamp() * 1000), fleet.SAFE_C, noise)
        for logger, number in numbers.items()
    }
    await Ingest(pool).store(
        [
            RawMessage(Source.MQTT, fleet.topic(logger), orjson.dumps(one), now)
            for logger, one in readings.items()
        ]
    )


async def _cycle(pool: asyncpg.Pool, runs: Runs) -> None:
    """Evaluate the due shipments, and note the cost."""
    async with pool.acquire() as connection:
        pid = connection.get_server_pid()
    began, ours, theirs = time.perf_counter(), time.process_time(), cpu_s(pid)
    found = await evaluate_due(pool, DUE)
    ours, theirs = time.process_time() - ours, cpu_s(pid) - theirs
    runs.wall.append(time.perf_counter() - began)
    runs.database.append(theirs)
    runs.cpu.append(ours + theirs)
    if found != DUE:
        raise BenchError(f"{found} shipments were due, {DUE} should have been")
