"""The stream: how many events/s reach 1, 100 and 1,000 readers, and how late; one more reader reads nothing.

The readers are a process of their own that only looks for event numbers in what it receives. They share the
processor with service and database, so at the rates reached the service is not the only one at work.
"""

import asyncio
import multiprocessing
import os
import re
import socket
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import asyncpg
import httpx
import orjson
import uvloop

from alerts.events.write import WRITE_EVENTS
from bench.support.ground import Ground, Service, eventually
from bench.support.machine import cpu_s
from bench.support.report import Measure, Result, percentile, progress

BURSTS = {1: 10_000, 100: 7_000, 1000: 300}
"""Events in a burst, whose rate is measured, by the number of readers."""
DELIVERED_PER_S, SECONDS = 2000, 8.0
"""For delays: events times readers per second, evenly spread; for how long; the most events per second."""
EVENTS_PER_S_AT_MOST = 100
AHEAD = 400
_TEXT = "x" * 600
_NUMBER = re.compile(rb'"number":(\d+),')

Arrivals = list[tuple[int, float]]


class Reader(asyncio.Protocol):
    """One reader, which notes the number of each event and when it came."""

    def __init__(self, request: bytes, arrivals: Arrivals, begun: list[None]) -> None:
        self._request, self._arrivals, self._begun, self._rest = request, arrivals, begun, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.write(self._request)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        at, self._rest = time.monotonic(), self._rest + data
        end = self._rest.rfind(b"\n\n")
        if end < 0:
            return
        whole, self._rest = self._rest[:end], self._rest[end:]
        if b": here" in whole:
            self._begun.append(None)
        self._arrivals.extend((int(found[1]), at) for found in _NUMBER.finditer(whole))


def _read(pipe: Connection, port: int, request: bytes, count: int) -> None:
    async def follow() -> None:
        arrivals: Arrivals = []
        begun: list[None] = []
        loop = asyncio.get_running_loop()
        for _ in range(count):
            await loop.create_connection(lambda: Reader(request, arrivals, begun), "127.0.0.1", port)
        asked = asyncio.Event()
        loop.add_reader(pipe.fileno(), asked.set)
        while True:
            await asked.wait()
            asked.clear()
            while pipe.poll():
                what = pipe.recv()
                os.set_blocking(pipe.fileno(), True)  # uvloop made it non-blocking, and answers are long
                pipe.send({"begun": len(begun), "count": len(arrivals), "arrivals": arrivals}[what])
                if what == "arrivals":
                    arrivals.clear()

    uvloop.run(follow())


class Readers:
    """A process with `count` readers, and one connection of ours that does not read."""

    def __init__(self, service: Service, count: int) -> None:
        self.count = count
        parts = urlsplit(service.url)
        assert parts.port
        request = (
            f"GET /v1/stream HTTP/1.1\r\nHost: x\r\nAuthorization: {service.headers['Authorization']}\r\n\r\n"
        ).encode()
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_read, args=(theirs, parts.port, request, count), daemon=True)
        self._lazy = socket.socket()
        self._lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._lazy.connect(("127.0.0.1", parts.port))
        self._lazy.sendall(request)

    async def __aenter__(self) -> Self:
        self._process.start()

        async def all_have_begun() -> bool:
            return self.ask("begun") >= self.count

        await eventually(all_have_begun, f"{self.count} readers have begun")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.join()
        self._lazy.close()

    def ask(self, what: str) -> Any:
        self._pipe.send(what)
        return self._pipe.recv()

    async def near(self, told: int) -> None:
        """Wait until the readers together are no more than some hundred events behind."""

        async def there() -> bool:
            return bool(told - self.ask("count") / self.count <= AHEAD)

        await eventually(there, f"{self.count} readers near {told}")

    async def arrivals(self, total: int) -> Arrivals:
        """Wait until `total` events have arrived, and return their arrivals."""

        async def there() -> bool:
            return bool(self.ask("count") >= total)

        await eventually(there, f"{total} events at {self.count} readers", 120)
        found: Arrivals = self.ask("arrivals")
        return found


async def streaming(ground: Ground) -> Result:
    """Measure bursts and delays for each number of readers, and the memory of a reader."""
    measures: list[Measure] = []
    memory: dict[int, float] = {}
    cut_off = 0
    for count in BURSTS:
        await ground.clear([])
        async with (
            ground.connected() as connection,
            ground.serving("api", STREAMS_PER_KEY="2000") as service,
        ):
            idle = _resident_mib(service.pid)
            async with Readers(service, count) as readers:
                memory[count] = _resident_mib(service.pid) - idle
                progress(f"{count} readers")
                measures += await _delays(connection, readers)
                measures += await _burst(connection, readers, service)
                memory[count] = max(memory[count], _resident_mib(service.pid) - idle)
                cut_off += await _cut_off(service)
    most = max(BURSTS)
    return Result(
        title="The stream: 1, 100 and 1,000 readers, and one that does not read",
        measures=[
            *measures,
            Measure(
                what=f"memory of the service for a reader, of {most}",
                unit="kB",
                runs=[memory[most] * 1024 / most],
            ),
            Measure(
                what=f"readers that did not read and were cut off, of {len(BURSTS)}", unit="", runs=[cut_off]
            ),
        ],
    )


async def _delays(connection: asyncpg.Connection, readers: Readers) -> Sequence[Measure]:
    rate = min(DELIVERED_PER_S / readers.count, EVENTS_PER_S_AT_MOST)
    events, committed = int(rate * SECONDS), {}
    began = time.monotonic() + 0.5
    for number in range(events):
        await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
        await _tell(connection, [number])
        committed[number] = time.monotonic()
    delays = [
        max(0.0, at - committed[number]) * 1000
        for number, at in await readers.arrivals(events * readers.count)
    ]
    what = f"{readers.count} readers, {rate:g} events/s: committed to read"
    return [Measure(what=f"{what}, p{p}", unit="ms", runs=[percentile(delays, p)]) for p in (50, 99)]


async def _burst(connection: asyncpg.Connection, readers: Readers, service: Service) -> Sequence[Measure]:
    """Write events in transactions of 50, as fast as they are read, so that no reader is cut off."""
    events = BURSTS[readers.count]
    began, busy = time.monotonic(), cpu_s(service.pid)
    for number in range(0, events, 50):
        await _tell(connection, range(number, number + 50))
        await readers.near(number + 50)
    found = await readers.arrivals(events * readers.count)
    took, busy = max(at for _, at in found) - began, cpu_s(service.pid) - busy
    return [
        Measure(what=f"{readers.count} readers, burst of {events}: events", unit="/s", runs=[events / took]),
        Measure(
            what=f"{readers.count} readers, burst: events times readers", unit="/s", runs=[len(found) / took]
        ),
        Measure(
            what=f"{readers.count} readers, burst: CPU for an event and reader",
            unit="µs",
            runs=[busy / len(found) * 1e6],
        ),
    ]


async def _tell(connection: asyncpg.Connection, numbers: Sequence[int]) -> None:
    rows = [
        {
            "type": "alert.firing",
            "shipment_id": f"S{number % 100}",
            "organization": None,
            "data": {"number": number, "severity": "critical", "message": _TEXT},
        }
        for number in numbers
    ]
    await connection.execute(WRITE_EVENTS, orjson.dumps(rows).decode())


def _resident_mib(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096 / 2**20


async def _cut_off(service: Service) -> int:
    """Return how many readers the service has cut off; the kernel buffers megabytes for one before that."""
    async with httpx.AsyncClient(trust_env=False) as client:
        text = (await client.get(f"{service.url}/metrics")).text
    found = re.search(r"^dewarwatch_stream_cut_off_total (\S+)$", text, re.MULTILINE)
    assert found
    return int(float(found[1]))
