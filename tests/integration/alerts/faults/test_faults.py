"""Faults of the service: each process reports its own, and one alert for each part follows."""

import asyncio

import asyncpg
import pytest

from alerts import metrics
from alerts.attention.loop import decide_due
from alerts.faults.fault import Fault, Part
from alerts.faults.report import Reporter
from alerts.faults.watch import follow_faults
from alerts.work.errors import TRY_AGAIN
from tests.integration.alerts.conftest import Desk
from tests.integration.alerts.escalation.test_escalation import contact, policy_without_wait

STUCK = Fault(Part.STORING, 20.0, "The database stores nothing (DiskFullError), and 3 messages wait")
CLOCK = Fault(Part.CLOCK, 3.0, "The database's clock is +3.0 s ahead of the service's")


@pytest.fixture
async def pool(database_url):
    async with asyncpg.create_pool(database_url, min_size=1, max_size=5) as pool:
        yield pool


async def alerts(pool):
    await follow_faults(pool)
    return {
        row["subject"]: (row["kind"], row["severity"], row["state"])
        for row in await pool.fetch("SELECT * FROM alerts WHERE shipment_id IS NULL")
    }


async def test_an_alert_follows_what_processes_say(pool):
    desk = Desk(pool)
    await contact(desk, "night", last_resort=True)
    await policy_without_wait(desk)
    found, others = [STUCK], []
    reporter, other = Reporter(pool, lambda: found, "a:1"), Reporter(pool, lambda: others, "b:2")
    await reporter.report()
    await other.report()
    assert metrics.FAULT_SECONDS.labels(part=Part.STORING)._value.get() == 0  # of the process that spoke last
    subject = "service_fault:storing"
    assert await alerts(pool) == {subject: ("service_fault", "critical", "firing")}
    row = await pool.fetchrow("SELECT message, now() - since > interval '19 s' AS old FROM alerts")
    assert row["message"].startswith(STUCK.problem)
    assert row["old"]
    while await decide_due(pool):
        pass
    [told] = await pool.fetch("SELECT contact_id, state, severity FROM notifications")
    assert tuple(told) == ("night", "pending", "critical")

    found, others = [], [STUCK]
    await other.report()
    await reporter.report()
    assert await alerts(pool) == {subject: ("service_fault", "critical", "firing")}
    others = []
    await other.report()
    assert await alerts(pool) == {subject: ("service_fault", "critical", "resolved")}
    assert await pool.fetchval("SELECT count(*) FROM service_faults") == 0


async def test_a_process_that_is_gone_says_nothing_any_more(pool):
    await Reporter(pool, lambda: [CLOCK], "a:1").report()
    assert (await alerts(pool))["service_fault:clock"] == ("service_fault", "major", "firing")
    await pool.execute("UPDATE service_faults SET seen_at = seen_at - interval '61 s'")
    assert (await alerts(pool))["service_fault:clock"] == ("service_fault", "major", "resolved")


async def test_one_that_went_while_the_clock_was_ahead_is_forgotten_like_any_other(pool):
    await Reporter(pool, lambda: [CLOCK], "a:1").report()
    await pool.execute("UPDATE service_faults SET seen_at = seen_at + interval '1 hour'")
    assert (await alerts(pool))["service_fault:clock"] == ("service_fault", "major", "firing")
    await pool.execute("UPDATE service_faults SET seen_at = seen_at - interval '61 s'")
    assert (await alerts(pool))["service_fault:clock"] == ("service_fault", "major", "resolved")


async def test_what_the_database_does_not_take_stands_in_the_metric(pool):
    reporter = Reporter(pool, lambda: [STUCK], "a:1")
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("LOCK TABLE service_faults")
        with pytest.raises(TRY_AGAIN):
            async with asyncio.timeout(0.3):
                await reporter.report()
    assert metrics.FAULT_SECONDS.labels(part=Part.STORING)._value.get() == 20.0
