"""Those who judge and those who tell watch each other: what waits for long in the database is seen by whoever is left."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from alerts.attention.loop import decide_due
from alerts.faults.fault import Part
from alerts.faults.report import Reporter
from alerts.faults.waiting import Waiting
from alerts.faults.watch import follow_faults
from tests.integration.alerts.conftest import Desk, minute
from tests.integration.alerts.escalation.test_escalation import contact, policy_without_wait
from tests.integration.alerts.notifications.conftest import Tower

WARM = [(minute(0), -180.0), (minute(1), -120.0)]
LIVE_AND_OLD = "UPDATE evaluation_marks SET marked_at = now() - interval '1 hour', dirty_from = NULL"


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[asyncpg.Pool]:
    async with asyncpg.create_pool(database_url, min_size=1, max_size=5) as pool:
        yield pool


async def looks(pool: asyncpg.Pool) -> Waiting:
    """Somebody who has looked for half a minute."""
    clock = [0.0]
    waiting = Waiting(lambda: clock[0])
    await waiting.look(pool)
    clock[0] = 30.0
    await waiting.look(pool)
    return waiting


async def found(pool: asyncpg.Pool) -> set[Part]:
    return {fault.part for fault in (await looks(pool)).find()}


async def test_an_idle_service_waits_for_nothing(pool: asyncpg.Pool) -> None:
    assert await found(pool) == set()
    desk = Desk(pool)
    await desk.ship("S1", "D1")
    await desk.store(WARM, "S1", "D1")
    assert await found(pool) == set()


async def test_while_nobody_judges_people_are_told_so(pool: asyncpg.Pool) -> None:
    desk = Desk(pool)
    await contact(desk, "night", last_resort=True)
    await policy_without_wait(desk)
    await desk.ship("S1", "D1")
    await desk.evaluate()
    await desk.store(WARM, "S1", "D1")
    await pool.execute(LIVE_AND_OLD)
    assert await found(pool) == {Part.JUDGING}

    await Reporter(pool, (await looks(pool)).find, "deliver:1").report()
    await follow_faults(pool)
    while await decide_due(pool):
        pass
    [told] = await pool.fetch("SELECT contact_id, state, severity FROM notifications")
    assert tuple(told) == ("night", "pending", "critical")
    await desk.evaluate()
    assert await found(pool) == set()


async def test_a_deadline_that_nobody_looks_at_counts_and_what_failed_or_is_late_does_not(
    pool: asyncpg.Pool,
) -> None:
    desk = Desk(pool)
    await desk.ship("S1", "D1")
    await desk.store(WARM, "S1", "D1")
    await desk.evaluate()
    await pool.execute("UPDATE evaluations SET evaluate_at = now() - interval '1 hour'")
    assert Part.JUDGING in await found(pool)
    await pool.execute("UPDATE evaluations SET failures = 1")  # it has an alert of its own
    assert Part.JUDGING not in await found(pool)
    await pool.execute(
        "INSERT INTO evaluation_marks (shipment_id, marked_at, dirty_from) "
        "VALUES ('S1', now() - interval '1 hour', now() - interval '3 hours')"
    )
    assert Part.JUDGING not in await found(pool)


@pytest.mark.parametrize(
    "waits",
    [
        "INSERT INTO attention_marks (scope, marked_at) VALUES ('', now() - interval '1 hour')",
        "INSERT INTO attention (scope, attend_at) VALUES ('', now() - interval '1 hour')",
    ],
    ids=["mark", "deadline"],
)
async def test_alerts_that_nobody_decides_about_are_seen(pool: asyncpg.Pool, waits: str) -> None:
    await pool.execute(waits)
    assert await found(pool) == {Part.TELLING}


async def test_messages_that_nobody_sends_are_seen_and_those_for_later_are_not(pool: asyncpg.Pool) -> None:
    now = datetime.now(UTC)
    await Tower(pool).notify(purpose="test", send_at=now + timedelta(minutes=10))
    assert await found(pool) == set()
    await Tower(pool).notify(purpose="test", send_at=now - timedelta(minutes=10))
    assert await found(pool) == {Part.TELLING}


async def test_a_mail_server_that_accepts_nothing_is_told_apart_from_one_address(pool: asyncpg.Pool) -> None:
    now, tower = datetime.now(UTC), Tower(pool)
    refused = {"attempts": 4, "decided_at": now - timedelta(minutes=5), "send_at": now + timedelta(minutes=1)}
    await tower.notify(purpose="test", channel="chat", **refused)
    assert await found(pool) == set()
    await tower.notify(purpose="test", **refused)
    assert await found(pool) == {Part.MAIL}
    await tower.notify(purpose="test", state="sent", decided_at=now - timedelta(minutes=3))
    assert await found(pool) == set()
