"""Writes many items at once, so that an item that the database refuses does not affect the others."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

import asyncpg

from alerts.work.bulk import Connection
from alerts.work.errors import REFUSED

T = TypeVar("T")

LOCK_PATIENCE: Final = "2s"
"""How long a statement of a batch waits for a lock; usually others hold theirs for much less."""
LOCK_PATIENCE_ALONE: Final = "100ms"
"""The same where items are written one by one, because one of them waited for too long."""


async def write_each(
    connection: Connection, items: Sequence[T], write: Callable[[Sequence[T]], Awaitable[None]]
) -> tuple[list[T], list[tuple[T, asyncpg.PostgresError]]]:
    """Write all items at once; if the database refuses a value, write them one by one to find out which.

    The same if another process holds a lock for too long: it may stand still, and only what it holds waits for it.
    Returns the items that were written, and those that were refused, with the error. Each attempt has a
    savepoint.
    """
    try:
        async with connection.transaction():
            await write(items)
    except (*REFUSED, asyncpg.LockNotAvailableError) as error:
        if len(items) == 1:
            return [], [(items[0], error)]
        if isinstance(error, asyncpg.LockNotAvailableError):
            await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_PATIENCE_ALONE}'")
        parts = [await write_each(connection, [item], write) for item in items]
        return [one for written, _ in parts for one in written], [one for _, no in parts for one in no]
    return list(items), []
