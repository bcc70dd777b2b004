"""Backtests over the HTTP interface: what they find, whom they show it, and what they refuse."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from alerts.evaluation.queue import EVALUATIONS
from tests.integration.api.conftest import Desk, problem, text

HoursAgo = Callable[[float], datetime]

# Above -155 for 80 minutes, above -150 for 40 of them, and above the critical -135 for 10.
TRACE = [-190.0, -190.0, -152.0, -152.0, -145.0, -145.0, -130.0, -145.0, -152.0, -152.0, -190.0, -190.0]


def trace(start: datetime) -> list[tuple[datetime, float | None]]:
    return [(start + timedelta(minutes=10 * n), value) for n, value in enumerate(TRACE)]


async def shipped(desk: Desk, shipment_id: str, departed_at: datetime, **fields: Any) -> None:
    await desk.ship(shipment_id, departed_at=text(departed_at), **fields)
    await desk.store(f"{shipment_id}-logger", *trace(departed_at))


async def run(desk: Desk, client: Any = None, **body: Any) -> dict[str, Any]:
    answer = await (client or desk.admin).post("/v1/backtests", json=body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def test_a_proposal_beside_todays_plan(desk: Desk, hours_ago: HoursAgo) -> None:
    await shipped(desk, "S1", hours_ago(5), budget_s=3600)
    await shipped(desk, "S2", hours_ago(5), upper_c=-140)
    await shipped(desk, "S3", hours_ago(5), upper_c=-100)
    found = await run(desk, plan={"upper_c": -155})
    assert (found["shipments"], found["affected"], found["readings"]) == (3, 3, 36)
    assert found["today"] == {
        "alarms": 2,
        "excursions": 2,
        "critical": 2,
        "budget_exhaustions": 0,
        "out_of_range_s": 3000,
        "longest_s": 2400,
        "longest_on": "S1",
    }
    assert {name: found["proposed"][name] for name in ("alarms", "excursions", "longest_s")} == {
        "alarms": 4,
        "excursions": 3,
        "longest_s": 4800,
    }
    none = {"gained": 0, "lost": 0, "split": 0, "merged": 0, "changed": 0, "same": 0}
    assert found["excursions"] == {**none, "gained": 1, "changed": 2}
    assert found["budget_exhaustions"] == {**none, "gained": 1}
    assert sum(week["today"] for week in found["weeks"]) == 2
    assert sum(week["proposed"] for week in found["weeks"]) == 4
    first, *others = found["by_shipment"]
    assert first["shipment_id"] == "S1"  # there the budget is exhausted as well
    assert (first["today"]["alarms"], first["proposed"]["alarms"]) == (1, 2)
    [difference] = first["differences"]
    assert (difference["effect"], difference["side"], difference["device_id"]) == (
        "changed",
        "high",
        "S1-logger",
    )
    assert datetime.fromisoformat(difference["today"]["start"]) == hours_ago(5) + timedelta(minutes=40)
    assert datetime.fromisoformat(difference["proposed"]["start"]) == hours_ago(5) + timedelta(minutes=20)
    [exhaustion] = first["budget_exhaustions"]
    assert datetime.fromisoformat(exhaustion["proposed"]) == hours_ago(5) + timedelta(minutes=80)
    assert {one["shipment_id"] for one in others} == {"S2", "S3"}
    assert (first["more_differences"], found["not_compared"]) == (0, [])


async def test_it_agrees_with_what_evaluation_finds(desk: Desk, hours_ago: HoursAgo) -> None:
    await shipped(desk, "S1", hours_ago(5))
    await shipped(desk, "S2", hours_ago(5), upper_c=-155, on_delay_s=600)
    await desk.admin.post("/v1/shipments/S1/deliver", json={"at": text(hours_ago(4))})
    await desk.evaluate()
    found = await run(desk, plan={"upper_c": -155, "on_delay_s": 600})
    for shipment_id, plan in (("S1", "today"), ("S2", "proposed")):
        [shown] = [one for one in found["by_shipment"] if one["shipment_id"] == shipment_id]
        recorded = await desk.items(f"/v1/shipments/{shipment_id}/excursions")
        assert shown[plan]["excursions"] == len(recorded) == 1
        for difference in shown["differences"]:
            assert difference[plan].items() <= recorded[0].items()
    assert found["excursions"]["same"] == 1


async def test_nothing_is_written_and_no_lock_is_waited_for(desk: Desk, hours_ago: HoursAgo) -> None:
    await shipped(desk, "S1", hours_ago(5))
    tables = ("shipments", "evaluations", "evaluation_marks", "evaluation_states", "excursions", "outbox")

    async def stored() -> list[list[str]]:
        return [[str(row) for row in await desk.pool.fetch(f"SELECT * FROM {table}")] for table in tables]

    before = await stored()
    async with desk.pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT FROM shipments FOR UPDATE")
        await connection.execute("SELECT FROM evaluations FOR UPDATE")
        await EVALUATIONS.wait_for(connection, ["S1"])
        async with asyncio.timeout(5):
            assert (await run(desk, plan={"upper_c": -155}))["shipments"] == 1
    assert await stored() == before


async def test_a_band_brings_its_own_limits_and_the_rest_stays(desk: Desk, hours_ago: HoursAgo) -> None:
    await shipped(desk, "S1", hours_ago(5), on_delay_s=1800)
    found = await run(desk, plan={"band": "ultra_low"})
    # All of it is below -80 °C, from the first reading on.
    [difference] = found["by_shipment"][0]["differences"][:1]
    assert (difference["effect"], difference["side"]) == ("gained", "low")
    [low] = [one for one in found["by_shipment"][0]["differences"] if one["side"] == "low"]
    assert low["proposed"]["end"] is None
    # The on-delay stays: the alarm of 30 minutes after the start is what is counted by since.
    since = hours_ago(5) + timedelta(minutes=30)
    assert (await run(desk, plan={"band": "ultra_low"}, since=text(since)))["proposed"]["alarms"] == 1
    later = text(since + timedelta(microseconds=1))
    assert (await run(desk, plan={"band": "ultra_low"}, since=later))["proposed"]["alarms"] == 0


async def test_a_part_of_history(desk: Desk, hours_ago: HoursAgo) -> None:
    await shipped(desk, "S1", hours_ago(50))
    await desk.admin.post("/v1/shipments/S1/deliver", json={"at": text(hours_ago(40))})
    await shipped(desk, "S2", hours_ago(30))
    await desk.ship("S3")  # planned: it has no history
    await shipped(desk, "S4", hours_ago(30), drill=True)  # counts only where it is named

    async def shipments(**stretch: datetime) -> set[str]:
        found = await run(desk, plan={"upper_c": -155}, **{name: text(at) for name, at in stretch.items()})
        return {one["shipment_id"] for one in found["by_shipment"]}

    assert await shipments() == {"S1", "S2"}
    drill = await run(desk, plan={"upper_c": -155}, shipment_ids=["S4"])
    assert [one["shipment_id"] for one in drill["by_shipment"]] == ["S4"]
    assert await shipments(since=hours_ago(39)) == {"S2"}
    assert await shipments(until=hours_ago(31)) == {"S1"}
    assert await shipments(since=hours_ago(39), until=hours_ago(31)) == set()
    # As of half an hour after departure there was nothing yet that today's plan calls for.
    half = await run(desk, plan={"upper_c": -155}, until=text(hours_ago(29.5)), shipment_ids=["S2"])
    assert (half["today"]["alarms"], half["proposed"]["alarms"], half["readings"]) == (0, 1, 3)
    assert half["proposed"]["longest_s"] == 600
    assert half["as_of"] == text(hours_ago(29.5)).replace("+00:00", "Z")


async def test_each_sees_only_what_it_may(desk: Desk, hours_ago: HoursAgo) -> None:
    await shipped(desk, "S1", hours_ago(5), organization="acme")
    await shipped(desk, "S2", hours_ago(5), organization="bcell")
    plan = {"upper_c": -155}
    qa = await desk.caller("qa", organization="acme")
    found = await run(desk, qa, plan=plan)
    assert [one["shipment_id"] for one in found["by_shipment"]] == ["S1"]
    told = problem(await qa.post("/v1/backtests", json={"plan": plan, "shipment_ids": ["S1", "S2"]}), 422)
    assert told["detail"] == "shipment_ids names shipments that do not exist: S2."
    assert (await run(desk, await desk.caller("ops"), plan=plan))["shipments"] == 2
    for role in ("viewer", "partner"):
        client = await desk.caller(role, organization="acme")
        problem(await client.post("/v1/backtests", json={"plan": plan}), 403)


@pytest.mark.parametrize(
    ("body", "field", "says"),
    [
        ({}, "plan", "is required"),
        ({"plan": {}}, "plan", "must propose something"),
        ({"plan": {"uper_c": 1}}, "plan.uper_c", "is not known here (did you mean upper_c?)"),
        ({"plan": {"upper_c": "-155"}}, "plan.upper_c", "number"),
        ({"plan": {"upper_c": 200}}, "plan.upper_c", "must be a number from -273.15 to 150"),
        ({"plan": {"band": "hot"}}, "plan.band", ""),
        ({"plan": {"band": None}}, "plan.band", "must be one of cryogenic"),
        ({"plan": {"lower_c": -100}}, "plan.lower_c", "leaves no band"),
        ({"plan": {"band": "custom"}}, "plan.upper_c", "with the plan of S1"),
        ({"plan": {"upper_c": -155}, "shipment_ids": []}, "shipment_ids", "must name at least 1"),
        ({"plan": {"upper_c": -155}, "shipment_ids": ["S8", "S1", "S9"]}, "shipment_ids", "S8, S9"),
        ({"plan": {"upper_c": -155}, "limit": 501}, "limit", "500"),
        ({"plan": {"upper_c": -155}, "since": "yesterday"}, "since", ""),
        (
            {"plan": {"upper_c": -155}, "since": "2026-11-02T00:00:00Z", "until": "2026-11-02T00:00:00Z"},
            "until",
            "must be after since",
        ),
        ({"plan": {"upper_c": -155}, "since": "9999-01-01T00:00:00Z"}, "since", "lies in the future"),
    ],
)
async def test_what_is_refused(desk: Desk, hours_ago: HoursAgo, body: Any, field: str, says: str) -> None:
    await shipped(desk, "S1", hours_ago(5))
    told = problem(await desk.admin.post("/v1/backtests", json=body), 422)
    assert told["errors"][0]["field"] == field
    assert says in told["detail"]


async def test_what_does_not_fit_some_is_told_and_the_others_are_compared(
    desk: Desk, hours_ago: HoursAgo
) -> None:
    await shipped(desk, "S1", hours_ago(5))
    await shipped(desk, "S2", hours_ago(5), band="room")
    await shipped(desk, "S3", hours_ago(5))
    await desk.pool.execute("UPDATE shipments SET plan = plan - 'band' WHERE shipment_id = 'S3'")
    found = await run(desk, plan={"upper_c": -155})
    assert found["shipments"] == 1
    unfit, broken = found["not_compared"]
    assert (unfit["shipment_id"], unfit["field"]) == ("S2", "upper_c")
    assert "leaves no band" in unfit["detail"]
    assert (broken["shipment_id"], broken["field"]) == ("S3", None)


async def test_it_is_about_the_organization_that_it_names(desk: Desk, hours_ago: HoursAgo) -> None:
    for name, organization in (("S1", "acme"), ("S2", "bcell")):
        await shipped(desk, name, hours_ago(5), organization=organization)
    plan = {"upper_c": -155}
    for organization in ("acme", "bcell"):
        found = await run(desk, plan=plan, organization=organization)
        assert [one["organization"] for one in found["by_shipment"]] == [organization]
    assert (await run(desk, plan=plan))["shipments"] == 2
    assert (await run(desk, plan=plan, organization="nobody"))["shipments"] == 0


async def test_whoever_names_anothers_organization_is_told_the_same_wherever_it_asks(desk: Desk) -> None:
    await desk.ship("S1", organization="bcell")
    trial = {"kind": "excursion", "severity": "critical", "at": text(datetime.now(UTC))}
    for role in ("ops", "qa"):
        acme = await desk.caller(role, organization="acme")
        for organization, status in (("bcell", 404), ("unheard-of", 404), ("acme", 200)):
            named = {"organization": organization}
            answers = [
                await acme.get("/v1/shipments", params=named),
                await acme.post("/v1/backtests", json={"plan": {"upper_c": -155}, **named}),
                await acme.post("/v1/policies/dry-run", json={**trial, **named}),
            ]
            if status == 404:
                answers.append(await acme.get("/v1/stream", params=named))
            assert [one.status_code for one in answers] == [status] * len(answers), [
                one.text for one in answers
            ]
            assert status == 200 or len({one.json()["detail"] for one in answers}) == 1


async def test_too_many_are_refused_and_a_set_after_the_other_is_read(
    desk: Desk, hours_ago: HoursAgo
) -> None:
    await shipped(desk, "S1", hours_ago(5))
    more = """
    WITH made AS (
        INSERT INTO shipments (shipment_id, band, plan, departed_at)
        SELECT 'T' || 1000 + n, band, plan, departed_at FROM shipments, generate_series(1, $1) AS n
        WHERE shipment_id = 'S1' RETURNING shipment_id
    ), loggers AS (INSERT INTO devices (device_id) SELECT shipment_id FROM made RETURNING device_id)
    INSERT INTO device_assignments (device_id, shipment_id, starts_at)
    SELECT device_id, device_id, $2 FROM loggers
    """
    await desk.pool.execute(more, 499, hours_ago(5))
    await desk.store("T1499", *trace(hours_ago(5)))
    found = await run(desk, plan={"upper_c": -155}, limit=3)
    assert (found["shipments"], found["affected"], found["readings"]) == (500, 2, 24)
    assert [one["shipment_id"] for one in found["by_shipment"]] == ["S1", "T1499", "T1001"]
    await desk.ship("S2", departed_at=text(hours_ago(4)))
    told = problem(await desk.admin.post("/v1/backtests", json={"plan": {"upper_c": -155}}), 422)
    assert told["detail"].startswith("More than 500 shipments were on their way then: narrow it")
    assert (await run(desk, plan={"upper_c": -155}, shipment_ids=["S2"]))["shipments"] == 1


async def test_what_it_foretold_is_what_the_change_then_does(desk: Desk, hours_ago: HoursAgo) -> None:
    plan = {"upper_c": -155, "on_delay_s": 900, "budget_s": 3600}
    await shipped(desk, "S1", hours_ago(5), max_gap_s=600)
    await desk.admin.post("/v1/shipments/S1/deliver", json={"at": text(hours_ago(3))})
    await desk.evaluate()
    found = await run(desk, plan=plan)
    [foretold] = found["by_shipment"]
    changed = await desk.admin.post("/v1/shipments/S1/plan", json={"reason": "it was foretold", **plan})
    assert changed.status_code == 200, changed.text
    await desk.evaluate()
    [recorded] = await desk.items("/v1/excursions", state=["open", "closed"])
    assert foretold["differences"][0]["proposed"].items() <= recorded.items()
    [alert] = await desk.items("/v1/alerts", kind="budget_exhausted")
    assert alert["since"] == foretold["budget_exhaustions"][0]["proposed"]
    again = await run(desk, plan=plan)
    assert (again["affected"], again["excursions"]["same"]) == (0, 1)
    assert again["today"] == again["proposed"] == found["proposed"]
