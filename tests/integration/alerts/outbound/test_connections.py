"""Connections over real sockets: when one is used again, what is done where it is gone, and when it is given up."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_network

import pytest
from structlog.testing import capture_logs

from alerts import metrics
from alerts.outbound import idle_connections
from alerts.outbound.connection import CLOSED
from alerts.outbound.post import Poster
from alerts.outbound.resolve import Targets
from tests.integration.alerts.webhooks.conftest import Hooks

LOOPBACK = ip_network("127.0.0.0/8")
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
LATE = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
END = None
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Server:
    """Gives each connection its own script: an answer for each request, END closes without one."""

    scripts: deque[Sequence[bytes | None]]
    requests: list[list[bytes]] = field(default_factory=list)
    """By connection."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        mine: list[bytes] = []
        self.requests.append(mine)
        script = self.scripts.popleft() if len(self.scripts) > 1 else self.scripts[0]
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            for answer in script:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                mine.append(head + await reader.readexactly(length))
                if answer is END:
                    break
                writer.write(answer)
                await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def listening(handler: Handler) -> AsyncIterator[int]:
    """Gives the port; at the end, waits until all connections are over."""
    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        await handler(reader, writer)
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
    await asyncio.wait_for(asyncio.gather(*serving), 10)


def poster(
    time_limit_s: float = 5, lookup: Callable[[str], Awaitable[Sequence[str]]] | None = None
) -> Poster:
    return Poster(Targets([LOOPBACK], lookup) if lookup else Targets([LOOPBACK]), time_limit_s)


def lost() -> float:
    return metrics.WEBHOOK_CONNECTIONS_LOST._value.get()


@pytest.mark.parametrize("ending", [END, LATE])
async def test_a_kept_connection_that_is_closed_as_it_is_used_costs_no_attempt(ending: bytes | None) -> None:
    server, before = Server(deque([[OK, ending], [OK]])), lost()
    with capture_logs() as logs:
        async with listening(server.serve) as port, poster() as post:
            url = f"http://127.0.0.1:{port}/"
            answers = [await post.post(url, b'{"n":%d}' % n, {"webhook-id": str(n)}) for n in range(2)]
    assert [(answer.status, answer.error) for answer in answers] == [(200, None)] * 2
    assert [len(of_one) for of_one in server.requests] == [2, 1]
    assert server.requests[0][1] == server.requests[1][0]  # the same message, to the byte
    assert lost() - before == 1
    assert [log["event"] for log in logs] == ["webhook_connection_lost"]


async def test_it_is_one_attempt_in_the_log_of_deliveries(hooks: Hooks) -> None:
    server, before = Server(deque([[OK, END], [OK] * 3])), lost()
    async with listening(server.serve) as port:
        id_ = await hooks.endpoint(f"http://127.0.0.1:{port}/")
        hooks.run()
        for count in (1, 2):
            await hooks.tell()
            await hooks.all_are("delivered", id_, count)
        await hooks.stop()
    assert lost() - before == 1
    assert [row["tries"] for row in await hooks.deliveries(id_)] == [1, 1]
    assert [(row["status"], row["error"]) for row in await hooks.attempts(id_)] == [(200, None)] * 2


@pytest.mark.parametrize(
    ("second", "status", "error"),
    [
        (b"HTTP/1.1 20", None, CLOSED),  # it began to answer: it had the request
        (b"HTTP/1.1 500 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", 500, None),
    ],
)
async def test_what_was_answered_is_not_sent_again(
    second: bytes, status: int | None, error: str | None
) -> None:
    server = Server(deque([[OK, second]]))
    async with listening(server.serve) as port, poster() as post:
        answers = [await post.post(f"http://127.0.0.1:{port}/", b"{}", {}) for _ in range(2)]
    assert (answers[1].status, answers[1].error) == (status, error)
    assert [len(of_one) for of_one in server.requests] == [2]


async def test_a_new_connection_that_ends_is_not_tried_again() -> None:
    server = Server(deque([[END]]))
    async with listening(server.serve) as port, poster() as post:
        answer = await post.post(f"http://127.0.0.1:{port}/", b"{}", {})
    assert (answer.status, answer.error, len(server.requests)) == (None, CLOSED, 1)


@pytest.mark.parametrize("banner", [b"SSH-2.0-OpenSSH_9.2\r\n", OK, b""])
async def test_who_speaks_or_hangs_up_before_he_is_asked_has_not_answered(banner: bytes) -> None:
    """Whether the banner is there before the request is up to the scheduler: either way there is an answer at once."""

    async def speak_first(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(banner)
        writer.close()

    async with listening(speak_first) as port, poster(time_limit_s=60) as post, asyncio.timeout(10):
        answers = [await post.post(f"http://127.0.0.1:{port}/", b"{}", {}) for _ in range(20)]
    assert all(answer.error for answer in answers if not answer.ok)
    assert banner == OK or not any(answer.ok for answer in answers)


@pytest.mark.parametrize("piece", [b"HTTP/1.1 102 Wait\r\n\r\n", b"H", b"\r\n"])
async def test_an_answer_that_drips_ends_with_the_time(piece: bytes) -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n{}")
        for at in range(1_000):
            writer.write(piece if len(piece) != 1 else b"HTTP/1.1 200 " + b"x" * at if at == 0 else b"x")
            with contextlib.suppress(TimeoutError):
                if not await asyncio.wait_for(reader.read(1), 0.02):
                    break
        writer.close()

    async with listening(drip) as port, poster(time_limit_s=0.3) as post:
        answer = await post.post(f"http://127.0.0.1:{port}/", b"{}", {})
    assert (answer.status, answer.error) == (None, "no answer within 0.3 s")
    assert answer.seconds < 3


@pytest.mark.parametrize("give_up", [True, False])
async def test_a_request_that_is_not_taken_ends_with_the_time_or_with_the_task(*, give_up: bool) -> None:
    """More than the kernel holds: written in part, and then the connection goes, whatever waits to be written."""
    gone, began = asyncio.Event(), asyncio.Event()

    async def read_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        began.set()
        await gone.wait()
        with contextlib.suppress(ConnectionError):
            while await reader.read(65_536):
                pass
        gone.clear()
        writer.close()

    body = b"x" * 20_000_000
    async with listening(read_nothing) as port, poster(time_limit_s=60 if give_up else 0.5) as post:
        sending = asyncio.create_task(post.post(f"http://127.0.0.1:{port}/", body, {}))
        await began.wait()
        if give_up:
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
        else:
            assert (await sending).error == "no answer within 0.5 s"
        gone.set()
        async with asyncio.timeout(10):
            while gone.is_set():
                await asyncio.sleep(0.01)


async def test_addresses_are_looked_at_anew_when_a_connection_is_old(monkeypatch: pytest.MonkeyPatch) -> None:
    server, looked_up = Server(deque([[OK] * 9])), deque(["127.0.0.1", "127.0.0.1", "10.0.0.1"])

    async def lookup(_: str) -> Sequence[str]:
        return [looked_up.popleft()]

    async with listening(server.serve) as port, poster(lookup=lookup) as post:
        url = f"http://partner.example:{port}/"
        assert [(await post.post(url, b"{}", {})).status for _ in range(3)] == [200] * 3
        assert len(server.requests) == 1
        monkeypatch.setattr(idle_connections, "OLDEST_S", 0.0)
        assert (await post.post(url, b"{}", {})).status == 200  # the last by the connection of before
        assert (await post.post(url, b"{}", {})).status == 200
        refused = await post.post(url, b"{}", {})
    assert refused.error is not None
    assert refused.error.startswith("refused: ")
    assert [len(of_one) for of_one in server.requests] == [4, 1]


async def test_few_connections_are_kept_and_those_used_last() -> None:
    server, other = Server(deque([[OK] * 9])), Server(deque([[OK] * 9]))
    async with listening(server.serve) as port, listening(other.serve) as other_port, poster() as post:
        post._kept = idle_connections.Kept(most=3)
        first, second = f"http://127.0.0.1:{port}/", f"http://127.0.0.1:{other_port}/"
        await asyncio.gather(*[post.post(first, b"{}", {}) for _ in range(3)])
        await post.post(second, b"{}", {})
        assert len(post._kept) == 3
        await asyncio.gather(*[post.post(first, b"{}", {}) for _ in range(2)])
        await post.post(second, b"{}", {})
    assert (len(server.requests), len(other.requests)) == (3, 1)


async def test_no_connection_waits_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(deque([[OK] * 9]))
    async with listening(server.serve) as port, poster() as post:
        url = f"http://127.0.0.1:{port}/"
        await post.post(url, b"{}", {})
        monkeypatch.setattr(idle_connections, "IDLE_S", 0.0)
        await post.post(url, b"{}", {})
        assert len(server.requests) == 2
        post._kept.close_idle()
        assert len(post._kept) == 0


async def test_a_name_server_that_hangs_is_asked_once_for_all() -> None:
    asked, answer = 0, asyncio.Event()

    async def lookup(_: str) -> Sequence[str]:
        nonlocal asked
        asked += 1
        await answer.wait()
        return ["127.0.0.1"]

    targets = Targets([LOOPBACK], lookup)
    impatient = [asyncio.create_task(targets.addresses("partner.example", encrypted=True)) for _ in range(9)]
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(impatient[0], 0.01)
    answer.set()
    assert await asyncio.gather(*impatient[1:]) == [["127.0.0.1"]] * 8
    assert asked == 1
    await targets.addresses("partner.example", encrypted=True)
    assert asked == 2  # what was found is not kept


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("/a%0d%0aX-Evil:%201?b=%0d%0a", b"POST /a%0D%0AX-Evil:%201?b=%0D%0A HTTP/1.1"),
        ("/grün?ß=\N{LINE SEPARATOR}", None),
        ("/grün", b"POST /gr%C3%BCn HTTP/1.1"),
        ("?a=b", b"POST /?a=b HTTP/1.1"),
    ],
)
async def test_nothing_of_a_url_becomes_a_header(path: str, line: bytes | None) -> None:
    async def lookup(_: str) -> Sequence[str]:
        return ["127.0.0.1"]

    server = Server(deque([[OK]]))
    async with listening(server.serve) as port, poster(lookup=lookup) as post:
        answer = await post.post(f"http://bücher.example:{port}{path}", b"{}", {"webhook-id": "1-1"})
    if line is None:
        assert (answer.ok, server.requests) == (False, [])
        return
    head, _, body = server.requests[0][0].partition(b"\r\n\r\n")
    assert (answer.status, body) == (200, b"{}")
    first, *headers = head.split(b"\r\n")
    assert first == line
    assert headers[0] == b"Host: xn--bcher-kva.example:%d" % port
    names = b"host content-type user-agent accept accept-encoding content-length webhook-id"
    assert [header.split(b":")[0].lower() for header in headers] == names.split()
