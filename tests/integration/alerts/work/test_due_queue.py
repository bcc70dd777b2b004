"""The queue of what is due, by itself: claims, marks, deadlines, and what is set aside; as evaluation and attention use it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from alerts.attention.queue import ATTENTION
from alerts.evaluation.queue import EVALUATIONS, LIVE, PAST
from alerts.work import due_queue
from alerts.work.due_queue import EVERYTHING, Claimed, DueQueue, Selection
from tests.integration.alerts.conftest import Desk

NOW = datetime(2026, 11, 21, 3, tzinfo=UTC)


@dataclass
class Bench:
    """A queue, and what a test does to it."""

    desk: Desk
    queue: DueQueue

    async def add(self, *keys: str) -> None:
        """Shipments, which for evaluation have rows, and for attention none yet."""
        for key in keys:
            await self.desk.ship(key, f"D-{key}")

    async def mark(self, *keys: str) -> None:
        """One mark for each key, in this order, each in a transaction of its own."""
        for key in keys:
            await self.desk.pool.execute(
                f"INSERT INTO {self.queue.marks} ({self.queue.key}) VALUES ($1)", key
            )

    async def marks(self) -> list[str]:
        key = self.queue.key
        return [
            row[0] for row in await self.desk.pool.fetch(f"SELECT {key} FROM {self.queue.marks} ORDER BY id")
        ]

    async def row(self, key: str) -> asyncpg.Record | None:
        q = self.queue
        return await self.desk.pool.fetchrow(
            f"SELECT {q.deadline} AS deadline, failures, error FROM {q.rows} WHERE {q.key} = $1", key
        )

    async def due(self, key: str, at: datetime) -> None:
        """Return a key a deadline."""
        await self.finish([key], {key: at})

    async def finish(self, keys: Sequence[str], deadlines: dict[str, datetime | None]) -> None:
        async with self.desk.pool.acquire() as connection, connection.transaction():
            await self.queue.wait_for(connection, keys)
            await self.queue.write_deadlines(connection, Claimed(keys=tuple(keys)), deadlines, NOW)

    @asynccontextmanager
    async def claiming(
        self, limit: int = 10, selection: Selection = EVERYTHING, **more: object
    ) -> AsyncIterator[tuple[asyncpg.Connection, Claimed]]:
        async with self.desk.pool.acquire() as connection, connection.transaction():
            yield connection, await self.queue.claim(connection, limit, selection, **more)  # type: ignore[arg-type]


@pytest.fixture(params=[EVALUATIONS, ATTENTION], ids=["evaluation", "attention"])
def bench(desk: Desk, request: pytest.FixtureRequest) -> Bench:
    return Bench(desk, request.param)


@pytest.fixture
def evaluations(desk: Desk) -> Bench:
    return Bench(desk, EVALUATIONS)


async def test_two_claimers_never_get_one_key(bench: Bench) -> None:
    keys = [f"S{n}" for n in range(40)]
    await bench.add(*keys)
    await bench.mark(*keys)
    in_hand: list[str] = []
    done: set[str] = set()

    async def claim_until_nothing_is_left() -> None:
        while True:
            async with bench.claiming(3) as (connection, ours):
                if not ours.keys:
                    return
                # A mark that another one has just taken may still be seen: its key comes twice, but to one at a time.
                assert not set(ours.keys) & set(in_hand)
                in_hand.extend(ours.keys)
                await bench.queue.write_deadlines(connection, ours, dict.fromkeys(ours.keys), NOW)
                done.update(ours.keys)
                for key in ours.keys:  # before the commit, after which it may be another one's
                    in_hand.remove(key)

    await asyncio.gather(*(claim_until_nothing_is_left() for _ in range(6)))
    assert done == set(keys)
    assert await bench.marks() == []
    async with bench.claiming() as (_, ours):
        assert ours.keys == ()


async def test_what_is_claimed_is_nobody_elses_until_the_end_of_the_transaction(bench: Bench) -> None:
    await bench.add("A", "B", "C")
    await bench.mark("A", "B", "C")
    async with bench.claiming(2) as (_, ours):
        assert set(ours.keys) == {"A", "B"}
        async with bench.claiming() as (_, theirs):
            assert theirs.keys == ("C",)
    async with bench.claiming() as (_, ours):
        assert set(ours.keys) == {"A", "B", "C"}


async def test_who_has_waited_longest_comes_first_by_a_mark_or_by_a_deadline(bench: Bench) -> None:
    await bench.add("A", "B", "C")
    await bench.due("B", datetime.now(UTC) - timedelta(seconds=2))
    await bench.mark("C", "A")
    await bench.desk.pool.execute(
        f"UPDATE {bench.queue.marks} SET marked_at = marked_at - interval '5 s' WHERE {bench.queue.key} = 'C'"
    )
    order = []
    while True:
        async with bench.claiming(1) as (connection, ours):
            if not ours.keys:
                break
            order += ours.keys
            await bench.queue.write_deadlines(connection, ours, dict.fromkeys(ours.keys), NOW)
    assert order == ["C", "B", "A"]


async def test_a_deadline_is_due_when_it_comes_and_not_before(bench: Bench) -> None:
    await bench.add("A", "B")
    await bench.due("A", datetime.now(UTC) + timedelta(hours=1))
    await bench.due("B", datetime.now(UTC) - timedelta(seconds=1))
    async with bench.claiming() as (_, ours):
        assert (ours.keys, list(ours.marks)) == (("B",), [])


async def test_the_deadline_is_written_and_the_marks_that_were_read_are_taken(bench: Bench) -> None:
    await bench.add("A")
    await bench.mark("A", "A")
    async with bench.claiming() as (connection, ours):
        assert [mark["key"] for mark in ours.marks] == ["A", "A"]
        await bench.mark("A")  # comes meanwhile, and stays
        await bench.queue.write_deadlines(connection, ours, {"A": NOW}, NOW)
    assert await bench.marks() == ["A"]
    row = await bench.row("A")
    assert row is not None
    assert tuple(row) == (NOW, 0, None)


async def test_marks_of_a_key_whose_row_was_not_written_stay(bench: Bench) -> None:
    await bench.add("A", "B")
    await bench.mark("A", "B")
    async with bench.claiming() as (connection, ours):
        await bench.queue.write_deadlines(connection, ours, {"A": None}, NOW)
    assert await bench.marks() == ["B"]


async def test_a_rollback_leaves_the_marks(bench: Bench) -> None:
    await bench.add("A")
    await bench.mark("A")

    async def fail() -> None:
        async with bench.claiming() as (connection, ours):
            await bench.queue.write_deadlines(connection, ours, {"A": NOW}, NOW)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await bench.marks() == ["A"]


async def test_what_fails_is_tried_again_later_and_later(bench: Bench) -> None:
    await bench.add("A", "B")
    away = []
    for failures in range(12):
        await bench.mark("A")
        async with bench.claiming() as (connection, ours):
            await bench.queue.set_aside(connection, ours, {"A": f"failure {failures}"})
        row = await bench.row("A")
        assert row is not None
        away.append(round((row["deadline"] - datetime.now(UTC)).total_seconds()))
        assert (row["failures"], row["error"]) == (failures + 1, f"failure {failures}")
    assert away == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600]
    assert await bench.marks() == []
    await bench.finish(["A"], {"A": None})
    row = await bench.row("A")
    assert row is not None
    assert tuple(row) == (None, 0, None)


async def test_setting_one_key_aside_leaves_the_others_marks(bench: Bench) -> None:
    await bench.add("A", "B")
    await bench.mark("A", "B")
    async with bench.claiming() as (connection, ours):
        await bench.queue.set_aside(connection, ours, {"B": "no sense in it"})
    assert await bench.marks() == ["A"]


async def test_certain_keys_are_waited_for(bench: Bench) -> None:
    await bench.add("A")
    await bench.mark("A")
    waited = asyncio.Event()

    async def wait() -> None:
        async with bench.desk.pool.acquire() as connection, connection.transaction():
            await bench.queue.wait_for(connection, ["A"])
            waited.set()

    async with bench.claiming():
        waiting = asyncio.create_task(wait())
        async with asyncio.timeout(10):
            while not await bench.desk.pool.fetchval(
                "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            ):
                await asyncio.sleep(0.01)
        assert not waited.is_set()
    await asyncio.wait_for(waiting, 10)


async def test_certain_keys_are_found_with_their_marks_whether_due_or_not(bench: Bench) -> None:
    await bench.add("A", "B", "C")
    await bench.finish(["A", "B"], {"A": None, "B": None})
    await bench.mark("B", "B")
    async with bench.desk.pool.acquire() as connection:
        found = await bench.queue.find(connection, ["B", "A", "nobody"])
    assert found.keys == ("A", "B")
    assert [mark["key"] for mark in found.marks] == ["B", "B"]


@pytest.mark.parametrize(
    ("away_s", "least", "most"),
    [
        (None, due_queue.POLL_S, due_queue.POLL_S),
        (3600.0, due_queue.POLL_S, due_queue.POLL_S),
        (0.5, 0.2, 0.5),
        (-60.0, due_queue.LEAST_WAIT_S, due_queue.LEAST_WAIT_S),
    ],
)
async def test_patience_ends_with_the_next_deadline(
    bench: Bench, away_s: float | None, least: float, most: float
) -> None:
    await bench.add("A")
    at = None if away_s is None else datetime.now(UTC) + timedelta(seconds=away_s)
    await bench.finish(["A"], {"A": at})
    assert least <= await bench.queue.patience_s(bench.desk.pool) <= most


async def test_a_loop_works_when_it_is_notified_and_goes_on_while_there_is_something(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(due_queue, "POLL_S", 60.0)  # nothing but the notification wakes it
    await bench.add("A")
    stop, looked, done = asyncio.Event(), asyncio.Event(), []

    async def work() -> int:
        async with bench.claiming(1) as (connection, ours):
            await bench.queue.write_deadlines(connection, ours, dict.fromkeys(ours.keys), NOW)
        done.extend(ours.keys)
        looked.set()
        if len(done) == 3:
            stop.set()
        return len(ours.keys)

    running = asyncio.create_task(bench.queue.run(bench.desk.pool, work, stop, name="test"))
    for _ in range(3):
        await bench.mark("A")
        await bench.desk.pool.execute(f"NOTIFY {bench.queue.channel}")
        async with asyncio.timeout(10):
            while await bench.marks():
                looked.clear()
                await looked.wait()
    await asyncio.wait_for(running, 10)
    assert done == ["A"] * 3


async def test_a_loop_outlasts_a_database_that_is_away(bench: Bench) -> None:
    stop, errors = asyncio.Event(), [asyncpg.ConnectionDoesNotExistError("away"), ConnectionError()]

    async def work() -> int:
        if errors:
            raise errors.pop()
        stop.set()
        return 0

    await asyncio.wait_for(bench.queue.run(bench.desk.pool, work, stop, name="test"), 10)


async def test_evaluation_claims_only_what_has_a_row_and_knows_when_it_was_last_done(
    evaluations: Bench,
) -> None:
    await evaluations.add("A", "B", "C")
    await evaluations.desk.pool.execute("DELETE FROM evaluations WHERE shipment_id = 'B'")
    await evaluations.finish(["A"], {"A": None})
    await evaluations.mark("A", "B", "C")
    async with evaluations.claiming() as (_, ours):
        assert set(ours.keys) == {"A", "C"}
        assert ours.done_at == {"A": NOW}


async def test_the_past_is_claimed_apart_and_once_it_has_waited(evaluations: Bench) -> None:
    await evaluations.add("live", "past", "both")
    now = datetime.now(UTC)
    for key, at in [
        ("live", now), ("past", now - timedelta(hours=3)), ("both", now - timedelta(hours=3)), ("both", now),
    ]:  # fmt: skip
        await evaluations.desk.pool.execute(
            "INSERT INTO evaluation_marks (shipment_id, device_id, dirty_from) VALUES ($1, $2, $3)",
            key, f"D-{key}", at,
        )  # fmt: skip
    async with evaluations.claiming(10, LIVE) as (_, ours):
        assert set(ours.keys) == {"live", "both"}
        assert len(ours.marks) == 3  # of a claimed key all marks, whichever it was claimed for
    async with evaluations.claiming(10, PAST, wait_s=60.0) as (_, ours):
        assert ours.keys == ()
    async with evaluations.claiming(10, PAST, besides=["both"]) as (_, ours):
        assert ours.keys == ("past",)


async def test_attention_makes_the_row_of_a_scope_that_had_none(desk: Desk) -> None:
    bench = Bench(desk, ATTENTION)
    await bench.add("A", "B")
    await bench.mark("A", "B")
    assert await bench.row("A") is None
    async with bench.claiming() as (connection, ours):
        await bench.queue.write_deadlines(connection, ours, {"A": NOW}, NOW)
        await bench.queue.set_aside(connection, ours, {"B": "no sense in it"})
    made, failed = await bench.row("A"), await bench.row("B")
    assert made is not None
    assert failed is not None
    assert tuple(made) == (NOW, 0, None)
    assert (failed["failures"], failed["error"]) == (1, "no sense in it")
    assert failed["deadline"] > datetime.now(UTC)
