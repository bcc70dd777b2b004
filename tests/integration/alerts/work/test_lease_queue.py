"""The lease queue by itself, on the tables of webhooks and of notifications: claims, fencing, releases, and what is held."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from alerts.notifications import queue as notifications
from alerts.notifications.retry import Outcome, Result
from alerts.outbound.post import Answer
from alerts.webhooks import queue as webhooks
from alerts.webhooks.fanout import fan_out
from alerts.work.lease_queue import Lease, LeaseQueue, Leases
from tests.integration.alerts.flaky import FlakyConnection, FlakyPool, Run
from tests.integration.alerts.notifications.conftest import AT, Tower
from tests.integration.alerts.webhooks.conftest import Hooks

LEASE = timedelta(seconds=300)
OVER = timedelta(0)
MOST = 8
"""How many one claim may take."""

pytestmark = pytest.mark.made_up_events


@dataclass
class Queue:
    """A queue, and what a test does to it."""

    pool: asyncpg.Pool
    queue: LeaseQueue
    add: Callable[[int], Awaitable[None]]
    claim: Callable[..., Awaitable[Sequence[Any]]]
    """Of a connection, and for how long."""
    record: Callable[[Any], Awaitable[bool]]
    """Records a failure that may pass; whether it counted."""

    async def claimed(self, lease: timedelta = LEASE) -> Sequence[Any]:
        async with self.pool.acquire() as connection, connection.transaction():
            return await self.claim(connection, lease)

    async def due(self) -> int:
        condition = self.queue.is_due("q")
        return int(
            await self.pool.fetchval(f"SELECT count(*) FROM {self.queue.table} AS q WHERE {condition}")
        )

    def leases(self, pool: Any = None) -> Leases[Lease]:
        return Leases(pool or self.pool, self.queue, name="test")


async def _of_webhooks(pool: asyncpg.Pool) -> Queue:
    hooks = Hooks(pool)
    await hooks.endpoint("http://127.0.0.1:9/")

    async def add(count: int) -> None:
        await hooks.tell(count)
        await fan_out(pool)

    async def claim(connection: Any, lease: timedelta = LEASE) -> Sequence[webhooks.Claimed]:
        room = webhooks.Room(held={}, of_each=MOST, at_most=MOST, after=UUID(int=0), trips_at=99, lease=lease)
        return await webhooks.claim(connection, room)

    async def record(claimed: webhooks.Claimed) -> bool:
        tried = webhooks.Tried(
            claimed=claimed, started_at=AT, answer=Answer(seconds=0.1), state="waiting", delay_s=3600.0
        )
        return await webhooks.record(pool, [tried], []) == 0

    return Queue(pool, webhooks.DELIVERIES, add, claim, record)


async def _of_notifications(pool: asyncpg.Pool) -> Queue:
    tower = Tower(pool)

    async def add(count: int) -> None:
        for _ in range(count):
            await tower.notify(purpose="test")

    async def claim(connection: Any, lease: timedelta = LEASE) -> Sequence[notifications.Claimed]:
        return await notifications.claim(
            connection, "email", at_most=MOST, of_each=MOST, held={}, lease=lease
        )

    async def record(claimed: notifications.Claimed) -> bool:
        later = Result(outcome=Outcome.LATER, detail="busy")
        return await notifications.record(pool, claimed, AT, later, 3600.0) is not None

    return Queue(pool, notifications.NOTIFICATIONS, add, claim, record)


@pytest.fixture(params=[_of_webhooks, _of_notifications], ids=["webhooks", "notifications"])
async def queue(database_url: str, request: pytest.FixtureRequest) -> AsyncIterator[Queue]:
    async with asyncpg.create_pool(database_url, min_size=1, max_size=12) as pool:
        yield await request.param(pool)


async def test_two_claimers_never_get_one_row(queue: Queue) -> None:
    await queue.add(60)
    claimed: list[Any] = []

    async def claim_until_nothing_is_left() -> None:
        while await queue.due():
            claimed.extend(one.id for one in await queue.claimed())

    await asyncio.gather(*(claim_until_nothing_is_left() for _ in range(6)))
    assert len(claimed) == len(set(claimed)) == 60


async def test_a_row_is_due_again_when_its_lease_ends_and_each_claim_raises_the_token(queue: Queue) -> None:
    await queue.add(1)
    (first,) = await queue.claimed(OVER)
    (second,) = await queue.claimed()
    assert (second.id, second.token) == (first.id, first.token + 1)
    assert second.until > first.until
    assert await queue.claimed() == []


async def test_a_result_after_another_claim_does_not_count(queue: Queue) -> None:
    await queue.add(1)
    (first,) = await queue.claimed(OVER)
    (second,) = await queue.claimed()
    assert not await queue.record(first)
    assert await queue.due() == 0  # it is the second one's still
    assert await queue.record(second)


async def test_what_is_released_is_due_at_once(queue: Queue) -> None:
    await queue.add(3)
    first, *others = await queue.claimed()
    await queue.queue.release(queue.pool, [first])
    assert await queue.due() == 1
    await queue.queue.release(queue.pool, others)
    assert await queue.due() == 3


async def test_a_release_after_another_claim_gives_nothing_back(queue: Queue) -> None:
    await queue.add(1)
    (first,) = await queue.claimed(OVER)
    await queue.claimed()
    await queue.queue.release(queue.pool, [first])
    assert await queue.due() == 0


async def test_a_release_after_the_record_leaves_the_delay(queue: Queue) -> None:
    await queue.add(1)
    (one,) = await queue.claimed()
    assert await queue.record(one)
    await queue.queue.release(queue.pool, [one])
    assert await queue.due() == 0


async def test_a_claim_that_was_rolled_back_gives_back_nothing_of_the_next_one(queue: Queue) -> None:
    """Both have the same token: that of the first was rolled back with it."""
    await queue.add(1)
    async with queue.pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        (lost,) = await queue.claim(connection)
        await transaction.rollback()
    (held,) = await queue.claimed()
    assert (lost.id, lost.token) == (held.id, held.token)
    await queue.queue.release(queue.pool, [lost])
    assert await queue.due() == 0  # else it would be sent twice
    await queue.queue.release(queue.pool, [held])
    assert await queue.due() == 1


async def test_a_release_waits_for_a_claim_that_is_being_committed(queue: Queue) -> None:
    await queue.add(1)
    async with queue.pool.acquire() as connection:
        async with connection.transaction():
            (one,) = await queue.claim(connection)
            releasing = asyncio.create_task(queue.queue.release(queue.pool, [one]))
            async with asyncio.timeout(10):
                while not await queue.pool.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
                    await asyncio.sleep(0.01)
        await asyncio.wait_for(releasing, 10)
    assert await queue.due() == 1


async def test_what_a_block_neither_keeps_nor_sends_is_given_back(queue: Queue) -> None:
    await queue.add(3)
    leases, sent = queue.leases(), asyncio.Event()

    async def send() -> None:
        await sent.wait()

    async with leases.claim(queue.claim) as (kept, sending, _):
        leases.keep(kept)
        leases.send(sending, send(), lambda _: None)
    await _until(queue, due=1)
    assert (leases.kept, leases.sending, leases.held) == (1, 1, {kept.target: 2})
    leases.give_back([kept])
    await _until(queue, due=2)
    sent.set()
    await leases.drain(10.0)
    assert (leases.kept, leases.sending, leases.held) == (0, 0, {})
    assert await queue.due() == 2  # what was sent is its task's business


async def test_a_block_that_fails_gives_back_all_but_what_is_on_its_way(queue: Queue) -> None:
    await queue.add(3)
    leases, sent = queue.leases(), asyncio.Event()

    async def send() -> None:
        await sent.wait()

    async def fail() -> None:
        async with leases.claim(queue.claim) as (first, *_):
            leases.send(first, send(), lambda _: None)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    await _until(queue, due=2)
    sent.set()
    await leases.drain(10.0)


async def test_draining_gives_back_what_is_kept_and_what_takes_too_long(queue: Queue) -> None:
    await queue.add(3)
    leases, ended = queue.leases(), []

    async def quick() -> None:
        await asyncio.sleep(0)

    async def slow() -> None:
        await asyncio.Event().wait()

    async with leases.claim(queue.claim) as (one, two, three):
        leases.keep(one)
        leases.send(two, quick(), lambda task: ended.append(task.cancelled()))
        leases.send(three, slow(), lambda task: ended.append(task.cancelled()))
    await leases.drain(0.1)
    assert ended == [False, True]
    assert (leases.kept, leases.sending) == (0, 0)
    assert await queue.due() == 2


async def test_giving_back_is_tried_until_the_database_is_there_again(queue: Queue) -> None:
    await queue.add(1)
    away = True

    async def while_away(_: FlakyConnection, run: Run) -> Any:
        if away:
            raise asyncpg.CannotConnectNowError("the database is starting")
        return await run()

    # Statements 0 to 3 are the claim.
    pool = FlakyPool(queue.pool, while_away, range(4, 10_000))
    leases = queue.leases(pool)
    async with leases.claim(queue.claim):
        pass
    async with asyncio.timeout(10):
        while len(pool.statements) < 6:
            await asyncio.sleep(0.01)
    assert await queue.due() == 0
    away = False
    await _until(queue, due=1)


async def _until(queue: Queue, *, due: int) -> None:
    async with asyncio.timeout(10):
        while await queue.due() != due:
            await asyncio.sleep(0.01)
