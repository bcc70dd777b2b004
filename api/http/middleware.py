"""What surrounds every request, as plain ASGI: its id, log line and metrics, safe headers, a limit on bodies, and no bare 500.

No BaseHTTPMiddleware: under it, a client that leaves cancels a handler in the middle of a transaction.
"""

import re
import secrets
import time
from collections.abc import Mapping

import structlog
from prometheus_client import Gauge, Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.problems import of_fault

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

HEADERS: Mapping[str, str] = {
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
        answer = _Answer(send, request_id)
        with structlog.contextvars.bound_contextvars(request_id=request_id), IN_PROGRESS.track_inprogress():
            try:
                await self.app(scope, receive, answer.send)
            except Exception as error:
                problem = of_fault(error)
                if answer.status is None:
                    await problem.response()(scope, receive, answer.send)
                else:
                    raise  # too late to say anything: the server cuts the answer off
            finally:
                answer.note(scope)


class _Answer:
    """Watches a response on its way out."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._request_id = request_id
        self._began = time.perf_counter()
        self._seconds = 0.0
        self.status: int | None = None

    async def send(self, message: Message) -> None:
        """Send a message, the first one with our headers."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self._seconds = time.perf_counter() - self._began
            headers = MutableHeaders(scope=message)
            headers["X-Request-ID"] = self._request_id
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await self._send(message)

    def note(self, scope: Scope) -> None:
        """Write the log line and the metrics."""
        # The template and not the path: a label for each shipment would burst any time series database.
        route = getattr(scope.get("route"), "path", None) or "unmatched"
        SECONDS.labels(scope["method"], route, str(self.status)).observe(self._seconds)
        write = log.debug if scope["path"] in _QUIET else log.info
        write(
            "request",
            method=scope["method"],
            path=scope["path"],
            status=self.status,
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
        received = self.limit + 1 if _more_than(announced, self.limit) else 0

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


def _more_than(announced: str, limit: int) -> bool:
    return announced.isdecimal() and (len(announced) > 18 or int(announced) > limit)
