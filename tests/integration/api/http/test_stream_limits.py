"""The event stream at its edges: filters, positions that are not kept, too many readers, and those who do not read."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from alerts.events.retention import look_after
from alerts.webhooks.fanout import fan_out
from api.http import event_hub
from api.http.event_hub import EventHub
from tests.integration.api.conftest import ADMIN_KEY, Desk, MakeDesk, MakeServices, Served, problem, until
from tests.integration.api.listening import Reader, reading, tell

pytestmark = pytest.mark.made_up_events

LONG = "x" * 20_000


async def next_events(reader: Reader, count: int) -> list[dict[str, Any]]:
    return [(await reader.event())["data"] for _ in range(count)]


async def test_filters_choose_what_comes_now_and_what_was_missed(desk: Desk, served: Served) -> None:
    async def everything() -> None:
        await tell(desk, "S1", "acme", type_="alert.firing", kind="tilted", severity="major")
        await tell(desk, "S1", "acme", type_="alert.firing", kind="shock", severity="critical")
        await tell(desk, "S2", "bcell", type_="alert.firing", kind="tilted", severity="critical")
        await tell(desk, "S2", "bcell", type_="excursion.opened", severity="major")
        await tell(desk, "S3", "bcell")

    expected: list[tuple[dict[str, Any], list[tuple[str, str | None]]]] = [
        ({"kind": "tilted"}, [("S1", "tilted"), ("S2", "tilted")]),
        ({"kind": ["tilted", "shock"], "organization": "acme"}, [("S1", "tilted"), ("S1", "shock")]),
        ({"min_severity": "critical"}, [("S1", "shock"), ("S2", "tilted"), ("S3", None)]),
        ({"organization": "bcell", "types": "excursion.opened"}, [("S2", None)]),
        ({"shipment_id": ["S1", "S3"], "min_severity": "critical"}, [("S1", "shock"), ("S3", None)]),
        ({"shipment_id": ["S1", "S3"], "min_severity": "major", "kind": "tilted"}, [("S1", "tilted")]),
    ]
    await desk.pool.execute("INSERT INTO organizations (slug) VALUES ('acme'), ('bcell')")
    async with contextlib.AsyncExitStack() as stack:
        live = [await stack.enter_async_context(reading(served, **asked)) for asked, _ in expected]
        await everything()
        await tell(desk, "end", None, type_="excursion.opened", kind="tilted")
        for reader, (asked, events) in zip(live, expected, strict=True):
            found = [(one["shipment_id"], one.get("kind")) for one in await next_events(reader, len(events))]
            assert found == events, asked
    for asked, events in expected:
        async with reading(served, after="0-0", **asked) as reader:
            found = [(one["shipment_id"], one.get("kind")) for one in await next_events(reader, len(events))]
            assert found == events, asked


async def test_a_wrong_filter_is_refused_and_says_what_would_be_right(desk: Desk) -> None:
    for asked, field, hint in [
        ({"type": "alert.firing"}, "type", "did you mean types?"),
        ({"types": "alert.fired"}, "types[0]", "did you mean alert.firing?"),
        ({"kind": "tilt"}, "kind[0]", "'tilted'"),
        ({"min_severity": "minor"}, "min_severity", "'critical'"),
        ({"organization": "Acme!"}, "organization", "slug"),
        ({"shipment_id": "no such/id"}, "shipment_id[0]", "1 to 64 letters"),
        ({"kind": "tilted", "types": "excursion.opened"}, "kind", "no event of alerts"),
    ]:
        found = problem(await desk.admin.get("/v1/stream", params=asked), 422)
        assert found["errors"][0]["field"] == field, found
        assert hint in found["detail"], found
    acme = await desk.caller("viewer", organization="acme")
    problem(await acme.get("/v1/stream", params={"organization": "bcell"}), 404)


async def test_who_resumes_where_nothing_is_kept_is_told(desk: Desk, served: Served) -> None:
    async with reading(served) as reader:
        before = reader.last_event_id
        await tell(desk, "S1")
        await tell(desk, "S2")
        await reader.event()
        first = reader.last_event_id
        await reader.event()
        second = reader.last_event_id
    await tell(desk, "S3")
    await desk.pool.execute(
        "UPDATE outbox SET created_at = now() - interval '31 days' WHERE shipment_id <> 'S3'"
    )
    await fan_out(desk.pool)
    assert await look_after(desk.pool, timedelta(days=30)) == 2
    for lost in (before, first):
        async with reading(served, after=lost, shipment_id="S3") as reader:
            told = await reader.event()
            assert told["type"] == "stream.reset"
            assert (told["data"]["reason"], told["data"]["last_event_id"]) == ("pruned", lost)
            here = reader.last_event_id
            assert await reader.ids(1) == ["S3"]
        async with reading(served, after=here) as again:  # it says so once
            assert await again.ids(1) == ["S3"]
    async with reading(served, after=second) as reader:
        assert await reader.ids(1) == ["S3"]
    assert await look_after(desk.pool, timedelta(days=30)) == 0


async def test_a_position_that_this_database_never_gave_goes_on_from_now_and_says_so(
    desk: Desk, served: Served
) -> None:
    await tell(desk, "S1")
    async with reading(served, after=f"{2**40}-7") as reader:
        told = await reader.event()
        assert (told["type"], told["data"]["reason"]) == ("stream.reset", "unknown_position")
        here = reader.last_event_id
        await tell(desk, "S2")
        assert await reader.ids(1) == ["S2"]
    async with reading(served, after=here) as reader:
        assert await reader.ids(1) == ["S2"]


async def test_a_database_that_goes_back_under_a_running_process_ends_its_streams(
    desk: Desk, served: Served
) -> None:
    """As when another server takes over that had not got the last events."""
    async with reading(served) as reader:
        await tell(desk, "S1")
        await tell(desk, "S2")
        assert await reader.ids(2) == ["S1", "S2"]
        here = reader.last_event_id
        await desk.pool.execute("DELETE FROM outbox WHERE shipment_id = 'S2'")
        await desk.pool.execute("SELECT setval('outbox_position', outbox_end())")
        for shipment_id in ("S3", "S4"):  # with the position of what is gone, and one after it
            await tell(desk, shipment_id)
        with pytest.raises(EOFError):
            await reader.event()
    async with reading(served, after=here) as reader:
        told = await reader.event()
        assert (told["type"], told["data"]["reason"]) == ("stream.reset", "unknown_position")
        await tell(desk, "S5")
        assert await reader.ids(1) == ["S5"]


async def test_a_position_ahead_of_this_process_gives_nothing_twice(desk: Desk, served: Served) -> None:
    """Another process has read further than this one, and the reader comes from there."""
    hub = desk.services.hub
    async with reading(served) as reader:
        before = hub._position
        await tell(desk, "S1")
        await reader.event()
        ahead = reader.last_event_id
        hub._position = before  # as if it had not read that yet
        async with reading(served, after=ahead) as other:
            await tell(desk, "S2")
            assert await other.ids(1) == ["S2"]


async def test_a_key_has_so_many_streams_and_no_more(
    make_desk: MakeDesk, make_services: MakeServices
) -> None:
    services = make_services()
    desk = await make_desk(make_services(hub=EventHub(services.ingest._pool, per_key=2)))
    hub = desk.services.hub
    viewer = await desk.caller("viewer", organization="acme")
    with hub.place(await desk.services.authenticator.principal(viewer.headers["authorization"])):
        with hub.place(await desk.services.authenticator.principal(viewer.headers["authorization"])):
            refused = await viewer.get("/v1/stream")
            assert "2 streams" in problem(refused, 429)["detail"]
            assert refused.headers["retry-after"] == "30"
            assert (
                hub.no_place_for(await desk.services.authenticator.principal(f"Bearer {ADMIN_KEY}")) is None
            )
        assert (
            hub.no_place_for(await desk.services.authenticator.principal(viewer.headers["authorization"]))
            is None
        )
    assert not hub._open


async def test_a_process_has_so_many_streams_and_no_more(
    desk: Desk, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_hub, "LISTENERS_AT_MOST", 1)
    async with reading(served):
        assert "1 streams" in problem(await desk.admin.get("/v1/stream"), 429)["detail"]

    async def free() -> bool:
        return not desk.services.hub._open

    await until(free)
    async with reading(served):
        pass


@asynccontextmanager
async def not_reading(served: Served, after: str | None = None) -> AsyncIterator[asyncio.StreamReader]:
    """A stream over a socket with small buffers of its own, of which nothing is read but that it has begun."""
    host, port = served.url.removeprefix("http://").split(":")
    bare = socket.socket()
    bare.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    bare.setblocking(False)
    await asyncio.get_running_loop().sock_connect(bare, (host, int(port)))
    lazy, writer = await asyncio.open_connection(sock=bare, limit=1024)
    resume = "" if after is None else f"Last-Event-ID: {after}\r\n"
    writer.write(
        f"GET /v1/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ADMIN_KEY}\r\n{resume}\r\n".encode()
    )
    await lazy.readuntil(b": here\n")
    try:
        yield lazy
    finally:
        writer.transport.abort()


async def ends(lazy: asyncio.StreamReader) -> bytes:
    """What still comes of a connection that is cut off."""
    read = bytearray()
    with contextlib.suppress(ConnectionResetError):
        while more := await asyncio.wait_for(lazy.read(65536), 10):
            read += more
    return bytes(read)


async def test_a_reader_that_does_not_read_is_cut_off_and_hurts_nobody(
    desk: Desk, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_hub, "QUEUE", 100)
    hub, cut_off = desk.services.hub, event_hub.CUT_OFF._value.get()
    async with reading(served) as reader, not_reading(served) as lazy:
        told, slowest = 0, 0.0
        while len(hub._listeners) == 2:
            assert told < 5000
            began = time.monotonic()
            await tell(desk, f"S{told}", times=50, long=LONG)
            assert await reader.ids(50) == [f"S{told}"] * 50  # at once, while the lazy one has nothing
            told, slowest = told + 50, max(slowest, time.monotonic() - began)
        assert slowest < 2
        assert event_hub.CUT_OFF._value.get() == cut_off + 1
        await tell(desk, "after")
        assert await reader.ids(1) == ["after"]
        assert len(await ends(lazy)) < told * len(LONG)
        assert list(hub._open.values()) == [1]


@pytest.mark.parametrize("resumes", [False, True])
async def test_a_reader_that_stops_to_read_is_cut_off_after_a_while(
    desk: Desk, served: Served, monkeypatch: pytest.MonkeyPatch, *, resumes: bool
) -> None:
    """Also where what waits for it would never be too much, or waits in the database."""
    monkeypatch.setattr("api.http.routes.stream.STALLED_S", 0.3)
    monkeypatch.setattr(event_hub, "QUEUE", 100_000)
    hub = desk.services.hub
    async with reading(served) as reader:
        here = reader.last_event_id
    if resumes:
        await tell(desk, "S1", times=1000, long=LONG)
    async with not_reading(served, here if resumes else None) as lazy:
        if not resumes:
            await tell(desk, "S1", times=1000, long=LONG)

        async def gone() -> bool:
            return not hub._open

        await until(gone)
        assert len(await ends(lazy)) < 1000 * len(LONG)
    assert not hub._listeners


async def test_who_is_cut_off_resumes_and_misses_nothing(
    desk: Desk, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_hub, "QUEUE", 100)
    hub, told, read = desk.services.hub, 0, b""
    async with not_reading(served) as lazy:
        while hub._listeners:
            for _ in range(50):
                await tell(desk, f"S{told}", long=LONG)
                told += 1
            await asyncio.sleep(0)
        read = await ends(lazy)
    whole = [frame.split(b"\n") for frame in read.split(b"\n\n")[:-1] if b"\ndata: " in frame]
    last = next((line for frame in reversed(whole) for line in frame if line.startswith(b"id: ")), b"id: 1-1")
    async with reading(served, after=last.removeprefix(b"id: ").decode()) as reader:
        rest = await reader.ids(told - len(whole))
    assert rest == [f"S{number}" for number in range(len(whole), told)]
