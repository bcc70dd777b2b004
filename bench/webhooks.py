"""Webhooks: how soon an event is sent, and how many deliveries a process makes, beside a bare client.

The receiver is a process of its own that does next to nothing. The limit is aiohttp's client in another
process. It posts the same bodies to the same receiver, with as many requests at a time and as many headers,
and reads the answers; it has no database, makes no signatures and validates nothing.
"""

import asyncio
import contextlib
import multiprocessing
import os
import re
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any, Self
from uuid import uuid4

import aiohttp
import asyncpg
import orjson
import uvloop

from alerts.events.write import WRITE_EVENTS
from alerts.webhooks.dispatch import DEFAULTS
from bench.support.ground import Ground, eventually
from bench.support.machine import cpu_s
from bench.support.report import BenchError, Measure, Result, Verdict, percentile, progress

ENDPOINTS, EVENTS, ROUNDS = 100, 200, 3
"""Endpoints and events of a round, in which each event goes to each endpoint; and the number of rounds."""
MANY, RATE, SECONDS = 1000, 50, 20
"""Endpoints, one of them dead; events per second, each for one of them; and for how many seconds."""
_TEXT = "x" * 600
"""Gives a body the size of an excursion's."""
_HEADERS = {
    "Content-Type": "application/json",
    "webhook-id": "123456-1234",
    "webhook-timestamp": "1764000000",
    "webhook-signature": "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=",
}
_LOOPBACK = "127.0.0.0/8"
_BACKLOG = 4096
"""All endpoints share one socket: with the usual backlog of 100, some connections would wait a second."""

Arrivals = list[tuple[int, float]]
"""The number of each event that came, and when, on the monotonic clock."""


class Endpoint(asyncio.Protocol):
    """One connection of the receiver: it answers 204, and nothing on the path of the dead endpoint."""

    _LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
    _NUMBER = re.compile(rb'"number":(\d+)')
    _ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"

    def __init__(self, arrivals: Arrivals) -> None:
        self._arrivals, self._rest = arrivals, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self._rest += data
        while (end := self._rest.find(b"\r\n\r\n")) >= 0:
            length = self._LENGTH.search(self._rest, 0, end)
            until = end + 4 + (int(length[1]) if length else 0)
            if len(self._rest) < until:
                return
            request, self._rest = self._rest[:until], self._rest[until:]
            if request.startswith(b"POST /dead "):
                return
            number = self._NUMBER.search(request, end)
            self._arrivals.append((int(number[1]) if number else -1, time.monotonic()))
            self._transport.write(self._ANSWER)


def _receive(pipe: Connection, protocol: Callable[[list[Any]], asyncio.BaseProtocol]) -> None:
    async def serve() -> None:
        arrivals: list[Any] = []
        server = await asyncio.get_running_loop().create_server(
            lambda: protocol(arrivals), "127.0.0.1", 0, backlog=_BACKLOG
        )
        pipe.send(server.sockets[0].getsockname()[1])

        def tell() -> None:
            """Answer questions from the pipe; never wait for one, which would delay arrivals."""
            while pipe.poll():
                what = pipe.recv()
                if what < 0:
                    arrivals.clear()
                pipe.send(len(arrivals) if what else list(arrivals))

        asyncio.get_running_loop().add_reader(pipe.fileno(), tell)
        os.set_blocking(pipe.fileno(), True)  # uvloop made it non-blocking, and answers are long
        await server.serve_forever()

    uvloop.run(serve())


class Receiver:
    """The receiver's process; `protocol` builds a connection's protocol from the list for its arrivals."""

    def __init__(self, protocol: Callable[[list[Any]], asyncio.BaseProtocol] = Endpoint) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_receive, args=(theirs, protocol), daemon=True)

    def __enter__(self) -> Self:
        self._process.start()
        self.port = self._pipe.recv()
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.join()

    def clear(self) -> None:
        self._ask(-1)

    def count(self) -> int:
        return int(self._ask(1))

    def arrivals(self) -> list[Any]:
        found: list[Any] = self._ask(0)
        return found

    async def until(self, count: int, within_s: float = 120.0) -> list[Any]:
        """Wait until `count` requests have arrived, and return their arrivals."""

        async def there() -> bool:
            return self.count() >= count

        await eventually(there, f"{count} requests at the receiver", within_s)
        return self.arrivals()

    def _ask(self, what: int) -> Any:
        self._pipe.send(what)
        return self._pipe.recv()


def _post(pipe: Connection, url: str, count: int, body: bytes) -> None:
    """Run the limit: an aiohttp session that posts the same body repeatedly, as many at a time as we do."""

    async def post() -> None:
        left = count

        async def one_after_the_other(session: aiohttp.ClientSession) -> None:
            nonlocal left
            while left > 0:
                left -= 1
                async with session.post(url, data=body, headers=_HEADERS) as response:
                    await response.read()

        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as session, asyncio.TaskGroup() as group:
            for _ in range(DEFAULTS.in_flight):
                group.create_task(one_after_the_other(session))

    pipe.recv()
    began, ran = time.monotonic(), time.process_time()
    uvloop.run(post())
    pipe.send((time.monotonic() - began, time.process_time() - ran))


async def webhooks(ground: Ground) -> Result:
    """Measure deliveries and delays, in turn with the limit."""
    with Receiver() as receiver:
        ours, theirs, cpu, their_cpu, two = [], [], [], [], []
        for _ in range(ROUNDS):
            limit, their_busy = await asyncio.to_thread(_limit, receiver)
            theirs.append(limit)
            their_cpu.append(their_busy)
            rate, busy = await _deliveries(ground, receiver)
            ours.append(rate)
            cpu.append(busy)
            two.append((await _deliveries(ground, receiver, processes=2))[0])
        delays, all_of_them = await _delays(ground, receiver)
    return Result(
        title=f"Webhooks: {ENDPOINTS * EVENTS:,} deliveries to {ENDPOINTS} endpoints; {MANY} endpoints, one of them dead",
        measures=[
            Measure(what="deliveries, one process", unit="/s", runs=ours),
            Measure(what="deliveries, two processes", unit="/s", runs=two),
            Measure(what="limit: bare aiohttp client, same receiver", unit="/s", runs=theirs),
            Measure(what="CPU of the process for each delivery", unit="µs", runs=cpu),
            Measure(what="CPU of the bare client for each request", unit="µs", runs=their_cpu),
            *percentiles(f"event committed to first attempt, {RATE} events/s", delays),
            *percentiles(f"one event for all {MANY}, committed to first attempt", all_of_them),
        ],
        verdicts=[
            Verdict(
                what="deliveries to the limit",
                value=Measure(what="", unit="", runs=ours).median
                / Measure(what="", unit="", runs=theirs).median,
                target=0.8,
            )
        ],
    )


def percentiles(what: str, delays: Sequence[float]) -> list[Measure]:
    return [
        Measure(what=f"{what}, p{percent}", unit="ms", runs=[percentile(delays, percent) * 1000])
        for percent in (50, 99)
    ]


def _limit(receiver: Receiver) -> tuple[float, float]:
    """Return requests/s, and the client's CPU time per request in µs."""
    receiver.clear()
    progress("the bare client")
    body = orjson.dumps(
        {"type": "alert.firing", "timestamp": "2026-11-21T08:30:00.012000Z", "data": _data(7)}
    )
    context = multiprocessing.get_context("spawn")
    pipe, theirs = context.Pipe()
    process = context.Process(target=_post, args=(theirs, receiver.url, ENDPOINTS * EVENTS, body))
    process.start()
    pipe.send("go")
    took_s, busy_s = pipe.recv()
    process.join()
    count, rate = ENDPOINTS * EVENTS, _rate(receiver.arrivals())
    # Both processes measure the same rate: if they disagree, the receiver stalled, and its times are useless.
    if not 0.7 < rate * took_s / count < 1.5:
        raise BenchError(f"the receiver saw {rate:,.0f} requests/s, the client sent {count / took_s:,.0f}")
    return rate, busy_s / count * 1e6


async def _deliveries(ground: Ground, receiver: Receiver, processes: int = 1) -> tuple[float, float]:
    """Return deliveries/s, and the processes' CPU time per delivery in µs; all events are written at once."""
    await ground.clear([])
    receiver.clear()
    count = ENDPOINTS * EVENTS
    async with ground.connected() as connection:
        for number in range(ENDPOINTS):
            await _endpoint(connection, f"{receiver.url}/{number}")
        progress(f"{count} deliveries by {processes}")
        async with contextlib.AsyncExitStack() as running:
            begun = {}
            for _ in range(processes):
                service = await running.enter_async_context(
                    ground.serving("deliver", WEBHOOK_ALLOW_NETWORKS=_LOOPBACK)
                )
                begun[service.pid] = cpu_s(service.pid)
            await _tell(connection, [(number, None) for number in range(EVENTS)])
            arrivals = await receiver.until(count)
            done = "SELECT count(*) = $1 FROM webhook_deliveries WHERE state = 'delivered'"
            await eventually(lambda: connection.fetchval(done, count), "all is recorded")
            busy = sum(cpu_s(pid) - began for pid, began in begun.items())
    if len(arrivals) != count:
        raise BenchError(f"{len(arrivals)} requests for {count} deliveries")
    return _rate(arrivals), busy / count * 1e6


def _rate(arrivals: Arrivals) -> float:
    """Return requests/s over all but the first twentieth, in which connections and caches warm up."""
    at = sorted(when for _, when in arrivals)[len(arrivals) // 20 :]
    return (len(at) - 1) / (at[-1] - at[0])


async def _delays(ground: Ground, receiver: Receiver) -> tuple[list[float], list[float]]:
    """Return the delays of events for one endpoint each, with one endpoint dead, and of one event for all."""
    await ground.clear([])
    receiver.clear()
    total = RATE * SECONDS
    async with ground.connected() as connection:
        for number in range(MANY):
            path = "dead" if number == 0 else number
            await connection.execute("INSERT INTO organizations (slug) VALUES ($1)", f"o{number}")
            await _endpoint(connection, f"{receiver.url}/{path}", f"o{number}")
        async with ground.serving("deliver", WEBHOOK_ALLOW_NETWORKS=_LOOPBACK):
            await _tell(connection, [(-1, "o0")] * 100)  # a backlog of the dead endpoint
            progress(f"{RATE} events/s for {SECONDS} s")
            committed: dict[int, float] = {}
            began = time.monotonic() + 2.0
            for number in range(total):
                await asyncio.sleep(max(0.0, began + number / RATE - time.monotonic()))
                await _tell(connection, [(number, f"o{1 + number * 7 % (MANY - 1)}")])
                committed[number] = time.monotonic()
            one = await receiver.until(total)
            delays = [at - committed[number] for number, at in one]
            await connection.execute("UPDATE webhooks SET organization = NULL")
            receiver.clear()
            await _tell(connection, [(total, None)])
            at_commit = time.monotonic()
            every = await receiver.until(MANY - 1)
    return delays, [at - at_commit for _, at in every]


async def _endpoint(connection: asyncpg.Connection, url: str, organization: str | None = None) -> None:
    await connection.execute(
        "INSERT INTO webhooks (id, organization, url, secret, created_by) VALUES ($1, $2, $3, $4, 'bench')",
        uuid4(),
        organization,
        url,
        b"s" * 32,
    )


async def _tell(connection: asyncpg.Connection, events: Sequence[tuple[int, str | None]]) -> None:
    rows = [
        {
            "type": "alert.firing",
            "shipment_id": f"S{number % 100}",
            "organization": organization,
            "data": _data(number),
        }
        for number, organization in events
    ]
    await connection.execute(WRITE_EVENTS, orjson.dumps(rows).decode())


def _data(number: int) -> dict[str, Any]:
    return {"number": abs(number), "severity": "critical", "message": _TEXT}
