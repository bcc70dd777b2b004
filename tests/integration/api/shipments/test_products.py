"""Products: templates whose plan a shipment takes when it is made, and keeps."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from tests.integration.api.conftest import Desk, problem, text

HoursAgo = Callable[[float], datetime]

CAR_T = {
    "product_id": "CAR-T",
    "name": "CD19 CAR-T",
    "band": "cryogenic",
    "on_delay_s": 600,
    "budget_s": 7200,
    "use_within_h": 240,
    "note": "thaw at the bedside",
}


async def product(desk: Desk, **fields: Any) -> dict[str, Any]:
    made = await desk.admin.post("/v1/products", json={**CAR_T, **fields})
    assert made.status_code == 201, made.text
    return dict(made.json())


async def test_a_product_is_shown_with_its_plan_spelled_out(desk: Desk) -> None:
    shown = await product(desk)
    assert {**shown, **CAR_T} == shown
    assert (shown["upper_c"], shown["critical_high_c"], shown["max_gap_s"]) == (-150, -135, 1800)
    assert (shown["revision"], shown["updated_by"]) == (1, "key:admin-key-setting")
    assert (await desk.admin.get("/v1/products/CAR-T")).json() == shown
    assert await desk.items("/v1/products", q="cd19") == [shown]
    assert await desk.items("/v1/products", q="cd20") == []
    assert "already" in problem(await desk.admin.post("/v1/products", json=CAR_T), 409)["detail"]
    problem(await desk.admin.get("/v1/products/TIL"), 404)


async def test_wrong_fields_are_named(desk: Desk) -> None:
    for change, field in (
        ({"band": None}, "band"),
        ({"band": "lukewarm"}, "band"),
        ({"band": "custom"}, "upper_c"),
        ({"lower_c": -140}, "lower_c"),
        ({"budget_s": -1}, "budget_s"),
        ({"use_within_h": 0}, "use_within_h"),
        ({"use_within_h": 1e9}, "use_within_h"),
        ({"product_id": "a/b"}, "product_id"),
        ({"use_within": 1}, "use_within"),
    ):
        found = problem(await desk.admin.post("/v1/products", json={**CAR_T, **change}), 422)
        assert found["errors"][0]["field"] == field, change
    assert await desk.items("/v1/products") == []


async def test_a_change_keeps_what_is_absent_and_who_and_why(desk: Desk) -> None:
    first = await product(desk)
    ops = await desk.caller("ops")
    body = {"reason": "stability data", "band": "ultra_low", "use_within_h": None, "revision": 1}
    changed = (await ops.patch("/v1/products/CAR-T", json=body)).json()
    assert (changed["band"], changed["lower_c"], changed["upper_c"]) == ("ultra_low", -80, -70)
    assert (changed["budget_s"], changed["use_within_h"], changed["name"]) == (7200, None, "CD19 CAR-T")
    assert (await ops.patch("/v1/products/CAR-T", json=body)).json() == changed
    problem(await ops.patch("/v1/products/CAR-T", json={"budget_s": 1, "revision": 1}), 409)
    one, two = await desk.items("/v1/products/CAR-T/revisions")
    assert (one, two) == ({**first, "reason": None}, {**changed, "reason": "stability data"})
    refused = problem(await ops.patch("/v1/products/CAR-T", json={"upper_c": -90}), 422)
    assert refused["errors"][0]["field"] == "upper_c"
    problem(await ops.patch("/v1/products/CAR-T", json={"band": None}), 422)


async def test_a_shipment_takes_what_it_does_not_give(desk: Desk, hours_ago: HoursAgo) -> None:
    await product(desk)
    await desk.device("D1", "D2", "D3", "D4")
    packed = {"product_id": "CAR-T", "packed_out_at": text(hours_ago(3))}
    shown = await made(desk, "S1", "D1", **packed)
    assert (shown["band"], shown["plan"]["on_delay_s"], shown["plan"]["budget_s"]) == ("cryogenic", 600, 7200)
    assert datetime.fromisoformat(shown["use_by"]) == hours_ago(3) + timedelta(hours=240)
    assert shown["use_within_h"] == 240
    shown = await made(
        desk, "S2", "D2", **packed, on_delay_s=60, budget_s=None, use_by="2027-01-01T00:00:00Z"
    )
    assert (shown["plan"]["on_delay_s"], shown["plan"]["budget_s"]) == (60, None)
    assert shown["use_by"] == "2027-01-01T00:00:00Z"
    shown = await made(desk, "S3", "D3", **packed, band="room", critical_low_c=None)
    assert (shown["plan"]["lower_c"], shown["plan"]["upper_c"], shown["plan"]["budget_s"]) == (15, 25, 7200)
    assert shown["plan"]["critical_low_c"] is None
    shown = await made(desk, "S4", "D4", product_id="CAR-T")
    assert shown["use_by"] is None
    assert {item["shipment_id"] for item in await desk.items("/v1/shipments", q="car-t")} == {"S1", "S2", "S3", "S4"}  # fmt: skip


async def made(desk: Desk, shipment_id: str, device_id: str, **fields: Any) -> dict[str, Any]:
    body = {"shipment_id": shipment_id, "device_ids": [device_id], **fields}
    answer = await desk.admin.post("/v1/shipments", json=body)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def test_a_product_that_changes_changes_no_shipment(desk: Desk, hours_ago: HoursAgo) -> None:
    await product(desk)
    await desk.device("D1")
    before = await made(desk, "S1", "D1", product_id="CAR-T", packed_out_at=text(hours_ago(1)))
    await desk.pool.execute("DELETE FROM evaluation_marks")
    await desk.admin.patch("/v1/products/CAR-T", json={"upper_c": -160, "use_within_h": 10})
    assert (await desk.admin.get("/v1/shipments/S1")).json() == before
    assert len(await desk.items("/v1/shipments/S1/revisions")) == 1
    assert await desk.pool.fetchval("SELECT count(*) FROM evaluation_marks") == 0


async def test_a_product_that_is_not_there_for_this_shipment_is_named(desk: Desk) -> None:
    await product(desk, organization="acme")
    await desk.device("D1")
    body = {"shipment_id": "S1", "device_ids": ["D1"], "band": "room"}
    for fields in ({"product_id": "TIL"}, {"product_id": "CAR-T", "organization": "bcell"}):
        found = problem(await desk.admin.post("/v1/shipments", json={**body, **fields}), 422)
        assert found["errors"][0]["field"] == "product_id"
        assert fields["product_id"] in found["detail"]
    stranger = await desk.caller("ops", organization="bcell")
    problem(await stranger.post("/v1/shipments", json={**body, "product_id": "CAR-T"}), 422)
    problem(await stranger.get("/v1/products/CAR-T"), 404)
    own = await desk.caller("ops", organization="acme")
    await desk.admin.post("/v1/devices/D1/loans", json={"organization": "acme"})
    assert (await own.post("/v1/shipments", json={**body, "product_id": "CAR-T"})).status_code == 201
    missing = problem(
        await desk.admin.post("/v1/shipments", json={"shipment_id": "S2", "device_ids": ["D1"]}), 422
    )
    assert missing["errors"][0] == {
        "field": "band",
        "in": "body",
        "detail": "is required, unless product_id names a product that brings one",
    }  # fmt: skip
