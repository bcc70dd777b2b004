"""An evaluator is killed with claims in its hands: another takes them over at once, and nothing is told twice."""

import asyncio
import signal
import sys
from time import monotonic

import asyncpg
import pytest

from alerts.evaluation import loop
from alerts.evaluation.loop import evaluate_due, run_evaluate
from alerts.work import due_queue
from tests.integration.alerts.conftest import Desk, minute

SHIPMENTS = 20
AT_ONCE_S = due_queue.POLL_S + 1.0
"""The next look of another evaluator, and what a laden machine needs."""

# The real loop, in a process of its own; it stops when it has written what it decided, and has not committed it.
HELD = """
import asyncio, sys
import asyncpg
from alerts.evaluation import loop

write = loop.write_deadlines

async def write_and_wait(*args):
    await write(*args)
    print("holding", flush=True)
    await asyncio.Event().wait()

async def main():
    loop.write_deadlines = write_and_wait
    async with asyncpg.create_pool(sys.argv[1], min_size=2, max_size=4) as pool:
        await loop.run_evaluate(pool, asyncio.Event())

asyncio.run(main())
"""


@pytest.fixture
async def due(desk: Desk) -> Desk:
    """Shipments that are due, each with an excursion to be found."""
    for number in range(SHIPMENTS):
        await desk.ship(f"S{number}", f"D{number}")
        await desk.store([(minute(0), -140.0), (minute(1), -190.0)], f"S{number}", f"D{number}")
    return desk


async def test_an_evaluator_killed_with_claims_holds_nobody_up(due: Desk, database_url: str) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HELD, database_url, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), 30) == b"holding\n"
    assert await evaluate_due(due.pool) == 0  # all of them are in its hands
    stop = asyncio.Event()
    other = asyncio.create_task(run_evaluate(due.pool, stop))
    killed_at = monotonic()
    process.send_signal(signal.SIGKILL)
    await process.wait()
    await _all_evaluated(due)
    took_s = monotonic() - killed_at
    stop.set()
    await asyncio.wait_for(other, 10)
    assert took_s < AT_ONCE_S, f"taken over {took_s:.3f} s after the kill"
    await _told_once(due)


async def test_an_evaluator_that_stands_still_with_claims_starves_no_others(
    due: Desk, database_url: str
) -> None:
    """What it holds gathers marks and deadlines, more than a claim looks at."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HELD, database_url, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), 30) == b"holding\n"
    process.send_signal(signal.SIGSTOP)
    try:
        await due.pool.execute(
            "INSERT INTO evaluation_marks (shipment_id) SELECT shipment_id FROM evaluations, generate_series(1, 100)"
        )
        for name, at in (("new", minute(0)), ("past", minute(0))):
            await due.ship(name, f"D-{name}")
            await due.store([(at, -140.0)], name, f"D-{name}")
        await due.pool.execute("UPDATE evaluation_marks SET dirty_from = marked_at WHERE shipment_id = 'new'")
        assert await evaluate_due(due.pool, limit=4) == 2
        done = await due.pool.fetch("SELECT shipment_id FROM evaluations WHERE evaluated_at IS NOT NULL")
        assert {row["shipment_id"] for row in done} == {"new", "past"}
    finally:
        process.kill()
        await process.wait()
    await due.evaluate()
    told = [data["shipment_id"] for type_, data in await due.told() if type_ == "excursion.opened"]
    assert len(told) == len(set(told)) == SHIPMENTS + 2


async def test_a_connection_that_the_server_ends_in_the_middle_costs_nothing(
    due: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, ended = loop.write_deadlines, 0

    async def end_the_connection(connection: asyncpg.Connection, *args: object) -> None:
        nonlocal ended
        ended += 1
        if ended == 1:
            await due.pool.execute("SELECT pg_terminate_backend($1)", connection.get_server_pid())
        await write(connection, *args)

    monkeypatch.setattr(loop, "write_deadlines", end_the_connection)
    stop = asyncio.Event()
    running = asyncio.create_task(run_evaluate(due.pool, stop))
    await _all_evaluated(due)
    stop.set()
    await asyncio.wait_for(running, 10)
    assert ended >= 2
    await _told_once(due)


async def _all_evaluated(desk: Desk) -> None:
    async with asyncio.timeout(30):
        while await desk.pool.fetchval("SELECT count(*) FROM evaluations WHERE evaluated_at IS NULL"):
            await asyncio.sleep(0.01)


async def _told_once(desk: Desk) -> None:
    told = [data["id"] for type_, data in await desk.told() if type_ == "excursion.opened"]
    assert len(told) == len(set(told)) == SHIPMENTS
    assert await desk.pool.fetchval("SELECT count(*) FROM excursion_revisions") == SHIPMENTS
    assert await desk.pool.fetchval("SELECT count(*) FROM evaluation_marks") == 0
