"""Posts one message to one endpoint: checked addresses, no redirects, no proxies, bounded answers."""

import asyncio
import socket
import ssl
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from types import TracebackType
from typing import Any, Final, Self

import aiohappyeyeballs
import structlog
from yarl import URL

from alerts import metrics
from alerts.outbound.addresses import address_of
from alerts.outbound.connection import Connection, Reply
from alerts.outbound.idle_connections import Kept, Place
from alerts.outbound.resolve import NO_WAY, RefusedTargetError, Targets
from alerts.outbound.target import Target, parse

log = structlog.get_logger(__name__)

TIME_LIMIT_S: Final = 15.0
_SWEEP_S = 2.0
_NEXT_ADDRESS_AFTER_S = 0.25  # RFC 8305
_TRIED_OF_EACH_FAMILY = 4  # each has a socket open; a name may have hundreds that do not answer
_REQUEST_TIMEOUT = 408
_GOODBYE_S = 2.0  # for the end of encryption, which the other side may never confirm


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The result of one attempt."""

    seconds: float
    status: int | None = None
    """None where no answer came."""
    error: str | None = None
    content: bytes = b""
    """Its first 20 kB."""
    retry_after: str | None = None
    is_barred: bool = False
    """The URL itself says that it must not be reached, whatever names lead to: it is the same at every attempt."""

    @property
    def ok(self) -> bool:
        """Whether the endpoint accepted the message: 2xx, and nothing else."""
        return self.status is not None and 200 <= self.status < 300


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
        self._kept = Kept()
        self._sweep: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        self._sweep_later()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._sweep is not None
        self._sweep.cancel()
        self._kept.close()

    async def post(
        self, url: str, body: bytes, headers: Mapping[str, str], organization: str | None = None
    ) -> Answer:
        """Send a message to an endpoint of an organization; whatever happens is an answer."""
        began = time.monotonic()
        target = parse(url)
        if isinstance(target, str):
            return Answer(seconds=0.0, error=f"the URL {target}", is_barred=True)
        try:
            request = _request(target.url, body, headers)
            reply = await self._ask(target, organization, request, began + self._time_limit_s)
        except TimeoutError:
            return Answer(seconds=time.monotonic() - began, error=self._too_late)
        except (OSError, ValueError, RuntimeError) as error:
            _note_refused(error, target)
            return Answer(
                seconds=time.monotonic() - began, error=_words(error), is_barred=_is_barred(error, target)
            )
        return Answer(
            seconds=time.monotonic() - began,
            status=reply.status,
            error=None if reply.error is None else _plain(reply.error),
            content=reply.content,
            retry_after=reply.retry_after,
        )

    async def _ask(self, target: Target, organization: str | None, request: bytes, until: float) -> Reply:
        """Send a request over an idle connection or a new one; raises what `_connect` raises.

        A server may close a connection just as it is used again. Then nothing is known of the request, and it goes out
        once more, by a new one, as part of the same attempt: whoever got it twice knows it by its `webhook-id`.
        """
        place = (target.host, target.port, target.encrypted, self._targets.reach_of(organization))
        if kept := self._kept.take(place):
            reply = await self._ask_by(kept, place, request, until)
            if not (reply.unheard or (reply.status == _REQUEST_TIMEOUT and not kept.reusable)):
                return reply
            metrics.WEBHOOK_CONNECTIONS_LOST.inc()
            log.info("webhook_connection_lost", host=target.host, port=target.port, sent_again=True)
        connection = await self._connect(target, organization, until)
        return await self._ask_by(connection, place, request, until)

    async def _ask_by(self, connection: Connection, place: Place, request: bytes, until: float) -> Reply:
        asked = connection.ask(request)
        left_s = until - time.monotonic()
        limit = asyncio.get_running_loop().call_later(left_s, connection.expire, self._too_late)
        try:
            reply = await asked
        except asyncio.CancelledError:
            connection.abort()
            raise
        finally:
            limit.cancel()
        self._kept.put(place, connection)
        return reply

    # -- connections -----------------------------------------------------------------------------------------------

    def _sweep_later(self) -> None:
        self._sweep = asyncio.get_running_loop().call_later(_SWEEP_S, self._close_idle)

    def _close_idle(self) -> None:
        self._kept.close_idle()
        self._sweep_later()

    async def _connect(self, target: Target, organization: str | None, until: float) -> Connection:
        """Resolve the name, check the addresses, and connect to one of them.

        Raises OSError, ValueError, RuntimeError (of uvloop), and TimeoutError where it takes longer than `until`.
        """

        def checked(info: tuple[Any, ...]) -> socket.socket:
            family, type_, proto, _, address = info
            return self._targets.open_socket(
                family, type_, proto, str(address[0]), organization, encrypted=target.encrypted
            )

        async with asyncio.timeout(max(0.0, until - time.monotonic())):
            found = await self._targets.addresses(target.host, organization, encrypted=target.encrypted)
            opened = await aiohappyeyeballs.start_connection(
                [_info(address, target.port) for address in _first_of_each(found)],
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
                    ssl_shutdown_timeout=_GOODBYE_S if target.encrypted else None,
                )
            except BaseException:  # also where it is cancelled: nobody else has the socket yet
                opened.close()
                raise
        connection.opened_at = time.monotonic()
        return connection


def _first_of_each(addresses: Sequence[str]) -> list[str]:
    """Return the first addresses of each family, in the order received."""
    of_each = Counter[bool]()
    found = []
    for address in addresses:
        of_each[":" in address] += 1
        if of_each[":" in address] <= _TRIED_OF_EACH_FAMILY:
            found.append(address)
    return found


def _info(address: str, port: int) -> tuple[Any, ...]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    where = (address, port, 0, 0) if family == socket.AF_INET6 else (address, port)
    return family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", where


@lru_cache(maxsize=4096)
def _head(url: str) -> bytes:
    """Build the part that all requests to a URL share."""
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
    return "\r\n".join(lines).encode("ascii")


def _request(url: str, body: bytes, headers: Mapping[str, str]) -> bytes:
    """Build a request; `headers` are our own: ASCII, without line breaks."""
    more = "".join([f"\r\n{name}: {value}" for name, value in headers.items()])
    return b"%b%d%b\r\n\r\n%b" % (_head(url), len(body), more.encode("ascii"), body)


def _note_refused(error: BaseException, target: Target) -> None:
    """Log what the endpoint's owner is not told."""
    for one in _all_of(error):
        if isinstance(one, RefusedTargetError | socket.gaierror):
            why = one.why if isinstance(one, RefusedTargetError) else str(one)
            log.info("target_refused", host=target.host, why=why)
            return


def _is_barred(error: BaseException, target: Target) -> bool:
    """Return whether a target that has no name is refused. Of one with a name, no attempt says what that leads to."""
    refused = any(isinstance(one, RefusedTargetError) for one in _all_of(error))
    return refused and address_of(target.host) is not None


def _words(error: BaseException) -> str:
    """Describe an error in one line for the endpoint's owner."""
    for one in _all_of(error):
        if isinstance(one, RefusedTargetError | socket.gaierror):
            return f"refused: {NO_WAY}"
        if isinstance(one, ssl.SSLCertVerificationError):
            return _plain(f"the certificate is refused: {one.verify_message}")
        if isinstance(one, ssl.SSLError):
            return _plain(f"no encrypted connection: {(one.reason or str(one)).replace('_', ' ').lower()}")
    return _plain(str(error) or type(error).__name__)


def _all_of(error: BaseException) -> list[BaseException]:
    """Return an error and its causes, including those of several addresses."""
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
