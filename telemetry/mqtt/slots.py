"""Number the ingesters of a broker: each holds a number of its own, by an advisory lock in the database."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from itertools import chain, count

import asyncpg
import structlog

from telemetry.ingest.retry import DATABASE_FAULTS
from telemetry.ingest.store import DatabaseConnection
from telemetry.locks import LockSpace

log = structlog.get_logger(__name__)

_TRY_LOCK = "SELECT pg_try_advisory_lock($1, $2)"
_UNLOCK = "SELECT pg_advisory_unlock($1, $2)"
_FIND_BROKER = "SELECT number FROM brokers WHERE address = $1"
_ADD_BROKER = """
INSERT INTO brokers (number, address) SELECT coalesce(max(number) + 1, 0), $1 FROM brokers ON CONFLICT (address) DO NOTHING
"""
_BROKERS = "SELECT number FROM brokers WHERE number <> $1 ORDER BY number"
SLOTS_OF_BROKER = 1024
"""How far apart the locks of two brokers' slots are."""
_CHECK_S = 15.0
_ANSWER_TIMEOUT_S = 5.0
_RETRY_S = 1.0


class Slot:
    """The lowest number, from 0, that no other ingester holds; a restarted ingester so resumes the session it left.

    The number is kept while the database is away. If another ingester has taken it by the time it is back, it changes.
    Sessions are per broker, and so are the numbers: a broker is known by its address, `host:port`.
    """

    def __init__(self, pool: asyncpg.Pool, address: str | None = None) -> None:
        """Without an address, the broker is the first one of the database."""
        self._pool = pool
        self._address = address
        self.broker = 0
        """The number of the broker in the database; set before `number` is."""
        self._changed = asyncio.Event()
        self._woken = asyncio.Event()
        self._requested: int | None = None
        self.number: int | None = None

    async def hold(self) -> None:
        """Acquire a number and hold it until cancelled."""
        while True:
            try:
                async with self._pool.acquire(timeout=_ANSWER_TIMEOUT_S) as connection:
                    if self._address is not None:
                        self.broker = await self._number_broker(connection, self._address)
                    await self._acquire(connection)
                    await self._keep(connection)
            except DATABASE_FAULTS as error:
                log.warning("slot_lock_lost", slot=self.number, error=str(error) or repr(error))
            await asyncio.sleep(_RETRY_S)

    def request(self, number: int) -> None:
        """Ask to move to another number; the current one is kept if another ingester is quicker."""
        self._requested = number
        self._woken.set()

    @asynccontextmanager
    async def borrowed(self, number: int, broker: int | None = None) -> AsyncIterator[bool]:
        """Hold another number within the block, of this broker or of another one.

        Yields False if it is in use or the database is away.
        """
        key = self._key(number, broker)
        async with AsyncExitStack() as stack:
            free = False
            with suppress(*DATABASE_FAULTS):
                connection = await self._pool.acquire(timeout=_ANSWER_TIMEOUT_S)
                stack.push_async_callback(self._release, connection)
                free = bool(await connection.fetchval(_TRY_LOCK, LockSpace.INGESTER_SLOTS, key))
            yield free

    async def other_brokers(self) -> list[int]:
        """Return the numbers of the other brokers of the database; none while it is away."""
        with suppress(*DATABASE_FAULTS):
            rows = await self._pool.fetch(_BROKERS, self.broker, timeout=_ANSWER_TIMEOUT_S)
            return [row["number"] for row in rows]
        return []

    async def _number_broker(self, connection: DatabaseConnection, address: str) -> int:
        number: int | None = await connection.fetchval(_FIND_BROKER, address)
        if number is not None:
            return number
        await connection.execute(_ADD_BROKER, address)
        number = await connection.fetchval(_FIND_BROKER, address)
        assert number is not None
        if number:
            log.warning(
                "broker_adopted",
                address=address,
                number=number,
                hint="another broker than before reads into this database: its sessions are kept apart",
            )
        return number

    def _key(self, number: int, broker: int | None = None) -> int:
        """Return the number of the lock for a slot."""
        return (self.broker if broker is None else broker) * SLOTS_OF_BROKER + number

    async def _release(self, connection: asyncpg.pool.PoolConnectionProxy) -> None:
        with suppress(*DATABASE_FAULTS):
            await self._pool.release(connection)  # which releases its locks

    async def wait_for_other_than(self, number: int | None) -> int | None:
        """Wait until the number differs from this one, and return it."""
        while self.number == number:
            await self._changed.wait()
        return self.number

    async def _acquire(self, connection: DatabaseConnection) -> None:
        current = [] if self.number is None else [self.number]
        for number in chain(current, count()):
            if await connection.fetchval(_TRY_LOCK, LockSpace.INGESTER_SLOTS, self._key(number)):
                break
        if number != self.number:
            self._set(number)

    async def _keep(self, connection: DatabaseConnection) -> None:
        lost = asyncio.Event()

        def lose(_: object) -> None:
            lost.set()
            self._woken.set()

        connection.add_termination_listener(lose)
        while not lost.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(_CHECK_S):
                    await self._woken.wait()
            self._woken.clear()
            await self._move(connection)
            # A dead network is noticed only when it is used.
            await connection.execute("SELECT 1", timeout=_ANSWER_TIMEOUT_S)

    async def _move(self, connection: DatabaseConnection) -> None:
        """Take the requested number, and only then release the current one."""
        requested, self._requested = self._requested, None
        if requested is None or self.number is None or requested == self.number:
            return
        if await connection.fetchval(
            _TRY_LOCK, LockSpace.INGESTER_SLOTS, self._key(requested), timeout=_ANSWER_TIMEOUT_S
        ):
            await connection.execute(
                _UNLOCK, LockSpace.INGESTER_SLOTS, self._key(self.number), timeout=_ANSWER_TIMEOUT_S
            )
            self._set(requested)

    def _set(self, number: int) -> None:
        log.info("slot_taken", slot=number, before=self.number, broker=self.broker)
        self.number = number
        self._changed.set()
        self._changed = asyncio.Event()
