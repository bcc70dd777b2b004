"""Sends one message to one endpoint: checked addresses, no redirects, no proxies, and an answer that is read in bounds."""

import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from types import TracebackType
from typing import Any, Final, Self

import aiohttp

from alerts.webhooks.resolve import CheckedResolver, RefusedTargetError, Targets
from alerts.webhooks.target import parse

TIME_LIMIT_S: Final = 15.0
LARGEST_ANSWER: Final = 20_000
_KEEP_S = 4.0  # below what servers commonly keep an idle connection for, so that it is we who close it
_ALWAYS: Final = {
    "Content-Type": "application/json",
    "User-Agent": f"Dewarwatch/{version('dewarwatch')}",
    "Accept-Encoding": "identity",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came of one attempt."""

    seconds: float
    status: int | None = None
    """None where no answer came."""
    error: str | None = None
    content: bytes = b""
    """Its first 20 kB."""
    retry_after: str | None = None

    @property
    def ok(self) -> bool:
        """Whether the endpoint has taken the message: 2xx, and nothing else."""
        return self.status is not None and 200 <= self.status < 300


class Poster:
    """Keeps the connections to endpoints; use as a context."""

    def __init__(self, targets: Targets, time_limit_s: float = TIME_LIMIT_S) -> None:
        self._targets = targets
        self._time_limit_s = time_limit_s
        self._sessions: dict[bool, aiohttp.ClientSession] = {}

    async def __aenter__(self) -> Self:
        self._sessions = {encrypted: self._session(encrypted=encrypted) for encrypted in (True, False)}
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for session in self._sessions.values():
            await session.close()

    def _session(self, *, encrypted: bool) -> aiohttp.ClientSession:
        def checked(info: tuple[int, int, int, str, tuple[Any, ...]]) -> socket.socket:
            family, type_, proto, _, address = info
            return self._targets.open_socket(family, type_, proto, str(address[0]), encrypted=encrypted)

        # Of addresses that stand in the URL the resolver is not asked: for them `checked` is the look.
        connector = aiohttp.TCPConnector(
            resolver=CheckedResolver(self._targets, encrypted=encrypted),
            socket_factory=checked,
            use_dns_cache=False,
            limit=0,
            keepalive_timeout=_KEEP_S,
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            headers=_ALWAYS,
            timeout=aiohttp.ClientTimeout(total=self._time_limit_s),
        )

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Send a message; whatever happens is an answer."""
        began = time.monotonic()
        target = parse(url)
        if isinstance(target, str):
            return Answer(seconds=0.0, error=f"the URL {target}")
        status, retry_after, content, error = None, None, bytearray(), None
        try:
            async with self._sessions[target.encrypted].post(
                target.url, data=body, headers=headers, allow_redirects=False
            ) as response:
                status, retry_after = response.status, response.headers.get("Retry-After")
                await _read(response, content)
        except TimeoutError:
            error = (
                f"no answer within {self._time_limit_s:g} s"
                if status is None
                else "the answer did not end in time"
            )
        except (aiohttp.ClientError, OSError, ValueError) as caught:
            error = _words(caught)
        return Answer(
            seconds=time.monotonic() - began,
            status=status,
            error=error,
            content=bytes(content),
            retry_after=retry_after,
        )


async def _read(response: aiohttp.ClientResponse, content: bytearray) -> None:
    """Read at most 20 kB; the connection of an answer that has more, or none to end, is given up."""
    while len(content) < LARGEST_ANSWER:
        piece = await response.content.read(LARGEST_ANSWER - len(content))
        if not piece:
            return
        content += piece
    if not response.content.at_eof():
        response.close()


def _words(error: BaseException) -> str:
    """Say what went wrong, in one line for the endpoint's owner."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, RefusedTargetError):
            return f"refused: {cause}"
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "the connection was closed without an answer"
    text = (str(error) or type(error).__name__)[:500]
    return text.encode(errors="replace").decode().replace("\0", " ")
