"""How loops wait: for a notification, or for the next poll; and how they retry while the database is away."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import asyncpg
import structlog

from alerts.work.errors import TRY_AGAIN

log = structlog.get_logger(__name__)

T = TypeVar("T")

LOOK_EVERY_S: Final = 15.0
_ANSWER_TIMEOUT_S: Final = 5.0
_FIRST_BACKOFF_S, _LONGEST_BACKOFF_S = 0.1, 5.0


class Wakeup:
    """Listens on a channel of the database; reconnects if the connection is lost, while polling goes on."""

    def __init__(
        self, pool: asyncpg.Pool, channel: str, heard: Callable[[str | None], None] | None = None
    ) -> None:
        """`heard` is called with what each notification says, and with None where some may have been missed."""
        self._pool = pool
        self._channel = channel
        self._heard = heard
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._listen(), name=f"listen:{self._channel}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._task is not None
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    def clear(self) -> None:
        """Forget earlier wake-ups; call it before looking for work, so that no later one is missed."""
        self._woken.clear()

    async def wait(self, patience_s: float, *others: asyncio.Event) -> None:
        """Return at a notification, at one of the other events, or after `patience_s` seconds."""
        await first_of(self._woken, *others, patience_s=patience_s)
        if self._task is not None and self._task.done():
            self._task.result()  # an error of our own must not go unnoticed while polling goes on

    async def _listen(self) -> None:
        while True:
            try:
                await self._listen_once()
            except TRY_AGAIN as error:
                log.debug("listening_interrupted", channel=self._channel, error=repr(error))
                await asyncio.sleep(_LONGEST_BACKOFF_S / 5)

    async def _listen_once(self) -> None:
        closed = asyncio.Event()
        async with self._pool.acquire() as connection:
            connection.add_termination_listener(lambda _: closed.set())
            await connection.add_listener(self._channel, self._wake)
            self._wake()  # there may have been notifications while nobody listened
            try:
                while not closed.is_set():
                    # A connection that died in silence is noticed only when it is used.
                    await first_of(closed, patience_s=LOOK_EVERY_S)
                    if not closed.is_set():
                        await connection.execute("SELECT 1", timeout=_ANSWER_TIMEOUT_S)
            finally:
                connection.terminate()  # without a word that would have to be answered

    def _wake(self, *notification: Any) -> None:
        self._woken.set()
        if self._heard is not None:
            self._heard(notification[-1] if notification else None)


async def first_of(*events: asyncio.Event, patience_s: float) -> None:
    """Return as soon as one of the events is set, or after `patience_s` seconds."""
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()


async def unless(stop: asyncio.Event, work: Coroutine[Any, Any, T]) -> T | None:
    """Do the work and return its result; cancel it and return None if `stop` is set first."""
    task = asyncio.ensure_future(work)
    stopped = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        task.cancel()
        stopped.cancel()
        await asyncio.gather(task, stopped, return_exceptions=True)


async def outlast(work: Callable[[], Awaitable[T]], stop: asyncio.Event, what: str) -> T | None:
    """Do the work, retrying while the database is away; return None if `stop` is set first."""
    backoff = _FIRST_BACKOFF_S
    while not stop.is_set():
        try:
            return await work()
        except TRY_AGAIN as error:
            log.warning("database_away", during=what, error=repr(error), retry_in_s=backoff)
            await first_of(stop, patience_s=backoff)
            backoff = min(backoff * 2, _LONGEST_BACKOFF_S)
    return None
