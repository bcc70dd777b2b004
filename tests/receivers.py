"""A partner's endpoint for tests: a real HTTP server on loopback that answers as it is told, and keeps what it got."""

import asyncio
import contextlib
import json
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, Self, TypeAlias


@dataclass(frozen=True)
class Got:
    """One request, as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def message(self) -> dict[str, Any]:
        return dict(json.loads(self.body))


@dataclass(frozen=True)
class Reply:
    """What is answered; `hang` answers nothing, `reset` cuts the connection, `endless` never stops to answer."""

    status: int = 200
    body: bytes = b"ok"
    headers: tuple[tuple[str, str], ...] = ()
    hang: bool = False
    reset: bool = False
    endless: bool = False


OK, FAIL, HANG, RESET = Reply(), Reply(500, b"sorry"), Reply(hang=True), Reply(reset=True)
HUGE = Reply(200, b"x" * 30_000_000)
ENDLESS = Reply(endless=True)
Script: TypeAlias = Callable[[Got], Reply]


@dataclass
class Receiver:
    """The server; `answers` decides about each request."""

    answers: Script = lambda _: OK
    got: list[Got] = field(default_factory=list)
    connections: int = 0
    port: int = 0
    tls: ssl.SSLContext | None = None
    sent: int = 0
    """Bytes of answers that could be written."""
    _server: asyncio.Server | None = None
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)
    _open: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http{'s' * (self.tls is not None)}://127.0.0.1:{self.port}/hook"

    @property
    def ids(self) -> list[str]:
        return [one.id for one in self.got]

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self.tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for writer in list(self._open):
            writer.transport.abort()
        await self._server.wait_closed()

    async def until(self, condition: Callable[[], bool], patience_s: float = 20.0) -> None:
        """Waits for what arrives."""
        async with asyncio.timeout(patience_s):
            while not condition():
                self._arrived.clear()
                await self._arrived.wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._open.add(writer)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while await self._one(reader, writer):
                    pass
        finally:
            self._open.discard(writer)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {
            name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)
        }
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        got = Got(head[0].split(" ")[1], headers, body)
        self.got.append(got)
        self._arrived.set()
        reply = self.answers(got)
        if reply.hang:
            await reader.read()  # until the other side gives up
            return False
        if reply.reset:
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
            return False
        if reply.endless:
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while True:
                writer.write(b"400\r\n" + b"x" * 1024 + b"\r\n")
                await writer.drain()
                self.sent += 1024
        lines = [f"HTTP/1.1 {reply.status} Whatever", f"Content-Length: {len(reply.body)}"]
        lines += [f"{name}: {value}" for name, value in reply.headers]
        writer.write("\r\n".join([*lines, "", ""]).encode() + reply.body)
        await writer.drain()
        self.sent += len(reply.body)
        return True


@contextlib.asynccontextmanager
async def receiver(answers: Script | Reply = OK) -> AsyncIterator[Receiver]:
    """One endpoint for as long as the block lasts."""
    script = answers if callable(answers) else lambda _: answers
    async with Receiver(answers=script) as server:
        yield server


def in_turn(*replies: Reply) -> Script:
    """Gives these answers one after the other, and the last one for ever."""
    left = list(replies)
    return lambda _: left.pop(0) if len(left) > 1 else left[0]
