"""Loggers and shippers change on the way: from then on the new ones count, and what the old ones showed stays."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import httpx

from tests.integration.api.conftest import Desk, problem, text

HoursAgo = Callable[[float], datetime]
COLD, WARM = -190.0, -120.0
WHY = "its display is dead"


async def change(
    desk: Desk, what: str, client: httpx.AsyncClient | None = None, **body: Any
) -> dict[str, Any]:
    answer = await (client or desk.admin).post(f"/v1/shipments/S1/{what}", json={"reason": WHY, **body})
    assert answer.status_code == 200, answer.text
    await desk.evaluate()
    return dict(answer.json())


async def under_way(desk: Desk, hours_ago: HoursAgo, **fields: Any) -> None:
    await desk.ship("S1", organization="acme", departed_at=text(hours_ago(6)), **fields)
    await desk.told_in_time()
    await desk.device("SPARE")


async def alerts(desk: Desk) -> set[tuple[str, str, str | None]]:
    return {(one["kind"], one["state"], one["device_id"]) for one in await desk.items("/v1/alerts")}


async def test_a_dead_logger_is_replaced_and_each_counts_for_its_own_time(
    desk: Desk, hours_ago: HoursAgo
) -> None:
    await under_way(desk, hours_ago)
    every = [hours_ago(at / 4) for at in range(23, -1, -1)]
    await desk.store("S1-logger", *((at, COLD) for at in every[:8]))
    await desk.store("SPARE", *((at, WARM if at < hours_ago(4) else COLD) for at in every))
    await desk.evaluate()
    assert ("signal_lost", "firing", "S1-logger") in await alerts(desk)
    before = (await desk.admin.get("/v1/shipments/S1/summary")).json()

    shown = await change(desk, "loggers", add=["SPARE"], remove=["S1-logger"], at=text(hours_ago(3.5)))
    on = {one["device_id"]: (one["starts_at"], one["ends_at"]) for one in shown["devices"]}
    instant = text(hours_ago(3.5)).replace("+00:00", "Z")
    assert on["S1-logger"][1] == on["SPARE"][0] == instant
    assert on["SPARE"][1] is None
    assert await desk.items("/v1/shipments/S1/excursions") == []  # the spare one was not with the payload yet
    now = await alerts(desk)
    assert ("signal_lost", "resolved", "S1-logger") in now
    assert not [one for one in now if one[1] == "firing"]

    summary = (await desk.admin.get("/v1/shipments/S1/summary")).json()
    old, new = summary["devices"]
    assert (old["device_id"], old["readings"]) == ("S1-logger", 8)
    assert (new["device_id"], new["readings"], new["unobserved_s"]) == ("SPARE", 15, 0)
    assert old["unobserved_s"] < before["devices"][0]["unobserved_s"]
    assert summary["without_logger_s"] == 0
    step = (await desk.items("/v1/shipments/S1/revisions"))[-1]
    assert (step["step"], step["reason"]) == ("loggers_changed", WHY)
    readings = await desk.items("/v1/shipments/S1/readings", limit=100)
    assert len(readings) == 8 + 15
    as_of = {"as_of": summary["as_of"]}
    assert (await desk.admin.get("/v1/shipments/S1/summary", params=as_of)).json()["devices"] == summary[
        "devices"
    ]


async def test_a_warm_logger_that_is_taken_off_leaves_its_excursion_closed_with_who_did_it(
    desk: Desk, hours_ago: HoursAgo
) -> None:
    await under_way(desk, hours_ago)
    await desk.store("S1-logger", *((hours_ago(at / 4), WARM) for at in range(20, -1, -1)))
    await desk.evaluate()
    (found,) = await desk.items("/v1/shipments/S1/excursions")
    await change(desk, "loggers", add=["SPARE"], remove=["S1-logger"])
    (over,) = await desk.items("/v1/shipments/S1/excursions")
    assert (over["id"], over["state"], over["ended_by"], over["act"]) == (
        *(found["id"], "closed", "removal", None),  # it shows all that was known: nothing is taken away
    )
    assert over["reason"] == "logger_removed"
    # As if it had been taken off long before: hours of warmth would be gone from the record.
    await change(desk, "loggers", add=["S1-logger"], at=over["end"])
    why = "it lay beside the box since the hub"
    await change(desk, "loggers", remove=["S1-logger"], at=text(hours_ago(4)), reason=why)
    (less,) = await desk.items("/v1/shipments/S1/excursions")
    assert (less["state"], less["act"]["step"], less["act"]["reason"]) == ("closed", "loggers_changed", why)
    summary = (await desk.admin.get("/v1/shipments/S1/summary")).json()
    assert summary["lessened_by_people"]["number"] == 1


async def test_a_time_without_any_logger_is_said(desk: Desk, hours_ago: HoursAgo) -> None:
    await under_way(desk, hours_ago)
    await change(desk, "loggers", add=["SPARE"], at=text(hours_ago(3)))
    await change(desk, "loggers", remove=["S1-logger"], at=text(hours_ago(5)))
    summary = (await desk.admin.get("/v1/shipments/S1/summary")).json()
    assert summary["without_logger_s"] == 2 * 3600
    assert await change(
        desk, "loggers", remove=["S1-logger"], at=text(hours_ago(5))
    )  # again, and nothing changes
    steps = [one["step"] for one in await desk.items("/v1/shipments/S1/revisions")]
    assert steps == ["created", "loggers_changed", "loggers_changed"]


async def test_what_cannot_be_put_on_or_taken_off_is_refused(desk: Desk, hours_ago: HoursAgo) -> None:
    await under_way(desk, hours_ago)
    await desk.device("BUSY")
    await desk.ship("S2", "BUSY")
    cases: list[tuple[dict[str, Any], int, str]] = [
        ({"add": ["BUSY"]}, 409, "is on shipment S2"),
        ({"add": ["NONE"]}, 422, "not registered"),
        ({"remove": ["SPARE"]}, 409, "is not on this shipment"),
        ({"remove": ["S1-logger"]}, 409, "no logger any more"),
        ({"add": ["SPARE"], "at": text(hours_ago(7))}, 422, "before the shipment"),
        ({"add": ["SPARE"], "at": text(hours_ago(-1))}, 422, "ahead"),
        ({"add": ["SPARE"], "remove": ["SPARE"]}, 422, "twice"),
        ({}, 422, "names nothing"),
        ({"add": ["SPARE"], "reason": "x"}, 422, "reason"),
    ]
    for body, status, told in cases:
        answer = await desk.admin.post("/v1/shipments/S1/loggers", json={"reason": WHY, **body})
        assert told in problem(answer, status)["detail"]
    await change(desk, "loggers", add=["SPARE"], remove=["S1-logger"], at=text(hours_ago(2)))
    answer = await desk.admin.post("/v1/shipments/S1/loggers", json={"reason": WHY, "add": ["S1-logger"]})
    assert "would be missing" in problem(answer, 409)["detail"]
    assert (await desk.admin.post("/v1/shipments/S1/deliver")).status_code == 200
    devices = (await desk.admin.get("/v1/shipments/S1")).json()["devices"]
    assert devices[0]["ends_at"] < devices[1]["ends_at"]  # what was taken off stays as it was


async def test_organizations_put_on_only_what_is_lent_to_them(desk: Desk, hours_ago: HoursAgo) -> None:
    await under_way(desk, hours_ago)
    ops = await desk.caller("ops", organization="acme")
    for device_id in ("SPARE", "NONE"):
        answer = await ops.post("/v1/shipments/S1/loggers", json={"reason": WHY, "add": [device_id]})
        assert problem(answer, 409)["detail"].startswith(f"Logger {device_id} is not available to you")
    lent = {"organization": "acme", "from": text(hours_ago(1))}
    assert (await desk.admin.post("/v1/devices/SPARE/loans", json=lent)).status_code == 201
    answer = await ops.post(
        "/v1/shipments/S1/loggers", json={"reason": WHY, "add": ["SPARE"], "at": text(hours_ago(2))}
    )
    problem(answer, 409)
    await change(desk, "loggers", ops, add=["SPARE"], at=text(hours_ago(0.5)))


async def test_a_shipment_moves_to_another_dewar_and_back(desk: Desk, hours_ago: HoursAgo) -> None:
    for dewar_id, hold_time_h in (("D1", 4), ("D2", 240)):
        charged = text(hours_ago(5.5))
        body = {"dewar_id": dewar_id, "hold_time_h": hold_time_h, "last_charged_at": charged}
        assert (await desk.admin.post("/v1/dewars", json=body)).status_code == 201
    await under_way(desk, hours_ago, dewar_id="D1", planned_arrival=text(hours_ago(-12)))
    await desk.store("S1-logger", *((hours_ago(at / 4), COLD) for at in range(23, -1, -1)))
    await desk.evaluate()
    assert ("hold_time_short", "firing", None) in await alerts(desk)
    shown = await change(desk, "dewar", dewar_id="D2", at=text(hours_ago(0.25)))
    assert shown["dewar_id"] == "D2"
    assert ("hold_time_short", "resolved", None) in await alerts(desk)
    (alert,) = [one for one in await desk.items("/v1/alerts") if one["kind"] == "hold_time_short"]
    last = (await desk.admin.get(f"/v1/alerts/{alert['id']}")).json()["revisions"][-1]
    assert WHY in last["note"]  # whose act it was
    await desk.ship("S2", "SPARE", dewar_id="D1")  # free again
    answer = await desk.admin.post(
        "/v1/shipments/S1/dewar", json={"dewar_id": "D1", "reason": WHY, "at": text(hours_ago(0.25))}
    )
    assert "is on shipment S2" in problem(answer, 409)["detail"]
    assert (
        await desk.admin.post("/v1/shipments/S2/cancel", json={"reason": "not needed now"})
    ).status_code == 200
    shown = await change(desk, "dewar", dewar_id="D1", at=text(hours_ago(0.25)), reason="it never left D1")
    assert shown["dewar_id"] == "D1"
    steps = [(one["step"], one["dewar_id"]) for one in await desk.items("/v1/shipments/S1/revisions")]
    assert steps == [("created", "D1"), ("dewar_changed", "D2"), ("dewar_changed", "D1")]


async def test_alerts_that_advise_another_logger_or_shipper_name_the_call() -> None:
    from alerts.alert_kinds import KINDS

    for row in KINDS.values():
        advice = row.next_action
        if "another logger" in advice or "another one in" in advice or "replaced" in advice:
            assert "POST /v1/shipments/{id}/loggers" in advice
        if "move the product" in advice.lower():
            assert "POST /v1/shipments/{id}/dewar" in advice
