"""A call that is sent twice with one Idempotency-Key is done once and answered the same, whatever happens in between."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import uuid4

import httpx
import pytest

from api.http import idempotency
from tests.integration.api.conftest import Desk, problem, text

HoursAgo = Callable[[float], datetime]


async def post(
    desk: Desk, path: str, body: Any, key: str, client: httpx.AsyncClient | None = None
) -> httpx.Response:
    return await (client or desk.admin).post(path, json=body, headers={"Idempotency-Key": key})


async def count(desk: Desk, table: str) -> int:
    return int(await desk.pool.fetchval(f"SELECT count(*) FROM {table}"))


async def test_each_post_is_done_once_and_answered_the_same(desk: Desk, hours_ago: HoursAgo) -> None:
    reading = {"device_id": "L1", "measured_at": text(hours_ago(1)), "temperature_c": -190}
    ways = [{"channel": "email", "address": "desk@clinic.example"}]
    calls: list[tuple[str, dict[str, Any], str | None]] = [
        ("devices", {"device_id": "L1"}, "devices"),
        ("devices", {"device_id": "L2"}, "devices"),
        ("dewars", {"dewar_id": "D1"}, "dewars"),
        ("dewars/D1/charge", {}, "dewar_charges"),
        ("devices/L2/loans", {"organization": "acme"}, "device_loans"),
        ("sites", {"site_id": "X", "name": "X", "lat": 1.0, "lon": 1.0, "timezone": "UTC"}, "sites"),
        ("products", {"product_id": "P", "band": "ultra_low"}, "products"),
        ("contacts", {"contact_id": "C", "name": "C", "timezone": "UTC", "channels": ways}, "contacts"),
        ("webhooks", {"url": "https://93.184.216.34/hook"}, "webhooks"),
        ("keys", {"role": "ops"}, "api_keys"),
        ("shipments", {"shipment_id": "S1", "band": "cryogenic", "device_ids": ["L1"]}, "shipments"),
        ("shipments/S1/depart", {}, "shipment_revisions"),
        ("shipments/S1/loggers", {"add": ["L2"], "reason": "one more is better"}, "shipment_revisions"),
        ("shipments/S1/handovers", {"from_party": "A", "to_party": "B"}, "handovers"),
        ("shipments/S1/plan", {"budget_s": 60, "reason": "as the data say"}, "shipment_revisions"),
        ("readings", {"readings": [reading]}, "readings"),
        ("backtests", {"plan": {"upper_c": -100.0}}, None),
        ("shipments/S1/deliver", {}, "shipment_revisions"),
        ("shipments/S1/correct", {"delivered_at": None, "reason": "it is on its way"}, "shipment_revisions"),
    ]
    for path, body, table in calls:
        key = str(uuid4())
        first = await post(desk, f"/v1/{path}", body, key)
        assert first.status_code in {200, 201}, (path, first.text)
        rows = table and await count(desk, table)
        again = await post(desk, f"/v1/{path}", body, key)
        assert (again.status_code, again.content) == (first.status_code, first.content), path
        assert again.headers.get("location") == first.headers.get("location")
        assert (first.headers.get("idempotency-replayed"), again.headers["idempotency-replayed"]) == (
            None,
            "true",
        )
        assert rows == (table and await count(desk, table)), path
        assert "is done" not in problem(await post(desk, f"/v1/{path}", {**body, "x": 1}, key), 422)["detail"]


async def test_another_call_with_the_key_is_refused(desk: Desk) -> None:
    assert (await post(desk, "/v1/devices", {"device_id": "L1"}, "k")).status_code == 201
    for path, body in (("/v1/devices", {"device_id": "L2"}), ("/v1/dewars", {"device_id": "L1"})):
        found = problem(await post(desk, path, body, "k"), 422)
        assert "was sent with another call before" in found["detail"]
        assert found["errors"][0]["in"] == "header"
    assert await count(desk, "devices") == 1
    other = await desk.caller("ops")  # whose keys are its own
    assert (await post(desk, "/v1/devices", {"device_id": "L2"}, "k", other)).status_code == 201


@pytest.mark.parametrize("key", ["", "two words", "x" * 256])
async def test_a_key_that_is_none_is_refused(desk: Desk, key: str) -> None:
    problem(await post(desk, "/v1/devices", {"device_id": "L1"}, key), 422)
    assert await count(desk, "devices") == 0


async def test_twins_at_one_time_are_one(desk: Desk) -> None:
    await desk.ship("S1")
    body = {"from_party": "A", "to_party": "B"}
    answers = await asyncio.gather(*(post(desk, "/v1/shipments/S1/handovers", body, "k") for _ in range(6)))
    assert {(one.status_code, one.content) for one in answers} == {(201, answers[0].content)}
    assert sorted("idempotency-replayed" in one.headers for one in answers) == [False] + [True] * 5
    assert await count(desk, "handovers") == 1
    await desk.ship("S2")
    rows = await count(desk, "outbox")
    reason = {"reason": "the patient is ill"}
    answers = await asyncio.gather(*(post(desk, "/v1/shipments/S2/cancel", reason, "c") for _ in range(6)))
    assert {(one.status_code, one.content) for one in answers} == {(200, answers[0].content)}
    assert await count(desk, "outbox") == rows + 1


async def test_what_dies_before_its_answer_is_kept_has_done_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = {"device_id": "L1", "organization": "acme"}
    with monkeypatch.context() as patched:
        patched.setattr(idempotency, "_KEEP", idempotency.text("SELECT 1 / 0"))
        assert (await post(desk, "/v1/devices", body, "k")).status_code == 500
    tables = ("devices", "device_loans", "security_events", "idempotent_calls")
    done = {table: await count(desk, table) for table in tables}
    assert (done["devices"], done["device_loans"], done["idempotent_calls"]) == (0, 0, 0)
    assert (await post(desk, "/v1/devices", body, "k")).status_code == 201


async def test_what_is_refused_leaves_the_key_free(desk: Desk) -> None:
    body = {"shipment_id": "S1", "band": "cryogenic", "device_ids": ["L1"]}
    problem(await post(desk, "/v1/shipments", body, "k"), 422)
    await desk.device("L1")
    assert (await post(desk, "/v1/shipments", body, "k")).status_code == 201


async def test_a_secret_in_an_answer_is_not_in_the_database(desk: Desk) -> None:
    first = await post(desk, "/v1/keys", {"role": "ops"}, "k")
    secret = first.json()["key"]
    (stored,) = await desk.pool.fetch("SELECT * FROM idempotent_calls")
    assert secret.encode() not in stored["answer"]
    assert b"dw_" not in stored["answer"]
    assert stored["key_hash"] != b"k"
    assert (await post(desk, "/v1/keys", {"role": "ops"}, "k")).json()["key"] == secret


async def test_after_a_day_the_call_is_done_again(desk: Desk) -> None:
    first = await post(desk, "/v1/keys", {"role": "ops"}, "k")
    await desk.pool.execute("UPDATE idempotent_calls SET made_at = made_at - interval '1441 minutes'")
    again = await post(desk, "/v1/keys", {"role": "qa"}, "k")
    assert again.status_code == 201
    assert again.json()["id"] != first.json()["id"]
    from datetime import timedelta

    from api import retention

    year = timedelta(days=365)
    assert await retention.prune(desk.pool, refused=year, security_events=year) == (0, 0, 0)
    await desk.pool.execute("UPDATE idempotent_calls SET made_at = made_at - interval '1441 minutes'")
    assert await retention.prune(desk.pool, refused=year, security_events=year) == (0, 0, 1)


async def test_a_handover_without_a_time_that_is_told_twice_is_one(desk: Desk) -> None:
    await desk.ship("S1", origin="Depot")
    body = {"from_party": "Depot", "to_party": "Rhein Courier", "note": "Seal 4711"}
    first = await desk.admin.post("/v1/shipments/S1/handovers", json=body)
    again = await desk.admin.post("/v1/shipments/S1/handovers", json=body)
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json()
    assert first.json()["held_by"] is None


async def test_who_held_it_by_the_record_is_shown_beside_who_is_said_to_have_given_it(desk: Desk) -> None:
    await desk.ship("S1", origin="Depot", organization="acme")
    body = {"from_party": "Main Courier", "to_party": "Clinic"}
    courier = await desk.caller("courier", shipment_ids=["S1"], organization="acme")
    detail = problem(await courier.post("/v1/shipments/S1/handovers", json=body), 409)["detail"]
    assert "is held by Depot" in detail
    assert "and not by Main Courier" in detail
    why = {"override_reason": "the depot gave it away without a scan"}
    made = await desk.admin.post("/v1/shipments/S1/handovers", json={**body, **why})
    assert (made.status_code, made.json()["held_by"]) == (201, "Depot")
    (listed,) = await desk.items("/v1/shipments/S1/handovers")
    assert listed["held_by"] == "Depot"
