"""The evaluation loop against the real database: order, concurrency, the clock, faults, and what is told."""

import asyncio
import random
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from alerts.evaluation import claim, judge_batch, loop
from alerts.evaluation.loop import evaluate_due, run_evaluate
from alerts.evaluation.queue import EVALUATIONS
from simulators.truth.oracle import TruePlan
from tests.integration.alerts.conftest import DEPARTED, Desk, minute, truth

CRYOGENIC = TruePlan(
    lower_c=None,
    upper_c=-150,
    critical_low_c=None,
    critical_high_c=-135,
    deadband_c=0.5,
    on_delay_s=0,
    budget_s=None,
    max_gap_s=1800,
    departed_at=DEPARTED,
    delivered_at=minute(1000),
)


def jagged_trace(seed: int, count: int) -> list[tuple[datetime, float | None]]:
    chance = random.Random(seed)
    temperatures: list[float | None] = [-190.0, -150.0, -149.9, -150.4, -150.5, -140.0, -130.0, None]
    at, trace = 0.0, []
    for _ in range(count):
        at += chance.choice([1, 1, 1, 5, 31])
        trace.append((minute(at), chance.choice(temperatures)))
    return trace


async def test_in_order_readings_open_raise_and_close_one_excursion(desk: Desk) -> None:
    await desk.ship()
    for number, celsius in enumerate([-190.0, -149.0, -130.0, -190.0]):
        await desk.store([(minute(number), celsius)])
        await desk.evaluate()
    [excursion] = await desk.excursions()
    assert (excursion["start_at"], excursion["end_at"]) == (minute(1), minute(3))
    assert (excursion["state"], excursion["severity"], excursion["peak_c"]) == ("closed", "critical", -130)
    revisions = await desk.pool.fetch("SELECT revision, reason FROM excursion_revisions ORDER BY revision")
    assert [row["revision"] for row in revisions] == list(range(1, len(revisions) + 1))
    types = [type_ for type_, data in await desk.told() if data.get("kind", "excursion") == "excursion"]
    assert types[:2] == ["excursion.opened", "alert.firing"]
    assert types[-2:] == ["excursion.closed", "alert.resolved"]


async def test_only_what_is_new_is_folded_when_readings_come_in_order(desk: Desk) -> None:
    await desk.ship()
    await desk.store([(minute(n), -190.0) for n in range(50)])
    await desk.evaluate()
    await desk.store([(minute(50), -190.0)])
    async with desk.pool.acquire() as connection, connection.transaction():
        due = await claim.claim(connection, 10)
    assert due is not None
    [device] = due.shipments[0].devices
    assert (len(device.trace), device.refolds) == (1, False)


async def test_late_data_splits_an_excursion_and_tells_of_it(desk: Desk) -> None:
    await desk.ship()
    await desk.store([(minute(0), -140.0), (minute(20), -140.0), (minute(30), -190.0)])
    await desk.evaluate()
    await desk.store([(minute(10), -190.0)])
    await desk.evaluate()
    first, second = await desk.excursions()
    assert (first["start_at"], first["end_at"], first["revision"]) == (minute(0), minute(10), 2)
    assert (second["start_at"], second["end_at"], second["revision"]) == (minute(20), minute(30), 1)
    assert "excursion.amended" in [type_ for type_, _ in await desk.told()]


async def test_late_data_withdraws_what_recovered_within_the_on_delay(desk: Desk) -> None:
    await desk.ship(on_delay_s=600)
    await desk.store([(minute(0), -140.0)])
    await desk.evaluate()
    assert [e["state"] for e in await desk.excursions()] == ["open"]
    await desk.store([(minute(5), -190.0)])
    await desk.evaluate()
    [excursion] = await desk.excursions()
    assert (excursion["state"], excursion["revision"]) == ("withdrawn", 2)
    alert = (await desk.alerts())["excursion"]
    assert (alert["state"], alert["withdrawn"]) == ("resolved", True)
    assert "excursion.withdrawn" in [type_ for type_, _ in await desk.told()]


@pytest.mark.parametrize("seed", range(5))
async def test_any_arrival_order_and_several_evaluators_agree_with_the_oracle(desk: Desk, seed: int) -> None:
    await desk.ship()
    trace = jagged_trace(seed, 120)
    chance = random.Random(seed)
    pieces = [trace[n : n + 7] for n in range(0, len(trace), 7)]
    chance.shuffle(pieces)
    pieces += chance.sample(pieces, 3)  # sent again

    async def evaluators(done: asyncio.Event) -> None:
        while not done.is_set():
            await asyncio.gather(*(evaluate_due(desk.pool) for _ in range(3)))

    done = asyncio.Event()
    running = asyncio.create_task(evaluators(done))
    for piece in pieces:
        await desk.store(piece)
    done.set()
    await running
    await desk.deliver(minute(1000))
    await desk.evaluate()
    assert await desk.live() == truth(trace, CRYOGENIC)
    gaps = await desk.pool.fetchval(
        "SELECT count(*) FROM excursions e WHERE revision <> "
        "(SELECT count(*) FROM excursion_revisions r WHERE r.excursion_id = e.id)"
    )
    assert gaps == 0


async def test_an_open_run_becomes_an_excursion_by_the_clock_alone(desk: Desk) -> None:
    await desk.ship(on_delay_s=2)
    stop = asyncio.Event()
    running = asyncio.create_task(run_evaluate(desk.pool, stop))
    began = datetime.now(UTC)
    await desk.store([(began, -140.0)])
    await _until(lambda: _state_of_first(desk), "open")
    assert datetime.now(UTC) - began >= timedelta(seconds=2)
    stop.set()
    await asyncio.wait_for(running, 5)


async def _state_of_first(desk: Desk) -> str | None:
    found = await desk.excursions()
    return found[0]["state"] if found else None


async def _until(look, wanted: object, within_s: float = 10) -> None:
    async with asyncio.timeout(within_s):
        while await look() != wanted:
            await asyncio.sleep(0.05)


async def test_a_budget_is_exhausted_at_its_exact_instant(desk: Desk) -> None:
    await desk.ship(budget_s=90)
    await desk.store([(minute(0), -140.0), (minute(1), -190.0), (minute(2), -140.0), (minute(4), -190.0)])
    await desk.evaluate()
    alert = (await desk.alerts())["budget_exhausted"]
    assert alert["since"] == minute(2.5)
    assert (alert["severity"], alert["state"]) == ("critical", "firing")


async def test_a_broken_probe_is_told_and_is_no_excursion(desk: Desk) -> None:
    await desk.ship()
    await desk.store([(minute(0), -190.0), (minute(1), None), (minute(2), 900.0)])
    await desk.evaluate()
    assert await desk.excursions() == []
    alert = (await desk.alerts())["probe_fault"]
    assert (alert["state"], alert["since"]) == ("firing", minute(1))
    await desk.store([(minute(3), -190.0)])
    await desk.evaluate()
    alert = (await desk.alerts())["probe_fault"]
    assert (alert["state"], alert["until"]) == ("resolved", minute(3))


async def test_a_broken_probe_is_told_until_the_shipment_ends(desk: Desk) -> None:
    await desk.ship()
    await desk.store([(minute(1), None)])
    soon = datetime.now(UTC) + timedelta(minutes=4)
    await desk.deliver(soon)
    await desk.evaluate()
    assert (await desk.alerts())["probe_fault"]["state"] == "firing"
    assert await desk.pool.fetchval("SELECT evaluate_at FROM evaluations") == soon

    await desk.deliver(minute(10))
    await desk.evaluate()
    alert = (await desk.alerts())["probe_fault"]
    assert (alert["state"], alert["until"]) == ("resolved", minute(10))
    assert await desk.pool.fetchval("SELECT evaluate_at FROM evaluations") is None


async def test_readings_outside_the_window_make_no_excursion(desk: Desk) -> None:
    await desk.ship()
    await desk.store([(minute(-5), 20.0), (minute(0), -190.0), (minute(10), 20.0)])
    await desk.deliver(minute(10))
    await desk.evaluate()
    assert await desk.excursions() == []


async def test_a_shipment_that_cannot_be_judged_is_set_aside_and_harms_no_other(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await desk.ship("S1", "D1")
    await desk.ship("S2", "D2")
    judge = judge_batch.judge

    def faulty(shipment, now, new_id):
        if shipment.identity.shipment_id == "S1":
            raise ZeroDivisionError("poison")
        return judge(shipment, now, new_id)

    monkeypatch.setattr(judge_batch, "judge", faulty)
    await desk.store([(minute(0), -140.0)], "S1", "D1")
    await desk.store([(minute(0), -140.0)], "S2", "D2")
    await evaluate_due(desk.pool)
    assert len(await desk.excursions("S2")) == 1
    row = await desk.pool.fetchrow("SELECT * FROM evaluations WHERE shipment_id = 'S1'")
    assert (row["failures"], row["error"]) == (1, "ZeroDivisionError: poison")
    alert = (await desk.alerts("S1"))["evaluation_failed"]
    assert (alert["state"], alert["severity"], alert["device_id"]) == ("firing", "critical", None)
    assert "ZeroDivisionError: poison" in alert["message"]
    assert "evaluation_failed" not in await desk.alerts("S2")

    monkeypatch.setattr(judge_batch, "judge", judge)
    await desk.pool.execute("UPDATE evaluations SET evaluate_at = now() WHERE shipment_id = 'S1'")
    await desk.evaluate()
    assert len(await desk.excursions("S1")) == 1
    assert await desk.pool.fetchval("SELECT failures FROM evaluations WHERE shipment_id = 'S1'") == 0
    assert (await desk.alerts("S1"))["evaluation_failed"]["state"] == "resolved"


async def test_a_shipment_that_fails_a_thousand_times_still_harms_no_other(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def faulty(*_: object) -> None:
        raise ZeroDivisionError("poison")

    await desk.ship()
    await desk.pool.execute("UPDATE evaluations SET failures = 5000")
    await desk.store([(minute(0), -140.0)])
    monkeypatch.setattr(judge_batch, "judge", faulty)
    assert await evaluate_due(desk.pool) == 1
    row = await desk.pool.fetchrow("SELECT failures, evaluate_at - now() AS away FROM evaluations")
    assert row["failures"] == 5001
    assert timedelta(minutes=9) < row["away"] <= timedelta(minutes=10)


async def test_a_batch_that_takes_too_long_is_tried_again_smaller(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop, limits = asyncio.Event(), []

    async def slow(_: asyncpg.Pool, limit: int, share: claim.Share, *_more: object, **_named: object) -> int:
        if share is claim.Share.PAST:
            return 0
        limits.append(limit)
        if limit > 50:
            raise TimeoutError
        stop.set()
        return limit

    monkeypatch.setattr(loop, "evaluate_due", slow)
    await asyncio.wait_for(run_evaluate(desk.pool, stop), 10)
    assert limits == [200, 100, 50]


async def test_who_has_waited_longest_comes_first(desk: Desk) -> None:
    for number in "123":
        await desk.ship(f"S{number}", f"D{number}")
    await desk.store([(datetime.now(UTC), -140.0)], "S3", "D3")
    await desk.pool.execute("UPDATE evaluations SET evaluate_at = now() WHERE shipment_id = 'S2'")
    for _ in range(15):
        await desk.store([(datetime.now(UTC), -140.0)], "S1", "D1")
    order = []
    while await evaluate_due(desk.pool, limit=1):
        done = await desk.pool.fetch("SELECT shipment_id FROM evaluations WHERE evaluated_at IS NOT NULL")
        order += [row["shipment_id"] for row in done if row["shipment_id"] not in order]
    assert order == ["S3", "S2", "S1"]


async def test_live_data_never_waits_for_what_comes_back_from_a_flight(desk: Desk) -> None:
    for number in range(30):
        await desk.ship(f"S{number}", f"D{number}")
        await desk.store([(minute(0), -140.0)], f"S{number}", f"D{number}")
    await desk.ship("live", "D-live")
    await desk.store([(datetime.now(UTC), -140.0)], "live", "D-live")
    assert await evaluate_due(desk.pool, limit=8) == 8
    assert len(await desk.excursions("live")) == 1
    assert await desk.pool.fetchval("SELECT count(*) FROM evaluation_marks") == 23
    for number in range(8):  # and the past has its share, however busy the present is
        await desk.store([(datetime.now(UTC), -140.0)], "live", "D-live")
        await desk.pool.execute("UPDATE evaluations SET evaluate_at = now() WHERE evaluated_at IS NOT NULL")
        assert await evaluate_due(desk.pool, limit=1) == 2, number


async def test_readings_of_the_past_wait_for_more_of_their_kind_and_live_ones_for_nothing(desk: Desk) -> None:
    await desk.ship()
    await desk.ship("live", "D-live")
    await desk.store([(minute(0), -140.0)])
    await desk.store([(datetime.now(UTC), -140.0)], "live", "D-live")
    assert await evaluate_due(desk.pool, share=claim.Share.PAST, late_wait_s=60) == 0
    assert await evaluate_due(desk.pool, share=claim.Share.ALL, late_wait_s=60) == 1
    assert len(await desk.excursions("live")) == 1
    await desk.pool.execute("UPDATE evaluation_marks SET marked_at = marked_at - interval '1 minute'")
    await desk.store([(minute(1), -140.0)])  # has come just now, and is judged with the one before
    assert await evaluate_due(desk.pool, share=claim.Share.PAST, late_wait_s=60) == 1
    assert await desk.pool.fetchval("SELECT count(*) FROM evaluation_marks") == 0


async def test_beside_live_data_the_past_is_evaluated_once_it_has_waited(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "LATE_WAIT_S", 0.2)
    stop, waited = asyncio.Event(), []

    async def noted(
        _: asyncpg.Pool, _limit: int, share: claim.Share, late_wait_s: float = 0, **_named: object
    ) -> int:
        await asyncio.sleep(0)
        if share is claim.Share.PAST:
            waited.append(late_wait_s)
            if late_wait_s:
                stop.set()
        return 1

    monkeypatch.setattr(loop, "evaluate_due", noted)
    await asyncio.wait_for(run_evaluate(desk.pool, stop), 10)
    assert waited[-1] == 0.2
    stop.clear()

    async def nothing_live(
        pool: asyncpg.Pool, limit: int, share: claim.Share, late_wait_s: float = 0, **_named: object
    ) -> int:
        if share is claim.Share.LIVE:
            return 0
        await noted(pool, limit, share, late_wait_s)
        stop.set()
        return 1

    monkeypatch.setattr(loop, "evaluate_due", nothing_live)
    await asyncio.wait_for(run_evaluate(desk.pool, stop), 10)
    assert waited[-1] == 0  # and alone at once


async def test_what_another_evaluator_has_in_hand_is_not_asked_for_without_pause(desk: Desk) -> None:
    await desk.ship()
    await desk.pool.execute("UPDATE evaluations SET evaluate_at = now()")
    async with desk.pool.acquire() as other, other.transaction():
        await EVALUATIONS.wait_for(other, ["S1"])
        assert await evaluate_due(desk.pool) == 0
        assert await EVALUATIONS.patience_s(desk.pool) >= 0.02


async def test_an_acknowledgement_survives_until_it_gets_critical(desk: Desk) -> None:
    await desk.ship()
    await desk.store([(minute(0), -149.0)])
    await desk.evaluate()
    await desk.pool.execute("UPDATE alerts SET state = 'acknowledged', acknowledged_at = now(), revision = 2")
    await desk.store([(minute(1), -148.0)])
    await desk.evaluate()
    assert (await desk.alerts())["excursion"]["state"] == "acknowledged"
    await desk.store([(minute(2), -130.0)])
    await desk.evaluate()
    alert = (await desk.alerts())["excursion"]
    assert (alert["state"], alert["severity"], alert["acknowledged_at"]) == ("firing", "critical", None)


async def test_a_crash_in_the_middle_changes_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    await desk.ship()
    await desk.store([(minute(0), -140.0)])

    async def crash(*_: object) -> None:
        raise asyncpg.ConnectionDoesNotExistError("gone")

    monkeypatch.setattr(loop, "write_deadlines", crash)
    with pytest.raises(asyncpg.ConnectionDoesNotExistError):
        await evaluate_due(desk.pool)
    assert await desk.excursions() == []
    assert await desk.told() == []
    monkeypatch.undo()
    await desk.evaluate()
    assert len(await desk.excursions()) == 1


async def test_evaluating_again_after_delivery_changes_nothing(desk: Desk) -> None:
    await desk.ship()
    await desk.store([(minute(0), -140.0)])
    await desk.deliver(minute(10))
    await desk.evaluate()
    before = [dict(row) for row in await desk.excursions()]
    await desk.pool.execute("UPDATE evaluations SET evaluate_at = now()")
    await desk.evaluate()
    assert [dict(row) for row in await desk.excursions()] == before
    assert before[0]["ended_by"] == "delivery"


async def test_a_probe_that_was_broken_from_the_start_is_no_obstacle(desk: Desk) -> None:
    await desk.ship()
    await desk.store([(minute(0), None)])
    await desk.evaluate()
    await desk.store([(minute(1), -140.0)])
    await desk.evaluate()
    assert [e["start_at"] for e in await desk.excursions()] == [minute(1)]


async def test_a_delivery_that_cuts_an_excursion_short_says_so(desk: Desk) -> None:
    await desk.ship()
    await desk.store([(minute(0), -140.0), (minute(30), -190.0)])
    await desk.evaluate()
    await desk.deliver(minute(20))
    await desk.evaluate()
    [excursion] = await desk.excursions()
    assert (excursion["end_at"], excursion["ended_by"]) == (minute(20), "delivery")
    assert excursion["reason"] == "window_changed"
