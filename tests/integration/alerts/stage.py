"""A database whose clock the test sets, and programs that take turns on it, a statement at a time, in a given order."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

import asyncpg

# What the service's statements call without a schema is found here first.
CLOCK = """
CREATE SCHEMA clock;
CREATE TABLE clock.hands (at timestamptz NOT NULL);
INSERT INTO clock.hands VALUES (now());
CREATE FUNCTION clock.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS 'SELECT at FROM clock.hands';
CREATE FUNCTION clock.now() RETURNS timestamptz LANGUAGE sql STABLE AS 'SELECT at FROM clock.hands';
"""
SETTINGS = {"search_path": "clock, pg_catalog, public", "synchronous_commit": "off", "jit": "off"}

TOO_LONG_S = 60.0


class Killed(Exception):  # noqa: N818 -- it is what happened to the program
    """The program ended between two statements, and its connection with it."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What happens instead of a program's statement, and of which one, counted from 0."""

    at: int
    error: type[Exception] = Killed


class Turns:
    """Lets programs run one statement at a time: `order` says whose turn is next among those that are ready."""

    def __init__(self, order: Iterable[int]) -> None:
        self._order: Iterator[int] = iter(order)
        self._ready: dict[int, asyncio.Future[None]] = {}
        self._running = 0

    async def run(self, programs: Sequence[Awaitable[Any]]) -> list[Any]:
        """Runs all of them to their ends; gives what each gave or raised."""
        self._running = len(programs)
        return await asyncio.gather(*(self._one(program) for program in programs), return_exceptions=True)

    async def _one(self, program: Awaitable[Any]) -> Any:
        try:
            return await program
        finally:
            self._rest()

    async def mine(self, number: int) -> None:
        """Returns when it is the turn of this program."""
        self._ready[number] = turn = asyncio.get_running_loop().create_future()
        self._rest()
        await turn

    def _rest(self) -> None:
        self._running -= 1
        if not self._running and self._ready:
            ready = sorted(self._ready)
            self._running = 1
            self._ready.pop(ready[next(self._order, 0) % len(ready)]).set_result(None)


@dataclass
class SteppedConnection:
    """A connection of one program that takes turns, to be handed to the service in place of its own."""

    connection: asyncpg.Connection
    turns: Turns | None = None
    """None where it need not wait for any."""
    number: int = 0
    fault: Fault | None = None
    statements: int = field(default=0, init=False)

    async def _turn(self) -> None:
        if self.turns is not None:
            await self.turns.mine(self.number)
        self.statements += 1
        if self.fault is not None and self.fault.at == self.statements - 1:
            raise self.fault.error("as the test wants it")

    async def execute(self, *args: Any) -> Any:
        await self._turn()
        return await self.connection.execute(*args)

    async def fetch(self, *args: Any) -> Any:
        await self._turn()
        return await self.connection.fetch(*args)

    async def fetchrow(self, *args: Any) -> Any:
        await self._turn()
        return await self.connection.fetchrow(*args)

    async def fetchval(self, *args: Any) -> Any:
        await self._turn()
        return await self.connection.fetchval(*args)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        await self._turn()
        async with self.connection.transaction():
            yield
            await self._turn()  # the commit

    @asynccontextmanager
    async def acquire(self, **_: Any) -> AsyncIterator["SteppedConnection"]:
        """It is its own pool."""
        yield self


Program: TypeAlias = Callable[[SteppedConnection], Awaitable[Any]]


@dataclass
class Stage:
    """Connections for programs, to one database with a clock of its own."""

    connections: list[asyncpg.Connection]

    @classmethod
    async def of(cls, url: str, programs: int) -> "Stage":
        owner = await asyncpg.connect(url)
        await owner.execute(CLOCK)
        await owner.close()
        return cls([await asyncpg.connect(url, server_settings=SETTINGS) for _ in range(programs)])

    async def close(self) -> None:
        for connection in self.connections:
            await connection.close()

    @property
    def director(self) -> asyncpg.Connection:
        """A connection for what the test does between the acts."""
        return self.connections[0]

    async def set_clock(self, at: datetime) -> None:
        await self.director.execute("UPDATE clock.hands SET at = $1", at)

    async def play(
        self, programs: Sequence[tuple[Program, Fault | None]], order: Iterable[int] = ()
    ) -> list[Any]:
        """Runs programs beside each other; gives what each gave, or its fault."""
        turns = Turns(order)
        hands = [
            SteppedConnection(connection, turns, number, fault)
            for number, (connection, (_, fault)) in enumerate(zip(self.connections, programs, strict=False))
        ]
        async with asyncio.timeout(TOO_LONG_S):  # one that waits for a lock would wait for ever
            found = await turns.run(
                [program(hand) for hand, (program, _) in zip(hands, programs, strict=True)]
            )
        for result, (_, fault) in zip(found, programs, strict=True):
            if isinstance(result, BaseException) and (fault is None or not isinstance(result, fault.error)):
                raise result
        return found
