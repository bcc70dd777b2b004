"""What only a real server shows: bodies in pieces, and what surrounds every answer."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from tests.integration.api.conftest import ADMIN_KEY, Desk, Served, problem

KEY = {"Authorization": f"Bearer {ADMIN_KEY}", "Content-Type": "application/json"}


async def pieces(total: int) -> AsyncIterator[bytes]:
    yield b'{"device_id": "'
    for _ in range(total // 65536):
        yield b"x" * 65536


@pytest.mark.parametrize("path", ["/v1/devices", "/v1/readings"])
async def test_long_bodies_are_refused_whether_announced_or_not(
    desk: Desk, served: Served, path: str
) -> None:
    limit = desk.services.body_limit
    async with httpx.AsyncClient(base_url=served.url, headers=KEY) as client:
        announced = await client.post(path, content=b"x" * (limit + 1))
        assert str(limit) in problem(announced, 413)["detail"]
        streamed = await client.post(path, content=pieces(10 * limit))
        problem(streamed, 413)
        assert (await client.get("/v1/devices")).status_code == 200


async def test_strangers_are_turned_away_before_their_body_is_read(served: Served) -> None:
    """The answer comes though the body never ends."""
    host, port = served.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"POST /v1/devices HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
    await writer.drain()
    async with asyncio.timeout(3):
        assert (await reader.readline()).startswith(b"HTTP/1.1 401")
    writer.close()
    await writer.wait_closed()


async def test_a_request_id_is_given_back(desk: Desk) -> None:
    given = await desk.admin.get("/livez", headers={"X-Request-ID": "my-id.1"})
    assert given.headers["x-request-id"] == "my-id.1"
    made = await desk.admin.get("/livez", headers={"X-Request-ID": "no spaces, please"})
    assert len(made.headers["x-request-id"]) == 16


async def test_answers_are_safe_for_browsers(desk: Desk) -> None:
    for path in ("/v1/shipments", "/nowhere", "/livez", "/docs", "/static/docs/docs.js"):
        headers = (await desk.admin.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]


async def test_unknown_addresses_and_methods_are_problems(desk: Desk) -> None:
    problem(await desk.admin.get("/v1/nothing"), 404)
    problem(await desk.admin.get("/static/nothing.js"), 404)
    problem(await desk.admin.get("/static/../app.py"), 404)
    wrong_method = await desk.admin.put("/v1/shipments")
    problem(wrong_method, 405)
    assert set(wrong_method.headers["allow"].split(", ")) == {"GET", "POST"}
