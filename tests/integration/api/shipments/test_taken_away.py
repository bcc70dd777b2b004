"""What people do takes nothing off the record unseen: by whom, when, why, and what it was before."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.integration.api.conftest import Desk, problem, text

HoursAgo = Callable[[float], datetime]
COLD, WARM, HOT = -190.0, -140.0, -120.0
WHY = "assay of lot 7 allows for it"


async def warmed(desk: Desk, hours_ago: HoursAgo, *, peak: float = WARM, **plan: Any) -> dict[str, Any]:
    """A shipment that left 6 hours ago and has been warm since 4 hours ago; returns the excursion."""
    await desk.ship("S1", organization="acme", departed_at=text(hours_ago(6)), **plan)
    await desk.evaluate()
    await desk.store("S1-logger", (hours_ago(5), COLD), (hours_ago(4), WARM), (hours_ago(2), peak))
    await desk.store("S1-logger", (hours_ago(0.5), WARM))
    await desk.evaluate()
    (found,) = await desk.items("/v1/shipments/S1/excursions")
    assert (found["state"], found["act"]) == ("open", None)
    return dict(found)


async def done(desk: Desk, path: str, client: Any = None, **body: Any) -> dict[str, Any]:
    answer = await (client or desk.admin).post(f"/v1/shipments/S1/{path}", json=body)
    assert answer.status_code == 200, answer.text
    await desk.evaluate()
    return dict(answer.json())


async def summary(desk: Desk, **params: Any) -> dict[str, Any]:
    answer = await desk.admin.get("/v1/shipments/S1/summary", params=params)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def events(desk: Desk, *types: str) -> list[dict[str, Any]]:
    rows = await desk.pool.fetch(
        "SELECT data::jsonb AS data FROM outbox WHERE type = ANY($1::text[]) ORDER BY id", list(types)
    )
    import orjson

    return [orjson.loads(row["data"]) for row in rows]


ACTS = {
    "another plan": ("plan", {"upper_c": -100.0, "critical_high_c": -90.0}, "plan_changed"),
    "delivered earlier": ("deliver", {"at": 4.5}, "delivered"),
    "cancelled earlier": ("cancel", {"at": 4.5}, "cancelled"),
}


@pytest.mark.parametrize("act", ACTS)
async def test_what_an_act_withdraws_stays_visible_with_who_and_why(
    desk: Desk, hours_ago: HoursAgo, act: str
) -> None:
    before = await warmed(desk, hours_ago, peak=HOT)
    seen_before = datetime.now(UTC)
    path, body, step = ACTS[act]
    body = {name: text(hours_ago(value)) if name == "at" else value for name, value in body.items()}
    ops = await desk.caller("ops", organization="acme")
    await done(desk, path, ops, reason=f"  {WHY}\n", **body)

    (gone,) = await desk.items("/v1/shipments/S1/excursions")
    assert (gone["id"], gone["state"]) == (before["id"], "withdrawn")
    assert (gone["severity"], gone["peak_c"], gone["start"]) == ("critical", HOT, before["start"])
    told = gone["act"]
    assert (told["step"], told["reason"]) == (step, WHY)
    assert told["by"].startswith("key:dw_")
    (revision,) = [one for one in await desk.items("/v1/shipments/S1/revisions") if one["step"] == step]
    assert (told["by"], told["at"]) == (revision["by"], revision["recorded_at"])
    assert (await desk.items("/v1/excursions", by_people="true", state="withdrawn"))[0]["act"] == told
    assert await desk.items("/v1/excursions", by_people="false") == []
    history = (await desk.admin.get(f"/v1/excursions/{gone['id']}")).json()["revisions"]
    assert [one["act"] for one in history] == [None] * (len(history) - 1) + [told]

    (event,) = await events(desk, "excursion.withdrawn")
    assert event["act"] == told

    (listed,) = await desk.items("/v1/shipments")
    assert (listed["worst_severity"], listed["taken_away_by_people"]) == (None, 1)
    apart = (await summary(desk))["withdrawn_by_people"]
    assert (apart["number"], apart["worst_severity"], apart["highest_c"]) == (1, "critical", HOT)
    assert apart["by"] == [told["by"]]
    assert apart["lasted_s"] >= 4 * 3600
    (named,) = apart["excursions"]
    assert (named["excursion_id"], named["act"]) == (gone["id"], told)

    (alert,) = [one for one in await desk.items("/v1/alerts") if one["kind"] == "excursion"]
    assert alert["state"] == "resolved"
    assert alert["details"]["act"] == told
    last = (await desk.admin.get(f"/v1/alerts/{alert['id']}")).json()["revisions"][-1]
    assert last["reason"] == "condition_withdrawn"
    assert WHY in last["note"]
    assert told["by"].removeprefix("key:") in last["note"]

    as_of = {"as_of": text(seen_before)}
    (then,) = await desk.items("/v1/shipments/S1/excursions", **as_of)
    assert (then["state"], then["act"]) == ("open", None)
    assert (await summary(desk, **as_of))["withdrawn_by_people"]["number"] == 0
    now = {"as_of": text(datetime.now(UTC))}
    assert (await summary(desk, **now))["withdrawn_by_people"]["number"] == 1


async def test_what_late_readings_withdraw_is_nobodys_act(desk: Desk, hours_ago: HoursAgo) -> None:
    await warmed(desk, hours_ago, on_delay_s=5400)
    cold = [(hours_ago(hours), COLD) for hours in (3.5, 3, 2.5, 1.5, 1, 0.4)]
    await desk.store("S1-logger", *cold)
    await desk.evaluate()
    (gone,) = await desk.items("/v1/shipments/S1/excursions")
    assert (gone["state"], gone["reason"], gone["act"]) == ("withdrawn", "late_data", None)
    assert (await summary(desk))["withdrawn_by_people"]["number"] == 0


async def test_readings_that_come_with_the_delivery_are_not_its_act(desk: Desk, hours_ago: HoursAgo) -> None:
    await warmed(desk, hours_ago, on_delay_s=5400)
    # A logger hands in what it kept at the very moment of the delivery: both are judged at once.
    cold = [(hours_ago(hours), COLD) for hours in (3.5, 3, 2.5, 1.5, 1, 0.4)]
    await desk.store("S1-logger", *cold)
    await done(desk, "deliver")
    (gone,) = await desk.items("/v1/shipments/S1/excursions")
    assert (gone["state"], gone["act"]) == ("withdrawn", None)


async def test_an_act_beside_late_readings_is_named(desk: Desk, hours_ago: HoursAgo) -> None:
    await warmed(desk, hours_ago)
    await desk.store("S1-logger", (hours_ago(3), COLD), (hours_ago(2.5), WARM))
    await done(desk, "plan", reason=WHY, upper_c=-100.0, critical_high_c=-90.0)
    (gone,) = await desk.items("/v1/shipments/S1/excursions")
    assert (gone["state"], gone["act"]["step"]) == ("withdrawn", "plan_changed")


async def test_of_several_acts_the_one_that_took_it_is_named(desk: Desk, hours_ago: HoursAgo) -> None:
    await warmed(desk, hours_ago)
    url = "/v1/shipments/S1"
    await desk.admin.post(f"{url}/schedule", json={"reason": "rebooked on LH 404", "destination": "BOS"})
    await desk.admin.post(f"{url}/plan", json={"reason": WHY, "upper_c": -100.0, "critical_high_c": -90.0})
    await desk.admin.post(f"{url}/plan", json={"reason": "and a longer delay", "on_delay_s": 60})
    await desk.evaluate()
    (gone,) = await desk.items("/v1/shipments/S1/excursions")
    assert (gone["act"]["step"], gone["act"]["reason"]) == ("plan_changed", WHY)


async def test_what_an_act_makes_shorter_or_milder_stays_visible(desk: Desk, hours_ago: HoursAgo) -> None:
    before = await warmed(desk, hours_ago, peak=HOT)
    await done(desk, "deliver", reason=WHY, at=text(hours_ago(3.5)))
    (left,) = await desk.items("/v1/shipments/S1/excursions")
    assert (left["id"], left["state"], left["severity"]) == (before["id"], "closed", "major")
    assert left["act"]["reason"] == WHY
    found = await summary(desk)
    assert found["withdrawn_by_people"]["number"] == 0
    (named,) = found["lessened_by_people"]["excursions"]
    assert (named["severity"], named["peak_c"], named["end"]) == ("critical", HOT, None)


async def test_a_plan_that_takes_minutes_takes_them(desk: Desk, hours_ago: HoursAgo) -> None:
    """One change takes ten minutes, and nothing keeps anybody from making fifty."""
    await desk.ship("S1", organization="acme", departed_at=text(hours_ago(6)))
    warming = [(hours_ago(4 - number / 6), -149.0 + number) for number in range(7)]
    await desk.store("S1-logger", (hours_ago(5), COLD), *warming, (hours_ago(0.5), WARM))
    await desk.evaluate()
    (before,) = await desk.items("/v1/shipments/S1/excursions")
    reasons = []
    for upper_c in (-148.5, -147.5):
        reasons.append(f"assay allows for {upper_c} degrees")
        await done(desk, "plan", reason=reasons[-1], upper_c=upper_c)
        (left,) = await desk.items("/v1/shipments/S1/excursions")
        assert left["id"] == before["id"]
        assert left["act"]["reason"] == reasons[-1]
    found = (await summary(desk))["lessened_by_people"]
    assert {one["act"]["reason"] for one in found["excursions"]} == set(reasons)
    assert (await desk.items("/v1/shipments"))[0]["taken_away_by_people"] == 1


async def test_an_ordinary_delivery_takes_nothing_away(desk: Desk, hours_ago: HoursAgo) -> None:
    await warmed(desk, hours_ago)
    courier = await desk.caller("courier", shipment_ids=["S1"])
    ten_minutes = datetime.now(UTC) - timedelta(minutes=10)
    await done(desk, "deliver", courier, at=text(ten_minutes))
    (left,) = await desk.items("/v1/shipments/S1/excursions")
    assert (left["state"], left["reason"], left["act"]) == ("closed", "delivered", None)
    assert (await desk.items("/v1/shipments"))[0]["taken_away_by_people"] == 0
    assert (await summary(desk))["lessened_by_people"]["number"] == 0
    (event,) = await events(desk, "shipment.delivered")
    lasted_s = (ten_minutes - datetime.fromisoformat(left["start"])).total_seconds()
    assert event["excursions"] | {"by": event["by"]} == {
        "open": 1,
        "closed": 0,
        "worst_severity": "major",
        "highest_c": left["peak_c"],
        "lowest_c": None,
        "lasted_s": pytest.approx(lasted_s),
        "withdrawn_by_people": _NONE,
        "lessened_by_people": _NONE,
        "by": event["by"],
    }


_NONE = {
    "number": 0,
    "worst_severity": None,
    "highest_c": None,
    "lowest_c": None,
    "lasted_s": 0,
    "by": [],
}


async def test_the_delivery_tells_of_what_was_withdrawn_before(desk: Desk, hours_ago: HoursAgo) -> None:
    await warmed(desk, hours_ago)
    await done(desk, "plan", reason=WHY, upper_c=-100.0, critical_high_c=-90.0)
    await done(desk, "deliver")
    (event,) = await events(desk, "shipment.delivered")
    told = event["excursions"]["withdrawn_by_people"]
    assert (told["number"], told["highest_c"], told["by"]) == (1, WARM, ["key:admin-key-setting"])


async def test_a_budget_that_a_plan_gives_back_and_a_rule_that_it_switches_off(
    desk: Desk, hours_ago: HoursAgo
) -> None:
    await warmed(desk, hours_ago, budget_s=3600)
    await desk.admin.post(
        "/v1/readings",
        json={
            "readings": [
                {
                    "device_id": "S1-logger",
                    "measured_at": text(hours_ago(0.4)),
                    "temperature_c": WARM,
                    "shock_g": 30,
                }
            ]
        },
    )
    await desk.evaluate()
    await done(desk, "plan", reason=WHY, budget_s=None, rules={"shock": {"enabled": False}})
    alerts = {one["kind"]: one for one in await desk.items("/v1/alerts")}
    for kind in ("budget_exhausted", "shock"):
        assert alerts[kind]["details"]["act"]["reason"] == WHY
        history = (await desk.admin.get(f"/v1/alerts/{alerts[kind]['id']}")).json()["revisions"]
        assert WHY in history[-1]["note"]
    assert "act" not in alerts["excursion"]["details"]


async def test_a_schedule_that_ends_late_says_whose(desk: Desk, hours_ago: HoursAgo) -> None:
    await desk.ship("S1", departed_at=text(hours_ago(9)), planned_arrival=text(hours_ago(5)))
    await desk.told_in_time()
    await desk.store("S1-logger", (hours_ago(1), COLD))
    await desk.evaluate()
    (late,) = [one for one in await desk.items("/v1/alerts") if one["kind"] == "late"]
    assert late["state"] == "firing"
    await done(desk, "schedule", reason="rebooked on LH 404", planned_arrival=text(hours_ago(-20)))
    found = (await desk.admin.get(f"/v1/alerts/{late['id']}")).json()
    assert found["state"] == "resolved"
    assert "rebooked on LH 404" in found["revisions"][-1]["note"]


async def test_an_act_between_loading_and_saving_is_named(desk: Desk, hours_ago: HoursAgo) -> None:
    """What is judged when the evaluation has begun before an act is committed is named by the next one."""
    await warmed(desk, hours_ago)
    revision = "SELECT judged_revision FROM evaluations WHERE shipment_id LIKE '%S1'"
    judged = await desk.pool.fetchval(revision)
    await desk.admin.post(
        "/v1/shipments/S1/plan", json={"reason": WHY, "upper_c": -100.0, "critical_high_c": -90.0}
    )
    assert await desk.pool.fetchval(revision) == judged
    await desk.evaluate()
    assert await desk.pool.fetchval(revision) == judged + 1


@pytest.mark.parametrize("hours", [1, 5])
async def test_a_courier_sets_times_back_by_minutes_only(
    desk: Desk, hours_ago: HoursAgo, hours: float
) -> None:
    await desk.admin.post("/v1/dewars", json={"dewar_id": "W1"})
    await desk.ship(
        "S1", organization="acme", dewar_id="W1", origin="Plant", packed_out_at=text(hours_ago(9))
    )
    courier = await desk.caller("courier", shipment_ids=["S1"])
    at = {"at": text(hours_ago(hours))}
    over = {"from_party": "Plant", "to_party": "Rhein Courier"}
    for path, body in (
        ("/v1/shipments/S1/depart", {}),
        ("/v1/shipments/S1/handovers", over),
        ("/v1/dewars/W1/charge", {}),
    ):
        refused = problem(await courier.post(path, json=at | body), 422)
        assert refused["errors"][0]["field"] == "at"
        assert (
            "is more than 15 minutes ago, and couriers may backdate by at most 15 minutes: ask somebody with a key of the role ops"
            in refused["detail"]
        )
    assert await desk.items("/v1/dewars/W1/charges") == []
    assert (await desk.admin.post("/v1/shipments/S1/depart", json=at)).status_code == 200
    assert "15 minutes" in problem(await courier.post("/v1/shipments/S1/deliver", json=at), 422)["detail"]
    # The same that was recorded in time may be told again at any time.
    charge = await desk.admin.post("/v1/dewars/W1/charge", json=at)
    assert charge.status_code == 201
    assert (await courier.post("/v1/dewars/W1/charge", json=at)).status_code == 200
    assert (await courier.post("/v1/shipments/S1/depart", json=at)).status_code == 200
    soon = {"at": text(datetime.now(UTC) - timedelta(minutes=10))}
    assert (await courier.post("/v1/shipments/S1/deliver", json=soon)).status_code == 200
    problem(await courier.post("/v1/shipments/S1/cancel", json={"reason": "it is not needed"}), 403)


async def test_who_sets_a_delivery_back_into_an_excursion_says_why(desk: Desk, hours_ago: HoursAgo) -> None:
    await warmed(desk, hours_ago)
    ops = await desk.caller("ops", organization="acme")
    at = {"at": text(hours_ago(4.5))}
    refused = problem(await ops.post("/v1/shipments/S1/deliver", json=at), 422)
    assert refused["errors"][0]["field"] == "reason"
    assert (await desk.admin.get("/v1/shipments/S1")).json()["status"] == "in_transit"
    assert (await ops.post("/v1/shipments/S1/deliver", json={**at, "reason": WHY})).status_code == 200


NOTHING_SAID = ["x", "xxxxxxxxxx", "        ", "12345678", "because", "aaaa bbbb"]


@pytest.mark.parametrize("reason", NOTHING_SAID)
async def test_a_reason_says_something(desk: Desk, hours_ago: HoursAgo, reason: str) -> None:
    await desk.ship("S1", departed_at=text(hours_ago(6)))
    for path, body in (
        ("plan", {"on_delay_s": 60}),
        ("schedule", {"destination": "BOS"}),
        ("cancel", {}),
        ("deliver", {}),
    ):
        answer = await desk.admin.post(f"/v1/shipments/S1/{path}", json={"reason": reason, **body})
        refused = problem(answer, 422)
        assert refused["errors"][0]["field"] == "reason"
        assert "at least 8 characters, at least 3 different letters" in refused["detail"]
    assert [one["step"] for one in await desk.items("/v1/shipments/S1/revisions")] == ["created"]
    problem(await desk.admin.post("/v1/shipments/S1/cancel"), 422)
