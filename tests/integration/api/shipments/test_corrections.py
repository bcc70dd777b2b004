"""What is on record wrongly can be corrected: both values stay, and the shipment is judged as if it had been right."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import httpx
import pytest

from tests.integration.api.conftest import Desk, problem, text

HoursAgo = Callable[[float], datetime]
COLD, WARM = -190.0, -120.0
WHY = "the courier scanned the box beside it"


async def correct(desk: Desk, client: httpx.AsyncClient | None = None, **body: Any) -> dict[str, Any]:
    answer = await (client or desk.admin).post("/v1/shipments/S1/correct", json={"reason": WHY, **body})
    assert answer.status_code == 200, answer.text
    await desk.evaluate()
    return dict(answer.json())


async def step(desk: Desk, path: str, **body: Any) -> httpx.Response:
    return await desk.admin.post(f"/v1/shipments/S1/{path}", json=body)


async def delivered_by_mistake(desk: Desk, hours_ago: HoursAgo) -> None:
    await desk.ship("S1", organization="acme", departed_at=text(hours_ago(6)))
    await desk.store("S1-logger", (hours_ago(5.9), COLD), (hours_ago(4.1), COLD))
    assert (await step(desk, "deliver", at=text(hours_ago(4)))).status_code == 200
    await desk.store("S1-logger", *((hours_ago(at / 4), WARM) for at in range(14, 1, -1)))
    await desk.evaluate()
    assert await desk.items("/v1/shipments/S1/excursions") == []


async def test_a_wrong_delivery_is_taken_back_and_what_came_after_it_is_judged(
    desk: Desk, hours_ago: HoursAgo
) -> None:
    await delivered_by_mistake(desk, hours_ago)
    qa = await desk.caller("qa", organization="acme")
    shown = await correct(desk, qa, delivered_at=None)
    assert (shown["status"], shown["delivered_at"], shown["devices"][0]["ends_at"]) == (
        "in_transit",
        None,
        None,
    )
    (found,) = await desk.items("/v1/shipments/S1/excursions")
    assert (found["state"], found["peak_c"], found["severity"]) == ("open", WARM, "critical")
    (alert,) = [one for one in await desk.items("/v1/alerts") if one["kind"] == "excursion"]
    assert alert["state"] == "firing"
    before, after = (await desk.items("/v1/shipments/S1/revisions"))[-2:]
    assert (before["step"], before["delivered_at"] is None) == ("delivered", False)
    assert (after["step"], after["delivered_at"], after["reason"]) == ("corrected", None, WHY)
    assert after["by"].startswith("key:dw_")
    assert after["by"] != before["by"]
    (event,) = [one for one in await told(desk) if one["type"] == "shipment.corrected"]
    assert event["data"]["was"]["delivered_at"] == before["delivered_at"]
    assert event["data"]["status"] == "in_transit"
    assert (await step(desk, "deliver")).status_code == 200


async def told(desk: Desk) -> list[dict[str, Any]]:
    import orjson

    rows = await desk.pool.fetch("SELECT type, data::text AS data FROM outbox ORDER BY id")
    return [{"type": row["type"], "data": orjson.loads(row["data"])} for row in rows]


async def test_the_same_correction_again_changes_nothing(desk: Desk, hours_ago: HoursAgo) -> None:
    await delivered_by_mistake(desk, hours_ago)
    await correct(desk, delivered_at=text(hours_ago(1)))
    first = (await desk.admin.get("/v1/shipments/S1")).json()
    assert await correct(desk, delivered_at=text(hours_ago(1))) == first
    steps = [one["step"] for one in await desk.items("/v1/shipments/S1/revisions")]
    assert steps.count("corrected") == 1


async def test_a_correction_that_takes_away_is_named_at_what_it_took(desk: Desk, hours_ago: HoursAgo) -> None:
    await delivered_by_mistake(desk, hours_ago)
    await correct(desk, delivered_at=None)
    (found,) = await desk.items("/v1/shipments/S1/excursions")
    why = "it had arrived after all, says the clinic"
    await correct(desk, delivered_at=None, departed_at=text(hours_ago(6)))  # no change at all
    assert (await step(desk, "deliver", at=text(hours_ago(0.1)))).status_code == 200
    await desk.evaluate()
    await correct(desk, delivered_at=text(hours_ago(4)), reason=why)
    (gone,) = await desk.items("/v1/shipments/S1/excursions")
    assert (gone["id"], gone["state"]) == (found["id"], "withdrawn")
    assert (gone["act"]["step"], gone["act"]["reason"]) == ("corrected", why)
    summary = (await desk.admin.get("/v1/shipments/S1/summary")).json()
    assert summary["withdrawn_by_people"]["number"] == 1


async def test_a_departure_that_never_was_is_taken_back_with_all_that_followed(
    desk: Desk, hours_ago: HoursAgo
) -> None:
    await desk.ship("S1", organization="acme", departed_at=text(hours_ago(3)))
    await desk.store("S1-logger", (hours_ago(2), WARM), (hours_ago(1), WARM))
    await desk.evaluate()
    shown = await correct(desk, departed_at=None)
    assert (shown["status"], shown["departed_at"]) == ("planned", None)
    (gone,) = await desk.items("/v1/shipments/S1/excursions")
    assert (gone["state"], gone["act"]["step"]) == ("withdrawn", "corrected")
    open_ = [one["kind"] for one in await desk.items("/v1/alerts") if one["state"] != "resolved"]
    assert open_ == []
    assert (await step(desk, "depart", at=text(hours_ago(1.5)))).status_code == 200
    await desk.evaluate()
    live = [one for one in await desk.items("/v1/shipments/S1/excursions") if one["state"] == "open"]
    assert [one["start"] for one in live] == [text(hours_ago(1)).replace("+00:00", "Z")]


async def test_a_departure_is_moved_both_ways(desk: Desk, hours_ago: HoursAgo) -> None:
    await desk.ship("S1", departed_at=text(hours_ago(3)))
    await desk.store("S1-logger", (hours_ago(5), WARM), (hours_ago(4.5), WARM), (hours_ago(2), COLD))
    await desk.evaluate()
    assert await desk.items("/v1/shipments/S1/excursions") == []
    shown = await correct(desk, departed_at=text(hours_ago(6)))
    assert shown["devices"][0]["starts_at"] == shown["departed_at"]
    (found,) = await desk.items("/v1/shipments/S1/excursions")
    assert (found["state"], found["ended_by"]) == ("closed", "recovery")
    await correct(desk, departed_at=text(hours_ago(3)))
    (gone,) = await desk.items("/v1/shipments/S1/excursions")
    assert (gone["state"], gone["act"]["step"]) == ("withdrawn", "corrected")


@pytest.mark.parametrize("departed", [True, False])
async def test_a_cancellation_is_taken_back(desk: Desk, hours_ago: HoursAgo, *, departed: bool) -> None:
    await desk.ship("S1", **({"departed_at": text(hours_ago(3))} if departed else {}))
    assert (await step(desk, "cancel", reason="the patient is ill")).status_code == 200
    shown = await correct(desk, uncancel=True)
    assert shown["status"] == ("in_transit" if departed else "planned")
    assert (shown["cancelled_at"], shown["devices"][0]["ends_at"]) == (None, None)
    assert await correct(desk, uncancel=True) == shown


async def test_what_is_on_another_shipment_meanwhile_stands_in_the_way(
    desk: Desk, hours_ago: HoursAgo
) -> None:
    await delivered_by_mistake(desk, hours_ago)
    await desk.ship("S2", "S1-logger", departed_at=text(hours_ago(2)))
    answer = await desk.admin.post("/v1/shipments/S1/correct", json={"delivered_at": None, "reason": WHY})
    assert "is on shipment S2 at that time" in problem(answer, 409)["detail"]
    assert (await desk.admin.get("/v1/shipments/S1")).json()["status"] == "delivered"
    await correct(desk, delivered_at=text(hours_ago(2)))


async def test_what_was_lent_to_others_meanwhile_is_not_taken_back_by_an_organization(
    desk: Desk, hours_ago: HoursAgo
) -> None:
    await delivered_by_mistake(desk, hours_ago)
    lent = {"organization": "other", "from": text(hours_ago(2))}
    assert (await desk.admin.post("/v1/devices/S1-logger/loans", json=lent)).status_code == 201
    ops = await desk.caller("ops", organization="acme")
    answer = await ops.post("/v1/shipments/S1/correct", json={"delivered_at": None, "reason": WHY})
    assert "not available to you" in problem(answer, 409)["detail"]
    await correct(desk, ops, delivered_at=text(hours_ago(2)))


async def test_what_a_second_step_is_refused_with_names_the_way_to_correct(
    desk: Desk, hours_ago: HoursAgo
) -> None:
    await delivered_by_mistake(desk, hours_ago)
    for path in ("deliver", "depart", "cancel"):
        detail = problem(await step(desk, path, reason="once more, please"), 409)["detail"]
        assert "POST /v1/shipments/S1/correct" in detail


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ({}, 422, "names nothing to correct"),
        ({"delivered_at": -7}, 422, "does not fit"),
        ({"delivered_at": 1}, 422, "ahead"),
        ({"departed_at": None}, 422, "cannot be taken back while"),
        ({"uncancel": True, "reason": "x"}, 422, "reason"),
    ],
)
async def test_what_makes_no_sense_is_refused(
    desk: Desk, hours_ago: HoursAgo, body: dict[str, Any], status: int, told: str
) -> None:
    await delivered_by_mistake(desk, hours_ago)
    sent = {
        name: text(hours_ago(-at)) if isinstance(at, int) and not isinstance(at, bool) else at
        for name, at in body.items()
    }
    answer = await desk.admin.post("/v1/shipments/S1/correct", json={"reason": WHY, **sent})
    assert told in problem(answer, status)["detail"]


async def test_only_what_is_on_record_is_corrected_and_not_by_couriers(
    desk: Desk, hours_ago: HoursAgo
) -> None:
    await desk.ship("S1", organization="acme")
    for name in ("departed_at", "delivered_at"):
        answer = await desk.admin.post(
            "/v1/shipments/S1/correct", json={name: text(hours_ago(1)), "reason": WHY}
        )
        assert "record the de" in problem(answer, 409)["detail"]
    courier = await desk.caller("courier", shipment_ids=["S1"], organization="acme")
    answer = await courier.post("/v1/shipments/S1/correct", json={"uncancel": True, "reason": WHY})
    problem(answer, 403)
    stranger = await desk.caller("ops", organization="other")
    answer = await stranger.post("/v1/shipments/S1/correct", json={"uncancel": True, "reason": WHY})
    problem(answer, 404)
