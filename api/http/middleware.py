"""What surrounds every request, as plain ASGI: its id, log line and metrics, safe headers, a limit on bodies, and no bare 500.

No BaseHTTPMiddleware: under it, a client that leaves cancels a handler in the middle of a transaction.
"""

import re
import secrets
import time
from collections import Counter
from collections.abc import Mapping

import structlog
from prometheus_client import Gauge, Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.connections.connection import TURNED_AWAY, UNREAD
from api.http.connections.limits import Limits, announces_more, caller_of, neighbourhood
from api.http.problems import RETRY_AFTER_S, Problem, of_fault

log = structlog.get_logger(__name__)

SECONDS = Histogram(
    "dewarwatch_http_request_seconds",
    "Time until the answer began, by route",
    ["method", "route", "status"],
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
)
IN_PROGRESS = Gauge("dewarwatch_http_requests_in_progress", "Requests that are being answered")

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_QUIET = frozenset({"/livez", "/readyz", "/metrics"})

LEFT = 499
"""The status in log and metrics of a caller that left before its request had come; nobody is sent it."""

HEADERS: Mapping[str, str] = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Set where the route has not said otherwise."""


class Surroundings:
    """Gives each request an id, a log line and metrics, and turns exceptions that nobody caught into problems."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        answer = _Answer(scope, receive, send, request_id)
        with structlog.contextvars.bound_contextvars(request_id=request_id), IN_PROGRESS.track_inprogress():
            try:
                await self.app(scope, answer.receive, answer.send)
            except ClientDisconnect:
                answer.left = True
            except Exception as error:
                problem = of_fault(error)
                if answer.status is None:
                    await problem.response()(scope, receive, answer.send)
                else:
                    raise  # too late to say anything: the server cuts the answer off
            finally:
                answer.note()


class _Answer:
    """Watches a request on its way in, and its response on its way out."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._request_id = request_id
        self._began = time.perf_counter()
        self._seconds = 0.0
        self._all_came = False
        self.left = False
        """The caller left before all of its request had come."""
        self.status: int | None = None

    async def receive(self) -> Message:
        """Receive a message, and note whether the caller leaves in the middle of its body."""
        message = await self._receive()
        if message["type"] == "http.request":
            self._all_came = not message.get("more_body", False)
        elif self.status is None and not self._all_came:
            self.left = True
        return message

    async def send(self, message: Message) -> None:
        """Send a message, the first one with our headers."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self._seconds = time.perf_counter() - self._began
            headers = MutableHeaders(scope=message)
            headers["X-Request-ID"] = self._request_id
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            if self._unread():
                headers["Connection"] = "close"  # else all of the body would be read, however long it is
        await self._send(message)

    def _unread(self) -> bool:
        extension = self._scope.get("extensions", {}).get(UNREAD)
        return extension is not None and extension["unread"]()

    def note(self) -> None:
        """Write the log line and the metrics."""
        scope, status = self._scope, LEFT if self.left else self.status
        # The template and not the path: a label for each shipment would burst any time series database.
        route = getattr(scope.get("route"), "path", None) or "unmatched"
        SECONDS.labels(scope["method"], route, str(status)).observe(self._seconds)
        # Of what is refused by a limit, the gate logs the first of each minute.
        write = log.debug if scope["path"] in _QUIET or status == 429 else log.info
        write(
            "request",
            method=scope["method"],
            path=scope["path"],
            status=status,
            caller=getattr(scope.get("state", {}).get("principal"), "name", None),
            seconds=round(self._seconds, 4),
        )


class BodyLimit:
    """Refuses bodies that are too long; counts the bytes that come, and not only those that were announced."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self.app = app
        self.limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        announced = Headers(scope=scope).get("content-length", "")
        received = self.limit + 1 if announces_more(announced, self.limit) else 0

        async def receive_some() -> Message:
            nonlocal received
            self._stop_if_too_long(received)
            message = await receive()
            received += len(message.get("body", b""))
            self._stop_if_too_long(received)
            return message

        await self.app(scope, receive_some, send)

    def _stop_if_too_long(self, received: int) -> None:
        if received > self.limit:
            raise HTTPException(413, f"A body may have {self.limit} bytes at most: send it in several calls.")


class Callers:
    """Says who is calling where a proxy of ours does the calling, and limits the calls that one address has under way.

    Callers without a proxy are limited by their connections, which each have one call under way.
    """

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self.app = app
        self.limits = limits
        self._under_way: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        peer = scope.get("client")
        caller = None
        if peer is not None and scope["type"] == "http" and self.limits.proxies:
            forwarded = Headers(scope=scope).getlist("x-forwarded-for")
            caller = caller_of(peer[0], forwarded, self.limits.proxies)
        if caller is None:
            await self.app(scope, receive, send)
            return
        scope["client"] = (caller, 0)
        address = neighbourhood(caller)
        if self._under_way[address] >= self.limits.per_address:
            TURNED_AWAY.labels("address_full").inc()
            log.debug("calls_of_address_refused", address=address)
            problem = Problem(
                503,
                "There are too many calls from your address under way: wait for some to end.",
                headers={"Retry-After": str(RETRY_AFTER_S)},
            )
            await problem.response()(scope, receive, send)
            return
        self._under_way[address] += 1
        try:
            await self.app(scope, receive, send)
        finally:
            self._under_way[address] -= 1
            if not self._under_way[address]:
                del self._under_way[address]
