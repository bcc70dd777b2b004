"""Where evaluation goes on from: after in-order data, late data, deliveries, changed plans and lost state."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from alerts.evaluation import claim
from alerts.evaluation.loop import evaluate_due
from alerts.excursions import fold_trace
from simulators.truth.oracle import TruePlan
from tests.integration.alerts.conftest import DEPARTED, Desk, minute, truth

PLAN = TruePlan(
    lower_c=None,
    upper_c=-150,
    critical_low_c=None,
    critical_high_c=-135,
    deadband_c=0.5,
    on_delay_s=0,
    budget_s=None,
    max_gap_s=1800,
    departed_at=DEPARTED,
    delivered_at=None,
)


@asynccontextmanager
async def claimed(desk: Desk) -> AsyncIterator[claim.DueShipments]:
    """What an evaluator would get now; nothing is taken away."""
    async with desk.pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        batch = await claim.claim(connection, 100)
        assert batch is not None
        yield batch
        await transaction.rollback()


def steady(count: int, first: float = 0) -> list[tuple[datetime, float]]:
    return [(minute(first + n), -190.0) for n in range(count)]


async def test_late_data_is_folded_from_the_last_safe_point_before_it(desk: Desk) -> None:
    every = fold_trace.SAFE_POINT_EVERY
    await desk.ship()
    await desk.store(steady(4 * every))
    await desk.evaluate()
    seen = await desk.pool.fetch("SELECT seen FROM evaluation_safe_points ORDER BY seen")
    assert [row["seen"] for row in seen] == [minute(n * every - 1) for n in range(1, 5)]
    late = 3 * every + 10.5
    await desk.store([(minute(late), -140.0)])
    async with claimed(desk) as batch:
        [device] = batch.shipments[0].devices
        assert device.refolds
        assert device.state.readings == 3 * every
        assert len(device.trace) == every + 1
    await desk.evaluate()
    [excursion] = await desk.excursions()
    assert (excursion["start_at"], excursion["end_at"]) == (minute(late), minute(late + 0.5))
    # Safe points after the late reading were counted without it, and have been made anew.
    seen = await desk.pool.fetch("SELECT seen FROM evaluation_safe_points ORDER BY seen")
    assert [row["seen"] for row in seen][-1] == minute(4 * every - 2)


async def test_what_lies_before_the_safe_point_is_not_even_looked_at(desk: Desk) -> None:
    every = fold_trace.SAFE_POINT_EVERY
    await desk.ship()
    warm = [(minute(2 * n), -140.0 if n % 4 == 0 else -190.0) for n in range(2 * every)]
    await desk.store(warm)
    await desk.evaluate()
    before = await desk.pool.fetch("SELECT id, revision FROM excursions ORDER BY id")
    assert len(before) == every // 2
    await desk.store([(minute(2 * 2 * every - 1.5), -140.0)])
    async with claimed(desk) as batch:
        assert batch.shipments[0].devices[0].excursions == ()
    await desk.evaluate()
    after = {row["id"]: row["revision"] for row in await desk.excursions()}
    assert {row["id"]: row["revision"] for row in before}.items() <= after.items()
    assert len(after) == len(before) + 1


async def test_a_delivery_in_the_past_resumes_before_it(desk: Desk) -> None:
    every = fold_trace.SAFE_POINT_EVERY
    await desk.ship()
    await desk.store(steady(3 * every))
    await desk.evaluate()
    await desk.pool.execute("UPDATE shipments SET delivered_at = $1", minute(2 * every + 3))
    await desk.pool.execute(
        "INSERT INTO evaluation_marks (shipment_id, dirty_from) VALUES ('S1', $1)", minute(2 * every + 3)
    )
    async with claimed(desk) as batch:
        [device] = batch.shipments[0].devices
        assert (device.state.readings, len(device.trace)) == (2 * every, 3)
    await desk.evaluate()
    assert await desk.pool.fetchval("SELECT count(*) FROM evaluation_safe_points") == 2


async def test_a_changed_plan_is_folded_from_the_start(desk: Desk) -> None:
    every = fold_trace.SAFE_POINT_EVERY
    await desk.ship()
    await desk.store(steady(2 * every))
    await desk.evaluate()
    await desk.pool.execute(
        "UPDATE shipments SET plan_revision = 2, plan = jsonb_set(plan, '{upper_c}', '-195')"
    )
    await desk.pool.execute("INSERT INTO evaluation_marks (shipment_id) VALUES ('S1')")
    await desk.evaluate()
    [excursion] = await desk.excursions()
    assert excursion["start_at"] == minute(0)
    revisions = await desk.pool.fetch("SELECT plan_revision FROM evaluation_safe_points")
    assert [row["plan_revision"] for row in revisions] == [2, 2]


@pytest.mark.parametrize("lost", ["DELETE FROM {}", "UPDATE {} SET state = '{{}}'"])
async def test_lost_state_costs_time_and_nothing_else(desk: Desk, lost: str) -> None:
    await desk.ship()
    trace = [(minute(n), -140.0 if n % 90 > 80 else -190.0) for n in range(700)]
    await desk.store(trace[:600])
    await desk.evaluate()
    for table in ("evaluation_states", "evaluation_safe_points"):
        await desk.pool.execute(lost.format(table))
    before = [dict(row) for row in await desk.excursions()]
    await desk.store(trace[650:])
    await desk.store(trace[600:650])
    await desk.evaluate()
    assert await desk.live() == truth(trace, PLAN)
    assert [dict(row) for row in (await desk.excursions())[: len(before)]] == before


@pytest.mark.parametrize("seed", range(3))
async def test_a_flight_that_comes_back_in_pieces_equals_the_oracle(
    desk: Desk, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fold_trace, "SAFE_POINT_EVERY", 16)
    monkeypatch.setattr(fold_trace, "COLUMNS_FROM", 8)
    await desk.ship()
    chance = random.Random(seed)
    trace = [
        (minute(n + chance.random() / 2), chance.choice([-190.0, -190.0, -150.2, -149.0, -130.0]))
        for n in range(300)
    ]
    live, stored = trace[:100] + trace[200:], trace[100:200]
    pieces = [stored[n : n + 10] for n in range(0, 100, 10)] * 2
    chance.shuffle(pieces)
    await desk.store(live[:100])
    await desk.evaluate()
    for number, piece in enumerate(pieces):
        await desk.store(piece)
        await desk.store(live[100 + 5 * number : 105 + 5 * number])
        await asyncio.gather(evaluate_due(desk.pool), evaluate_due(desk.pool))
    await desk.evaluate()
    assert await desk.live() == truth(trace, PLAN)


async def test_the_number_of_statements_does_not_grow_with_the_number_of_shipments(desk: Desk) -> None:
    numbers = {}
    for size in (3, 60):
        ids = [(f"S{size}-{n}", f"D{size}-{n}") for n in range(size)]
        for shipment_id, device_id in ids:
            await desk.ship(shipment_id, device_id)
            await desk.store([*steady(300), (minute(301), -140.0)], shipment_id, device_id)
        await desk.evaluate()
        for shipment_id, device_id in ids:
            await desk.store([(minute(250.5), -140.0)], shipment_id, device_id)
        async with desk.pool.acquire() as connection:
            said: list[asyncpg.connection.LoggedQuery] = []
            with connection.query_logger(said.append):
                assert await evaluate_due(Single(connection)) == size
        numbers[size] = len(said)
    assert numbers[3] == numbers[60] <= 25


class Single:
    """A pool of one connection."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[asyncpg.Connection]:
        yield self._connection


async def test_silence_is_told_by_the_clock_and_ends_with_the_next_reading(desk: Desk) -> None:
    now = datetime.now(UTC)
    await desk.ship(max_gap_s=3600)
    await desk.store([(now - timedelta(minutes=59), -190.0)])
    await desk.evaluate()
    assert "signal_lost" not in await desk.alerts()
    due_at = await desk.pool.fetchval("SELECT evaluate_at FROM evaluations")
    assert due_at == now + timedelta(minutes=1)
    await desk.pool.execute("UPDATE readings SET measured_at = measured_at - interval '1 minute'")
    await desk.pool.execute("INSERT INTO evaluation_marks (shipment_id) VALUES ('S1')")
    await desk.evaluate()
    alert = (await desk.alerts())["signal_lost"]
    assert (alert["state"], alert["severity"], alert["since"]) == ("firing", "major", now)
    assert alert["message"].startswith("No reading since 20")
    await desk.store([(now + timedelta(minutes=1), -190.0)])
    await desk.evaluate()
    alert = (await desk.alerts())["signal_lost"]
    assert (alert["state"], alert["until"]) == ("resolved", now + timedelta(minutes=1))


async def test_silence_that_late_data_denies_is_withdrawn(desk: Desk) -> None:
    now = datetime.now(UTC)
    await desk.ship(max_gap_s=3600)
    await desk.store([(now - timedelta(minutes=90), -190.0)])
    await desk.evaluate()
    assert (await desk.alerts())["signal_lost"]["state"] == "firing"
    await desk.store([(now - timedelta(minutes=50), -190.0)])  # came late, and was there in time
    await desk.evaluate()
    alert = (await desk.alerts())["signal_lost"]
    assert (alert["state"], alert["withdrawn"]) == ("resolved", True)


async def test_a_verdict_that_the_database_refuses_is_set_aside_and_harms_no_other(desk: Desk) -> None:
    for number in "123":
        await desk.ship(f"S{number}", f"D{number}")
        await desk.store([(minute(0), -140.0)], f"S{number}", f"D{number}")
    await desk.pool.execute("ALTER TABLE excursions ADD CONSTRAINT poison CHECK (shipment_id <> 'S2')")
    assert await evaluate_due(desk.pool) == 3
    assert [len(await desk.excursions(f"S{number}")) for number in "123"] == [1, 0, 1]
    row = await desk.pool.fetchrow("SELECT * FROM evaluations WHERE shipment_id = 'S2'")
    assert row["failures"] == 1
    assert "poison" in row["error"]
    assert (await desk.alerts("S2"))["evaluation_failed"]["state"] == "firing"
    await desk.pool.execute("ALTER TABLE excursions DROP CONSTRAINT poison")
    await desk.pool.execute("UPDATE evaluations SET evaluate_at = now()")
    await desk.evaluate()
    assert len(await desk.excursions("S2")) == 1
    assert (await desk.alerts("S2"))["evaluation_failed"]["state"] == "resolved"


async def test_a_row_that_makes_no_sense_is_set_aside_and_harms_no_other(desk: Desk) -> None:
    for number in "12":
        await desk.ship(f"S{number}", f"D{number}")
        await desk.store([(minute(0), -140.0)], f"S{number}", f"D{number}")
    await desk.pool.execute("UPDATE shipments SET plan = plan - 'band' WHERE shipment_id = 'S1'")
    assert await evaluate_due(desk.pool) == 2
    assert len(await desk.excursions("S2")) == 1
    assert (await desk.alerts("S1"))["evaluation_failed"]["state"] == "firing"
