"""Writes many items at once, so that an item that the database refuses does not affect the others."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import asyncpg

from alerts.work.bulk import Connection
from alerts.work.errors import REFUSED

T = TypeVar("T")


async def write_each(
    connection: Connection, items: Sequence[T], write: Callable[[Sequence[T]], Awaitable[None]]
) -> tuple[list[T], list[tuple[T, asyncpg.PostgresError]]]:
    """Write all items at once; if the database refuses a value, write them one by one to find out which.

    Returns the items that were written, and those that were refused, with the error. Each attempt has a
    savepoint.
    """
    try:
        async with connection.transaction():
            await write(items)
    except REFUSED as error:
        if len(items) == 1:
            return [], [(items[0], error)]
        parts = [await write_each(connection, [item], write) for item in items]
        return [one for written, _ in parts for one in written], [one for _, no in parts for one in no]
    return list(items), []
