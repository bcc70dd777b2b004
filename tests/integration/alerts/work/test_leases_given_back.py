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

import asyncpg
import pytest

from alerts.notifications.sender import Sender
from alerts.webhooks.dispatch import Dispatcher
from alerts.webhooks.fanout import fan_out
from alerts.work import wakeup
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
    run: Work
    make_due: Callable[[], Coroutine[Any, Any, None]]
    sent: Callable[[], int]
    """How many were sent so far."""
    done: str
    """A query: whether nothing waits any more."""
    held: str
    """A query: how many are under a lease."""
    last: str
    """Of the last statement before it is sent."""

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
        pool, stop = FlakyPool(self.pool), asyncio.Event()
        work = asyncio.create_task(self.run(pool, stop))
        await self.until_done(work)
        stop.set()
        await work
        return pool.statements

    async def before_it_is_sent(self) -> int:
        """How many statements there are until it is sent; beside those that follow run others, in any order."""
        return 1 + next(n for n, one in enumerate(await self.statements()) if self.last in one)

    async def clear(self) -> None:
        await self.pool.execute("DELETE FROM notification_attempts; DELETE FROM notifications")
        await self.pool.execute("DELETE FROM webhook_attempts; DELETE FROM webhook_deliveries")


@asynccontextmanager
async def _notifications(pool: asyncpg.Pool) -> AsyncIterator[User]:
    tower = notifications.Tower(pool)
    settings = replace(notifications.HURRY, lease=LEASE)
    async with mail_server() as server:

        async def run(pool: FlakyPool, stop: asyncio.Event) -> None:
            await Sender(pool, notifications.channels(server.port), settings).run(stop)  # type: ignore[arg-type]

        async def make_due() -> None:
            await tower.notify(purpose="test")

        yield User(
            pool,
            run,
            make_due,
            sent=lambda: len(server.taken),
            done="SELECT bool_and(state = 'sent') FROM notifications",
            held="SELECT count(*) FROM notifications WHERE state = 'pending' AND lease_until > now()",
            last="SET message = coalesce",
        )


@asynccontextmanager
async def _webhooks(pool: asyncpg.Pool) -> AsyncIterator[User]:
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
            run,
            make_due,
            sent=lambda: len(partner.got),
            done="SELECT bool_and(state = 'delivered') FROM webhook_deliveries",
            held="SELECT count(*) FROM webhook_deliveries WHERE state = 'waiting' AND next_at > now()",
            last="COMMIT",
        )


@pytest.fixture(params=[_notifications, _webhooks], ids=["notifications", "webhooks"])
async def user(
    database_url: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[User]:
    # There are many places, and at each several tries may fail.
    monkeypatch.setattr(wakeup, "_FIRST_BACKOFF_S", 0.01)
    monkeypatch.setattr(wakeup, "_LONGEST_BACKOFF_S", 0.05)
    pool = await asyncpg.create_pool(database_url, min_size=1, max_size=12)
    try:
        async with request.param(pool) as user:
            yield user
    finally:
        pool.terminate()  # a failed test must not wait for the connections that its run still uses


@pytest.mark.made_up_events
@pytest.mark.parametrize("times", [1, 4])
@pytest.mark.parametrize("lost", [lost_before, lost_after])
async def test_a_database_that_goes_away_at_any_statement_delays_nothing_by_a_lease(
    user: User, lost: Happening, times: int
) -> None:
    """It is lost once, or for several tries: the giving back is tried again as well."""
    places, needed = len(await user.statements()), await user.before_it_is_sent()
    late, missed = {}, set()
    for place in range(places):
        before = user.sent()
        await user.make_due()
        pool, stop = FlakyPool(user.pool, lost, range(place, place + times)), asyncio.Event()
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
    for place in range(await user.before_it_is_sent()):
        before = user.sent()
        await user.make_due()
        pool = FlakyPool(user.pool, happening, range(place, place + 1))
        running.append(asyncio.create_task(user.run(pool, asyncio.Event())))
        await user.until_ended_or_done(running[-1])
        if user.sent() == before and (count := await user.pool.fetchval(user.held)):
            held[place] = (count, pool.statements[: place + 1])
        await user.clear()
    assert held == {}
