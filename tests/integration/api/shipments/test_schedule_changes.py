"""Another schedule for a shipment: with a reason, on record, and judged by from the start on."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from tests.integration.api.conftest import Desk, problem, text

HoursAgo = Callable[[float], datetime]
LEGS = [
    {
        "from": "FRA",
        "to": "BOS",
        "carrier": "LH",
        "planned_departure": "2026-11-21T03:00:00Z",
        "planned_arrival": None,
    }
]


async def change(desk: Desk, shipment_id: str = "S1", **fields: Any) -> dict[str, Any]:
    body = {"reason": "flight missed", **fields}
    done = await desk.admin.post(f"/v1/shipments/{shipment_id}/schedule", json=body)
    assert done.status_code == 200, done.text
    return dict(done.json())


async def test_it_is_on_record_with_who_and_why(desk: Desk, hours_ago: HoursAgo) -> None:
    await desk.admin.post("/v1/dewars", json={"dewar_id": "W1"})
    times = {"planned_departure": "2026-11-20T00:00:00Z", "planned_arrival": "2026-11-22T00:00:00Z"}
    packed = text(hours_ago(9)).replace("+00:00", "Z")
    first = {"dewar_id": "W1", "origin": "FRA", "destination": "BOS", "use_by": "2026-12-01T00:00:00Z"}
    made = await desk.ship("S1", **first, **times, legs=LEGS, packed_out_at=packed)
    await desk.admin.post("/v1/shipments/S1/depart", json={"at": text(hours_ago(3))})
    ops = await desk.caller("ops")
    new = {"planned_arrival": "2026-11-23T00:00:00Z", "destination": None, "use_by": None, "legs": []}
    answer = await ops.post("/v1/shipments/S1/schedule", json={"reason": "rebooked", **new})
    shown = answer.json()
    grown = {**made, **new, "schedule_revision": 2}
    assert grown | {name: shown[name] for name in ("status", "departed_at", "devices")} == shown
    created, departed, changed = await desk.items("/v1/shipments/S1/revisions")
    assert [one["step"] for one in (created, departed, changed)] == [
        "created",
        "departed",
        "schedule_changed",
    ]
    assert {**created, **first, **times, "legs": LEGS, "packed_out_at": packed} == created
    for name in ("destination", "legs", "use_by", "planned_arrival"):
        assert departed[name] == created[name]
    assert {**changed, **new, "planned_departure": times["planned_departure"], "origin": "FRA"} == changed
    assert (changed["reason"], departed["reason"]) == ("rebooked", None)
    assert changed["by"].startswith("key:dw_")
    assert changed["plan_revision"] == 1
    assert [one["schedule_revision"] for one in (created, departed, changed)] == [1, 1, 2]


async def test_a_change_to_a_schedule_that_is_another_by_now_is_refused(desk: Desk) -> None:
    await desk.ship("S1")
    body = {"reason": "it has to be so", "destination": "BOS", "schedule_revision": 1}
    for _ in range(2):  # the same again changes nothing
        done = await desk.admin.post("/v1/shipments/S1/schedule", json=body)
        assert (done.status_code, done.json()["schedule_revision"]) == (200, 2)
    refused = problem(
        await desk.admin.post("/v1/shipments/S1/schedule", json={**body, "destination": "JFK"}), 409
    )
    assert "its schedule is at revision 2, and this change was made to revision 1" in refused["detail"]
    assert (await change(desk, destination="JFK", schedule_revision=2))["schedule_revision"] == 3


LATE, EARLY = "2026-11-22T00:00:00Z", "2026-11-21T02:59:00+01:00"


async def test_nothing_is_planned_to_arrive_before_it_departs(desk: Desk) -> None:
    def leg(departs: str | None, arrives: str | None) -> dict[str, Any]:
        return {"from": "A", "to": "B", "planned_departure": departs, "planned_arrival": arrives}

    wrongs = (
        ({"planned_departure": LATE, "planned_arrival": EARLY}, "planned_arrival"),
        ({"legs": [leg(EARLY, LATE), leg(LATE, EARLY)]}, "legs[1].planned_arrival"),
        ({"legs": [leg(None, LATE), leg(EARLY, None)]}, "legs[1].planned_departure"),
    )
    await desk.device("D1")
    await desk.ship("S1")
    for wrong, field in wrongs:
        body = {"shipment_id": "S2", "band": "cryogenic", "device_ids": ["D1"], **wrong}
        for path, sent in (
            ("/v1/shipments", body),
            ("/v1/shipments/S1/schedule", {"reason": "it has to be so", **wrong}),
        ):
            found = problem(await desk.admin.post(path, json=sent), 422)
            assert found["errors"][0]["field"] == field
            assert "is before" in found["detail"]
    await change(desk, planned_departure=LATE)
    found = problem(
        await desk.admin.post(
            "/v1/shipments/S1/schedule", json={"reason": "it has to be so", "planned_arrival": EARLY}
        ),
        422,
    )
    assert found["errors"][0]["field"] == "planned_arrival"
    assert (await change(desk, planned_arrival=LATE, legs=[leg(EARLY, None), leg(LATE, LATE)]))["legs"]


async def test_it_is_told_and_has_the_shipment_judged_anew(desk: Desk, hours_ago: HoursAgo) -> None:
    await desk.ship("S1", organization="acme", departed_at=text(hours_ago(2)))
    await desk.pool.execute("DELETE FROM evaluation_marks")
    shown = await change(desk, planned_arrival="2026-11-23T00:00:00Z")
    (mark,) = await desk.pool.fetch("SELECT * FROM evaluation_marks")
    marked = (mark["shipment_id"], mark["device_id"], mark["dirty_from"], mark["late"])
    assert marked == ("acme/S1", None, None, False)
    event = await desk.pool.fetchrow("SELECT * FROM outbox ORDER BY id DESC LIMIT 1")
    assert event is not None
    assert (event["type"], event["organization"]) == ("shipment.schedule_changed", "acme")
    data = json.loads(event["data"])
    assert data.pop("reason") == "flight missed"
    assert data.pop("by") == "key:admin-key-setting"
    assert data.pop("sequence") > 0
    assert data.items() <= shown.items()
    await desk.evaluate()
    assert await desk.pool.fetchval("SELECT count(*) FROM evaluation_marks") == 0


async def test_what_does_not_hold_by_it_is_withdrawn_whatever_comes_late(
    desk: Desk, hours_ago: HoursAgo
) -> None:
    def legs(departs_h: float) -> list[dict[str, Any]]:
        flies = {
            "planned_departure": text(hours_ago(departs_h)),
            "planned_arrival": text(hours_ago(departs_h - 9)),
        }
        return [{"from": "FRA", "to": "BOS", **flies}]

    async def seen_at_the_airport(*hours: float) -> None:
        reading = {"device_id": "S1-logger", "temperature_c": -190, "lat": 50.03, "lon": 8.57}
        readings = [{**reading, "measured_at": text(hours_ago(one))} for one in hours]
        assert (await desk.admin.post("/v1/readings", json={"readings": readings})).status_code == 200
        await desk.evaluate()

    await desk.ship("S1", departed_at=text(hours_ago(9)), legs=legs(6))
    await desk.told_in_time()
    await seen_at_the_airport(8, 6.5, 3)  # three hours after its flight
    (late,) = await desk.items("/v1/alerts", kind="late")
    assert (late["state"], late["details"]["missed_connection"]) == ("firing", "FRA to BOS")
    await change(desk, legs=legs(0), planned_arrival=text(hours_ago(-9)))
    await desk.evaluate()

    async def is_withdrawn() -> None:
        (gone,) = await desk.items("/v1/alerts", kind="late")
        assert (gone["id"], gone["state"]) == (late["id"], "resolved")
        assert (gone["details"]["act"]["step"], gone["details"]["act"]["reason"]) == (
            "schedule_changed",
            "flight missed",
        )

    await is_withdrawn()
    await seen_at_the_airport(5, 4)  # what comes late is judged by the same schedule
    await is_withdrawn()


async def test_a_change_that_changes_nothing_is_none(desk: Desk) -> None:
    made = await desk.ship("S1", legs=LEGS, planned_arrival="2026-11-22T00:00:00Z")
    for fields in ({"legs": LEGS}, {"planned_arrival": "2026-11-22T01:00:00+01:00"}, {"destination": None}):
        assert await change(desk, **fields) == made
    assert len(await desk.items("/v1/shipments/S1/revisions")) == 1
    assert await desk.pool.fetchval("SELECT count(*) FROM outbox WHERE type <> 'shipment.created'") == 0


async def test_use_by_goes_with_the_pack_out_until_somebody_gives_one(
    desk: Desk, hours_ago: HoursAgo
) -> None:
    product = {"product_id": "P", "band": "cryogenic", "use_within_h": 48}
    await desk.admin.post("/v1/products", json=product)
    await desk.ship("S1", product_id="P")
    for hours in (5, 4):
        shown = await change(desk, packed_out_at=text(hours_ago(hours)))
        assert datetime.fromisoformat(shown["use_by"]) == hours_ago(hours) + timedelta(hours=48)
    row = await desk.pool.fetchrow("SELECT starts_at FROM device_assignments")
    assert row is not None
    assert row["starts_at"] == hours_ago(5)  # its loggers are on it from the first pack-out on
    await desk.admin.patch("/v1/products/P", json={"use_within_h": 1})
    await change(desk, use_by="2026-12-24T00:00:00Z")
    shown = await change(desk, packed_out_at=text(hours_ago(3)))
    assert shown["use_by"] == "2026-12-24T00:00:00Z"
    shown = await change(desk, packed_out_at=text(hours_ago(2)), use_by=None)
    assert shown["use_by"] is None


async def test_who_may_and_when(desk: Desk, hours_ago: HoursAgo) -> None:
    await desk.ship("S1", organization="acme", departed_at=text(hours_ago(2)))
    body = {"reason": "it has to be so", "destination": "BOS"}
    stranger = await desk.caller("ops", organization="bcell")
    problem(await stranger.post("/v1/shipments/S1/schedule", json=body), 404)
    courier = await desk.caller("courier", shipment_ids=["S1"])
    problem(await courier.post("/v1/shipments/S1/schedule", json=body), 403)
    await desk.admin.post("/v1/shipments/S1/deliver", json={})
    refused = problem(await desk.admin.post("/v1/shipments/S1/schedule", json=body), 409)
    assert "cannot get another schedule: it was delivered" in refused["detail"]


async def test_wrong_fields_are_named(desk: Desk) -> None:
    await desk.ship("S1")
    good = {"reason": "it has to be so", "destination": "BOS"}
    for wrong, field in (
        ({"reason": "it has to be so"}, "body"),
        ({"destination": "BOS"}, "reason"),
        ({**good, "reason": None}, "reason"),
        ({**good, "legs": None}, "legs"),
        ({**good, "legs": [{"from": "FRA"}]}, "legs[0].to"),
        ({**good, "origin": "FRA"}, "origin"),
        ({**good, "packed_out_at": "2100-01-01T00:00:00Z"}, "packed_out_at"),
        ({**good, "use_by": "tomorrow"}, "use_by"),
    ):
        found = problem(await desk.admin.post("/v1/shipments/S1/schedule", json=wrong), 422)
        assert found["errors"][0]["field"] == field, wrong
    assert len(await desk.items("/v1/shipments/S1/revisions")) == 1


async def test_a_pack_out_while_its_logger_was_elsewhere(desk: Desk, hours_ago: HoursAgo) -> None:
    await desk.device("D1")
    await desk.ship("S1", "D1", departed_at=text(hours_ago(9)))
    await desk.admin.post("/v1/shipments/S1/deliver", json={"at": text(hours_ago(2))})
    await desk.ship("S2", "D1")
    body = {"reason": "it has to be so", "packed_out_at": text(hours_ago(3))}
    refused = problem(await desk.admin.post("/v1/shipments/S2/schedule", json=body), 409)
    assert "D1 was on shipment S1" in refused["detail"]
    assert (await desk.admin.get("/v1/shipments/S2")).json()["packed_out_at"] is None
