"""The database's clock is set ahead and back: no deadline is late for it, and it is noticed."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain, repeat
from typing import Any

import asyncpg
import pytest

from alerts import metrics
from alerts.attention.loop import decide_due
from alerts.attention.queue import ATTENTION
from alerts.evaluation import claim
from alerts.evaluation.loop import evaluate_due
from alerts.evaluation.queue import EVALUATIONS
from alerts.notifications.queue import NOTIFICATIONS
from alerts.webhooks.queue import RECORD_HEALTH
from alerts.webhooks.upkeep import mend_holds
from alerts.work.clock import ClockSteps, watch_clock
from alerts.work.due_queue import Claimed, DueQueue
from tests.integration.alerts.attention.test_meanwhile import (
    alerts_without_marks,
    deciding,
    mark,
    statements,
)
from tests.integration.alerts.conftest import Desk, minute
from tests.integration.alerts.escalation.test_escalation import contact, policy_without_wait
from tests.integration.alerts.stage import SETTINGS, Program, Stage, SteppedConnection
from tests.integration.alerts.webhooks.conftest import Hooks
from tests.integration.alerts.work import test_lease_queue as leases

HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)
WARM = [(minute(0), -180.0), (minute(1), -120.0)]
CRITICAL_DUE = f"""
SELECT count(*) FROM notifications AS n
WHERE scope = $1 AND severity = 'critical' AND {NOTIFICATIONS.is_due("n")}
"""
AHEAD_S = pytest.approx(3600.0, abs=10)

pytestmark = pytest.mark.made_up_events


@dataclass
class Clock:
    """A database whose clock the test sets, beside the right time."""

    stage: Stage
    right: datetime

    @property
    def pool(self) -> Any:
        return SteppedConnection(self.stage.director)

    async def ahead(self, by: timedelta = HOUR) -> None:
        await self.stage.set_clock(self.right + by)

    async def back(self, after: timedelta = 5 * SECOND) -> None:
        """It is right again, after it was wrong for so long."""
        await self.stage.set_clock(self.right + after)


@pytest.fixture
async def clock(database_url: str) -> AsyncIterator[Clock]:
    stage = await Stage.of(database_url, 2)
    clock = Clock(stage, datetime.now(UTC))
    await stage.set_clock(clock.right)
    yield clock
    await stage.close()


async def keys_due(clock: Clock, queue: DueQueue) -> set[str]:
    async with clock.stage.director.transaction():
        return set((await queue.claim(clock.stage.director, 10)).keys)


@pytest.mark.parametrize("queue", [EVALUATIONS, ATTENTION], ids=["evaluation", "attention"])
async def test_what_a_clock_ahead_has_set_is_due_at_once_and_nothing_else(
    desk: Desk, clock: Clock, queue: DueQueue
) -> None:
    keys = ["right", "ahead", "aside", "never"]
    for key in keys:
        await desk.ship(key, f"D-{key}")
    wait = timedelta(seconds=30)
    connection, nothing = clock.stage.director, Claimed(keys=tuple(keys))
    await queue.write_deadlines(connection, nothing, {"right": clock.right + wait}, clock.right)
    await clock.ahead()
    ahead = clock.right + HOUR
    await queue.write_deadlines(connection, nothing, {"ahead": ahead + wait, "never": None}, ahead)
    await queue.set_aside(connection, nothing, {"aside": "no sense in it"})
    assert await queue.mend_clock(clock.pool) == []
    await clock.back()
    assert await keys_due(clock, queue) == set()
    assert await queue.mend_clock(clock.pool) == [AHEAD_S, AHEAD_S]
    assert await keys_due(clock, queue) == {"ahead", "aside"}
    assert await queue.mend_clock(clock.pool) == []


async def test_a_shipment_that_was_judged_ahead_is_looked_at_once_and_not_over_and_over(
    desk: Desk, clock: Clock
) -> None:
    """Time does not go back for it: its next deadline is as of then, too, but set by a clock that is right."""
    await desk.ship()
    await desk.store(WARM)
    await clock.ahead()
    assert await evaluate_due(clock.pool) == 1
    await clock.back()
    await desk.pool.execute("UPDATE evaluations SET evaluate_at = evaluated_at + interval '5 min'")
    assert len(await EVALUATIONS.mend_clock(clock.pool)) == 1
    assert await evaluate_due(clock.pool) == 1
    await desk.pool.execute("UPDATE evaluations SET evaluate_at = evaluated_at + interval '5 min'")
    assert await EVALUATIONS.mend_clock(clock.pool) == []
    assert await desk.pool.fetchval("SELECT evaluated_at FROM evaluations") == clock.right + HOUR


async def silence(desk: Desk, shipment_id: str) -> tuple[str, bool] | None:
    alert = (await desk.alerts(shipment_id)).get("signal_lost")
    return None if alert is None else (alert["state"], alert["withdrawn"])


@pytest.fixture
def steady_s(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The steady clock that evaluation looks at, in seconds since the clock was right."""
    steady_s = [0.0]
    monkeypatch.setattr(claim, "monotonic", lambda: steady_s[0])
    return steady_s


async def test_what_a_clock_ahead_made_of_shipments_is_taken_back_once_it_is_right_again(
    desk: Desk, clock: Clock, steady_s: list[float]
) -> None:
    """Else they would seem silent for an hour, and whatever is judged beside them with them."""
    steps, shipments = ClockSteps(), ("S1", "S2")
    for shipment_id in shipments:
        await desk.ship(shipment_id, f"D-{shipment_id}", max_gap_s=600)
        await desk.store([(clock.right - SECOND, -180.0)], shipment_id, f"D-{shipment_id}")
    assert await evaluate_due(clock.pool, steps=steps) == 2
    await desk.pool.execute("UPDATE evaluations SET evaluate_at = NULL WHERE shipment_id = 'S2'")
    await clock.ahead()
    assert await evaluate_due(clock.pool, steps=steps) == 1
    assert await silence(desk, "S1") == ("firing", False)
    await clock.back()
    steady_s[0] = 5.0
    assert len(await EVALUATIONS.mend_all(clock.pool)) == 1  # there was nothing to wait for
    await desk.store([(clock.right + SECOND, -180.0)], "S2", "D-S2")
    assert await evaluate_due(clock.pool, steps=steps) == 2
    assert [await silence(desk, one) for one in shipments] == [("resolved", True), None]
    judged = await desk.pool.fetch("SELECT DISTINCT evaluated_at FROM evaluations")
    assert [row[0] for row in judged] == [clock.right + 5 * SECOND]


@pytest.mark.usefixtures("steady_s")
async def test_a_clock_that_is_set_back_for_a_while_takes_nothing_back(desk: Desk, clock: Clock) -> None:
    """The logger is silent, whatever a wrong clock says."""
    steps = ClockSteps()
    await desk.ship(max_gap_s=600)
    await desk.store([(clock.right - 20 * 60 * SECOND, -180.0)])
    assert await evaluate_due(clock.pool, steps=steps) == 1
    assert await silence(desk, "S1") == ("firing", False)
    for by in (-HOUR, 0 * HOUR):
        await clock.ahead(by)
        await desk.pool.execute("INSERT INTO evaluation_marks (shipment_id) VALUES ('S1')")
        assert await evaluate_due(clock.pool, steps=steps) == 1
        assert await silence(desk, "S1") == ("firing", False)


def setting(at: datetime) -> Program:
    return lambda hand: hand.execute("UPDATE clock.hands SET at = $1", at)


@pytest.mark.parametrize("group_wait_s", [0, 30])
@pytest.mark.parametrize("set_", ["ahead", "back"])
async def test_a_critical_alert_is_told_at_once_wherever_the_clock_was_set(
    desk: Desk, clock: Clock, set_: str, group_wait_s: int
) -> None:
    """Between any two statements of a decision it is set ahead; or it was ahead, and is set back."""
    await policy_without_wait(desk, group_wait_s=group_wait_s, flood_count=1000)
    await contact(desk, "night", last_resort=True)
    before, after = (0 * HOUR, HOUR) if set_ == "ahead" else (HOUR, 5 * SECOND)
    await alerts_without_marks(desk, ["first"])
    await mark(desk, "first")
    places = await statements(clock.stage, 4) + 1
    scopes = [f"S{place}" for place in range(places)]
    await alerts_without_marks(desk, scopes)
    late = {}
    for place, scope in enumerate(scopes):
        await clock.ahead(before)
        await mark(desk, scope)
        await clock.stage.play(
            [(deciding(4), None), (setting(clock.right + after), None)],
            order=chain(repeat(0, place), repeat(1)),
        )
        await clock.back()
        for mend in (ATTENTION.mend_clock, NOTIFICATIONS.mend_clock):
            await mend(clock.pool)
        while await decide_due(clock.pool):
            pass
        await clock.back((5 + group_wait_s) * SECOND)
        while await decide_due(clock.pool):
            pass
        if (count := await clock.stage.director.fetchval(CRITICAL_DUE, scope)) != 1:
            late[place] = count
        await clock.back(0 * SECOND)
    assert places > 10
    assert late == {}


@pytest.fixture(params=[leases._of_webhooks, leases._of_notifications], ids=["webhooks", "notifications"])
async def queue(
    database_url: str, clock: Clock, request: pytest.FixtureRequest
) -> AsyncIterator[leases.Queue]:
    async with asyncpg.create_pool(database_url, min_size=1, max_size=4, server_settings=SETTINGS) as pool:
        yield await request.param(pool)


async def test_what_waits_for_being_sent_waits_no_longer_than_it_was_meant_to(
    clock: Clock, queue: leases.Queue
) -> None:
    await queue.add(3)
    await clock.ahead()
    fresh = f"UPDATE {queue.queue.table} SET {queue.queue.due_at} = now(), set_at = now()"
    await queue.pool.execute(fresh)
    released, tried, _ = await queue.claimed()
    assert await queue.record(tried)  # it is tried again after an hour
    await queue.queue.release(queue.pool, [released])
    await clock.back()
    assert await queue.due() == 0
    assert await queue.queue.mend_clock(queue.pool) == [AHEAD_S] * 3
    assert await queue.queue.mend_clock(queue.pool) == []
    assert await queue.due() == 1
    await clock.back(6 * SECOND + leases.LEASE)
    assert await queue.due() == 2  # the one of a process that is dead
    await clock.back(6 * SECOND + HOUR)
    assert await queue.due() == 3


async def test_a_row_that_was_set_right_stays_as_it_is(clock: Clock, queue: leases.Queue) -> None:
    await queue.add(1)
    await queue.pool.execute(f"UPDATE {queue.queue.table} SET {queue.queue.due_at} = now(), set_at = now()")
    (one,) = await queue.claimed()
    await clock.back(0.5 * SECOND)
    assert await queue.queue.mend_clock(queue.pool) == []
    assert await queue.record(one)
    assert await queue.queue.mend_clock(queue.pool) == []


async def test_an_endpoint_is_held_no_longer_than_it_was_meant_to(desk: Desk, clock: Clock) -> None:
    id_ = await Hooks(desk.pool).endpoint("https://partner.example/hook")
    await clock.ahead()
    held = [[id_], [False], [1], [False], [30.0]]
    await clock.stage.director.execute(RECORD_HEALTH, *held)
    assert await mend_holds(clock.pool) == []
    await clock.back()
    assert await mend_holds(clock.pool) == [AHEAD_S]
    assert await mend_holds(clock.pool) == []
    until = await desk.pool.fetchval("SELECT hold_until FROM webhooks")
    assert until == clock.right + 35 * SECOND


async def test_a_clock_that_is_set_is_noticed_and_its_deadlines_mended(desk: Desk, clock: Clock) -> None:
    await desk.ship()
    stop, pool = asyncio.Event(), SteppedConnection(clock.stage.connections[1])
    mends, thorough = {"attention": ATTENTION.mend_clock}, {"attention": ATTENTION.mend_all}
    watching = asyncio.create_task(watch_clock(pool, stop, mends, thorough, every_s=0.01))  # type: ignore[arg-type]

    async def until(happened: Callable[[], float]) -> None:
        before = happened()
        async with asyncio.timeout(10):
            while happened() == before:
                await asyncio.sleep(0.01)

    await until(lambda: float(pool.statements > 3))  # it has looked once
    ahead = asyncio.create_task(until(lambda: _count(metrics.CLOCK_STEPS.labels("ahead"))))
    await asyncio.sleep(0)
    await clock.ahead()
    await ahead
    as_of = clock.right + HOUR
    await ATTENTION.write_deadlines(
        clock.stage.director, Claimed(keys=()), {"S1": as_of + SECOND, "S2": None}, as_of
    )
    back = asyncio.create_task(until(lambda: _count(metrics.CLOCK_STEPS.labels("back"))))
    mended = asyncio.create_task(until(lambda: _count(metrics.DEADLINES_MENDED.labels("attention"))))
    await asyncio.sleep(0)
    await clock.back()
    await asyncio.gather(back, mended)
    assert await desk.pool.fetchval("SELECT count(*) FROM attention WHERE attend_at IS NULL") == 0
    stop.set()
    await asyncio.wait_for(watching, 10)


def _count(counter: Any) -> float:
    return float(counter._value.get())
