"""One connection of a caller, on top of uvicorn's: whatever is sent or not sent, it takes bounded memory and time.

uvicorn counts neither the head of a request nor how long it takes, and its parser copies an unfinished line with each piece
that comes. Here each phase of a connection has a deadline, which one timer for all of them looks after:

    HEAD     from the connection, or from the first byte of the next request     head_s
    BODY     from the end of the head                                            body_s
    ANSWER   everything has come; nothing is waited for but the application      none: event streams last for hours
    IDLE     between requests                                                    idle_s, by uvicorn
    ENDING   the last bytes go out, and what still comes is thrown away          a few seconds

Beside these, whoever does not read an answer is cut off: some of it must have gone out in each `answer_s`.
"""

import asyncio
import enum
import math
import time
from collections.abc import Callable
from typing import Any, Final

import httptools
import orjson
import structlog
from prometheus_client import Counter, Gauge
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from api.http.connections.limits import (
    DRAINED_BYTES,
    DRAINED_S,
    FRAMING_BYTES,
    FRAMING_SHARE,
    HEAD_BYTES,
    HEAD_LINES,
    PIPELINED,
    SLOWEST_BYTES_S,
    Limits,
    lies_in,
    neighbourhood,
)
from api.http.connections.places import Places

log = structlog.get_logger(__name__)

CUT: Final = "dewarwatch.cut"
"""The extension of ASGI by which a connection can be ended at once, whatever waits to be written."""
UNREAD: Final = "dewarwatch.unread"
"""The extension that says whether some of the request's body is still to come."""
LOOKED_AFTER_EACH_S = 0.5
LATE_S = 0.1
"""From here on it is we who were slow: what has come meanwhile is in the kernel, and nobody's fault."""
TOLD_EACH_S = 60.0

CONNECTIONS = Gauge("dewarwatch_http_connections", "Open connections of callers")
TURNED_AWAY = Counter(
    "dewarwatch_http_connections_ended_total", "Connections that were ended before their time", ["reason"]
)


class Phase(enum.Enum):
    """What is waited for."""

    HEAD = "head"
    BODY = "body"
    ANSWER = "answer"
    IDLE = "idle"
    ENDING = "ending"


class _RefusedError(Exception):
    """Raised in a callback of the parser, which stops it."""


_REFUSALS: Final = {
    "invalid": (400, "Bad Request", "This is not HTTP."),
    "framing": (400, "Bad Request", "The chunks of this body are more frame than body."),
    "head_slow": (408, "Request Timeout", "The head of the request did not come in time."),
    "body_slow": (408, "Request Timeout", "The body did not come in time."),
    "url_long": (414, "URI Too Long", f"The address and the headers may have {HEAD_BYTES} bytes at most."),
    "head_long": (
        431,
        "Request Header Fields Too Large",
        f"The address and the headers may have {HEAD_BYTES} bytes and {HEAD_LINES} lines at most.",
    ),
    "address_full": (
        503,
        "Service Unavailable",
        "There are too many connections from your address: close some, and try again.",
    ),
    "full": (503, "Service Unavailable", "There are too many connections: try again in a moment."),
}
"""What is said before a connection is ended; for other reasons there is nobody to hear it."""


def _refusal(reason: str) -> bytes:
    status, title, detail = _REFUSALS[reason]
    body = orjson.dumps({"type": "about:blank", "title": title, "status": status, "detail": detail})
    retry = "Retry-After: 2\r\n" if status == 503 else ""
    head = (
        f"HTTP/1.1 {status} {title}\r\nContent-Type: application/problem+json\r\nContent-Length: {len(body)}\r\n"
        f"Cache-Control: no-store\r\n{retry}Connection: close\r\n\r\n"
    )
    return head.encode("ascii") + body


class Doors:
    """All connections of a process: how many there may be, and the timer that looks after them."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self.limits = limits
        self.clock = clock
        self.places: Places[Connection] = Places(in_all=limits.connections, per_address=limits.per_address)
        self._open: set[Connection] = set()
        self._told_at: dict[str, float] = {}

    async def look_after(self) -> None:
        """End what is over its deadline, until cancelled."""
        while True:
            due = self.clock() + LOOKED_AFTER_EACH_S
            await asyncio.sleep(LOOKED_AFTER_EACH_S)
            self.look(self.clock(), due)

    def look(self, now: float, due: float) -> None:
        """End what is over its deadline; if that was due earlier, everybody gets the time in which we may not have listened."""
        late_s = now - due
        for connection in list(self._open):
            if late_s > LATE_S:
                connection.give(LOOKED_AFTER_EACH_S + late_s)
            connection.look(now)

    def enter(self, connection: "Connection", peer: str | None) -> str | None:
        """Let a connection in; return the reason where there is no place, and nobody who could make room."""
        self._open.add(connection)
        CONNECTIONS.set(len(self._open))
        of_many = peer is None or lies_in(peer, self.limits.proxies)
        address = None if of_many or peer is None else neighbourhood(peer)
        full, longest = self.places.who_makes_room(address)
        if full is not None:
            if longest is None:
                self.note(full, peer)
                return full
            longest.abort("made_room")
        self.places.take(connection, address)
        return None

    def leave(self, connection: "Connection") -> None:
        """Forget a connection."""
        self._open.discard(connection)
        self.places.leave(connection)
        CONNECTIONS.set(len(self._open))

    def note(self, reason: str, peer: str | None) -> None:
        """Count a connection that is ended, and log the first of its kind in a minute: a flood must not fill the log."""
        TURNED_AWAY.labels(reason).inc()
        now = self.clock()
        if now - self._told_at.get(reason, -math.inf) >= TOLD_EACH_S:
            self._told_at[reason] = now
            log.warning("connections_ended", reason=reason, one_of_them=peer, open=len(self._open))


class _Transport:
    """The transport as uvicorn sees it: closing it goes through the connection."""

    def __init__(self, transport: asyncio.Transport, connection: "Connection") -> None:
        self._transport = transport
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def close(self) -> None:
        self._connection.end()

    def is_closing(self) -> bool:
        return self._connection.phase is Phase.ENDING or self._transport.is_closing()


class Connection(HttpToolsProtocol):
    """uvicorn's connection with limits."""

    def __init__(self, *args: Any, doors: Doors, **options: Any) -> None:
        super().__init__(*args, **options)
        self.doors = doors
        self.limits = doors.limits
        self.phase = Phase.HEAD
        self._until = math.inf
        self._write_until, self._write_size = math.inf, 0
        self._wire: asyncio.Transport
        self._peer: str | None = None
        self._head_bytes = self._named_bytes = self._lines = self._framing = self._body = self._drained = 0
        self._reason = "invalid"
        self._cycles: list[RequestResponseCycle] = []

    # -- what the transport tells ------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Take a place, or turn the caller away."""
        self._wire = transport
        super().connection_made(_Transport(transport, self))  # type: ignore[arg-type]  # all that uvicorn uses of it
        self._peer = self.client[0] if self.client else None
        self._enter(Phase.HEAD, self.limits.head_s)
        if full := self.doors.enter(self, self._peer):
            self._wire.write(_refusal(full))
            self._enter(Phase.ENDING, DRAINED_S)
            self._wire.close()  # nothing more is read of it: its place is nobody's

    def connection_lost(self, exc: Exception | None) -> None:
        """Give the place back."""
        self.phase = Phase.ENDING
        self.doors.leave(self)
        self.pipeline.clear()
        for (
            cycle
        ) in self._cycles:  # uvicorn tells the last one only, and a stream before it would go on for ever
            cycle.disconnected = True
            cycle.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what comes before and after it is parsed."""
        if self.phase is Phase.ENDING:
            self._drained += len(data)
            if self._drained > DRAINED_BYTES:
                self._wire.abort()
            return
        self._unset_keepalive_if_required()
        if self.phase is Phase.IDLE:
            self._enter(Phase.HEAD, self.limits.head_s)
        if self.phase is Phase.BODY:
            self._framing += len(data)
        else:
            self._head_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.cycle.keep_alive = (
                False  # the other protocol is not spoken; the answer is HTTP, and the last
            )
        except httptools.HttpParserError:
            self._refuse(self._reason)
            return
        if self.phase is not Phase.BODY and self._head_bytes > HEAD_BYTES:
            self._refuse("head_long")
        elif self.phase is Phase.BODY and self._framing > FRAMING_BYTES + FRAMING_SHARE * self._body:
            self._refuse("framing")

    def pause_writing(self) -> None:
        """Begin to count how long an answer is not read."""
        super().pause_writing()
        self._write_size = self._wire.get_write_buffer_size()
        self._write_until = self.doors.clock() + self.limits.answer_s

    def resume_writing(self) -> None:
        """Stop counting: most of it was read."""
        super().resume_writing()
        self._write_until = math.inf

    # -- what the parser tells ---------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Begin the head of a request, unless too many wait already."""
        if len(self.pipeline) >= PIPELINED:
            self._stop("pipelined")
        super().on_message_begin()
        self._named_bytes = self._lines = 0
        self.scope["extensions"] = {CUT: {"cut": self._wire.abort}}
        if self.phase is not Phase.HEAD:
            self._enter(Phase.HEAD, self.limits.head_s)

    def on_url(self, url: bytes) -> None:
        """Count the address."""
        self._named_bytes += len(url)
        if self._named_bytes > HEAD_BYTES:
            self._stop("url_long")
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count a header or a trailer; trailers are not handed on, as nobody asks for any."""
        self._lines += 1
        self._named_bytes += len(name) + len(value) + 4
        if self._named_bytes > HEAD_BYTES or self._lines > HEAD_LINES:
            self._stop("head_long")
        if self.phase is Phase.HEAD:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Begin the body."""
        self._framing = self._body = self._head_bytes = 0
        self._enter(Phase.BODY, self.limits.body_s)
        super().on_headers_complete()
        cycle = self.cycle
        self._cycles = [one for one in self._cycles if not one.response_complete] + [cycle]
        self.scope["extensions"][UNREAD] = {"unread": lambda: cycle.more_body}

    def on_body(self, body: bytes) -> None:
        """Count the body itself."""
        self._framing -= len(body)
        self._body += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Wait for nothing more but the application."""
        super().on_message_complete()
        self._enter(Phase.ANSWER, math.inf)

    def on_response_complete(self) -> None:
        """Wait for the next request; while some are here already, nothing more is read."""
        super().on_response_complete()
        if self.pipeline:
            self.flow.pause_reading()
        elif self.phase is Phase.ANSWER and self.cycle.response_complete:
            self._enter(Phase.IDLE, math.inf)

    # -- how it ends -------------------------------------------------------------------------------------------------------

    def look(self, now: float) -> None:
        """End the connection if it is over a deadline."""
        if now >= self._write_until:
            self._look_whether_read(now)
        elif self.phase is Phase.ENDING:
            if now >= self._until and self._write_until == math.inf:
                self._wire.abort()
        elif self.flow.read_paused:
            self._until = max(self._until, now + LOOKED_AFTER_EACH_S)  # it is we who do not read
        elif now >= self._until:
            if self.phase is Phase.HEAD and not self._head_bytes:
                self.abort("head_slow")
            else:
                self._refuse("head_slow" if self.phase is Phase.HEAD else "body_slow")

    def give(self, seconds: float) -> None:
        """Put the deadlines off."""
        self._until += seconds
        self._write_until += seconds

    def _look_whether_read(self, now: float) -> None:
        """Cut off whoever has not read enough of an answer since the last look; nothing is added to it meanwhile."""
        left = self._wire.get_write_buffer_size()
        if self._write_size - left < SLOWEST_BYTES_S * self.limits.answer_s:
            self.abort("answer_not_read")
        self._write_until, self._write_size = now + self.limits.answer_s, left

    def abort(self, reason: str) -> None:
        """End it at once."""
        self.doors.note(reason, self._peer)
        self.doors.places.leave(self)
        self._wire.abort()

    def end(self) -> None:
        """Close it once all is written. Where a request is still coming, it is read for a moment, and thrown away."""
        if self.phase is Phase.ENDING:
            return
        all_came = self.phase in {Phase.ANSWER, Phase.IDLE} or (
            self.phase is Phase.HEAD and not self._head_bytes
        )
        if self._wire.is_closing():
            self._enter(Phase.ENDING, DRAINED_S)
            return
        to_be_read = self._wire.get_write_buffer_size() > 0
        self._enter(Phase.ENDING, self.limits.answer_s if to_be_read else DRAINED_S)
        if all_came:
            self._wire.close()
            return
        self._wire.write_eof()
        self.flow.resume_reading()
        if not to_be_read:
            self.doors.places.wait(self)  # all is said: it makes room for whoever has something to ask

    def _refuse(self, reason: str) -> None:
        """Say why, where nothing else is being said, and end the connection."""
        under_way = self.cycle is not None and not self.cycle.response_complete
        if reason not in _REFUSALS or self.pipeline or (under_way and self.cycle.response_started):
            self.abort(reason)
            return
        self.doors.note(reason, self._peer)
        self._wire.write(_refusal(reason))
        if under_way:  # the application learns that nobody waits for its answer
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.end()

    def _stop(self, reason: str) -> None:
        self._reason = reason
        raise _RefusedError(reason)

    def _enter(self, phase: Phase, seconds: float) -> None:
        before, self.phase = self.phase, phase
        self._until = self.doors.clock() + seconds
        if phase is Phase.IDLE:
            self.doors.places.wait(self)
        elif phase is Phase.HEAD and before is Phase.IDLE:
            pass  # still waiting: a byte of the next request makes nobody busy
        elif phase is not Phase.HEAD:
            self.doors.places.work(self)
