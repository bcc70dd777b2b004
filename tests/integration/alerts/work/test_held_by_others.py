"""Keys that a process holds which stands still starve no others, however many marks and deadlines they have gathered."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from alerts.attention.queue import ATTENTION
from alerts.evaluation.queue import EVALUATIONS, LIVE, PAST
from alerts.work import due_queue
from alerts.work.clock import end_stuck
from alerts.work.due_queue import EVERYTHING, DueQueue, Selection
from tests.integration.alerts.conftest import Desk
from tests.integration.alerts.work.test_due_queue import Bench

HELD, OTHERS, LIMIT = [f"H{n:02}" for n in range(12)], ["A", "Z"], 4
WINDOW = 10 * LIMIT
NOW = datetime(2026, 11, 21, 3, tzinfo=UTC)
MANY_MARKS = """
INSERT INTO {q.marks} ({q.key}) SELECT key FROM generate_series(1, $2), unnest($1::text[]) AS held (key)
"""
STUCK = """
SELECT count(*) FROM pg_stat_activity
WHERE wait_event = 'ClientWrite' AND query_start < clock_timestamp() - interval '0.7 seconds'
"""
BLOCKS_READ = (
    "SELECT sum(heap_blks_read + heap_blks_hit + idx_blks_read + idx_blks_hit) FROM pg_statio_user_tables"
)


@pytest.fixture(params=[EVALUATIONS, ATTENTION], ids=["evaluation", "attention"])
async def bench(desk: Desk, request: pytest.FixtureRequest) -> Bench:
    bench = Bench(desk, request.param)
    await bench.add(*HELD, *OTHERS)
    return bench


async def gather_marks(bench: Bench, of_each: int) -> None:
    await bench.desk.pool.execute(MANY_MARKS.format(q=bench.queue), HELD, of_each)


@asynccontextmanager
async def standing_still(bench: Bench) -> AsyncIterator[None]:
    """A process that has claimed what has marks so far."""
    async with bench.claiming(len(HELD)) as (_, theirs):
        assert set(theirs.keys) == set(HELD)
        yield


async def test_marks_of_keys_that_others_hold_do_not_fill_the_window(bench: Bench) -> None:
    await bench.mark(*HELD)
    async with standing_still(bench):
        await gather_marks(bench, WINDOW)
        await bench.mark(*OTHERS)
        async with bench.claiming(LIMIT) as (_, ours):
            assert set(ours.keys) == set(OTHERS)
            assert {mark["key"] for mark in ours.marks} == set(OTHERS)
    async with bench.claiming(len(HELD)) as (_, ours):  # it was ended: all that is left is claimed as before
        assert set(ours.keys) <= {*HELD, *OTHERS}
        assert len(ours.keys) == len(HELD)


async def test_deadlines_of_keys_that_others_hold_do_not_fill_the_window(bench: Bench) -> None:
    past = datetime.now(UTC) - timedelta(minutes=1)
    await bench.finish(HELD, dict.fromkeys(HELD, past - timedelta(minutes=1)))
    async with standing_still(bench):
        await bench.finish(OTHERS, dict.fromkeys(OTHERS, past))
        async with bench.claiming(LIMIT) as (_, ours):
            assert set(ours.keys) == set(OTHERS)


async def test_who_has_waited_longest_comes_first_beside_what_others_hold(bench: Bench) -> None:
    await bench.mark(*HELD)
    async with standing_still(bench):
        await gather_marks(bench, WINDOW)
        await bench.mark("Z", "A")
        for expected in ("Z", "A"):
            async with bench.claiming(1) as (connection, ours):
                assert ours.keys == (expected,)
                await bench.queue.write_deadlines(connection, ours, dict.fromkeys(ours.keys), NOW)
        async with bench.claiming(LIMIT) as (_, ours):
            assert ours.keys == ()


async def test_a_claim_is_filled_with_what_is_past_the_window(bench: Bench) -> None:
    """Some are in the window and some beyond it: all are claimed, each once."""
    await bench.mark(*HELD)
    async with standing_still(bench):
        await bench.mark("Z")
        await gather_marks(bench, WINDOW)
        await bench.mark("A")
        async with bench.claiming(LIMIT) as (_, ours):
            assert sorted(ours.keys) == OTHERS


async def test_it_costs_the_same_however_many_marks_they_have(bench: Bench) -> None:
    """Counted in blocks of tables and indexes: what a claim looks at does not grow with what others have gathered."""
    await bench.mark(*HELD)
    async with standing_still(bench):
        await bench.mark(*OTHERS)
        read = []
        for of_each in (WINDOW, 20 * WINDOW):
            await gather_marks(bench, of_each)
            await bench.desk.pool.execute(f"ANALYZE {bench.queue.marks}")
            read.append(await blocks_of_a_claim(bench))
    assert read[1] < 2 * read[0], read


async def blocks_of_a_claim(bench: Bench) -> int:
    async with bench.desk.pool.acquire() as connection:
        await connection.execute("SELECT pg_stat_force_next_flush()")
        before = await connection.fetchval(BLOCKS_READ)
        async with connection.transaction():
            ours = await bench.queue.claim(connection, LIMIT)
            assert set(ours.keys) == set(OTHERS)
        await connection.execute("SELECT pg_stat_force_next_flush()")
        return int(await connection.fetchval(BLOCKS_READ) - before)


async def test_all_have_their_turn_where_more_wait_than_a_claim_looks_at(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It begins anywhere, and goes round: wherever the keys of others lie, no key is always behind them."""
    monkeypatch.setattr(due_queue, "WIDE", 3)
    due_queue._sql.cache_clear()
    await bench.mark(*HELD)
    try:
        async with standing_still(bench):
            await gather_marks(bench, WINDOW)
            await bench.mark(*OTHERS)
            left = set(OTHERS)
            async with asyncio.timeout(20):
                while left:
                    async with bench.claiming(1) as (connection, ours):
                        await bench.queue.write_deadlines(connection, ours, dict.fromkeys(ours.keys), NOW)
                        left -= set(ours.keys)
    finally:
        due_queue._sql.cache_clear()


@pytest.mark.parametrize("selection", [LIVE, PAST], ids=["live", "past"])
async def test_each_loop_finds_its_own_marks_past_the_window(desk: Desk, selection: Selection) -> None:
    bench = Bench(desk, EVALUATIONS)
    await bench.add(*HELD, *OTHERS)
    now = datetime.now(UTC)
    late = now - timedelta(hours=3)
    await bench.mark(*HELD)
    async with standing_still(bench):
        for at in (now, late):
            await desk.pool.execute(
                "INSERT INTO evaluation_marks (shipment_id, dirty_from) "
                "SELECT key, $3 FROM generate_series(1, $2), unnest($1::text[]) AS held (key)",
                HELD, WINDOW, at,
            )  # fmt: skip
        for key, at in (("A", now), ("Z", late)):
            await desk.pool.execute(
                "INSERT INTO evaluation_marks (shipment_id, dirty_from) VALUES ($1, $2)", key, at
            )
        async with bench.claiming(LIMIT, selection) as (_, ours):
            assert ours.keys == (("Z",) if selection.waits else ("A",))
        if selection.waits:
            async with bench.claiming(LIMIT, selection, wait_s=60.0) as (_, ours):
                assert ours.keys == ()
            async with bench.claiming(LIMIT, selection, besides=["Z"]) as (_, ours):
                assert ours.keys == ()


@pytest.mark.parametrize("queue", [EVALUATIONS, ATTENTION], ids=["evaluation", "attention"])
async def test_nobody_looks_past_a_window_that_others_do_not_fill(
    desk: Desk, queue: DueQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second statement is for the rare case only, also where there is a large backlog."""
    bench = Bench(desk, queue)
    await bench.add(*HELD)
    await gather_marks(bench, 1)
    monkeypatch.setattr(due_queue, "_CLAIM_WIDE", "SELECT 1 / 0 AS key, {selection} {q}")
    due_queue._sql.cache_clear()
    try:
        async with bench.claiming(LIMIT) as (_, ours):
            assert len(ours.keys) == LIMIT
        async with bench.claiming(len(HELD) + 1) as (_, ours):
            assert set(ours.keys) == set(HELD)
    finally:
        due_queue._sql.cache_clear()
    assert EVERYTHING.deadlines


async def test_a_backend_that_waits_for_its_client_is_ended_and_its_locks_with_it(
    bench: Bench, database_url: str
) -> None:
    """No time-out of the server ends it: it is neither idle nor does it notice that its statement takes too long."""
    stuck = await asyncpg.connect(
        database_url, server_settings={"application_name": "dewarwatch", "statement_timeout": "500"}
    )
    await bench.mark("A")
    await stuck.execute("BEGIN")
    assert (await bench.queue.claim(stuck, 1)).keys == ("A",)
    stuck._transport.pause_reading()  # its process stands still
    waiting = asyncio.create_task(
        stuck.execute("SELECT repeat('x', 1000000) FROM generate_series(1, 1000)", timeout=60)
    )
    async with asyncio.timeout(10):
        while not await bench.desk.pool.fetchval(STUCK):
            await asyncio.sleep(0.02)
    await end_stuck(bench.desk.pool)  # not yet
    async with bench.claiming() as (_, ours):
        assert ours.keys == ()
    await end_stuck(bench.desk.pool, after_s=0.5)
    async with asyncio.timeout(10):
        while True:
            async with bench.claiming() as (_, ours):
                if ours.keys:
                    break
            await asyncio.sleep(0.01)
    assert ours.keys == ("A",)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    stuck.terminate()
