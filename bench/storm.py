"""A landing: hundreds of loggers upload a whole flight at once, while others go on sending single readings.

`serve` runs all roles in one process, the default. Measured are the time until the whole landing is stored
and evaluated, and the delay of live excursions to the stream meanwhile, compared with the delay before.
"""

import asyncio
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import asyncpg
import orjson

from bench import detection, fleet
from bench.detection import Key, Watch, following, looking, percentiles
from bench.support.ground import Ground, eventually
from bench.support.publisher import Message, Publisher
from bench.support.report import BenchError, Measure, Result, Verdict, percentile, progress

LIVE, RATE = 400, 1_000.0
LANDING, READINGS, SIZE = 500, 480, 40
"""Loggers that land, the readings that each has kept, and the readings per message."""
WARM_FROM, WARM_TO = 200, 210
"""Of each logger, these readings are above the limit: one excursion."""
OUT_OF_ORDER, TWICE = 4, 20
"""One logger in OUT_OF_ORDER sends its messages in any order; one message in TWICE comes again later."""
WARMUP_S, QUIET_S, STORM_S = 4, 15, 30
ROUNDS = 3
_WITHIN_S = 120.0

_STORED = """
SELECT coalesce(sum(upper(r) - lower(r)), 0) = $2 FROM logger_sequences, unnest(received) AS r WHERE device_id >= $1
"""
_JUDGED = "SELECT NOT EXISTS (SELECT FROM evaluation_marks WHERE shipment_id >= 'S-' || $1)"
_FOUND = "SELECT count(*) FROM excursions WHERE state = 'closed' AND device_id >= $1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The times of one storm, in seconds."""

    stored: float
    judged: float
    """From the first message until everything that landed was evaluated."""
    quiet: Sequence[float]
    during: Sequence[float]
    """The delays of live excursions during the storm, from publishing to the stream."""
    committed: Sequence[float]
    """The delays of the same readings until they were committed."""


async def storm(ground: Ground) -> Result:
    """Measure landings, each with its own fleet, and the time that COPY alone takes for the same rows."""
    runs, copies = [], []
    for turn in range(ROUNDS):
        runs.append(await ground.patience.undisturbed(lambda: _land(ground)))
        copies.append(await ground.patience.undisturbed(lambda: _copy(ground)))
        progress(f"round {turn + 1} of {ROUNDS}: judged after {runs[-1].judged:.1f} s")
    quiet = [delay for run in runs for delay in run.quiet]
    during = [delay for run in runs for delay in run.during]
    return Result(
        title=f"Storm: {LANDING} loggers land with {READINGS} readings each, over {RATE:,.0f} live readings/s",
        measures=[
            Measure(what="limit: COPY of the same rows, nothing else going on", unit="s", runs=copies),
            Measure(what="all of it stored", unit="s", runs=[run.stored for run in runs]),
            Measure(what="all of it judged", unit="s", runs=[run.judged for run in runs]),
            *percentiles("live excursions, quiet, publish to stream", quiet),
            *percentiles("live excursions, while it lasts", during),
            *percentiles("of that, until they are committed", [d for run in runs for d in run.committed]),
        ],
        verdicts=[
            Verdict(
                what="multiple of the quiet delay, p99",
                value=percentile(during, 99) / percentile(quiet, 99),
                target=3,
                at_most=True,
            )
        ],
        notes=[f"{len(quiet)} live excursions before, {len(during)} meanwhile; all roles in one process"],
    )


async def _land(ground: Ground) -> Run:
    loggers = fleet.device_ids(LIVE + LANDING)
    await ground.clear(loggers)
    landing = _landing(loggers[LIVE:])
    url = ground.servers.mqtt_url
    async with (
        ground.serving() as service,
        ground.connected() as connection,
        ground.connected() as asking,
    ):
        with Publisher(url) as steady, Publisher(url) as burst:
            burst.load(landing)
            load = detection.plan(WARMUP_S + QUIET_S + STORM_S, WARMUP_S, LIVE, RATE)
            async with following(service, load.watch), looking(connection, load.watch):
                steady.load(load.messages)
                await asyncio.sleep(load.start_at - time.monotonic())
                steady.start(RATE)
                await asyncio.sleep(WARMUP_S + QUIET_S)
                began = time.monotonic()
                burst.start()
                stored = await _when(asking, _STORED, loggers[LIVE], LANDING * READINGS)
                judged = await _when(asking, _JUDGED, loggers[LIVE])
                sent = await asyncio.to_thread(steady.result)
                at = dict(zip(map(fleet.last_key, load.messages), sent.at, strict=True))
                await eventually(lambda: _told(load.watch), "all live excursions on the stream")
        found = await asking.fetchval(_FOUND, loggers[LIVE])
        if found != LANDING:
            raise BenchError(f"{found} excursions were found in what landed, {LANDING} are in it")
    if judged > load.start_at + WARMUP_S + QUIET_S + STORM_S:
        raise BenchError(f"the live readings ended before the storm, which took {judged - began:.0f} s")
    return Run(
        stored=stored - began,
        judged=judged - began,
        quiet=_delays(load.watch, load.watch.opened, at, load.start_at, began - 1),
        during=_delays(load.watch, load.watch.opened, at, began, judged),
        committed=_delays(load.watch, load.watch.committed, at, began, judged),
    )


def _delays(
    watch: Watch, seen: Mapping[Key, float], at: Mapping[Key, float], since: float, until: float
) -> list[float]:
    return [seen[key] - at[key] for key in watch.opening if since <= at[key] < until and key in seen]


async def _told(watch: Watch) -> bool:
    return watch.told()


async def _when(connection: asyncpg.Connection, question: str, *arguments: object) -> float:
    """Return when the query's answer became true, on the monotonic clock."""

    async def asked() -> bool:
        return bool(await connection.fetchval(question, *arguments))

    await eventually(asked, "all that landed", _WITHIN_S)
    return time.monotonic()


def _landing(loggers: Sequence[str]) -> list[Message]:
    """Return the messages of the landing loggers, all loggers in turn."""
    noise = random.Random(2)
    began_ms = int((datetime.now(UTC) - timedelta(minutes=READINGS + 60)).timestamp() * 1000)
    kept = []
    for place, logger in enumerate(loggers):
        readings = [
            fleet.reading(
                nth,
                began_ms + nth * 60_000,
                fleet.WARM_C if WARM_FROM <= nth < WARM_TO else fleet.SAFE_C,
                noise,
            )
            for nth in range(1, READINGS + 1)
        ]
        parts = [readings[first : first + SIZE] for first in range(0, READINGS, SIZE)]
        if place % OUT_OF_ORDER == 0:
            noise.shuffle(parts)
        kept.append([Message(fleet.topic(logger), orjson.dumps(part)) for part in parts])
    in_turn = [message for messages in zip(*kept, strict=True) for message in messages]
    return in_turn + in_turn[::TWICE]


async def _copy(ground: Ground) -> float:
    """Return how long COPY takes for the same rows, in pieces of the best size."""
    loggers = fleet.device_ids(LANDING)
    await ground.clear(loggers)
    messages = _landing(loggers)[: LANDING * READINGS // SIZE]
    rows = list(fleet.rows(messages, datetime.now(UTC)))
    async with ground.connected() as connection:
        began = time.monotonic()
        for first in range(0, len(rows), 10_000):
            await connection.copy_records_to_table(
                "readings", records=rows[first : first + 10_000], columns=fleet.COLUMNS
            )
        return time.monotonic() - began
