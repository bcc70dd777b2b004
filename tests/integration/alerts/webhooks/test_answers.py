"""Answers as real and as odd servers give them, over a real socket: what is read of them, and when a connection is used again."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from ipaddress import ip_network

import pytest

from alerts.outbound.connection import CLOSED, LARGEST_ANSWER
from alerts.outbound.post import Answer, Poster
from alerts.outbound.resolve import Targets

NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class Raw:
    """Answers every request with the next of these bytes, in pieces; `None` closes the connection."""

    def __init__(self, *answers: list[bytes | None]) -> None:
        self.answers, self.connections = list(answers), 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                await reader.readuntil(b"\r\n\r\n{}")
                for piece in self.answers.pop(0):
                    if piece is None:
                        writer.close()
                        return
                    writer.write(piece)
                    await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def at_work(raw: Raw, time_limit_s: float = 5) -> AsyncIterator[tuple[Poster, str]]:
    server = await asyncio.start_server(raw.serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    async with server, Poster(Targets([ip_network("127.0.0.0/8")]), time_limit_s) as poster:
        yield poster, url


async def answers(raw: Raw, time_limit_s: float = 5) -> list[Answer]:
    async with at_work(raw, time_limit_s) as (poster, url):
        return [await poster.post(url, b"{}", {}) for _ in range(len(raw.answers))]


@pytest.mark.parametrize(
    ("pieces", "status", "content", "error"),
    [
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"], 200, b"ok", None),
        ([b"HTTP/1.1 200 OK\r\nContent-", b"Length: 2\r\n\r\no", b"k"], 200, b"ok", None),
        ([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"], 200, b"ok", None),
        ([b"HTTP/1.1 102 Processing\r\n\r\n", NO_CONTENT], 204, b"", None),
        ([b"HTTP/1.0 200 OK\r\n\r\nuntil the end", None], 200, b"until the end", None),
        (
            [b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", None],
            *(200, b"ok", "the connection was closed before the end of the answer"),
        ),
        ([None], None, b"", CLOSED),
        ([b"HTTP/1.1 200", None], None, b"", CLOSED),
        ([b"SSH-2.0-OpenSSH_9.2\r\n"], None, b"", "the answer is not HTTP/1.1"),
        ([b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000], None, b"", "the head of the answer is too large"),
        ([b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"], 101, b"", None),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"], 200, b"", "the answer did not end in time"),
        ([b"HTTP/1.1 100 Continue\r\n\r\n"], None, b"", "no answer within 0.5 s"),
        ([b"HTTP/1.1 100 Continue\r\n\r\n" * 4_000], None, b"", "the head of the answer is too large"),
        ([b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"], 304, b"", None),
        ([b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok"], 204, b"", None),
        ([CHUNKED + b"2\r\nok\r\n0\r\nRetry-After: 9\r\n\r\n"], 200, b"ok", None),
        ([CHUNKED + b"0\r\nX: " + b"x" * 300_000], 200, b"", "the answer is too large"),
        ([CHUNKED + b"2\r\nok\r\n" + b"1;" + b"x" * 300_000], 200, b"ok", "the answer is too large"),
        ([CHUNKED + b"zz\r\n"], 200, b"", "the answer is not HTTP/1.1"),
        (
            [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n"],
            *(None, b"", "the answer is not HTTP/1.1"),
        ),
    ],
)
async def test_an_answer_is_what_the_server_said(
    pieces: list[bytes | None], status: int | None, content: bytes, error: str | None
) -> None:
    [answer] = await answers(Raw(pieces), time_limit_s=0.5)
    assert (answer.status, answer.content) == (status, content)
    assert answer.error == error or (error and answer.error and answer.error.startswith(error))
    assert answer.retry_after is None


async def test_a_connection_is_used_again_after_a_whole_answer_only() -> None:
    again = Raw([NO_CONTENT], [NO_CONTENT], [NO_CONTENT])
    assert [answer.status for answer in await answers(again)] == [204] * 3
    assert again.connections == 1
    length = b"HTTP/1.1 200 OK\r\nContent-Length: "
    for first in (
        b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",
        length + b"30000\r\n\r\n" + b"x" * (LARGEST_ANSWER + 1),
        length
        + b"2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",  # an answer that nobody asked for
    ):
        raw = Raw([first], [NO_CONTENT])
        assert [answer.ok for answer in await answers(raw)] == [True, True]
        assert raw.connections == 2


async def test_each_answer_belongs_to_its_request() -> None:
    numbers = [str(number).encode() for number in range(20)]
    pieces: list[list[bytes | None]] = [
        [b"HTTP/1.1 200 OK\r\nRetry-After: %b\r\nContent-Length: 1\r\n\r\n%b" % (n, n[:1])] for n in numbers
    ]
    raw = Raw(*pieces)
    assert [answer.retry_after for answer in await answers(raw)] == [n.decode() for n in numbers]
    assert raw.connections == 1
