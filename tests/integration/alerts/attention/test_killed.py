"""The attention loop is killed between its statements, and many run at once: nothing is lost, nothing decided twice."""

import asyncio
import signal
import sys
from typing import Any

import asyncpg
import pytest

from alerts.attention.loop import decide_due, run_attention
from alerts.escalation import store
from tests.integration.alerts.conftest import Desk, minute
from tests.integration.alerts.escalation.test_escalation import contact, policy_without_wait

SHIPMENTS = 8

# The real loop, in a process of its own; it stops for ever after so many of its statements that write.
HELD = """
import asyncio, sys
import asyncpg
from alerts.attention import loop, save
from alerts.escalation import store

place = int(sys.argv[2])

async def hold():
    print("holding", flush=True)
    await asyncio.Event().wait()

def held(module, name, *, before=False):
    real = getattr(module, name)
    async def stand_in(*args):
        if before:
            await hold()
        await real(*args)
        await hold()
    setattr(module, name, stand_in)

async def main():
    if place == 0:
        held(loop, "_decide_and_save", before=True)
    elif place == 1:
        held(save, "execute")
    elif place == 2:
        held(store, "save", before=True)
    else:
        held(store, "save")
    async with asyncpg.create_pool(sys.argv[1], min_size=2, max_size=4) as pool:
        await loop.run_attention(pool, asyncio.Event())

asyncio.run(main())
"""


@pytest.fixture
async def due(desk: Desk) -> Desk:
    """Shipments with a critical alert each, which one contact is to be told of."""
    await policy_without_wait(desk)
    await contact(desk, "night", last_resort=True)
    for number in range(SHIPMENTS):
        await desk.ship(f"S{number}", f"D{number}")
        await desk.store(
            [(minute(n), -180.0 if n < 5 else -120.0) for n in range(30)], f"S{number}", f"D{number}"
        )
    await desk.evaluate()
    return desk


@pytest.mark.parametrize("place", range(4))
async def test_killed_between_its_statements_it_loses_and_repeats_nothing(
    due: Desk, database_url: str, place: int
) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HELD, database_url, str(place), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), 30) == b"holding\n"
    assert await due.pool.fetchval("SELECT count(*) FROM notifications") == 0
    process.send_signal(signal.SIGKILL)
    await process.wait()
    await _run(due, 1)
    await _decided_once(due)


async def test_many_at_once_decide_once_and_count_one_flood(due: Desk) -> None:
    await due.pool.execute("UPDATE policies SET flood_count = 3")
    await _run(due, 4)
    await _decided_once(due)
    rows = await due.pool.fetch("SELECT state, purpose FROM notifications WHERE contact_id = 'night'")
    single = [row for row in rows if row["state"] == "pending" and row["purpose"] != "digest"]
    digests = [row for row in rows if row["purpose"] == "digest"]
    digested = [row for row in rows if row["state"] == "digested"]
    assert (len(single), len(digests)) == (3, 1)
    assert len(digested) >= SHIPMENTS - 3


async def test_a_deadlock_over_recipients_is_tried_again(due: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two hold one recipient each, and want the other's: the server ends one, and its scopes are decided about after all."""
    away = [{"channel": "email", "address": "away@ops.example", "outside_office_hours": True}]
    await contact(due, "away", channels=away, last_resort=True)
    lately, met, ends = store._lately, asyncio.Barrier(2), []

    async def crossed(connection: asyncpg.Connection, wanted: set[tuple[Any, int]], now: int) -> object:
        if len(ends) < 2:
            ends.append(len(ends))
            first = sorted("\n".join(to[:3]) for to, _ in wanted)
            mine = first[0] if ends[-1] == 0 else first[-1]
            await connection.execute(store.LOCK_RECIPIENTS, [mine])
            await met.wait()
        return await lately(connection, wanted, now)

    monkeypatch.setattr(store, "_lately", crossed)
    ended = await asyncio.gather(
        *(decide_due(due.pool, SHIPMENTS // 2) for _ in range(2)), return_exceptions=True
    )
    assert [type(one) for one in ended if isinstance(one, BaseException)] == [asyncpg.DeadlockDetectedError]
    await _run(due, 2)
    await _decided_once(due, each=2)


async def _run(desk: Desk, loops: int) -> None:
    """Run the real loop, so many times at once, until nothing is due."""
    stop = asyncio.Event()
    running = [asyncio.create_task(run_attention(desk.pool, stop)) for _ in range(loops)]
    async with asyncio.timeout(30):
        while await desk.pool.fetchval(
            "SELECT count(*) FROM attention_marks"
        ) or not await desk.pool.fetchval("SELECT count(*) FROM escalations"):
            await asyncio.sleep(0.02)
    stop.set()
    await asyncio.wait_for(asyncio.gather(*running), 10)


async def _decided_once(desk: Desk, each: int = 1) -> None:
    """Each incident told each of its contacts once, and was opened once."""
    told = await desk.pool.fetch(
        "SELECT incident_id, contact_id, count(*) AS times FROM notifications "
        "WHERE purpose <> 'digest' AND state IN ('pending', 'digested') GROUP BY 1, 2"
    )
    assert {row["times"] for row in told} == {1}
    incidents = await desk.pool.fetch(
        "SELECT id FROM incidents WHERE state = 'open' AND severity = 'critical'"
    )
    assert len(incidents) >= SHIPMENTS
    by_incident = [row["incident_id"] for row in told]
    assert all(by_incident.count(row["id"]) == each for row in incidents)
    opened = [data["id"] for type_, data in await desk.told() if type_ == "incident.opened"]
    assert len(opened) == len(set(opened)) == await desk.pool.fetchval("SELECT count(*) FROM incidents")
