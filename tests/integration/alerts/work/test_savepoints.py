"""What the database refuses in one item costs the others nothing."""

from collections.abc import Sequence

import asyncpg
import pytest

from alerts.work.savepoints import write_each
from tests.integration.alerts.conftest import Desk


async def test_one_item_that_is_refused_costs_the_others_nothing(desk: Desk) -> None:
    tries: list[list[str]] = []

    async def write(items: Sequence[str]) -> None:
        tries.append(list(items))
        await connection.execute("INSERT INTO devices (device_id) SELECT unnest($1::text[])", items)

    async with desk.pool.acquire() as connection, connection.transaction():
        assert await write_each(connection, ["a", "b"], write) == (["a", "b"], [])
        written, refused = await write_each(connection, ["c", "a", "d"], write)
    assert written == ["c", "d"]
    assert [(one, type(error)) for one, error in refused] == [("a", asyncpg.UniqueViolationError)]
    assert tries == [["a", "b"], ["c", "a", "d"], ["c"], ["a"], ["d"]]
    stored = await desk.pool.fetch("SELECT device_id FROM devices ORDER BY 1")
    assert [row["device_id"] for row in stored] == ["a", "b", "c", "d"]


async def test_what_passes_is_no_refusal(desk: Desk) -> None:
    async def write(_: Sequence[str]) -> None:
        raise asyncpg.DeadlockDetectedError

    async with desk.pool.acquire() as connection, connection.transaction():
        with pytest.raises(asyncpg.DeadlockDetectedError):
            await write_each(connection, ["a", "b"], write)
