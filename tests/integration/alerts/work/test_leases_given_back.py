"""What a process has claimed and does not send is due again at once, whatever happens between any two of its statements.

Webhooks and notifications, with leases so long that nobody would see their end.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, TypeAlias
from uuid import UUID

import asyncpg
import pytest

from alerts.notifications.sender import Sender
from alerts.webhooks import queue
from alerts.webhooks.dispatch import Dispatcher
from alerts.webhooks.fanout import fan_out
from tests.integration.alerts.flaky import (
    FlakyConnection,
    FlakyPool,
    Happening,
    Run,
    fault,
    lost_after,
    lost_before,
)
from tests.integration.alerts.notifications import conftest as notifications
from tests.integration.alerts.webhooks import conftest as webhooks
from tests.mailboxes import mail_server
from tests.receivers import receiver

LEASE = timedelta(seconds=300)
AT_ONCE_S = 30.0
"""A backoff or two and a poll, and what a laden machine needs; a lease is ten times as long."""

Work: TypeAlias = Callable[[FlakyPool, asyncio.Event], Coroutine[Any, Any, None]]


@dataclass
class User:
    """A user of the lease queue, with something that is due each time."""

    pool: asyncpg.Pool
    url: str
    run: Work
    make_due: Callable[[], Coroutine[Any, Any, None]]
    sent: Callable[[], int]
    """How many were sent so far."""
    done: str
    """A query: whether nothing waits any more."""
    held: str
    """A query: how many are under a lease."""

    async def until_done(self, work: asyncio.Task[None]) -> None:
        async with asyncio.timeout(AT_ONCE_S):
            while not await self.pool.fetchval(self.done):
                assert not work.done(), work
                await asyncio.sleep(0.01)

    async def until_ended_or_done(self, work: asyncio.Task[None]) -> None:
        """A fault while facts are loaded does not end a run: people are told in plain words then."""
        async with asyncio.timeout(AT_ONCE_S):
            while not work.done() and not await self.pool.fetchval(self.done):
                await asyncio.sleep(0.01)
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError, ZeroDivisionError):
            await work

    async def statements(self) -> list[str]:
        """Those of a run that sends one, until it is recorded."""
        await self.make_due()
        pool, stop = FlakyPool(self.pool, self.url), asyncio.Event()
        work = asyncio.create_task(self.run(pool, stop))
        await self.until_done(work)
        stop.set()
        await work
        return pool.statements

    async def before_it_is_recorded(self) -> int:
        """How many statements there are until something is sent, and no matter what runs beside it."""
        return next(n for n, one in enumerate(await self.statements()) if "_attempts" in one)

    async def clear(self) -> None:
        await self.pool.execute("DELETE FROM notification_attempts; DELETE FROM notifications")
        await self.pool.execute("DELETE FROM webhook_attempts; DELETE FROM webhook_deliveries")


@asynccontextmanager
async def _notifications(pool: asyncpg.Pool, url: str) -> AsyncIterator[User]:
    tower = notifications.Tower(pool)
    settings = replace(notifications.HURRY, lease=LEASE)
    async with mail_server() as server:

        async def run(pool: FlakyPool, stop: asyncio.Event) -> None:
            await Sender(pool, notifications.channels(server.port), settings).run(stop)  # type: ignore[arg-type]

        async def make_due() -> None:
            await tower.notify(purpose="test")

        yield User(
            pool,
            url,
            run,
            make_due,
            sent=lambda: len(server.taken),
            done="SELECT bool_and(state = 'sent') FROM notifications",
            held="SELECT count(*) FROM notifications WHERE state = 'pending' AND lease_until > now()",
        )


@asynccontextmanager
async def _webhooks(pool: asyncpg.Pool, url: str) -> AsyncIterator[User]:
    hooks = webhooks.Hooks(pool)
    settings = replace(webhooks.HURRY, lease=LEASE)
    async with receiver() as partner:
        await hooks.endpoint(partner.url)

        async def run(pool: FlakyPool, stop: asyncio.Event) -> None:
            await Dispatcher(pool, webhooks.LOOPBACK, settings).run(stop)  # type: ignore[arg-type]

        async def make_due() -> None:
            await hooks.tell()
            await fan_out(pool)

        yield User(
            pool,
            url,
            run,
            make_due,
            sent=lambda: len(partner.got),
            done="SELECT bool_and(state = 'delivered') FROM webhook_deliveries",
            held="SELECT count(*) FROM webhook_deliveries WHERE state = 'waiting' AND next_at > now()",
        )


@pytest.fixture(params=[_notifications, _webhooks], ids=["notifications", "webhooks"])
async def user(database_url: str, request: pytest.FixtureRequest) -> AsyncIterator[User]:
    async with (
        asyncpg.create_pool(database_url, min_size=1, max_size=12) as pool,
        request.param(pool, database_url) as user,
    ):
        yield user


@pytest.mark.made_up_events
@pytest.mark.parametrize("times", [1, 4])
@pytest.mark.parametrize("lost", [lost_before, lost_after])
async def test_a_database_that_goes_away_at_any_statement_delays_nothing_by_a_lease(
    user: User, lost: Happening, times: int
) -> None:
    """It is lost once, or for several tries: the giving back is tried again as well."""
    places, needed = len(await user.statements()), await user.before_it_is_recorded()
    late, missed = {}, set()
    for place in range(places):
        before = user.sent()
        await user.make_due()
        pool, stop = FlakyPool(user.pool, user.url, lost, range(place, place + times)), asyncio.Event()
        work = asyncio.create_task(user.run(pool, stop))
        try:
            await user.until_done(work)
            assert user.sent() - before == 1
        except TimeoutError:
            late[place] = pool.statements[: place + 1]
        if not pool.happened:
            missed.add(place)
        stop.set()
        await work
        await user.clear()
    assert late == {}
    assert not missed & set(range(needed))


@pytest.mark.made_up_events
@pytest.mark.parametrize("how", ["cancelled", "fault"])
async def test_a_run_that_ends_at_any_statement_holds_nothing_that_it_has_not_sent(
    user: User, how: str
) -> None:
    running: list[asyncio.Task[None]] = []

    async def cancel(_: FlakyConnection, run: Run) -> Any:
        running[-1].cancel()
        return await run()

    happening, held = cancel if how == "cancelled" else fault, {}
    for place in range(await user.before_it_is_recorded()):
        before = user.sent()
        await user.make_due()
        pool = FlakyPool(user.pool, user.url, happening, range(place, place + 1))
        running.append(asyncio.create_task(user.run(pool, asyncio.Event())))
        await user.until_ended_or_done(running[-1])
        if user.sent() == before and (count := await user.pool.fetchval(user.held)):
            held[place] = (count, pool.statements[: place + 1])
        await user.clear()
    assert held == {}


@pytest.mark.made_up_events
async def test_a_claim_that_was_rolled_back_gives_back_nothing_of_the_next_one(database_url: str) -> None:
    """Both have the same token: that of the first was rolled back with it."""
    room = queue.Room(held={}, of_each=8, at_most=8, after=UUID(int=0), trips_at=5, lease=LEASE)
    due = "SELECT count(*) FROM webhook_deliveries WHERE state = 'waiting' AND next_at <= now()"
    async with asyncpg.create_pool(database_url, min_size=1, max_size=4) as pool:
        hooks = webhooks.Hooks(pool)
        await hooks.endpoint("http://127.0.0.1:9/")
        await hooks.tell()
        await fan_out(pool)
        async with pool.acquire() as connection:
            transaction = connection.transaction()
            await transaction.start()
            (lost,) = await queue.claim(connection, room=room)
            await transaction.rollback()
        async with pool.acquire() as connection, connection.transaction():
            (held,) = await queue.claim(connection, room=room)
        assert (lost.id, lost.token) == (held.id, held.token)
        await queue.DELIVERIES.release(pool, [lost])
        assert await pool.fetchval(due) == 0  # else it would be sent twice
        await queue.DELIVERIES.release(pool, [held])
        assert await pool.fetchval(due) == 1
