"""Sends one message to one endpoint: checked addresses, no redirects, no proxies, and an answer that is read in bounds."""

import asyncio
import socket
import ssl
import time
from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from types import TracebackType
from typing import Any, Final, Self

import aiohappyeyeballs
from yarl import URL

from alerts.webhooks.connection import Connection
from alerts.webhooks.resolve import RefusedTargetError, Targets
from alerts.webhooks.target import Target, parse

TIME_LIMIT_S: Final = 15.0
_KEEP_S = 4.0  # below what servers commonly keep an idle connection for, so that it is we who close it
_NEXT_ADDRESS_AFTER_S = 0.25  # RFC 8305


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


_Place = tuple[str, int, bool]
"""Host, port, and whether it is encrypted."""


class Poster:
    """Keeps the connections to endpoints; use as a context.

    Certificates are checked against `tls`, by default the system's authorities, or those that SSL_CERT_FILE names.
    """

    def __init__(
        self, targets: Targets, time_limit_s: float = TIME_LIMIT_S, tls: ssl.SSLContext | None = None
    ) -> None:
        self._targets = targets
        self._time_limit_s = time_limit_s
        self._too_late = f"no answer within {time_limit_s:g} s"
        self._tls = tls or ssl.create_default_context()
        self._idle: dict[_Place, deque[Connection]] = defaultdict(deque)
        """The one used last at the end."""
        self._sweep: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        self._sweep_later()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._sweep is not None
        self._sweep.cancel()
        for connections in self._idle.values():
            for connection in connections:
                connection.close()
        self._idle.clear()

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Send a message; whatever happens is an answer."""
        began = time.monotonic()
        target = parse(url)
        if isinstance(target, str):
            return Answer(seconds=0.0, error=f"the URL {target}")
        place = (target.host, target.port, target.encrypted)
        try:
            connection = self._kept(place) or await self._connect(target)
        except TimeoutError:
            return Answer(seconds=time.monotonic() - began, error=self._too_late)
        except (OSError, ValueError) as error:
            return Answer(seconds=time.monotonic() - began, error=_words(error))
        left_s = self._time_limit_s - (time.monotonic() - began)
        asked = connection.ask(_request(target.url, body, headers))
        limit = asyncio.get_running_loop().call_later(left_s, connection.expire, self._too_late)
        try:
            reply = await asked
        except asyncio.CancelledError:
            connection.close()
            raise
        finally:
            limit.cancel()
        if connection.reusable:
            connection.idle_since = time.monotonic()
            self._idle[place].append(connection)
        return Answer(
            seconds=time.monotonic() - began,
            status=reply.status,
            error=None if reply.error is None else _plain(reply.error),
            content=reply.content,
            retry_after=reply.retry_after,
        )

    # -- connections -----------------------------------------------------------------------------------------------

    def _kept(self, place: _Place) -> Connection | None:
        """Give a connection that is open; the one used last, so that those not needed grow old."""
        connections = self._idle.get(place)
        while connections:
            connection = connections.pop()
            if connection.reusable and time.monotonic() - connection.idle_since < _KEEP_S:
                return connection
            connection.close()
        return None

    def _sweep_later(self) -> None:
        self._sweep = asyncio.get_running_loop().call_later(_KEEP_S / 2, self._close_old)

    def _close_old(self) -> None:
        old = time.monotonic() - _KEEP_S
        for place, connections in list(self._idle.items()):
            while connections and (connections[0].idle_since < old or not connections[0].reusable):
                connections.popleft().close()
            if not connections:
                del self._idle[place]
        self._sweep_later()

    async def _connect(self, target: Target) -> Connection:
        """Look the name up, check what it gives, and connect to that; raises OSError, TimeoutError, ValueError."""

        def checked(info: tuple[Any, ...]) -> socket.socket:
            family, type_, proto, _, address = info
            return self._targets.open_socket(
                family, type_, proto, str(address[0]), encrypted=target.encrypted
            )

        async with asyncio.timeout(self._time_limit_s):
            found = await self._targets.addresses(target.host, encrypted=target.encrypted)
            opened = await aiohappyeyeballs.start_connection(
                [_info(address, target.port) for address in found],
                happy_eyeballs_delay=_NEXT_ADDRESS_AFTER_S,
                interleave=1,
                socket_factory=checked,
            )
            try:
                opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                _, connection = await asyncio.get_running_loop().create_connection(
                    Connection,
                    sock=opened,
                    ssl=self._tls if target.encrypted else None,
                    server_hostname=target.host.removesuffix(".") if target.encrypted else None,
                )
            except BaseException:
                opened.close()
                raise
        return connection


def _info(address: str, port: int) -> tuple[Any, ...]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    where = (address, port, 0, 0) if family == socket.AF_INET6 else (address, port)
    return family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", where


@lru_cache(maxsize=4096)
def _head(url: str) -> bytes:
    """Write what all requests to a URL begin with."""
    parsed = URL(url)
    lines = (
        f"POST {parsed.raw_path_qs} HTTP/1.1",
        f"Host: {parsed.host_port_subcomponent}",
        "Content-Type: application/json",
        f"User-Agent: Dewarwatch/{version('dewarwatch')}",
        "Accept: */*",
        "Accept-Encoding: identity",
        "Content-Length: ",
    )
    return "\r\n".join(lines).encode()


def _request(url: str, body: bytes, headers: Mapping[str, str]) -> bytes:
    """Write a request; names and values of `headers` are our own words, in ASCII and without line breaks."""
    more = "".join([f"\r\n{name}: {value}" for name, value in headers.items()])
    return b"%b%d%b\r\n\r\n%b" % (_head(url), len(body), more.encode(), body)


def _words(error: BaseException) -> str:
    """Say what went wrong, in one line for the endpoint's owner."""
    for one in _all_of(error):
        if isinstance(one, RefusedTargetError):
            return f"refused: {one}"
        if isinstance(one, ssl.SSLCertVerificationError):
            return _plain(f"the certificate is refused: {one.verify_message}")
        if isinstance(one, ssl.SSLError):
            return _plain(f"no encrypted connection: {(one.reason or str(one)).replace('_', ' ').lower()}")
    return _plain(str(error) or type(error).__name__)


def _all_of(error: BaseException) -> list[BaseException]:
    """Give an error and what led to it, also those of several addresses."""
    found: list[BaseException] = []
    left: list[BaseException | None] = [error]
    while left:
        one = left.pop()
        if one is None or one in found:
            continue
        found.append(one)
        left += [one.__cause__, one.__context__]
        left += one.exceptions if isinstance(one, BaseExceptionGroup) else []
    return found


def _plain(text: str) -> str:
    return text[:500].encode(errors="replace").decode().replace("\0", " ")
