"""Readings per second from first publish to last committed row, at 1 and 100 readings per message."""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from bench import fleet
from bench.support import consumers
from bench.support.consumers import Consumer
from bench.support.ground import Ground, committed
from bench.support.publisher import Message, Publisher
from bench.support.report import Measure, Result, Verdict, progress

LOGGERS = 200
ROUNDS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """The messages of one run: some to warm up, and those that are measured."""

    warmup: Sequence[Message]
    messages: Sequence[Message]
    size: int
    """Readings per message."""

    @property
    def readings(self) -> int:
        return len(self.messages) * self.size

    def less(self, count: int) -> "Load":
        """Return the same load with fewer messages, for consumers that would take minutes."""
        return Load(warmup=self.warmup[:20], messages=self.messages[:count], size=self.size)


async def singles(ground: Ground) -> Result:
    """Measure one reading per message, against a consumer that does nothing."""
    load = Load(
        warmup=fleet.singles(fleet.device_ids(LOGGERS), 2_000, after=_ago(hours=40)),
        messages=fleet.singles(fleet.device_ids(LOGGERS), 40_000, after=_ago(hours=20)),
        size=1,
    )
    runs = await _alternate(
        ground,
        {
            "serve": lambda: _serve(ground, load),
            "empty": lambda: _consumer(ground, load, consumers.empty),
            "plain": lambda: _consumer(ground, load.less(2_000), consumers.plain, ground.servers.admin_url),
            "publisher": lambda: _publisher(ground, load),
        },
    )
    serve = Measure(
        what="dewarwatch serve --roles ingest, publish to commit", unit="readings/s", runs=runs["serve"]
    )
    limit = Measure(
        what="limit: empty paho consumer, same broker and messages", unit="readings/s", runs=runs["empty"]
    )
    peer = Measure(what="peer: plain ingester, a commit a message", unit="readings/s", runs=runs["plain"])
    publisher = Measure(
        what="the publisher, with nobody listening", unit="readings/s", runs=runs["publisher"]
    )
    return Result(
        title=f"Single readings: {load.readings:,} messages of {len(load.messages[0].payload)} bytes, QoS 1, {LOGGERS} loggers",
        measures=[serve, limit, peer, publisher],
        verdicts=[
            Verdict(what="part of the limit", value=serve.median / limit.median, target=0.5),
            Verdict(what="multiple of the peer", value=serve.median / peer.median, target=1),
        ],
    )


async def batches(ground: Ground) -> Result:
    """Measure a hundred readings per message, against COPY into the same table."""
    loggers, size = fleet.device_ids(LOGGERS), 100
    load = Load(
        warmup=fleet.batches(loggers, 20, size, after=_ago(hours=40)),
        messages=fleet.batches(loggers, 1_000, size, after=_ago(hours=20)),
        size=size,
    )
    runs = await _alternate(
        ground,
        {
            "serve": lambda: _serve(ground, load),
            "copy": lambda: _copy(ground, load, 10_000),
            "copy_small": lambda: _copy(ground, load, 1_000),
            "plain": lambda: _consumer(ground, load.less(100), consumers.plain, ground.servers.admin_url),
        },
    )
    serve = Measure(
        what="dewarwatch serve --roles ingest, publish to commit", unit="readings/s", runs=runs["serve"]
    )
    limit = Measure(
        what="limit: COPY into the same table, 10,000 rows at once", unit="readings/s", runs=runs["copy"]
    )
    small = Measure(what="COPY, 1,000 rows at once", unit="readings/s", runs=runs["copy_small"])
    peer = Measure(
        what="peer: plain ingester, a transaction a message", unit="readings/s", runs=runs["plain"]
    )
    return Result(
        title=f"Batches: {len(load.messages):,} messages of {size} readings, {len(load.messages[0].payload)} bytes, QoS 1, {LOGGERS} loggers",
        measures=[serve, limit, small, peer],
        verdicts=[
            Verdict(what="part of the limit", value=serve.median / limit.median, target=0.4),
            Verdict(what="part of COPY, 1,000 rows at once", value=serve.median / small.median, target=0.4),
            Verdict(what="multiple of the peer", value=serve.median / peer.median, target=1),
        ],
    )


async def _alternate(
    ground: Ground, contestants: dict[str, Callable[[], Awaitable[float]]]
) -> dict[str, list[float]]:
    """Run the contestants in turn, for several rounds, so that disturbances affect all alike."""
    runs: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(ROUNDS):
        for name, run in contestants.items():
            runs[name].append(await ground.patience.undisturbed(run))
            progress(f"round {turn + 1} of {ROUNDS}, {name}: {runs[name][-1]:,.0f} readings/s")
    return runs


async def _serve(ground: Ground, load: Load) -> float:
    await ground.clear(fleet.device_ids(LOGGERS))
    async with ground.serving("ingest"), ground.connected() as connection:
        with Publisher(ground.servers.mqtt_url) as publisher:
            stored = 0
            for messages in (load.warmup, load.messages):
                publisher.load(messages)
                publisher.start()
                stored += len(messages) * load.size
                ended = await committed(connection, fleet.last_key(messages[-1]), stored)
                began = publisher.result().began
            return load.readings / (ended - began)


async def _consumer(ground: Ground, load: Load, work: Callable[..., None], *arguments: str) -> float:
    await ground.clear(fleet.device_ids(LOGGERS))
    servers = ground.servers
    counts = [len(load.warmup), len(load.messages)]
    with (
        Consumer(work, counts, servers.mqtt_url, servers.mqtt_version, *arguments) as consumer,
        Publisher(servers.mqtt_url) as publisher,
    ):
        for messages in (load.warmup, load.messages):
            publisher.load(messages)
            publisher.start()
            ended = consumer.done()
            began = publisher.result().began
        return load.readings / (ended - began)


async def _publisher(ground: Ground, load: Load) -> float:
    await ground.clear(fleet.device_ids(LOGGERS))
    with Publisher(ground.servers.mqtt_url) as publisher:
        publisher.load(load.messages)
        publisher.start()
        sent = publisher.result()
        return load.readings / (sent.ended - sent.began)


async def _copy(ground: Ground, load: Load, at_once: int) -> float:
    """Return the rate of COPY from memory, one transaction per lot: the fastest way to fill this table."""
    await ground.clear(fleet.device_ids(LOGGERS))
    rows = list(fleet.rows(load.messages, datetime.now(UTC)))
    async with ground.connected() as connection:
        warmup = list(fleet.rows(load.warmup, datetime.now(UTC)))
        await connection.copy_records_to_table("readings", records=warmup, columns=fleet.COLUMNS)
        began = time.monotonic()
        for start in range(0, len(rows), at_once):
            lot = rows[start : start + at_once]
            await connection.copy_records_to_table("readings", records=lot, columns=fleet.COLUMNS)
        return load.readings / (time.monotonic() - began)


def _ago(*, hours: float) -> datetime:
    return datetime.now(UTC) - timedelta(hours=hours)
