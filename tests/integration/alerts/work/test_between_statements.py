"""Between every two statements of every queue another process commits, or this one dies or freezes.

In the end nothing is left that nobody will look at again, and nothing was told twice but with the same id.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, TypeAlias

import asyncpg
import pytest

from alerts.attention.loop import decide_due
from alerts.evaluation.loop import evaluate_due
from alerts.events import outbox
from alerts.events.outbox import Position
from alerts.notifications.queue import NOTIFICATIONS
from alerts.notifications.sender import Sender
from alerts.webhooks.dispatch import Dispatcher
from alerts.webhooks.fanout import fan_out
from alerts.webhooks.queue import DELIVERIES
from alerts.work import wakeup
from alerts.work.errors import TRY_AGAIN
from tests.integration.alerts.conftest import Desk, minute
from tests.integration.alerts.escalation.test_escalation import contact, policy_without_wait
from tests.integration.alerts.flaky import FlakyConnection, FlakyPool, Happening, Run
from tests.integration.alerts.notifications import conftest as notifications
from tests.integration.alerts.webhooks import conftest as webhooks
from tests.mailboxes import mail_server
from tests.receivers import receiver

pytestmark = pytest.mark.made_up_events

WARM = [(minute(0), -180.0), (minute(1), -120.0)]
WARMER = [(minute(2), -119.0)]
LEASE_S = 0.3
STEP_S = 10.0
SHORT = 4
"""At so many places the short form lets it happen, others in each run; the long form at all of them."""
WAITS = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"

Pool: TypeAlias = asyncpg.Pool | FlakyPool


@dataclass
class Queue:
    """A queue, what becomes due in it, and the processes that work on it."""

    pool: asyncpg.Pool
    made: int = 0
    """How many things were made due of which something is to be told."""
    others: list[asyncio.Task[None]] = field(default_factory=list)
    """Processes that may still wait for the one that stands still."""

    async def prepare(self, servers: AsyncExitStack) -> None:
        """Makes what is there before anything is due."""

    async def make_due(self) -> None:
        """Makes one thing due."""
        raise NotImplementedError

    async def touch(self) -> None:
        """Something that concerns what is due commits; by itself, another thing becomes due."""
        await self.make_due()

    async def work(self, pool: Any) -> None:
        """One process, until nothing is due; by itself, until it has looked once."""
        raise NotImplementedError

    async def told(self) -> Sequence[object]:
        """The ids of all that was told, as often as it was."""
        raise NotImplementedError

    async def left(self) -> Sequence[object]:
        """What nobody will look at again although it is not done."""
        raise NotImplementedError


class Evaluation(Queue):
    async def make_due(self) -> None:
        self.made += 1
        await Desk(self.pool).ship(f"S{self.made}", f"D{self.made}")
        await Desk(self.pool).store(WARM, f"S{self.made}", f"D{self.made}")

    async def touch(self) -> None:
        await Desk(self.pool).store(WARMER, f"S{self.made}", f"D{self.made}")
        await self.make_due()

    async def work(self, pool: Any) -> None:
        while await evaluate_due(pool):
            pass

    async def told(self) -> Sequence[object]:
        rows = await self.pool.fetch("SELECT data->>'id' AS id FROM outbox WHERE type = 'excursion.opened'")
        return [row["id"] for row in rows]

    async def left(self) -> Sequence[object]:
        """A shipment whose readings are not folded, and that no mark and no deadline makes due."""
        return await self.pool.fetch(
            "SELECT shipment_id FROM evaluations AS e LEFT JOIN evaluation_states AS s USING (shipment_id) "
            "WHERE s.through IS DISTINCT FROM (SELECT max(r.measured_at) FROM readings AS r "
            "JOIN device_assignments AS a USING (device_id) WHERE a.shipment_id = e.shipment_id)"
            "UNION ALL SELECT shipment_id FROM evaluation_marks"
        )


class Attention(Queue):
    async def prepare(self, servers: AsyncExitStack) -> None:
        await policy_without_wait(Desk(self.pool), flood_count=10_000)
        await contact(Desk(self.pool), "night", last_resort=True)

    async def make_due(self) -> None:
        self.made += 1
        await Desk(self.pool).ship(f"S{self.made}", f"D{self.made}")
        await Desk(self.pool).store(WARM, f"S{self.made}", f"D{self.made}")
        await Desk(self.pool).evaluate()

    async def touch(self) -> None:
        """A trigger on alerts leaves a mark, as if somebody had been made the owner of one."""
        await self.pool.execute("UPDATE alerts SET owner = 'Kim' WHERE shipment_id = $1", f"S{self.made}")
        await self.make_due()

    async def work(self, pool: Any) -> None:
        while await decide_due(pool):
            pass

    async def told(self) -> Sequence[object]:
        rows = await self.pool.fetch(
            "SELECT scope FROM notifications WHERE purpose = 'escalation' AND severity = 'critical' AND state = 'pending'"
        )
        return [row["scope"] for row in rows]

    async def left(self) -> Sequence[object]:
        """What is critical and untaken is looked at every 15 minutes at least, as long as it is."""
        return await self.pool.fetch(
            "SELECT shipment_id FROM alerts LEFT JOIN attention AS a ON a.scope = shipment_id WHERE state = 'firing' AND "
            "severity = 'critical' AND (attend_at <= now() + interval '15 minutes') IS NOT TRUE "
            "UNION ALL SELECT scope FROM attention_marks"
        )


@dataclass
class Outbox(Queue):
    """Writers, and a reader who goes on from where it was."""

    read: list[outbox.Event] = field(default_factory=list)

    async def make_due(self) -> None:
        """Nothing is due before it is written."""

    async def touch(self) -> None:
        await self._write(self.pool)

    async def work(self, pool: Any) -> None:
        await self._write(pool)

    async def _write(self, pool: Any) -> None:
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute("SELECT FROM webhook_fanout")
            await webhooks.Hooks(connection).tell()

    async def told(self) -> Sequence[object]:
        async with self.pool.acquire() as connection:
            after = self.read[-1].position if self.read else Position(0)
            self.read += await outbox.read(connection, after, 10_000)
        self.made = await self.pool.fetchval("SELECT count(*) FROM outbox")
        return [str(event.position) for event in self.read]

    async def left(self) -> Sequence[object]:
        return await self.pool.fetch("SELECT id FROM outbox WHERE position IS NULL")


class FanOut(Queue):
    async def prepare(self, servers: AsyncExitStack) -> None:
        await webhooks.Hooks(self.pool).endpoint("https://partner.example/hook")

    async def make_due(self) -> None:
        self.made += 1
        await webhooks.Hooks(self.pool).tell()

    async def work(self, pool: Any) -> None:
        while (await fan_out(pool)).events:
            pass

    async def told(self) -> Sequence[object]:
        return [row[0] for row in await self.pool.fetch("SELECT message_id FROM webhook_deliveries")]

    async def left(self) -> Sequence[object]:
        return await self.pool.fetch(
            "SELECT position FROM outbox WHERE position > (SELECT position FROM webhook_fanout)"
        )


@dataclass
class _Leased(Queue):
    """A queue with leases; a process works until nothing is due, or for as long as a dead one's leases last."""

    due: str = field(default="", init=False)
    waiting: str = field(default="", init=False)

    async def sender(self, pool: Any, stop: asyncio.Event) -> None:
        raise NotImplementedError

    async def work(self, pool: Any) -> None:
        stop = asyncio.Event()
        sending = asyncio.create_task(self.sender(pool, stop))
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(2 * LEASE_S):
                    while not sending.done() and await self.pool.fetchval(self.waiting):
                        await asyncio.sleep(0.01)
        finally:
            stop.set()
            await sending

    async def left(self) -> Sequence[object]:
        return await self.pool.fetch(self.waiting)


@dataclass
class Webhooks(_Leased):
    partner: Any = None

    async def prepare(self, servers: AsyncExitStack) -> None:
        self.partner = await servers.enter_async_context(receiver())
        await webhooks.Hooks(self.pool).endpoint(self.partner.url)
        self.waiting = f"SELECT id FROM webhook_deliveries WHERE state = '{DELIVERIES.state}'"

    async def make_due(self) -> None:
        self.made += 1
        await webhooks.Hooks(self.pool).tell()
        await fan_out(self.pool)

    async def sender(self, pool: Any, stop: asyncio.Event) -> None:
        hurry = replace(webhooks.HURRY, lease=timedelta(seconds=LEASE_S), time_limit_s=LEASE_S / 3)
        await Dispatcher(pool, webhooks.LOOPBACK, replace(hurry, end_within_s=LEASE_S / 3)).run(stop)

    async def told(self) -> Sequence[object]:
        return sorted(set(self.partner.ids))


@dataclass
class Notifications(_Leased):
    mailbox: Any = None

    async def prepare(self, servers: AsyncExitStack) -> None:
        self.mailbox = await servers.enter_async_context(mail_server())
        self.waiting = f"SELECT id FROM notifications WHERE state = '{NOTIFICATIONS.state}'"

    async def make_due(self) -> None:
        self.made += 1
        await notifications.Tower(self.pool).notify(purpose="test")

    async def sender(self, pool: Any, stop: asyncio.Event) -> None:
        hurry = replace(notifications.HURRY, lease=timedelta(seconds=LEASE_S), time_limit_s=LEASE_S / 3)
        settings = replace(hurry, in_flight={"email": 16}, end_within_s=LEASE_S / 3)
        await Sender(pool, notifications.channels(self.mailbox.port), settings).run(stop)

    async def told(self) -> Sequence[object]:
        return sorted(set(self.mailbox.ids))


def commits(queue: Queue) -> Happening:
    """Another process changes what is due, and another one works on it."""

    async def happen(_: FlakyConnection, run: Run) -> Any:
        await others_work(queue, queue.touch)
        return await run()

    return happen


def dies(queue: Queue) -> Happening:
    """Its backend is ended, and it never says anything again."""
    dead = False

    async def happen(connection: FlakyConnection, _: Run) -> Any:
        nonlocal dead
        if not dead:
            dead = True
            pid = connection.connection.get_server_pid()
            await queue.pool.execute("SELECT pg_terminate_backend($1, 1000)", pid)
        raise asyncpg.ConnectionDoesNotExistError("the process is dead")

    return happen


def freezes(queue: Queue) -> Happening:
    """It stands still while others work as if it were not there, and goes on as if nothing had been."""

    async def happen(_: FlakyConnection, run: Run) -> Any:
        await others_work(queue, queue.make_due)
        return await run()

    return happen


async def others_work(queue: Queue, first: Callable[[], Awaitable[None]]) -> None:
    """Others commit something and work, until they have done it or wait for a lock of the one that stands still."""

    async def work() -> None:
        await first()
        await queue.work(queue.pool)

    working = asyncio.create_task(work())
    queue.others.append(working)
    async with asyncio.timeout(STEP_S):
        while not working.done() and not await queue.pool.fetchval(WAITS):
            await asyncio.sleep(0.005)


@pytest.fixture(params=[Evaluation, Attention, Outbox, FanOut, Webhooks, Notifications])
async def queue(
    database_url: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Queue]:
    monkeypatch.setattr(wakeup, "_FIRST_BACKOFF_S", 0.01)
    monkeypatch.setattr(wakeup, "_LONGEST_BACKOFF_S", 0.02)
    pool = await asyncpg.create_pool(database_url, min_size=1, max_size=12)
    async with AsyncExitStack() as servers:
        queue: Queue = request.param(pool)
        await queue.prepare(servers)
        yield queue
        pool.terminate()


@pytest.mark.parametrize("long", [False, pytest.param(True, marks=pytest.mark.long)], ids=["short", "long"])
@pytest.mark.parametrize("what", [commits, dies, freezes])
async def test_nothing_is_lost_and_nothing_told_twice(
    queue: Queue, what: Callable[[Queue], Happening], long: bool, run_seed: int
) -> None:
    await queue.make_due()
    alone = FlakyPool(queue.pool)
    await queue.work(alone)
    places = range(len(alone.statements))
    step = 1 if long else -(-len(places) // SHORT)
    wrong = {}
    for place in places[run_seed % step :: step]:
        await queue.make_due()
        only = range(place, 10_000 if what is dies else place + 1)
        pool = FlakyPool(queue.pool, what(queue), only)
        with contextlib.suppress(*TRY_AGAIN):
            await queue.work(pool)
        await settle(queue)
        if found := await faults(queue):
            wrong[place] = (found, pool.statements[max(0, place - 1) : place + 1])
    assert wrong == {}


async def settle(queue: Queue) -> None:
    """Lets all others end, and then one more process do what is due."""
    await asyncio.wait_for(asyncio.gather(*queue.others), STEP_S)
    queue.others.clear()
    async with asyncio.timeout(STEP_S):
        await queue.work(queue.pool)
        while await queue.left() and isinstance(queue, _Leased):
            await queue.work(queue.pool)


async def faults(queue: Queue) -> dict[str, object]:
    told, left = await queue.told(), await queue.left()
    found: dict[str, object] = {}
    if left:
        found["left"] = left
    if len(told) != len(set(told)):
        found["twice"] = sorted(str(one) for one in told if list(told).count(one) > 1)
    if len(set(told)) != queue.made:
        found["told"] = (len(set(told)), "of", queue.made)
    return found
