"""A process that stands still with a lock holds up what it has locked, and nothing else."""

import asyncio

import asyncpg
import pytest

from alerts.attention import load_scopes
from alerts.attention.loop import decide_due
from alerts.work.savepoints import LOCK_PATIENCE
from telemetry.locks import LockSpace
from tests.integration.alerts.conftest import Desk, minute
from tests.integration.alerts.escalation.test_escalation import contact, policy_without_wait

WARM = [(minute(0), -180.0), (minute(1), -120.0)]
TOLD = "SELECT DISTINCT scope FROM notifications WHERE state = 'pending' AND severity = 'critical' ORDER BY scope"


@pytest.fixture
async def due(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """Three shipments with critical alerts, of which one contact is to be told."""
    hurry = load_scopes.LEAVE_NO_MARKS.replace(LOCK_PATIENCE, "200ms")
    monkeypatch.setattr(load_scopes, "LEAVE_NO_MARKS", hurry)
    await policy_without_wait(desk)
    await contact(desk, "night", last_resort=True)
    for scope in ("S1", "S2", "S3"):
        await desk.ship(scope, f"D-{scope}")
        await desk.store(WARM, scope, f"D-{scope}")
    await desk.evaluate()
    return desk


async def told(desk: Desk) -> list[str]:
    return [row["scope"] for row in await desk.pool.fetch(TOLD)]


@pytest.mark.parametrize(
    "lock",
    [
        "SELECT FROM alerts WHERE shipment_id = 'S2' FOR UPDATE",
        "UPDATE event_sequences SET last = last WHERE shipment_id = 'S2'",
    ],
    ids=["its alerts", "its next event"],
)
async def test_what_others_hold_of_a_scope_holds_up_this_scope_alone(due: Desk, lock: str) -> None:
    async with due.pool.acquire() as still, still.transaction():
        await still.execute(lock)
        assert await decide_due(due.pool) == 3
        assert await told(due) == ["S1", "S3"]
        aside = await due.pool.fetchrow("SELECT * FROM attention WHERE scope = 'S2'")
        assert aside is not None
        assert (aside["failures"], asyncpg.LockNotAvailableError.__name__ in aside["error"]) == (1, True)
        # However long that lasts: it is looked at again soon after.
        await due.pool.execute("UPDATE attention SET attend_at = now(), failures = 20 WHERE scope = 'S2'")
        assert await decide_due(due.pool) == 1
        query = "SELECT attend_at < now() + interval '31 s' FROM attention WHERE scope = 'S2'"
        assert await due.pool.fetchval(query)
    await due.pool.execute("UPDATE attention SET attend_at = now() WHERE scope = 'S2'")
    assert await decide_due(due.pool) == 1
    assert await told(due) == ["S1", "S2", "S3"]
    assert await due.pool.fetchval("SELECT sum(failures) FROM attention") == 0


async def test_who_holds_a_recipient_keeps_nobody_from_telling_them(due: Desk) -> None:
    """What is told is counted less exactly then, which is the better mistake."""
    async with due.pool.acquire() as still, still.transaction():
        key = "night\nemail\nnight@ops.example"
        await still.execute(
            f"SELECT pg_advisory_xact_lock(hashtextextended($1, {LockSpace.RECIPIENTS}))", key
        )
        assert await decide_due(due.pool) == 3
        assert await told(due) == ["S1", "S2", "S3"]


async def test_a_lock_that_is_held_for_a_moment_is_waited_for(due: Desk) -> None:
    async with due.pool.acquire() as other:
        await other.execute("BEGIN; SELECT FROM alerts WHERE shipment_id = 'S2' FOR UPDATE")
        deciding = asyncio.create_task(decide_due(due.pool))
        async with asyncio.timeout(10):
            while not await due.pool.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
                await asyncio.sleep(0.005)
        await other.execute("COMMIT")
        assert await asyncio.wait_for(deciding, 10) == 3
    assert await told(due) == ["S1", "S2", "S3"]
