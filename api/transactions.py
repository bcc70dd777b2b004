"""Transactions that say what they did only once it is committed."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

_LATER = "dewarwatch_after_commit"


@asynccontextmanager
async def begin(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Open a transaction as `engine.begin()` does; what `after_commit` was given is called once it is committed.

    Within one that is open on the same connection, that is once the outer one is.
    """
    later: list[Callable[[], None]] = []
    async with engine.begin() as connection:
        # Of a connection that was lost meanwhile it cannot be had any more, and to ask would hide why it was lost.
        info = connection.info
        outer: list[Callable[[], None]] | None = info.get(_LATER)
        if outer is not None:
            info[_LATER] = later
            try:
                yield connection
            finally:
                info[_LATER] = outer
            outer += later
            return
        info[_LATER] = later
        try:
            yield connection
        finally:
            info.pop(_LATER, None)
    for do in later:
        do()


def after_commit(connection: AsyncConnection, do: Callable[[], None]) -> None:
    """Call `do` once the transaction is committed, and never if it is not."""
    if _LATER not in connection.info:
        raise RuntimeError("this needs a transaction by api.transactions.begin, not by engine.begin")
    connection.info[_LATER].append(do)
