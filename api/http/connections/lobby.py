"""Takes connections off the kernel's queue as they come, and serves the addresses in turn.

The kernel has one queue, and uvloop takes one connection from it each time round. Whoever opens a thousand at once would have
everybody else wait behind them. Taking one costs a tenth of serving it, so all are taken, and each address has a queue of its own.
"""

import asyncio
import errno
import math
import socket
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final

import structlog

from api.http.connections.limits import neighbourhood

log = structlog.get_logger(__name__)

_TAKEN_AT_ONCE: Final = 64
_SERVED_AT_ONCE: Final = 4
_AGAIN_AFTER_S: Final = 0.5
"""How long nothing is taken where there is no descriptor left: the kernel would say so each time round."""
_TOLD_EACH_S: Final = 60.0
_NONE_LEFT: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_NOT_WAITING: Final = frozenset({errno.EAGAIN, errno.EWOULDBLOCK})


class Lobby:
    """The connections of a listener that are not served yet."""

    def __init__(
        self,
        listener: socket.socket,
        serve: Callable[[], asyncio.Protocol],
        *,
        most_of: Callable[[str], int],
        turned_away: Callable[[str, str], None],
    ) -> None:
        self._listener, self._make = listener, serve
        self._most_of = most_of
        self._turned_away = turned_away
        self._waiting: OrderedDict[str, deque[socket.socket]] = OrderedDict()
        self._serving = False
        self._open = False
        self._told_at = -math.inf
        self._tasks: set[asyncio.Task[object]] = set()

    def open(self) -> None:
        """Begin to take connections."""
        self._listener.setblocking(False)  # noqa: FBT003 - the standard library's
        self._open = True
        asyncio.get_running_loop().add_reader(self._listener.fileno(), self._take)

    def close(self) -> None:
        """Take no more, and let go of those that are not served."""
        if not self._open:
            return
        self._open = False
        asyncio.get_running_loop().remove_reader(self._listener.fileno())
        for waiting in self._waiting.values():
            for one in waiting:
                one.close()
        self._waiting.clear()

    def _take(self) -> None:
        for _ in range(_TAKEN_AT_ONCE):
            try:
                one, address = self._listener.accept()
            except OSError as error:
                if error.errno in _NONE_LEFT:
                    self._pause(error)
                    return
                if error.errno in _NOT_WAITING:
                    return
                continue  # it has gone already
            self._queue(one, str(address[0]))
        # The rest is told again by the kernel.

    def _queue(self, one: socket.socket, peer: str) -> None:
        waiting = self._waiting.setdefault(neighbourhood(peer), deque())
        if len(waiting) >= self._most_of(peer):
            waiting.popleft().close()
            self._turned_away("address_full", peer)
        waiting.append(one)
        if not self._serving:
            self._serving = True
            asyncio.get_running_loop().call_soon(self._serve)

    def _serve(self) -> None:
        """Serve one of each of a few addresses in turn; what else is ready goes in between.

        Of one address the newest is first: after a burst of a thousand, whoever comes next need not wait for all of them.
        """
        loop = asyncio.get_running_loop()
        for _ in range(_SERVED_AT_ONCE):
            if not self._waiting:
                break
            address, waiting = self._waiting.popitem(last=False)
            one = waiting.pop()
            if waiting:
                self._waiting[address] = waiting  # behind the others
            one.setblocking(False)  # noqa: FBT003 - the standard library's
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            task = loop.create_task(self._connect(one))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self._serving = bool(self._waiting)
        if self._serving:
            loop.call_soon(self._serve)

    async def _connect(self, one: socket.socket) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(self._make, one)
        except OSError as error:  # it has gone already
            log.debug("connection_not_served", error=str(error))
            one.close()

    def _pause(self, error: OSError) -> None:
        """Take none for a moment: those that are served go on, and whoever comes waits at the kernel."""
        loop = asyncio.get_running_loop()
        if loop.time() - self._told_at >= _TOLD_EACH_S:
            self._told_at = loop.time()
            log.error("connections_not_accepted", error=error.strerror or str(error))
        loop.remove_reader(self._listener.fileno())
        loop.call_later(_AGAIN_AFTER_S, self._resume)

    def _resume(self) -> None:
        if self._open:
            asyncio.get_running_loop().add_reader(self._listener.fileno(), self._take)
