"""Which of the ingesters this one is: a number that a lock in the database keeps to one of them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from itertools import chain, count

import asyncpg
import structlog

from telemetry.ingest.pipeline import FAULTS
from telemetry.ingest.store import Connection
from telemetry.locks import LockSpace

log = structlog.get_logger(__name__)

_TRY = "SELECT pg_try_advisory_lock($1, $2)"
_LET_GO = "SELECT pg_advisory_unlock($1, $2)"
_CHECK_S = 15.0
_ANSWER_LIMIT_S = 5.0
_RETRY_S = 1.0


class Slot:
    """The lowest number that no other ingester has, from 0 on: one that comes back takes up the session it left.

    While the database is away the number is kept; if another ingester has taken it when it is back, it changes.
    """

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._changed = asyncio.Event()
        self._woken = asyncio.Event()
        self._wanted: int | None = None
        self.number: int | None = None

    async def hold(self) -> None:
        """Get a number and keep it, until cancelled."""
        while True:
            try:
                async with self._pool.acquire(timeout=_ANSWER_LIMIT_S) as connection:
                    await self._take(connection)
                    await self._keep(connection)
            except FAULTS as error:
                log.warning("slot_lock_lost", slot=self.number, error=str(error) or repr(error))
            await asyncio.sleep(_RETRY_S)

    def move_to(self, number: int) -> None:
        """Ask for another number; the one that is held is kept where somebody else is quicker."""
        self._wanted = number
        self._woken.set()

    @asynccontextmanager
    async def borrowed(self, number: int) -> AsyncIterator[bool]:
        """Have another number for as long as the block lasts; false where it is in use, or the database is away."""
        async with AsyncExitStack() as until_the_end:
            free = False
            with suppress(*FAULTS):
                connection = await self._pool.acquire(timeout=_ANSWER_LIMIT_S)
                until_the_end.push_async_callback(self._give_back, connection)
                free = bool(await connection.fetchval(_TRY, LockSpace.INGESTER_SLOTS, number))
            yield free

    async def _give_back(self, connection: asyncpg.pool.PoolConnectionProxy) -> None:
        with suppress(*FAULTS):
            await self._pool.release(connection)  # with which its locks go

    async def other_than(self, number: int | None) -> int | None:
        """Wait until the number is another one."""
        while self.number == number:
            await self._changed.wait()
        return self.number

    async def _take(self, connection: Connection) -> None:
        before = [] if self.number is None else [self.number]
        for number in chain(before, count()):
            if await connection.fetchval(_TRY, LockSpace.INGESTER_SLOTS, number):
                break
        if number != self.number:
            self._have(number)

    async def _keep(self, connection: Connection) -> None:
        lost = asyncio.Event()

        def lose(_: object) -> None:
            lost.set()
            self._woken.set()

        connection.add_termination_listener(lose)
        while not lost.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), _CHECK_S)
            self._woken.clear()
            await self._move(connection)
            # A network that went away says nothing until it is used.
            await connection.execute("SELECT 1", timeout=_ANSWER_LIMIT_S)

    async def _move(self, connection: Connection) -> None:
        """Take the number that is wanted, and only then let go of the other."""
        wanted, self._wanted = self._wanted, None
        if wanted in {None, self.number}:
            return
        if await connection.fetchval(_TRY, LockSpace.INGESTER_SLOTS, wanted, timeout=_ANSWER_LIMIT_S):
            await connection.execute(_LET_GO, LockSpace.INGESTER_SLOTS, self.number, timeout=_ANSWER_LIMIT_S)
            self._have(wanted)

    def _have(self, number: int) -> None:
        log.info("slot_taken", slot=number, before=self.number)
        self.number = number
        self._changed.set()
        self._changed = asyncio.Event()
