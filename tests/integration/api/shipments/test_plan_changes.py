"""Another plan for a shipment under way: versioned, with a reason, judged anew, and nothing told is unsaid."""

import asyncio
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.integration.api.conftest import Desk, problem, text

HoursAgo = Callable[[float], datetime]


async def change(desk: Desk, shipment_id: str = "S1", **fields: Any) -> dict[str, Any]:
    body = {"reason": "stability data", **fields}
    done = await desk.admin.post(f"/v1/shipments/{shipment_id}/plan", json=body)
    assert done.status_code == 200, done.text
    return dict(done.json())


async def steps(desk: Desk, shipment_id: str = "S1") -> list[str]:
    return [item["step"] for item in await desk.items(f"/v1/shipments/{shipment_id}/revisions")]


async def test_each_step_leaves_a_revision(desk: Desk, hours_ago: HoursAgo) -> None:
    await desk.device("D2", "D1")
    await desk.ship("S1", "D2", "D1", packed_out_at=text(hours_ago(4)))
    ops = await desk.caller("ops")
    for name, hours in (("depart", 5), ("depart", 5), ("deliver", 1), ("deliver", 1)):
        await ops.post(f"/v1/shipments/S1/{name}", json={"at": text(hours_ago(hours))})
    await change(desk, on_delay_s=60)
    created, departed, delivered, changed = await desk.items("/v1/shipments/S1/revisions")
    shown = (await desk.admin.get("/v1/shipments/S1")).json()

    def utc(hours: float) -> str:
        return text(hours_ago(hours)).replace("+00:00", "Z")

    def devices(starts_at: str, ends_at: str | None) -> list[dict[str, Any]]:
        return [{"device_id": name, "starts_at": starts_at, "ends_at": ends_at} for name in ("D1", "D2")]

    assert [one["revision"] for one in (created, departed, delivered, changed)] == [1, 2, 3, 4]
    assert await steps(desk) == ["created", "departed", "delivered", "plan_changed"]
    assert created["by"] == "key:admin-key-setting"
    assert departed["by"].startswith("key:dw_")
    assert created["departed_at"] is created["delivered_at"] is departed["delivered_at"] is None
    assert departed["departed_at"] == utc(5)
    assert (delivered["departed_at"], delivered["delivered_at"]) == (utc(5), utc(1))
    assert created["devices"] == devices(utc(4), None)
    assert departed["devices"] == devices(utc(5), None)
    assert delivered["devices"] == changed["devices"] == devices(utc(5), utc(1))
    assert [one["plan_revision"] for one in (created, delivered, changed)] == [1, 1, 2]
    assert created["plan"]["on_delay_s"] == 0
    assert changed["plan"] == shown["plan"]
    assert [one["reason"] for one in (delivered, changed)] == [None, "stability data"]
    times = [datetime.fromisoformat(one["recorded_at"]) for one in (created, departed, delivered, changed)]
    assert times == sorted(times)
    assert len(set(times)) == 4


async def test_a_shipment_that_departs_at_once_or_is_called_off(desk: Desk, hours_ago: HoursAgo) -> None:
    await desk.ship("S1", departed_at=text(hours_ago(2)))
    (created,) = await desk.items("/v1/shipments/S1/revisions")
    assert created["departed_at"] == text(hours_ago(2)).replace("+00:00", "Z")
    await desk.admin.post(
        "/v1/shipments/S1/cancel", json={"at": text(hours_ago(1)), "reason": "it is not needed"}
    )
    assert await steps(desk) == ["created", "cancelled"]
    cancelled = (await desk.items("/v1/shipments/S1/revisions"))[-1]
    assert cancelled["cancelled_at"] == cancelled["devices"][0]["ends_at"]
    marks = await desk.pool.fetch("SELECT device_id, dirty_from FROM evaluation_marks ORDER BY id")
    assert [tuple(mark) for mark in marks] == [(None, None), (None, hours_ago(1))]


async def test_revisions_come_in_pages_to_those_who_see_the_shipment(desk: Desk) -> None:
    await desk.ship("S1", organization="acme")
    for seconds in range(1, 5):
        await change(desk, on_delay_s=seconds)
    viewer = await desk.caller("viewer", organization="acme")
    first = (await viewer.get("/v1/shipments/S1/revisions?limit=3")).json()
    rest = (await viewer.get(f"/v1/shipments/S1/revisions?limit=3&cursor={first['next_cursor']}")).json()
    assert [one["revision"] for one in first["items"] + rest["items"]] == [1, 2, 3, 4, 5]
    assert rest["next_cursor"] is None
    other = await desk.caller("viewer", organization="bcell")
    problem(await other.get("/v1/shipments/S1/revisions"), 404)
    problem(await desk.admin.get("/v1/shipments/S2/revisions"), 404)


async def test_what_is_absent_stays(desk: Desk) -> None:
    own = {"deadband_c": 0.2, "on_delay_s": 90, "max_gap_s": 600, "delta_h_kj_mol": 80, "time_lapse": 60}
    made = await desk.ship("S1", band="room", upper_c=24, budget_s=3600, **own)
    changed = await change(desk, budget_s=None, critical_low_c=None)
    assert changed["plan"] == {**made["plan"], "budget_s": None, "critical_low_c": None}
    assert changed["plan_revision"] == 2
    changed = await change(desk, band="refrigerated", upper_c=9)
    assert changed["band"] == changed["plan"]["band"] == "refrigerated"
    assert changed["plan"] == {
        "band": "refrigerated",
        "lower_c": 2,
        "upper_c": 9,
        "critical_low_c": 0,
        "critical_high_c": 25,
        "budget_s": None,
        "manual_only": False,
        "rules": {},
        **own,
    }
    assert await desk.items("/v1/shipments", band="refrigerated") == [changed]


async def test_rules_are_tuned_one_by_one_with_a_reason_and_are_on_record(desk: Desk) -> None:
    made = await desk.ship("S1", rules={"signal_lost": {"max_gap_s": 3600}})
    assert made["plan"]["rules"] == {"signal_lost": {"max_gap_s": 3600}}
    assert await change(desk, rules={}) == made
    changed = await change(desk, rules={"signal_lost": {"enabled": False}})
    assert changed["plan"]["rules"] == {"signal_lost": {"enabled": False}}
    assert (changed["plan_revision"], await steps(desk)) == (2, ["created", "plan_changed"])
    assert (await change(desk, upper_c=-155))["plan"]["rules"] == {"signal_lost": {"enabled": False}}
    assert (await change(desk, rules={"signal_lost": None}))["plan"]["rules"] == {}


async def test_a_rule_that_is_switched_off_takes_its_alerts_with_it(desk: Desk, hours_ago: HoursAgo) -> None:
    await desk.ship("S1", departed_at=text(hours_ago(2)))
    await desk.evaluate()
    # The shipment was made just now, and is watched from then on: as if it had been watched all the time.
    await desk.told_in_time()
    await desk.pool.execute("UPDATE evaluations SET evaluate_at = now()")
    await desk.evaluate()
    [alert] = await desk.items("/v1/alerts")
    assert (alert["kind"], alert["state"]) == ("signal_lost", "firing")
    await change(desk, rules={"signal_lost": {"enabled": False}})
    await desk.evaluate()
    [alert] = await desk.items("/v1/alerts")
    assert alert["state"] == "resolved"
    await change(desk, rules={"signal_lost": {"max_gap_s": 3600}})
    await desk.evaluate()
    [alert] = await desk.items("/v1/alerts")
    assert (alert["state"], datetime.fromisoformat(alert["since"])) == ("firing", hours_ago(1))


@pytest.mark.parametrize(
    ("rules", "field", "says"),
    [
        ({"tlited": {"enabled": False}}, "rules.tlited", "is not a rule; there are"),
        ({"signal_lost": {"gap": 1}}, "rules.signal_lost.gap", "is not a parameter of signal_lost"),
        ({"signal_lost": {"enabled": 1}}, "rules.signal_lost.enabled", "must be true or false"),
        ({"signal_lost": {"max_gap_s": 0}}, "rules.signal_lost.max_gap_s", "must be a number from 1 to"),
    ],
)
async def test_a_tuning_that_cannot_be_is_refused(
    desk: Desk, rules: dict[str, object], field: str, says: str
) -> None:
    await desk.ship("S1")
    path = "/v1/shipments/S1/plan"
    [error] = problem(await desk.admin.post(path, json={"reason": "it has to be so", "rules": rules}), 422)[
        "errors"
    ]
    assert error["field"] == field
    assert says in error["detail"]
    shipment = {"shipment_id": "S2", "band": "cryogenic", "device_ids": ["D9"], "rules": rules}
    [error] = problem(await desk.admin.post("/v1/shipments", json=shipment), 422)["errors"]
    assert error["field"] == field


async def test_a_change_that_changes_nothing_is_none(desk: Desk) -> None:
    made = await desk.ship("S1", on_delay_s=60)
    for fields in ({}, {"on_delay_s": 60.0}, {"band": "cryogenic"}, {"on_delay_s": 60, "plan_revision": 7}):
        assert await change(desk, **fields) == made
    assert await steps(desk) == ["created"]
    assert await desk.pool.fetchval("SELECT count(*) FROM outbox WHERE type <> 'shipment.created'") == 0
    assert await desk.pool.fetchval("SELECT count(*) FROM evaluation_marks") == 1


async def test_it_is_told_and_makes_the_shipment_due_from_its_start(desk: Desk, hours_ago: HoursAgo) -> None:
    await desk.ship("S1", organization="acme", departed_at=text(hours_ago(2)))
    await desk.pool.execute("DELETE FROM evaluation_marks")
    shown = await change(desk, upper_c=-140, reason="assay of lot 7")
    (mark,) = await desk.pool.fetch("SELECT * FROM evaluation_marks")
    assert (mark["shipment_id"], mark["device_id"], mark["dirty_from"]) == ("acme/S1", None, None)
    event = await desk.pool.fetchrow("SELECT * FROM outbox ORDER BY id DESC LIMIT 1")
    assert event is not None
    assert (event["type"], event["shipment_id"], event["organization"]) == (
        "shipment.plan_changed",
        "acme/S1",
        "acme",
    )
    data = json.loads(event["data"])
    assert data.pop("reason") == "assay of lot 7"
    assert data.pop("by") == "key:admin-key-setting"
    assert data.pop("sequence") > 0
    assert data.items() <= shown.items()
    assert data["plan"]["upper_c"] == -140


async def test_what_was_told_is_amended_and_stays_on_record(desk: Desk, hours_ago: HoursAgo) -> None:
    await desk.ship("S1", departed_at=text(hours_ago(5)))
    celsius = [-180.0, -145.0, -142.0, -180.0, -148.0, -180.0]
    readings = [(hours_ago(4) + timedelta(minutes=10 * n), value) for n, value in enumerate(celsius)]
    await desk.store("S1-logger", *readings)
    await desk.evaluate()
    second, first = await desk.items("/v1/excursions")
    await desk.admin.post("/v1/shipments/S1/deliver", json={"at": text(hours_ago(1))})
    await change(desk, upper_c=-147, reason="assay of lot 7")
    await desk.evaluate()
    whole = (await desk.admin.get(f"/v1/excursions/{second['id']}")).json()
    assert (whole["state"], whole["reason"]) == ("withdrawn", "plan_changed")
    assert [one["state"] for one in whole["revisions"]] == ["closed", "withdrawn"]
    assert whole["revisions"][0]["peak_c"] == -148
    assert (await desk.admin.get(f"/v1/excursions/{first['id']}")).json()["revision"] == 1
    await change(desk, upper_c=-143, critical_high_c=-142.5)
    await desk.evaluate()
    whole = (await desk.admin.get(f"/v1/excursions/{first['id']}")).json()
    assert (whole["state"], whole["reason"], whole["severity"]) == ("closed", "plan_changed", "critical")
    assert [one["severity"] for one in whole["revisions"]] == ["major", "critical"]
    assert whole["start"] > whole["revisions"][0]["start"]


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"reason": None}, "reason", "must be a text"),
    ({"reason": ""}, "reason", "must not be empty"),
    ({"reason": "it has to be so" * 201}, "reason", "at most 200"),
    ({"reason": "a\0b"}, "reason", "NUL"),
    ({"band": None}, "band", "must be one of"),
    ({"band": "lukewarm"}, "band", "cryogenic"),
    ({"band": "custom"}, "upper_c", "must be a number"),
    ({"upper_c": None}, "upper_c", "guards nothing"),
    ({"lower_c": -140}, "lower_c", "leaves no band"),
    ({"critical_high_c": -160}, "critical_high_c", "at or above upper_c"),
    ({"upper_c": "-150"}, "upper_c", "must be a number"),
    ({"max_gap_s": None}, "max_gap_s", "above 0"),
    ({"plan_revision": 0}, "plan_revision", "must be at least 1"),
    ({"plan_revision": "1"}, "plan_revision", "must be a whole number"),
    ({"uper_c": 1}, "uper_c", "did you mean upper_c?"),
    ({"device_ids": []}, "device_ids", "not known"),
]


async def test_wrong_fields_are_named(desk: Desk) -> None:
    made = await desk.ship("S1")
    url = "/v1/shipments/S1/plan"
    for fields, field, says in WRONG:
        found = problem(await desk.admin.post(url, json={"reason": "it has to be so", **fields}), 422)
        assert found["errors"][0]["field"] == field, fields
        assert says in found["errors"][0]["detail"], fields
    assert problem(await desk.admin.post(url, json={"upper_c": -140}), 422)["errors"][0]["field"] == "reason"
    problem(await desk.admin.post(url, json={"reason": "it has to be so"}, params={"dry_run": "true"}), 422)
    assert (await desk.admin.get("/v1/shipments/S1")).json() == made


async def test_an_old_sight_of_the_plan_changes_nothing(desk: Desk) -> None:
    await desk.ship("S1")
    await change(desk, on_delay_s=60, plan_revision=1)
    body = {"reason": "it has to be so", "on_delay_s": 90, "plan_revision": 1}
    told = problem(await desk.admin.post("/v1/shipments/S1/plan", json=body), 409)["detail"]
    assert "revision 2" in told
    await change(desk, on_delay_s=60, plan_revision=1)  # the same call again: its answer may have been lost
    await change(desk, on_delay_s=90, plan_revision=2)
    assert (await desk.admin.get("/v1/shipments/S1")).json()["plan_revision"] == 3


async def test_of_two_changes_to_one_plan_one_is_made(desk: Desk) -> None:
    await desk.ship("S1")

    async def attempt(seconds: int) -> int:
        body = {"reason": "it has to be so", "on_delay_s": seconds, "plan_revision": 1}
        return (await desk.admin.post("/v1/shipments/S1/plan", json=body)).status_code

    assert sorted(await asyncio.gather(*map(attempt, range(1, 9)))) == [200] + [409] * 7
    assert await steps(desk) == ["created", "plan_changed"]


async def test_one_that_was_called_off_keeps_its_plan(desk: Desk) -> None:
    await desk.ship("S1")
    await desk.admin.post("/v1/shipments/S1/cancel", json={"reason": "it is not needed"})
    body = {"reason": "it has to be so", "on_delay_s": 90}
    told = problem(await desk.admin.post("/v1/shipments/S1/plan", json=body), 409)["detail"]
    assert told.startswith("S1 cannot get another plan: it was cancelled at ")


async def test_who_may_change_a_plan(desk: Desk) -> None:
    await desk.ship("S1", organization="acme")
    body = {"reason": "it has to be so", "on_delay_s": 90}
    for role in ("qa", "courier", "partner", "viewer"):
        bounds = {"shipment_ids": ["S1"]} if role == "courier" else {"organization": "acme"}
        client = await desk.caller(role, **bounds)
        problem(await client.post("/v1/shipments/S1/plan", json=body), 403)
    other = await desk.caller("ops", organization="bcell")
    problem(await other.post("/v1/shipments/S1/plan", json=body), 404)
    own = await desk.caller("ops", organization="acme")
    assert (await own.post("/v1/shipments/S1/plan", json=body)).json()["plan_revision"] == 2
