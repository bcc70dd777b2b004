"""Detection delay: from publishing a reading above the limit to `excursion.opened` on an open stream.

The same run measures from publishing a reading to its committed row, without polling: each commit of ingest
notifies the evaluators, so a listener on that channel looks up the outstanding readings whenever one has
happened. A row counts from the arrival of the notification, so the look-up is not part of the delay.
"""

import asyncio
import contextlib
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import asyncpg
import httpx
import orjson

from bench import fleet
from bench.fleet import SAFE_C, WARM_C
from bench.support import consumers
from bench.support.consumers import Consumer
from bench.support.ground import Ground, LateError, Service, eventually
from bench.support.publisher import Message, Publisher
from bench.support.report import BenchError, Measure, Result, Verdict, percentile, progress
from telemetry.channels import NotifyChannel

LOGGERS = 200
RATE = 500.0
ROUNDS = 3
SECONDS, PEER_SECONDS, WARMUP_S = 12, 6, 3
CYCLE, WARM = 50, 5
"""Of every CYCLE readings of a logger, WARM in a row are above the limit: ten excursions open each second."""
SAMPLED = 10
"""One reading in this many is watched until its row is committed, and so is each that opens an excursion."""
_LEAD_S = 2.0
_LATE_S = 0.02
_PATIENCE_S = 10.0

Key = tuple[str, datetime]
"""Device id and measured_at."""

_THERE = """
SELECT device_id, measured_at FROM unnest($1::text[], $2::timestamptz[]) AS sent (device_id, measured_at)
JOIN readings USING (device_id, measured_at)
"""


@dataclass(slots=True, kw_only=True)
class Watch:
    """The watched readings, and when each was committed and opened an excursion, on the monotonic clock."""

    planned: Mapping[Key, float]
    """When each is to be published, in order of time."""
    opening: frozenset[Key]
    """Those that open an excursion."""
    committed: dict[Key, float] = field(default_factory=dict)
    opened: dict[Key, float] = field(default_factory=dict)

    def told(self) -> bool:
        return self.opened.keys() >= self.opening

    def complete(self) -> bool:
        return self.told() and self.committed.keys() >= self.planned.keys()


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Messages to publish at a steady rate, from `start_at` on the monotonic clock."""

    start_at: float
    messages: Sequence[Message]
    watch: Watch

    def delays(self, seen: Mapping[Key, float], keys: Iterable[Key], sent: Sequence[float]) -> list[float]:
        at = dict(zip((fleet.last_key(message) for message in self.messages), sent, strict=True))
        return [seen[key] - at[key] for key in keys if key in seen]


@dataclass(frozen=True, slots=True, kw_only=True)
class Delays:
    """The delays of one run, in seconds after publishing."""

    commit: Sequence[float]
    """Until the commit, of all watched readings."""
    opened: Sequence[float]
    after_commit: Sequence[float] = ()
    """Of the same excursions, in seconds after the commit."""
    told: str = ""


async def detection(ground: Ground) -> Result:
    """Measure at a steady rate, with all roles in one process, in turn with the peer."""
    ours, peers = [], []
    for turn in range(ROUNDS):
        ours.append(await ground.patience.undisturbed(lambda: _serve(ground)))
        peers.append(await ground.patience.undisturbed(lambda: _peer(ground)))
        progress(f"round {turn + 1} of {ROUNDS}: p99 {percentile(ours[-1].opened, 99) * 1000:.0f} ms")
    commit = [delay for one in ours for delay in one.commit]
    opened = [delay for one in ours for delay in one.opened]
    after = [delay for one in ours for delay in one.after_commit]
    return Result(
        title=f"Detection delay: {RATE:.0f} readings/s, {LOGGERS} loggers, all roles in one process, {len(opened)} excursions",
        measures=[
            *percentiles("limit: publish to committed row", commit),
            *percentiles("publish to excursion.opened on the stream", opened),
            *percentiles("of that, after the commit", after),
            *percentiles(
                "peer: plain ingester, compares on arrival", [delay for one in peers for delay in one.opened]
            ),
        ],
        verdicts=[
            Verdict(
                what="multiple of the limit, p99",
                value=percentile(opened, 99) / percentile(commit, 99),
                target=4,
                at_most=True,
            )
        ],
        notes=[
            f"the peer found {', '.join(one.told for one in peers)} within {_PATIENCE_S:.0f} s of the end"
        ],
    )


def percentiles(what: str, delays: Sequence[float]) -> list[Measure]:
    """Return p50, p99 and maximum of delays in seconds, as milliseconds."""
    parts = (("p50", percentile(delays, 50)), ("p99", percentile(delays, 99)), ("max", max(delays)))
    return [Measure(what=f"{what}, {name}", unit="ms", runs=[delay * 1000]) for name, delay in parts]


async def _serve(ground: Ground) -> Delays:
    await ground.clear(fleet.device_ids(LOGGERS))
    async with ground.serving() as service, ground.connected() as connection:
        with Publisher(ground.servers.mqtt_url) as publisher:
            load = plan(SECONDS + WARMUP_S, WARMUP_S)
            watch = load.watch
            async with following(service, watch), looking(connection, watch):
                sent = await _publish(publisher, load, watch.complete)
    if not watch.complete():
        raise BenchError(
            f"{len(watch.opening - watch.opened.keys())} excursions were not told, "
            f"{len(watch.planned.keys() - watch.committed.keys())} readings not found"
        )
    opened = load.delays(watch.opened, watch.opening, sent)
    committed = load.delays(watch.committed, watch.opening, sent)
    return Delays(
        commit=load.delays(watch.committed, watch.planned, sent),
        opened=opened,
        after_commit=[delay - before for delay, before in zip(opened, committed, strict=True)],
    )


async def _peer(ground: Ground) -> Delays:
    await ground.clear(fleet.device_ids(LOGGERS))
    servers = ground.servers
    account = servers.mqtt_url, servers.mqtt_version, servers.admin_url
    with Consumer(consumers.plain, (), *account), Publisher(servers.mqtt_url) as publisher:
        async with ground.connected() as connection:
            load = plan(PEER_SECONDS + WARMUP_S, WARMUP_S)
            watch = load.watch

            def hear(_c: object, _pid: int, _channel: str, told: object) -> None:
                device_id, epoch_ms = str(told).split()
                measured_at = datetime.fromtimestamp(int(epoch_ms) / 1000, UTC)
                watch.opened.setdefault((device_id, measured_at), time.monotonic())

            await connection.add_listener(consumers.PEER_CHANNEL, hear)
            sent = await _publish(publisher, load, watch.told)
    opened = load.delays(watch.opened, watch.opening, sent)
    return Delays(commit=(), opened=opened, told=f"{len(opened)} of {len(watch.opening)}")


def plan(seconds: float, skip_s: float, loggers: int = LOGGERS, rate: float = RATE) -> Load:
    """Return a steady stream of messages; those of the first `skip_s` seconds are not watched."""
    noise = random.Random(1)
    names = fleet.device_ids(loggers)
    offsets = [noise.randrange(CYCLE) for _ in names]
    start_at, clock = time.monotonic() + _LEAD_S, time.time() + _LEAD_S
    messages, planned, opening = [], {}, set()
    for place in range(int(seconds * rate)):
        nth, logger = divmod(place, loggers)
        warm_for = (nth + offsets[logger]) % CYCLE - (CYCLE - WARM)
        # A first cycle that would begin above the limit stays cool: every excursion is seen from its start.
        celsius = WARM_C if 0 <= warm_for <= nth else SAFE_C
        due_s = place / rate
        reading = fleet.reading(nth + 1, int((clock + due_s) * 1000), celsius, noise)
        messages.append(Message(fleet.topic(names[logger]), orjson.dumps(reading)))
        if due_s >= skip_s and (warm_for == 0 or place % SAMPLED == 0):
            planned[fleet.last_key(messages[-1])] = start_at + due_s
            if warm_for == 0:
                opening.add(fleet.last_key(messages[-1]))
    watch = Watch(planned=planned, opening=frozenset(opening))
    return Load(start_at=start_at, messages=messages, watch=watch)


async def _publish(publisher: Publisher, load: Load, complete: Callable[[], bool]) -> Sequence[float]:
    """Publish, wait a while until all watched readings are seen; return when each message was published."""
    publisher.load(load.messages)
    await asyncio.sleep(load.start_at - time.monotonic())
    publisher.start(RATE)
    await asyncio.sleep(len(load.messages) / RATE)

    async def seen() -> bool:
        return complete()

    with contextlib.suppress(LateError):
        await eventually(seen, "everything seen", _PATIENCE_S)
    sent = publisher.result()
    late = max(at - (sent.began + place / RATE) for place, at in enumerate(sent.at))
    if late > _LATE_S:
        progress(f"the publisher was up to {late * 1000:.0f} ms late")
    return sent.at


@contextlib.asynccontextmanager
async def following(service: Service, watch: Watch) -> AsyncIterator[None]:
    """Note when each excursion arrives on the stream, for as long as the block lasts."""
    connected = asyncio.Event()
    following = asyncio.create_task(_follow(service, watch, connected))
    try:
        async with asyncio.timeout(10):
            await connected.wait()
        yield
        if following.done():
            raise BenchError("the stream has ended")
    finally:
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await following


async def _follow(service: Service, watch: Watch, connected: asyncio.Event) -> None:
    wanted = {"types": "excursion.opened"}
    async with (
        httpx.AsyncClient(
            base_url=service.url, headers=service.headers, timeout=None, trust_env=False
        ) as client,
        client.stream("GET", "/v1/stream", params=wanted) as response,
    ):
        async for line in response.aiter_lines():
            now = time.monotonic()
            connected.set()
            if line.startswith("data:"):
                told = orjson.loads(line[5:])["data"]
                watch.opened[told["device_id"], datetime.fromisoformat(told["start"])] = now


@contextlib.asynccontextmanager
async def looking(connection: asyncpg.Connection, watch: Watch) -> AsyncIterator[None]:
    """Note when each watched row is committed, for as long as the block lasts."""
    heard: asyncio.Queue[float] = asyncio.Queue()
    await connection.add_listener(NotifyChannel.EVALUATION, lambda *_: heard.put_nowait(time.monotonic()))
    looking = asyncio.create_task(_look(connection, heard, watch))
    try:
        yield
    finally:
        looking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await looking


async def _look(connection: asyncpg.Connection, heard: "asyncio.Queue[float]", watch: Watch) -> None:
    ahead = deque(watch.planned.items())
    under_way: set[Key] = set()
    while True:
        at = await heard.get()
        while ahead and ahead[0][1] <= at:
            under_way.add(ahead.popleft()[0])
        if under_way:
            device_ids, instants = zip(*under_way, strict=True)
            found = {tuple(row) for row in await connection.fetch(_THERE, device_ids, instants)}
            watch.committed |= dict.fromkeys(found, at)
            under_way -= found
