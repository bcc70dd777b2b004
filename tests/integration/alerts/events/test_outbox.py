"""Positions follow commits: whatever is told by whom, a reader that goes on from where it was skips nothing."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
import structlog
from prometheus_client import REGISTRY

from alerts.events import outbox
from alerts.events.outbox import Event, Lost, Position
from alerts.events.retention import PRUNE, look_after
from alerts.events.write import WRITE_EVENTS
from alerts.webhooks.fanout import fan_out

WRITERS, TRANSACTIONS, SHIPMENTS = 8, 25, 3
START = Position(0)

pytestmark = pytest.mark.made_up_events


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[asyncpg.Pool]:
    async with asyncpg.create_pool(database_url, min_size=0, max_size=WRITERS + 2) as pool:
        yield pool


async def tell(connection: Any, *shipment_ids: str) -> None:
    rows = [
        {"type": "alert.firing", "shipment_id": id_, "organization": None, "data": {"shipment_id": id_}}
        for id_ in shipment_ids
    ]
    await connection.execute(WRITE_EVENTS, json.dumps(rows))


async def read(pool: asyncpg.Pool, after: Position = START, limit: int = 1000) -> list[Event]:
    async with pool.acquire() as connection:
        return await outbox.read(connection, after, limit)


async def test_an_event_can_be_read_at_its_commit_whatever_else_is_running(pool: asyncpg.Pool) -> None:
    """Also where that began before, has written, and has told of something itself."""
    async with pool.acquire() as slow, slow.transaction():
        await tell(slow, "slow")
        await tell(pool, "quick")
        (quick,) = await read(pool)
        assert quick.shipment_id == "quick"
    (slower,) = await read(pool, quick.position)
    assert slower.shipment_id == "slow"
    assert slower.created_at < quick.created_at


async def test_what_is_rolled_back_is_never_told(pool: asyncpg.Pool) -> None:
    async with pool.acquire() as connection, connection.transaction():
        savepoint = connection.transaction()
        await savepoint.start()
        await tell(connection, "never")
        await savepoint.rollback()
        await tell(connection, "ever", "and ever")
    assert [event.shipment_id for event in await read(pool)] == ["ever", "and ever"]


async def test_a_reader_skips_nothing_while_many_commit_in_any_order(
    pool: asyncpg.Pool, run_seed: int
) -> None:
    """Each event once, in the order of positions, and those of a shipment in the order of `sequence`."""
    got: list[Event] = []

    async def write(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(TRANSACTIONS):
            async with pool.acquire() as connection, connection.transaction():
                told = [f"S{chance.randrange(SHIPMENTS)}" for _ in range(chance.randint(1, 4))]
                await tell(connection, *told)
                if chance.random() < 0.3:
                    await connection.execute("SELECT pg_sleep($1)", chance.random() * 0.01)

    async def follow(writing: "asyncio.Future[Any]") -> None:
        over = False
        while not over:
            over = writing.done()
            got.extend(await read(pool, got[-1].position if got else START, limit=7))
            over = over and len(got) == await pool.fetchval("SELECT count(*) FROM outbox")

    writing = asyncio.gather(*(write(run_seed + number) for number in range(WRITERS)))
    async with asyncio.timeout(60):
        await follow(writing)
    await writing
    positions = [event.position for event in got]
    assert positions == sorted(set(positions))
    for number in range(SHIPMENTS):
        counted = [event.data["sequence"] for event in got if event.shipment_id == f"S{number}"]
        assert counted == list(range(1, len(counted) + 1))


async def test_a_database_that_was_restored_knows_which_positions_are_not_its_own(pool: asyncpg.Pool) -> None:
    """What was told after the backup is gone, and its positions are given again."""
    await tell(pool, "S1", "S2")
    first, second = await read(pool)
    async with pool.acquire() as connection:
        assert await outbox.lost(connection, second.position) is None
        await connection.execute("DELETE FROM outbox WHERE position = $1", second.position.number)
        await connection.execute("SELECT setval('outbox_position', $1)", first.position.number)
        gone = await outbox.lost(connection, second.position)
        assert gone is not None
        assert (gone.reason, gone.go_on_after) == ("unknown_position", first.position)
        await tell(connection, "S3")
        (third,) = await outbox.read(connection, first.position, 10)
        assert third.position.number == second.position.number
        gone = await outbox.lost(connection, second.position)
        assert gone is not None
        assert (gone.reason, gone.go_on_after) == ("unknown_position", third.position)
        assert await outbox.lost(connection, third.position) is None
        assert await outbox.lost(connection, first.position) is None


async def test_a_position_that_is_left_out_after_a_crash_is_known_as_one_of_before(
    pool: asyncpg.Pool,
) -> None:
    """A sequence may go on further ahead than the last event that is still there."""
    await tell(pool, "S1", "S2")
    first, second = await read(pool)
    async with pool.acquire() as connection:
        await connection.execute("DELETE FROM outbox WHERE position = $1", second.position.number)
        await connection.execute("SELECT setval('outbox_position', 33)")
        await tell(connection, "S3")
        gone = await outbox.lost(connection, second.position)
        assert gone is not None
        assert gone.reason == "unknown_position"
        assert await outbox.lost(connection, first.position) is None


async def test_who_reads_on_sees_that_the_database_has_gone_back(pool: asyncpg.Pool) -> None:
    await tell(pool, "S1", "S2", "S3")
    first, second, third = await read(pool)
    async with pool.acquire() as connection:
        assert await outbox.read_on(connection, START, 2) == [first, second]
        assert await outbox.read_on(connection, first.position, 1) == [second]
        assert await outbox.read_on(connection, third.position, 9) == []
        await connection.execute("DELETE FROM outbox WHERE position > $1", first.position.number)
        await connection.execute("SELECT setval('outbox_position', $1)", first.position.number)
        assert isinstance(await outbox.read_on(connection, third.position, 9), Lost)
        await tell(connection, "S4", "S5", "S6")
        assert isinstance(await outbox.read_on(connection, third.position, 9), Lost)
        shipments = [event.shipment_id for event in await read(pool, first.position)]
        assert shipments == ["S4", "S5", "S6"]


async def test_what_comes_with_a_position_keeps_it(pool: asyncpg.Pool) -> None:
    """As where rows are copied into another database."""
    await pool.execute("INSERT INTO outbox (position, type, shipment_id, data) VALUES (7, 'x', 'S1', '{}')")
    (event,) = await read(pool)
    assert event.position == Position(7)
    await pool.execute("ALTER TABLE outbox DISABLE TRIGGER place_in_outbox")
    await pool.execute("INSERT INTO outbox (type, created_at, data) VALUES ('x', '2020-01-01', '{}')")
    assert await pool.fetchval(PRUNE, timedelta(days=1), 10) == 1


async def test_however_old_it_is_nothing_goes_that_is_not_handed_on(pool: asyncpg.Pool) -> None:
    async with pool.acquire() as connection:
        await tell(connection, "S1", "S2", "S3")
        _, second, third = await outbox.read(connection, Position(0), 10)
        await connection.execute("UPDATE outbox SET created_at = now() - $1::interval", timedelta(days=2))
        await connection.execute("UPDATE webhook_fanout SET position = 0")
    with structlog.testing.capture_logs() as said:
        assert await look_after(pool, timedelta(days=1)) == 0
    assert {name: value for line in said for name, value in line.items() if name in {"event", "events"}} == {
        "event": "outbox_kept_back",
        "events": 3,
    }
    assert REGISTRY.get_sample_value("dewarwatch_outbox_kept_back") == 3
    await pool.execute("UPDATE webhook_fanout SET position = $1", second.position.number)
    assert await look_after(pool, timedelta(days=1), may_remove=False) == 0
    assert await look_after(pool, timedelta(days=1)) == 2
    assert [one.position.number for one in await read(pool)] == [third.position.number]
    await fan_out(pool)
    assert await look_after(pool, timedelta(days=1)) == 1
    assert REGISTRY.get_sample_value("dewarwatch_outbox_kept_back") == 0


async def test_the_end_is_known_where_nothing_is_kept(pool: asyncpg.Pool) -> None:
    async with pool.acquire() as connection:
        assert await outbox.end(connection) == Position(0)
        await tell(connection, "S1")
        (event,) = await outbox.read(connection, Position(0), 10)
        assert await outbox.end(connection) == event.position
        await connection.execute("UPDATE outbox SET created_at = now() - $1::interval", timedelta(days=2))
        await connection.execute("UPDATE webhook_fanout SET position = $1", event.position.number)
        await connection.execute(PRUNE, timedelta(days=1), 10)
        assert await outbox.end(connection) == Position(event.position.number)
        assert await outbox.lost(connection, event.position) is None
        gone = await outbox.lost(connection, Position(0))
        assert gone is not None
        assert gone.reason == "pruned"
