"""One persistent HTTP/1.1 connection: one request at a time, and answers of bounded size.

No client of the general kind is cheap enough: aiohttp's takes more processor time for a request than all else that a
delivery needs. The parser is llhttp, by httptools.
"""

import asyncio
from dataclasses import dataclass
from typing import Final, cast

import httptools

LARGEST_ANSWER: Final = 20_000
_LARGEST_HEAD: Final = 65_536
_LARGEST_WHOLE: Final = 262_144
"""Limit on all bytes of an answer: chunks may be tiny, and trailers need not end."""
CLOSED: Final = "the connection was closed without an answer"


@dataclass(slots=True)
class Reply:
    """The answer to one request so far."""

    status: int | None = None
    retry_after: str | None = None
    content: bytes = b""
    """Its first 20 kB."""
    error: str | None = None
    """What went wrong; there may be a status as well."""
    unheard: bool = False
    """The connection ended before a byte came back: a kept connection was closed while we wrote."""


class Connection(asyncio.Protocol):
    """Callbacks of the transport and of the parser; callers use `ask`."""

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._asked: asyncio.Future[Reply] | None = None
        self._reply = Reply()
        self._until_closed = True
        """The answer does not say where it ends."""
        self._size = 0
        """Bytes that have come since the request."""
        self._gone = CLOSED
        """Why the connection can take no more requests."""
        self._may_be_kept = True
        self.opened_at = self.idle_since = 0.0

    @property
    def reusable(self) -> bool:
        """Whether another request may be sent."""
        return self._may_be_kept and not self._transport.is_closing()

    def ask(self, request: bytes) -> asyncio.Future[Reply]:
        """Send a request; the future resolves to the answer or the failure, and `expire` ends it."""
        self._reply, self._until_closed, self._size = Reply(), True, 0
        self._asked = asked = asyncio.get_running_loop().create_future()
        if self.reusable:
            self._transport.write(request)
        else:
            self._reply.unheard = True
            self._finish(self._gone, reusable=False)
        return asked

    def expire(self, error: str) -> None:
        """End the request under way; it takes too long."""
        if self._asked is not None:
            late = "the answer did not end in time"
            self._finish(error if self._reply.status is None else late, reusable=False)

    def close(self) -> None:
        """Close once idle."""
        self._may_be_kept = False
        self._transport.close()

    def abort(self) -> None:
        """Abort, whatever is still to be written."""
        self._may_be_kept = False
        self._transport.abort()

    def _finish(self, error: str | None = None, *, reusable: bool) -> None:
        asked, self._asked = self._asked, None
        assert asked is not None
        self._reply.error = error
        if not asked.done():
            asked.set_result(self._reply)
        if not reusable or self._transport.get_write_buffer_size():
            self.abort()

    # -- of the transport ------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        if not self._may_be_kept:
            return
        if self._asked is None:
            self._gone = "the server spoke before it was asked"
            self.abort()
            return
        self._size += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._may_be_kept = False
            if self._asked is not None:
                self._finish(f"the answer is not HTTP/1.1: {error}"[:500], reusable=False)
            return
        if self._asked is not None and self._size > _LARGEST_HEAD:
            if self._reply.status is None:
                self._finish("the head of the answer is too large", reusable=False)
            elif self._size > _LARGEST_WHOLE:
                self._finish("the answer is too large", reusable=False)

    def connection_lost(self, exc: Exception | None) -> None:
        self._may_be_kept = False
        if self._asked is None:
            return
        self._reply.unheard = self._size == 0
        if self._reply.status is None:
            error: str | None = str(exc) if exc is not None else CLOSED
        else:
            whole = self._until_closed and exc is None
            error = None if whole else "the connection was closed before the end of the answer"
        self._finish(error, reusable=False)

    # -- of the parser ---------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._asked is None:  # more than was asked for
            self.abort()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._reply.status is not None:  # behind the last chunk
            return
        name = name.lower()
        if name == b"retry-after":
            self._reply.retry_after = value.decode("latin-1")
        elif name in {b"content-length", b"transfer-encoding"}:
            self._until_closed = False

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status >= 200 or status == 101:
            self._reply.status = status
        else:  # an answer before the answer
            self._reply.retry_after, self._until_closed = None, True

    def on_body(self, body: bytes) -> None:
        if self._asked is None:
            return
        reply = self._reply
        more = len(reply.content) + len(body) > LARGEST_ANSWER
        reply.content = (reply.content + body)[:LARGEST_ANSWER]
        if more:
            self._finish(reusable=False)

    def on_message_complete(self) -> None:
        if self._asked is not None and self._reply.status is not None:
            self._finish(reusable=self._parser.should_keep_alive())
