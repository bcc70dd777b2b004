"""The HTTP server inside our own event loop: its port is bound before it starts, and whoever runs it stops it."""

import asyncio
import contextlib
import errno
import socket
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp

from api.errors import StartError
from api.http.connections.connection import Connection, Doors
from api.http.connections.limits import Limits
from api.http.connections.lobby import Lobby

GRACE_S = 5
_BACKLOG = 2048
_SEND_BUFFER_BYTES = 256 * 1024


def bind(host: str, port: int) -> socket.socket:
    """Bind the port now, so that a port in use stops the start with a line that says so."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio sees that it is TCP and sets TCP_NODELAY: 40 ms less for every answer.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Connections inherit it: a stream whose reader has vanished ends, though nothing is written to it.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    # And this: the kernel would keep megabytes for everybody who does not read.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
    try:
        listener.bind((host, port))
        listener.listen(
            _BACKLOG
        )  # else another program could still have the port, and we would learn it too late
    except OSError as error:
        listener.close()
        raise StartError(_why(error, host, port)) from None
    return listener


def check_free(host: str, port: int) -> None:
    """Raise StartError if the port is in use, before anything else is started that would have to be stopped again."""
    bind(host, port).close()


def _why(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is in use by another program: choose another with --port or DEWARWATCH_HTTP_PORT"
    if error.errno == errno.EACCES:
        return f"no right to listen on port {port}: choose one from 1024 on"
    return f"cannot listen on {host}:{port}: {error.strerror or error}"


class Web(uvicorn.Server):
    """uvicorn without signal handlers of its own: the process has one owner of signals."""

    def __init__(self, app: ASGIApp, listener: socket.socket, limits: Limits = Limits()) -> None:  # noqa: B008 - frozen
        self._doors = Doors(limits)
        super().__init__(
            uvicorn.Config(
                app,
                http=Connection,
                ws="none",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,  # who is calling is said by Callers: uvicorn would believe anybody on this machine
                lifespan="off",
                timeout_graceful_shutdown=GRACE_S,
                timeout_keep_alive=limits.idle_s,  # type: ignore[arg-type]  # is added to a float
            )
        )
        self._listener = listener

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Install no signal handlers."""
        yield

    @property
    def url(self) -> str:
        """The URL for a browser on this machine."""
        host, port = self._listener.getsockname()[:2]
        shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104  # recognized, not bound
        return f"http://{shown}:{port}"

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002 - ours is known
        """Take connections by the lobby, and not by a server of the loop's."""
        await self.lifespan.startup()
        self.servers = []
        self._lobby = Lobby(
            self._listener,
            self._connection,
            most_of=self._doors.limits.most_of,
            turned_away=self._doors.note,
        )
        self._lobby.open()
        self.started = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more connections, and let those that there are finish."""
        self._lobby.close()
        await super().shutdown(sockets)

    def _connection(self) -> Connection:
        return Connection(
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
            doors=self._doors,
        )

    async def run_until_stopped(self) -> None:
        """Serve until `should_exit`; connections get a few seconds to finish."""
        looking_after = asyncio.create_task(self._doors.look_after(), name="web:doors")
        try:
            await self.serve(sockets=[self._listener])
        finally:
            looking_after.cancel()
