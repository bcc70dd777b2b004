"""A pool of connections on which something happens at a certain statement: the database goes away, or what the test wants."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import asyncpg

Run: TypeAlias = Callable[[], Awaitable[Any]]
Happening: TypeAlias = Callable[["FlakyConnection", Run], Awaitable[Any]]
"""What happens instead of a statement, which it may run itself."""


@dataclass
class FlakyPool:
    """Counts the statements of all its connections, BEGIN and COMMIT among them; at some of them something happens."""

    pool: asyncpg.Pool
    happening: Happening | None = None
    at: range = range(0)
    """The statements at which it happens, counted from 0."""
    statements: list[str] = field(default_factory=list)

    @asynccontextmanager
    async def acquire(self, **more: Any) -> AsyncIterator["FlakyConnection"]:
        async with self.pool.acquire(**more) as connection:
            yield FlakyConnection(connection, self)

    async def execute(self, *args: Any) -> Any:
        async with self.acquire() as connection:
            return await connection.execute(*args)

    async def fetch(self, *args: Any) -> Any:
        async with self.acquire() as connection:
            return await connection.fetch(*args)

    async def fetchrow(self, *args: Any) -> Any:
        async with self.acquire() as connection:
            return await connection.fetchrow(*args)

    async def fetchval(self, *args: Any) -> Any:
        async with self.acquire() as connection:
            return await connection.fetchval(*args)

    @property
    def happened(self) -> bool:
        return len(self.statements) > self.at.start


@dataclass
class FlakyConnection:
    """A connection of a flaky pool."""

    connection: asyncpg.pool.PoolConnectionProxy
    pool: FlakyPool

    def __getattr__(self, name: str) -> Any:
        return getattr(self.connection, name)

    async def _run(self, statement: str, run: Run) -> Any:
        number = len(self.pool.statements)
        self.pool.statements.append(" ".join(statement.split()))
        if self.pool.happening is not None and number in self.pool.at:
            return await self.pool.happening(self, run)
        return await run()

    async def execute(self, *args: Any) -> Any:
        return await self._run(args[0], lambda: self.connection.execute(*args))

    async def fetch(self, *args: Any) -> Any:
        return await self._run(args[0], lambda: self.connection.fetch(*args))

    async def fetchrow(self, *args: Any) -> Any:
        return await self._run(args[0], lambda: self.connection.fetchrow(*args))

    async def fetchval(self, *args: Any) -> Any:
        return await self._run(args[0], lambda: self.connection.fetchval(*args))

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        transaction = self.connection.transaction()
        await self._run("BEGIN", transaction.start)
        try:
            yield
        except BaseException:
            if not self.connection.is_closed():
                await transaction.rollback()
            raise
        await self._run("COMMIT", transaction.commit)


async def lost_before(connection: FlakyConnection, run: Run) -> Any:
    """The connection is lost before the server gets the statement."""
    connection.terminate()
    return await run()


async def lost_after(connection: FlakyConnection, run: Run) -> Any:
    """The server executes the statement, and the connection is lost before its answer comes."""
    await run()
    connection.terminate()
    raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")


async def fault(_: FlakyConnection, __: Run) -> Any:
    """A fault of our own, which does not pass."""
    raise ZeroDivisionError("as the test wants it")
