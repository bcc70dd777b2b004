"""How every connection to the database is made: with time-outs on both sides.

A process that freezes, or that a network has cut off, must not keep its locks: the server ends its session. And a server
that is cut off must not keep a process waiting: the process ends the connection. Nothing but this module opens one.

TCP notices a network that is cut off. It does not notice a proxy that is frozen, or a backend: their machines go on to
confirm what arrives. What notices them is a statement that takes too long, and a cancellation that has no effect.
"""

import asyncio
import socket
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import asyncpg
import structlog
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

log = structlog.get_logger(__name__)

KEEPALIVE_IDLE_S: Final = 10
KEEPALIVE_EVERY_S: Final = 5
KEEPALIVE_TRIES: Final = 3
UNANSWERED_S: Final = 25
"""How long what was sent may stay unanswered, or unread: then the connection is dead, by TCP's own measure."""
UNCONFIRMED_S: Final = 5.0
"""How long the server may take to confirm that a statement was cancelled: then the connection is dead, whatever TCP says."""
_GRACE_S: Final = 5
"""The server's limit is that much longer than ours, so that ours is met first where a process is alive."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a connection waits, in seconds; 0 means without limit."""

    idle_in_transaction_s: int = 60
    """For the next statement of an open transaction: then the server ends the session, and its locks are free."""
    lock_s: int = 10
    """For a lock."""
    statement_s: int = 40
    """For a statement, locks included: so long does a connection hold up its loop that died unnoticed."""
    connect_s: float = 10.0

    def settings(self, name: str) -> dict[str, str]:
        """Return the settings of a session, which the server shows under this name."""
        statement_s = self.statement_s and self.statement_s + _GRACE_S
        return {
            "application_name": name,
            "idle_in_transaction_session_timeout": f"{self.idle_in_transaction_s}s",
            "lock_timeout": f"{self.lock_s}s",
            "statement_timeout": f"{statement_s}s",
            "tcp_keepalives_idle": str(KEEPALIVE_IDLE_S),
            "tcp_keepalives_interval": str(KEEPALIVE_EVERY_S),
            "tcp_keepalives_count": str(KEEPALIVE_TRIES),
            "tcp_user_timeout": str(1000 * UNANSWERED_S),
        }


OF_LOOPS: Final = Patience()
OF_CALLS: Final = Patience(idle_in_transaction_s=30)
"""Of HTTP calls. The longest pause in a transaction is that of a registration, which asks the broker."""
OF_MIGRATIONS: Final = Patience(lock_s=3, statement_s=0)
"""A statement may take as long as it has to; but what waits for a table has everybody else wait behind it."""
OF_COMMANDS: Final = Patience(idle_in_transaction_s=600)
"""Of commands that compute for long between two statements, and lock at most a few shipments meanwhile."""


END_SESSION = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE pid = $1 AND usename = current_user AND application_name = current_setting('application_name')
"""


class Link(asyncpg.Connection):
    """A connection that is given up, with its session, if the server does not confirm a cancellation."""

    on_given_up: Callable[[], None] | None = None
    """What else is to be done then."""
    another: Callable[[], Coroutine[Any, Any, asyncpg.Connection]] | None = None
    """Opens one like it."""
    _ending: "asyncio.Task[None] | None" = None

    def _cancel_current_command(
        self, waiter: "asyncio.Future[None]", cancel_waiter: "asyncio.Future[None] | None" = None
    ) -> None:
        # asyncpg calls it whenever a statement takes too long, or whoever waits for one gives up. It would wait for
        # the server as long as for a statement, once more.
        super()._cancel_current_command(waiter, cancel_waiter)  # type: ignore[misc]
        if cancel_waiter is not None:
            asyncio.get_running_loop().call_later(UNCONFIRMED_S, self._give_up, cancel_waiter)

    def _give_up(self, cancel_waiter: "asyncio.Future[None]") -> None:
        if cancel_waiter.done():
            return
        log.warning("connection_given_up", unanswered_s=UNCONFIRMED_S)
        if self.another is not None:
            self._ending = asyncio.create_task(_end_session(self.another, self.get_server_pid()))
        self.terminate()
        if self.on_given_up is not None:
            self.on_given_up()


async def _end_session(another: Callable[[], Coroutine[Any, Any, asyncpg.Connection]], pid: int) -> None:
    """End a session whose connection is dead: the server may not know, and would keep its locks for ever."""
    try:
        connection = await another()
        try:
            await connection.execute(END_SESSION, pid)
        finally:
            connection.terminate()
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        log.warning("session_not_ended", error=repr(error))  # the server ends it when it notices


async def connect(database_url: str, name: str, patience: Patience = OF_LOOPS) -> asyncpg.Connection:
    """Open a connection; raises as asyncpg does."""
    return await _open(database_url, **_arguments(name, patience))


def make_pool(database_url: str, name: str, *, max_size: int, patience: Patience = OF_LOOPS) -> asyncpg.Pool:
    """Return a pool of such connections, which opens them as they are needed.

    Whatever cut off one has most likely cut off all: those that are idle are not used again, or each would cost
    a time-out of its own.
    """
    expiring: set[asyncio.Task[None]] = set()

    def expire() -> None:
        task = asyncio.get_running_loop().create_task(pool.expire_connections())
        expiring.add(task)
        task.add_done_callback(expiring.discard)

    async def open_one(*arguments: Any, **named: Any) -> asyncpg.Connection:
        connection = await _open(*arguments, **named)
        connection.on_given_up = expire
        return connection

    pool = asyncpg.create_pool(
        database_url,
        min_size=0,
        max_size=max_size,
        connect=open_one,
        connection_class=Link,
        **_arguments(name, patience),
    )
    return pool


def engine_for(
    database_url: str,
    name: str = "dewarwatch",
    patience: Patience = OF_CALLS,
    *,
    settings: Mapping[str, str] | None = None,
    **options: Any,
) -> AsyncEngine:
    """Return a SQLAlchemy engine on such connections; asyncpg parses the address itself.

    SQLAlchemy would not understand `?sslmode=require` and the like, which every vendor's addresses have.
    """
    arguments = _arguments(name, patience)
    arguments["server_settings"] |= settings or {}
    creator: Callable[[], Any] = partial(_open, database_url, **arguments)
    return create_async_engine("postgresql+asyncpg://", async_creator=creator, **options)


def _arguments(name: str, patience: Patience) -> dict[str, Any]:
    return {
        "server_settings": patience.settings(name),
        "command_timeout": patience.statement_s or None,
        "timeout": patience.connect_s,
    }


async def _open(*arguments: Any, **named: Any) -> Link:
    connection: Link = await asyncpg.connect(*arguments, **{**named, "connection_class": Link})
    connection.another = partial(_open, *arguments, **named)
    keep_alive(connection)
    return connection


def keep_alive(connection: asyncpg.Connection) -> None:
    """Let our side notice a server that does not answer any more, also where nothing is sent, as in LISTEN."""
    link = socket_of(connection)
    if link.family not in {socket.AF_INET, socket.AF_INET6}:
        return
    link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        ("TCP_KEEPIDLE", KEEPALIVE_IDLE_S),
        ("TCP_KEEPINTVL", KEEPALIVE_EVERY_S),
        ("TCP_KEEPCNT", KEEPALIVE_TRIES),
        ("TCP_USER_TIMEOUT", 1000 * UNANSWERED_S),
    ):
        if hasattr(socket, option):  # not every system has all of them
            link.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


def socket_of(connection: asyncpg.Connection) -> socket.socket:
    """Return the socket of a connection, encrypted or not."""
    transport = connection._transport  # type: ignore[attr-defined]  # noqa: SLF001 -- asyncpg offers no other way to it
    link: socket.socket = transport.get_extra_info("socket")
    return link
