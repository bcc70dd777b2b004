"""Callers with right keys that send slowly, at a real server: they hold as many connections as they may have, and no more."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from urllib.parse import urlsplit

import pytest

from api.http.rates import Gate
from api.rates.policy import Quotas
from tests.integration.api.conftest import Desk, Served, until

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
async def desk(make_desk, make_services) -> Desk:
    return await make_desk(make_services(gate=Gate(quotas=Quotas(open_calls=12, open_calls_of_key=5))))


class Slow:
    """Calls that announce a body and send a byte of it."""

    def __init__(self, served: Served) -> None:
        self._at = urlsplit(served.url)
        self.opened: list[Connection] = []
        self.statuses: Counter[int] = Counter()
        self._hearing: list[asyncio.Task[None]] = []

    async def call(self, key: str, call: str = "POST /v1/readings", source: str = "127.0.7.1") -> Connection:
        opened = await asyncio.open_connection(self._at.hostname, self._at.port, local_addr=(source, 0))
        opened[1].write(
            f"{call} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 60000\r\n"
            f"Authorization: Bearer {key}\r\n\r\n{{".encode()
        )
        self.opened.append(opened)
        return opened

    async def flood(self, keys: Sequence[str], each: int) -> None:
        for number in range(each * len(keys)):
            reader, _ = await self.call(keys[number % len(keys)], source=f"127.0.7.{1 + number % 9}")
            self._hearing.append(asyncio.create_task(self._hear(reader)))

    async def _hear(self, reader: asyncio.StreamReader) -> None:
        if head := await reader.read(12):
            self.statuses[int(head[9:])] += 1

    async def end(self) -> None:
        for _, writer in self.opened:
            writer.close()
        await asyncio.gather(*self._hearing, return_exceptions=True)


@pytest.fixture
async def slow(served: Served) -> AsyncIterator[Slow]:
    slow = Slow(served)
    yield slow
    await slow.end()


async def test_slow_bodies_take_what_their_organization_may_have_from_whatever_addresses_and_by_whatever_role(
    desk, served, slow
) -> None:
    await desk.device("L1")
    await desk.ship("S1", organization="acme")
    keys = [
        await desk.key("ops", organization="acme"),
        await desk.key("courier", organization="acme", shipment_ids=["S1"]),
        await desk.key("ops", organization="acme"),
    ]
    await slow.flood(keys, each=20)

    async def refused() -> bool:
        return slow.statuses[429] == 48

    await until(refused)
    assert slow.statuses == {429: 48}, "the others wait for their bodies"
    assert len(served.web._doors.places) <= 12 + 48, (
        "and only those that are being ended have a place besides"
    )
    other, _ = await slow.call(await desk.key("ops", organization="bcell"), "GET /v1/alerts")
    async with asyncio.timeout(5):
        assert await other.read(12) == b"HTTP/1.1 200", "a body that nothing is asked for is not waited for"
    for _, writer in slow.opened:
        writer.close()

    async def closed() -> bool:
        return not desk.services.gate._open

    await until(closed)


async def test_an_open_stream_is_no_open_call(desk, served, slow) -> None:
    viewer = await desk.key("viewer", organization="acme")
    for _ in range(6):
        reader, _ = await slow.call(viewer, "GET /v1/stream")
        async with asyncio.timeout(5):
            assert await reader.read(12) == b"HTTP/1.1 200"
    assert not desk.services.gate._open


async def test_connections_that_idle_are_no_open_calls(desk, served, slow) -> None:
    at = urlsplit(served.url)
    viewer = await desk.key("viewer", organization="acme")
    for _ in range(8):
        reader, writer = opened = await asyncio.open_connection(at.hostname, at.port)
        slow.opened.append(opened)
        writer.write(f"GET /v1/alerts HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {viewer}\r\n\r\n".encode())
        async with asyncio.timeout(5):
            assert await reader.read(12) == b"HTTP/1.1 200"
