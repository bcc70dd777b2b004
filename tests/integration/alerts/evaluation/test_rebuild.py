"""Judging again from the start: what is consistent stays as it is, what is not is told of and mended."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import asyncpg
import pytest

from alerts.evaluation import rebuild as rebuilding
from alerts.evaluation.loop import evaluate_due
from alerts.evaluation.rebuild import Rebuilt, every_shipment, rebuild, unknown_shipments
from telemetry.actor import Actor, ActorKind
from tests.integration.alerts.conftest import Desk, minute

ACTOR = Actor(ActorKind.COMMAND, "reevaluate")
TABLES = (
    "evaluation_states",
    "evaluation_safe_points",
    "excursions",
    "excursion_revisions",
    "alerts",
    "alert_revisions",
    "outbox",
    "evaluation_marks",
)
TRACE = [(minute(n), None if n % 100 == 50 else -140.0 if n % 90 > 80 else -190.0) for n in range(700)]


async def run(desk: Desk, *shipment_ids: str, dry_run: bool = False) -> Rebuilt:
    """All sets of a run together."""
    stop = asyncio.Event()
    sets = [
        one
        async for one in rebuild(desk.pool, shipment_ids or ["S1"], dry_run=dry_run, stop=stop, actor=ACTOR)
    ]
    return Rebuilt(
        shipments=sum(one.shipments for one in sets),
        readings=sum(one.readings for one in sets),
        changes=tuple(change for one in sets for change in one.changes),
        alerts=sum(one.alerts for one in sets),
        states=tuple(state for one in sets for state in one.states),
        failures=tuple(failure for one in sets for failure in one.failures),
    )


async def everything(desk: Desk) -> dict[str, list[str]]:
    """What is stored, row by row; the sum that depends on how a trace was cut to nine digits."""
    rounded = "regexp_replace(t::text, '(weighed[^:]*: [0-9.]{9})[0-9.]*', '\\1')"
    return {
        table: [row[0] for row in await desk.pool.fetch(f"SELECT {rounded} FROM {table} AS t ORDER BY 1")]
        for table in TABLES
    }


async def journey(desk: Desk, shipment_id: str = "S1", device_id: str = "D1", **plan: object) -> None:
    """A trace that comes in pieces, late ones among them, and a delivery."""
    await desk.ship(shipment_id, device_id, **{"budget_s": 1200, **plan})
    for piece in (TRACE[:300], TRACE[400:650], TRACE[300:400], TRACE[650:]):
        await desk.store(piece, shipment_id, device_id)
        await desk.evaluate()
    await desk.deliver(minute(800), shipment_id)
    await desk.evaluate()


@pytest.mark.parametrize("band", ["cryogenic", "controlled"])
@pytest.mark.parametrize("dry_run", [True, False])
async def test_what_is_consistent_stays_as_it_is(desk: Desk, dry_run: bool, band: str) -> None:
    await journey(desk, band=band)
    await desk.ship("S2", "D2")  # nothing was heard of this one,
    # Nor of this one, at which nobody has looked yet, and which nobody misses yet.
    await desk.ship("S3", "D3", created_at=datetime.now(UTC))
    await desk.pool.execute("INSERT INTO evaluation_marks (shipment_id) VALUES ('S2')")
    await desk.evaluate()
    before = await everything(desk)
    assert len(before["excursions"]) > 0
    assert len(before["evaluation_safe_points"]) == 2
    found = await run(desk, "S1", "S2", "S3", dry_run=dry_run)
    assert found == Rebuilt(shipments=3, readings=700)
    after = await everything(desk)
    after["evaluation_states"] = [row for row in after["evaluation_states"] if "S3" not in row]
    assert after == before


async def test_a_dry_run_tells_what_the_real_one_then_does_and_changes_nothing(desk: Desk) -> None:
    await journey(desk)
    first, second = (await desk.excursions())[:2]
    await desk.pool.execute("UPDATE excursions SET peak_c = -100 WHERE id = $1", first["id"])
    await desk.pool.execute("UPDATE excursions SET state = 'withdrawn' WHERE id = $1", second["id"])
    await desk.pool.execute(
        "UPDATE evaluation_states SET state = jsonb_set(state, '{used}', '1'), plan_revision = plan_revision"
    )
    before = await everything(desk)
    would = await run(desk, dry_run=True)
    assert await everything(desk) == before
    told = {(one.change.kind, one.change.reason): one for one in would.changes}
    assert set(told) == {("amended", "reevaluated"), ("opened", "limit_exceeded")}
    amended = told["amended", "reevaluated"]
    assert (amended.shipment_id, amended.device_id) == ("S1", "D1")
    assert amended.change.before.run.peak_c == -100
    assert (amended.change.after.run.peak_c, amended.change.fields) == (-140, ("peak_c",))
    [state] = would.states
    assert (state.before.used, state.after.used) == (1, state.after.held_out)

    did = await run(desk)
    assert {(one.change.kind, one.change.reason) for one in did.changes} == set(told)
    assert (did.states, did.readings) == (would.states, 700)
    [mended] = [one for one in await desk.excursions() if one["id"] == first["id"]]
    assert (mended["peak_c"], mended["reason"]) == (-140, "reevaluated")
    assert mended["revision"] == first["revision"] + 1
    assert await run(desk) == Rebuilt(shipments=1, readings=700)


async def test_a_state_that_was_wrong_is_told_of_and_so_is_what_it_led_to(desk: Desk) -> None:
    await desk.ship()
    await desk.store([(minute(0), -190.0), (minute(10), -140.0), (minute(20), -140.0)])
    await desk.evaluate()
    wrong = """UPDATE evaluation_states SET state = state || '{"peak_c": -120, "start": %d}'"""
    await desk.pool.execute(wrong % (minute(5).timestamp() * 1_000_000))
    await desk.store([(minute(30), -190.0)])
    await desk.evaluate()
    [excursion] = await desk.excursions()
    assert (excursion["start_at"], excursion["severity"]) == (minute(5), "critical")
    [would] = (await run(desk, dry_run=True)).changes
    assert (would.change.kind, would.change.reason) == ("amended", "reevaluated")
    assert would.change.fields == ("start", "peak_c", "severity")
    await run(desk)
    [excursion] = await desk.excursions()
    assert (excursion["start_at"], excursion["severity"]) == (minute(10), "major")
    assert "excursion.amended" in [
        kind for kind, data in await desk.told() if data.get("reason") == "reevaluated"
    ]


@pytest.mark.parametrize(
    "broken",
    [
        "DELETE FROM {}",
        "UPDATE {} SET state = '{{}}'",
        "UPDATE {} SET state = jsonb_set(state, '{{held_in}}', '7')",
    ],
)
@pytest.mark.parametrize("table", ["evaluation_states", "evaluation_safe_points"])
async def test_lost_and_wrong_state_is_rebuilt(desk: Desk, table: str, broken: str) -> None:
    await journey(desk)
    before = await everything(desk)
    await desk.pool.execute(broken.format(table))
    would = await run(desk, dry_run=True)
    assert (len(would.states), would.changes, would.alerts) == (1, (), 0)
    assert await run(desk) == would
    assert await everything(desk) == before


async def test_a_state_that_is_only_behind_is_not_told_of(desk: Desk) -> None:
    await desk.ship()
    await desk.store(TRACE[:50])
    await desk.evaluate()
    await desk.store(TRACE[50:95])
    would = await run(desk, dry_run=True)
    assert would.states == ()
    assert [one.change.kind for one in would.changes] == ["opened"]
    assert (await everything(desk))["evaluation_marks"]
    assert await run(desk) != would  # ids are new
    assert (await everything(desk))["evaluation_marks"] == []


async def test_a_shipment_that_cannot_be_judged_is_told_of_and_harms_no_other(desk: Desk) -> None:
    await journey(desk)
    await journey(desk, "S2", "D2")
    await desk.pool.execute("UPDATE shipments SET plan = plan - 'band' WHERE shipment_id = 'S1'")
    await desk.pool.execute("UPDATE excursions SET peak_c = -100 WHERE shipment_id = 'S2'")
    for dry_run in (True, False):
        found = await run(desk, "S1", "S2", dry_run=dry_run)
        [failure] = found.failures
        assert (failure.shipment_id, "band" in failure.error) == ("S1", True)
        assert {one.shipment_id for one in found.changes} == {"S2"}
        assert ("evaluation_failed" in await desk.alerts("S1")) is not dry_run


async def test_beside_running_evaluators_and_new_readings(desk: Desk) -> None:
    ids = [f"S{n}" for n in range(6)]
    for n, shipment_id in enumerate(ids):
        await desk.ship(shipment_id, f"D{n}")
    done = asyncio.Event()

    async def evaluators() -> None:
        while not done.is_set():
            await asyncio.gather(evaluate_due(desk.pool, 2), evaluate_due(desk.pool, 2))

    running = asyncio.create_task(evaluators())
    for start in range(0, 200, 20):
        for n, shipment_id in enumerate(ids):
            await desk.store(TRACE[start : start + 20], shipment_id, f"D{n}")
        await asyncio.gather(run(desk, *ids), run(desk, *reversed(ids)))
    done.set()
    await running
    await desk.evaluate()
    assert await run(desk, *ids) == Rebuilt(shipments=6, readings=6 * 200)
    assert await desk.live("S0") == await desk.live("S5")
    assert len(await desk.live("S0")) == 2


async def test_a_signal_stops_it_after_the_set_that_is_under_way(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuilding, "SET", 2)
    for n in range(5):
        await desk.ship(f"S{n}", f"D{n}")
        await desk.store(TRACE[:90], f"S{n}", f"D{n}")
    await desk.evaluate()
    await desk.pool.execute("UPDATE excursions SET peak_c = -100")
    ids, stop = await every_shipment(desk.pool), asyncio.Event()
    assert ids == [f"S{n}" for n in range(5)]
    sizes = []
    async for one in rebuild(desk.pool, ids, dry_run=False, stop=stop, actor=ACTOR):
        sizes.append(one.shipments)
        if len(sizes) == 2:
            stop.set()
    assert sizes == [2, 2]
    peaks = [(await desk.excursions(shipment_id))[0]["peak_c"] for shipment_id in ids]
    assert peaks == [-140, -140, -140, -140, -100]


async def test_a_set_that_takes_too_long_is_tried_as_smaller_ones(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(4):
        await desk.ship(f"S{n}", f"D{n}")
    await desk.evaluate()
    tried: list[Sequence[str]] = []
    look = rebuilding._look

    async def slow(connection: asyncpg.Connection, shipment_ids: Sequence[str]) -> Rebuilt:
        tried.append(shipment_ids)
        if len(shipment_ids) > 2 or "S3" in shipment_ids:
            raise TimeoutError
        return await look(connection, shipment_ids)

    monkeypatch.setattr(rebuilding, "_look", slow)
    found = await run(desk, "S0", "S1", "S2", "S3", dry_run=True)
    assert [" ".join(some) for some in tried] == ["S0 S1 S2 S3", "S0 S1", "S2 S3", "S2", "S3"]
    assert found.shipments == 4
    assert [failure.shipment_id for failure in found.failures] == ["S3"]


async def test_the_number_of_statements_does_not_grow_with_the_number_of_shipments(desk: Desk) -> None:
    numbers = {}
    for size in (2, 20):
        ids = [f"S{size}-{n}" for n in range(size)]
        for shipment_id in ids:
            await desk.ship(shipment_id, shipment_id)
            await desk.store(TRACE[:300], shipment_id, shipment_id)
        await desk.evaluate()
        await desk.pool.execute("UPDATE excursions SET peak_c = -100")
        async with desk.pool.acquire() as connection:
            said: list[asyncpg.connection.LoggedQuery] = []
            with connection.query_logger(said.append):
                async with connection.transaction():
                    found = await rebuilding._mend(connection, ids)
        assert len(found.changes) == 3 * size
        numbers[size] = len(said)
    assert numbers[2] == numbers[20]


async def test_unknown_shipments_are_named(desk: Desk) -> None:
    await desk.ship()
    assert await unknown_shipments(desk.pool, ["S1", "S2", "nobody"]) == ["S2", "nobody"]
