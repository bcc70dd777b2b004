"""A shipment's life: planned, sent off, delivered, called off; its loggers on it and off it."""

import asyncio
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from tests.integration.api.conftest import Desk, problem, text

HoursAgo = Callable[[float], datetime]


async def step(desk: Desk, shipment_id: str, name: str, at: datetime | None = None) -> dict[str, Any]:
    why = {"reason": "it is not needed"} if name == "cancel" else {}
    body = why if at is None else {"at": text(at), **why}
    done = await desk.admin.post(f"/v1/shipments/{shipment_id}/{name}", json=body)
    assert done.status_code == 200, done.text
    return dict(done.json())


async def refused(desk: Desk, status: int, shipment_id: str, name: str, at: datetime | None = None) -> str:
    why = {"reason": "it is not needed"} if name == "cancel" else {}
    body = why if at is None else {"at": text(at), **why}
    return str(
        problem(await desk.admin.post(f"/v1/shipments/{shipment_id}/{name}", json=body), status)["detail"]
    )


async def assignment(desk: Desk, shipment_id: str) -> tuple[datetime, datetime | None]:
    row = await desk.pool.fetchrow(
        "SELECT * FROM device_assignments WHERE split_part(shipment_id, '/', -1) = $1", shipment_id
    )
    assert row is not None
    return row["starts_at"], row["ends_at"]


async def told(desk: Desk) -> list[tuple[str, dict[str, Any]]]:
    rows = await desk.pool.fetch("SELECT type, data FROM outbox ORDER BY id")
    return [(row["type"], json.loads(row["data"])) for row in rows]


async def test_all_fields_come_back(desk: Desk, hours_ago: HoursAgo) -> None:
    await desk.device("D1", "D2")
    await desk.admin.post("/v1/dewars", json={"dewar_id": "W1", "hold_time_h": 240})
    await desk.admin.post("/v1/products", json={"product_id": "car-t", "band": "cryogenic", "on_delay_s": 7})
    given = {
        "shipment_id": "S1",
        "organization": "acme",
        "band": "controlled",
        "lower_c": 2.5,
        "critical_high_c": None,
        "on_delay_s": 90,
        "budget_s": 3600,
        "device_ids": ["D2", "D1"],
        "dewar_id": "W1",
        "product_id": "car-t",
        "origin": "FRA",
        "destination": "Clinic, Boston",
        "legs": [
            {"from": "FRA", "to": "BOS", "carrier": "LH", "planned_departure": "2026-11-21T03:45:00+01:00"}
        ],
        "planned_departure": "2026-11-21T03:45:00.5+01:00",
        "planned_arrival": "2026-11-22T00:00:00Z",
        "packed_out_at": text(hours_ago(3)),
        "use_by": "2026-12-01T00:00:00Z",
        "drill": True,
    }
    made = await desk.admin.post("/v1/shipments", json=given)
    assert made.status_code == 201
    assert made.headers["location"] == "/v1/shipments/S1?organization=acme"
    shown = made.json()
    assert shown["plan"] == {
        "band": "controlled",
        "lower_c": 2.5,
        "upper_c": 25,
        "critical_low_c": 0,
        "critical_high_c": None,
        "deadband_c": 0.5,
        "on_delay_s": 90,
        "budget_s": 3600,
        "max_gap_s": 1800,
        "delta_h_kj_mol": 83.144,
        "time_lapse": 1,
        "manual_only": False,
        "rules": {},
    }
    for name in ("organization", "band", "dewar_id", "product_id", "origin", "destination", "drill"):
        assert shown[name] == given[name]
    assert shown["status"] == "planned"
    assert shown["device_ids"] == ["D1", "D2"]
    assert shown["planned_departure"] == "2026-11-21T02:45:00.500000Z"
    assert shown["legs"][0] == {
        "from": "FRA",
        "to": "BOS",
        "carrier": "LH",
        "planned_departure": "2026-11-21T02:45:00Z",
        "planned_arrival": None,
    }
    assert shown["health"] == "normal"
    assert (await desk.admin.get("/v1/shipments/S1")).json() == shown
    assert await desk.items("/v1/shipments") == [shown]
    assert await assignment(desk, "S1") == (hours_ago(3), None)


WRONG_FIELDS: list[tuple[dict[str, Any], str, str]] = [
    ({"band": "lukewarm"}, "band", "cryogenic"),
    ({"band": "custom"}, "upper_c", "must be a number"),
    ({"lower_c": -140}, "lower_c", "leaves no band"),
    ({"upper_c": "-150"}, "upper_c", "must be a number"),
    ({"upper_c": True}, "upper_c", "must be a number"),
    ({"max_gap_s": 0}, "max_gap_s", "above 0"),
    ({"max_gap_s": None}, "max_gap_s", "above 0"),
    ({"budget_s": -1}, "budget_s", "0 to ten years"),
    ({"device_ids": []}, "device_ids", "at least 1"),
    ({"device_ids": ["D1", "D1"]}, "device_ids", "each device once"),
    ({"device_ids": ["D1", "nobody"]}, "device_ids", "not registered: nobody"),
    ({"device_ids": ["D/1"]}, "device_ids[0]", "letters"),
    ({"device_ids": "D1"}, "device_ids", "must be a list"),
    ({"dewar_id": "nowhere"}, "dewar_id", "nowhere"),
    ({"product_id": "nothing"}, "product_id", "no product that is registered: nothing"),
    ({"band": None}, "band", "is required"),
    ({"shipment_id": "a b"}, "shipment_id", "letters"),
    ({"shipment_id": "x" * 65}, "shipment_id", "1 to 64"),
    ({"organization": "Acme Inc"}, "organization", "slug"),
    ({"origin": "a\0b"}, "origin", "NUL"),
    ({"legs": [{"from": "FRA"}]}, "legs[0].to", "required"),
    ({"planned_departure": "2026-11-21T03:45:00"}, "planned_departure", "offset"),
    ({"planned_departure": "2026-02-30T03:45:00Z"}, "planned_departure", "with its offset"),
    ({"planned_departure": 1790000000}, "planned_departure", "with its offset"),
    ({"planned_departure": "0001-01-01T00:00:00+14:00"}, "planned_departure", "with its offset"),
    ({"departed_at": "2100-01-01T00:00:00Z"}, "departed_at", "ahead"),
    ({"dewarid": "W1"}, "dewarid", "did you mean dewar_id?"),
    ({"status": "delivered"}, "status", "not known"),
]


async def test_wrong_fields_are_named(desk: Desk) -> None:
    await desk.device("D1")
    for change, field, says in WRONG_FIELDS:
        body = {"shipment_id": "S1", "band": "cryogenic", "device_ids": ["D1"], **change}
        found = problem(await desk.admin.post("/v1/shipments", json=body), 422)
        assert found["errors"][0]["field"] == field, change
        assert says in found["errors"][0]["detail"], change
    assert await desk.items("/v1/shipments") == []
    assert await desk.pool.fetchval("SELECT count(*) FROM evaluation_marks") == 0


async def test_an_id_is_taken_once(desk: Desk) -> None:
    await desk.ship("S1")
    await desk.device("D2")
    body = {"shipment_id": "S1", "band": "cryogenic", "device_ids": ["D2"]}
    assert "taken" in problem(await desk.admin.post("/v1/shipments", json=body), 409)["detail"]


async def test_departs_at_once(desk: Desk, hours_ago: HoursAgo) -> None:
    shown = await desk.ship("S1", departed_at=text(hours_ago(5)))
    assert shown["status"] == "in_transit"
    assert await assignment(desk, "S1") == (hours_ago(5), None)
    (made, _), (kind, data) = await told(desk)
    assert (made, kind) == ("shipment.created", "shipment.departed")
    assert data.pop("sequence") > 0
    assert data.items() <= shown.items()
    assert data["departed_at"] == shown["departed_at"]
    assert data["device_ids"] == ["S1-logger"]


async def test_each_step_makes_it_due_and_tells(desk: Desk, hours_ago: HoursAgo) -> None:
    await desk.ship("S1", organization="acme")
    assert await desk.pool.fetchval("SELECT count(*) FROM evaluations") == 1
    dirty_from = [None]
    for name, hours, since in (("depart", 3, None), ("deliver", 1, hours_ago(1))):
        shown = await step(desk, "S1", name, hours_ago(hours))
        dirty_from.append(since)
        marks = await desk.pool.fetch("SELECT * FROM evaluation_marks ORDER BY id")
        assert [(mark["device_id"], mark["dirty_from"]) for mark in marks] == [
            (None, since) for since in dirty_from
        ]
        kind, data = (await told(desk))[-1]
        assert data["status"] == shown["status"]
        assert kind == ("shipment.departed" if name == "depart" else "shipment.delivered")
    rows = await desk.pool.fetch("SELECT shipment_id, organization FROM outbox")
    assert {tuple(row.values()) for row in rows} == {("acme/S1", "acme")}


async def test_the_same_step_again_changes_nothing(desk: Desk, hours_ago: HoursAgo) -> None:
    await desk.ship("S1")
    for name, hours in (("depart", 3), ("deliver", 1)):
        first = await step(desk, "S1", name, hours_ago(hours))
        assert await step(desk, "S1", name, hours_ago(hours)) == first
    assert [kind for kind, _ in await told(desk)] == [
        f"shipment.{step}" for step in ("created", "departed", "delivered")
    ]
    await step(desk, "S1", "depart", hours_ago(3))
    await desk.ship("S2")
    first = await step(desk, "S2", "cancel", hours_ago(1))
    assert await step(desk, "S2", "cancel", hours_ago(1)) == first


async def test_steps_out_of_turn(desk: Desk, hours_ago: HoursAgo) -> None:
    await desk.ship("S1")
    assert "not departed yet" in await refused(desk, 409, "S1", "deliver")
    await step(desk, "S1", "depart", hours_ago(3))
    assert f"departed at {text(hours_ago(3))[:16]}" in await refused(desk, 409, "S1", "depart", hours_ago(2))
    assert "before the departure" in await refused(desk, 422, "S1", "deliver", hours_ago(4))
    assert "before the departure" in await refused(desk, 422, "S1", "cancel", hours_ago(4))
    assert "ahead" in await refused(desk, 422, "S1", "deliver", hours_ago(-0.1))
    await step(desk, "S1", "deliver", hours_ago(1))
    for name in ("deliver", "depart", "cancel"):
        assert "delivered at" in await refused(desk, 409, "S1", name)
    await desk.ship("S2")
    await step(desk, "S2", "cancel")
    for name in ("deliver", "depart", "cancel"):
        assert "cancelled at" in await refused(desk, 409, "S2", name, hours_ago(1))
    problem(await desk.admin.post("/v1/shipments/S3/depart"), 404)


async def test_now_is_the_default(desk: Desk, hours_ago: HoursAgo) -> None:
    await desk.ship("S1")
    done = await desk.admin.post("/v1/shipments/S1/depart")
    assert abs(datetime.fromisoformat(done.json()["departed_at"]) - hours_ago(0)) < timedelta(minutes=1)


async def test_a_logger_is_on_one_shipment_at_a_time(desk: Desk, hours_ago: HoursAgo) -> None:
    await desk.ship("S1", departed_at=text(hours_ago(5)))
    second = {"shipment_id": "S2", "band": "room", "device_ids": ["S1-logger"]}
    busy = problem(await desk.admin.post("/v1/shipments", json=second), 409)
    assert busy["detail"] == "Logger S1-logger is on shipment S1 at that time: deliver or cancel it first."
    await step(desk, "S1", "deliver", hours_ago(2))
    assert await assignment(desk, "S1") == (hours_ago(5), hours_ago(2))
    early = {**second, "departed_at": text(hours_ago(3))}
    was_on = problem(await desk.admin.post("/v1/shipments", json=early), 409)["detail"]
    until = text(hours_ago(2)).replace("+00:00", "Z")
    assert was_on.startswith(f"Logger S1-logger was on shipment S1 until {until}: ")
    made = await desk.admin.post("/v1/shipments", json={**second, "departed_at": text(hours_ago(2))})
    assert made.status_code == 201
    assert await assignment(desk, "S2") == (hours_ago(2), None)


async def test_what_occupies_a_logger_is_named_only_to_those_who_see_it(desk: Desk) -> None:
    await desk.ship("S1", organization="acme")
    other = await desk.caller("ops", organization="bcell")
    body = {"shipment_id": "S2", "band": "room", "device_ids": ["S1-logger"]}
    detail = problem(await other.post("/v1/shipments", json=body), 409)["detail"]
    assert "not available to you" in detail
    assert "S1 " not in detail


async def test_a_bound_key_ships_for_its_own_organization(desk: Desk) -> None:
    await desk.admin.post("/v1/devices", json={"device_id": "D1", "organization": "acme"})
    acme = await desk.caller("ops", organization="acme")
    body = {"shipment_id": "S1", "band": "room", "device_ids": ["D1"]}
    problem(await acme.post("/v1/shipments", json={**body, "organization": "bcell"}), 403)
    made = await acme.post("/v1/shipments", json=body)
    assert made.json()["organization"] == "acme"


async def test_an_earlier_departure_extends_the_time_on_the_shipment(desk: Desk, hours_ago: HoursAgo) -> None:
    await desk.ship("S1", departed_at=text(hours_ago(9)))
    await step(desk, "S1", "deliver", hours_ago(6))
    await desk.ship("S2", "S1-logger")
    await desk.ship("S3")
    assert "S1" in await refused(desk, 409, "S2", "depart", hours_ago(7))
    assert (await desk.admin.get("/v1/shipments/S2")).json()["status"] == "planned"
    await step(desk, "S2", "depart", hours_ago(6))
    assert await assignment(desk, "S2") == (hours_ago(6), None)
    starts_at, _ = await assignment(desk, "S3")
    await step(desk, "S3", "depart", starts_at + timedelta(minutes=1))
    assert await assignment(desk, "S3") == (starts_at, None)


async def test_of_many_at_once_one_gets_the_logger(desk: Desk) -> None:
    await desk.device("D1", "D2", "D3")

    async def make(number: int) -> int:
        devices = ["D1", "D2", "D3"] if number % 2 else ["D3", "D2", "D1"]
        body = {"shipment_id": f"S{number}", "band": "room", "device_ids": devices}
        return (await desk.admin.post("/v1/shipments", json=body)).status_code

    assert sorted(await asyncio.gather(*(make(number) for number in range(8)))) == [201] + [409] * 7
    assert await desk.pool.fetchval("SELECT count(*) FROM device_assignments") == 3


async def test_the_last_known_state_is_shown_while_the_logger_is_on_it(
    desk: Desk, hours_ago: HoursAgo
) -> None:
    await desk.ship("S1", departed_at=text(hours_ago(5)))
    await desk.pool.execute(
        "UPDATE device_states SET last_received_at = $1, measured_at = $1, temperature_c = -180, probe_ok = true, "
        "position_at = $2, lat = 1, lon = 2",
        hours_ago(3),
        hours_ago(4),
    )
    (shown,) = (await desk.admin.get("/v1/shipments/S1")).json()["devices"]
    assert shown["latest"]["temperature_c"] == -180
    assert shown["position"]["lat"] == 1
    await step(desk, "S1", "deliver", hours_ago(3.5))
    (shown,) = (await desk.admin.get("/v1/shipments/S1")).json()["devices"]
    assert shown["latest"] is shown["position"] is shown["last_seen"] is None
    await desk.ship("S2", "S1-logger", departed_at=text(hours_ago(3.5)))
    (shown,) = (await desk.admin.get("/v1/shipments/S2")).json()["devices"]
    assert shown["latest"]["temperature_c"] == -180
    assert shown["position"] is None  # that was where S1 went


async def test_health_of_silent_loggers(desk: Desk, hours_ago: HoursAgo) -> None:
    for number in range(5):
        await desk.ship(f"S{number}", departed_at=text(hours_ago(5)))
    await desk.told_in_time()
    for device, hours, announced in (("S1", 0.1, None), ("S2", 1, None), ("S3", 1, -1), ("S4", 4, 2)):
        await desk.store(f"{device}-logger", (hours_ago(hours), -190))
        until = None if announced is None else hours_ago(announced)
        await desk.pool.execute(
            "UPDATE readings SET flight_mode_until = $2 WHERE device_id = $1", f"{device}-logger", until
        )
    await desk.evaluate()
    silent = [item["shipment_id"] for item in await desk.items("/v1/shipments", health="no_signal")]
    assert sorted(silent) == ["S0", "S2", "S4"]
    shown = {item["shipment_id"]: item["health"] for item in await desk.items("/v1/shipments")}
    assert shown["S1"] == shown["S3"] == "normal"
    since = {a["shipment_id"]: a["since"] for a in await desk.items("/v1/alerts", kind="signal_lost")}
    silences = {"S0": hours_ago(4.5), "S2": hours_ago(0.5), "S4": hours_ago(1)}
    assert {id_: datetime.fromisoformat(at) for id_, at in since.items()} == silences
    await step(desk, "S0", "deliver")
    await desk.evaluate()
    assert (await desk.admin.get("/v1/shipments/S0")).json()["health"] == "normal"


async def test_filters(desk: Desk, hours_ago: HoursAgo) -> None:
    await desk.ship("S1", organization="acme", origin="FRA 100%", departed_at=text(hours_ago(1)))
    await desk.ship("S2", organization="bcell", band="room", destination="fra_x")
    await desk.ship("S3", band="room")
    expected: list[tuple[dict[str, Any], set[str]]] = [
        ({}, {"S1", "S2", "S3"}),
        ({"status": "planned"}, {"S2", "S3"}),
        ({"status": ["planned", "in_transit"]}, {"S1", "S2", "S3"}),
        ({"band": "room"}, {"S2", "S3"}),
        ({"band": "room", "organization": "bcell"}, {"S2"}),
        ({"q": "fra"}, {"S1", "S2"}),
        ({"q": "%"}, {"S1"}),
        ({"q": "_"}, {"S2"}),
        ({"q": "s3-LOG"}, {"S3"}),
        ({"q": "acm"}, {"S1"}),
        ({"health": ["critical", "warning"]}, set()),
    ]
    for params, ids in expected:
        assert {item["shipment_id"] for item in await desk.items("/v1/shipments", **params)} == ids, params
    for params in ({"status": "lost"}, {"statu": "planned"}, {"q": "\0"}, {"limit": 501}, {"limit": 0}):
        problem(await desk.admin.get("/v1/shipments", params=params), 422)


async def test_a_shipment_called_off_before_it_departed_gives_back_its_loggers(
    desk: Desk, hours_ago: HoursAgo
) -> None:
    await desk.device("D1")
    await desk.ship("S1", "D1")
    await step(desk, "S1", "cancel")
    made = await desk.ship("S2", "D1", departed_at=text(hours_ago(3)))
    assert made["status"] == "in_transit"
