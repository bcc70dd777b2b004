"""What is not in order for the whole way is refused, or accepted with a reason that stays in sight."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from tests.integration.api.conftest import Answer, Desk, problem, text

HoursAgo = Callable[[float], datetime]
WHY = "the lab calibrates it at the destination"
LOGGER, DEWAR = "The calibration of logger L1 ends at", "The qualification of dewar D1 ends at"


async def registered(desk: Desk, hours_ago: HoursAgo, *, calibrated_h: float, qualified_h: float) -> None:
    """A logger and a shipper whose papers end in so many hours."""
    due, until = text(hours_ago(-calibrated_h)), text(hours_ago(-qualified_h))
    logger = {"device_id": "L1", "calibration_due": due}
    assert (await desk.admin.post("/v1/devices", json=logger)).status_code == 201
    dewar = {"dewar_id": "D1", "qualified_until": until}
    assert (await desk.admin.post("/v1/dewars", json=dewar)).status_code == 201
    await desk.device("GOOD")


async def plan(desk: Desk, *device_ids: str, **fields: Any) -> Answer:
    body = {"shipment_id": "S1", "band": "cryogenic", "device_ids": device_ids or ["L1"], **fields}
    return await desk.admin.post("/v1/shipments", json=body)


@pytest.mark.parametrize(
    ("calibrated_h", "qualified_h", "arrives", "told"),
    [
        (-1, 99, {}, [LOGGER]),  # it has run out
        (99, -1, {}, [DEWAR]),
        (10, 99, {"planned_arrival": -12}, [LOGGER]),  # before it arrives
        (99, 10, {"legs": -12}, [DEWAR]),
        (-1, -1, {}, [LOGGER, DEWAR]),
        (13, 13, {"planned_arrival": -12, "legs": -12}, []),
    ],
)
async def test_what_ends_on_the_way_is_refused_or_accepted_with_a_reason(
    desk: Desk,
    hours_ago: HoursAgo,
    calibrated_h: float,
    qualified_h: float,
    arrives: dict[str, float],
    told: list[str],
) -> None:
    await registered(desk, hours_ago, calibrated_h=calibrated_h, qualified_h=qualified_h)
    fields: dict[str, Any] = {"dewar_id": "D1"}
    if "planned_arrival" in arrives:
        fields["planned_arrival"] = text(hours_ago(arrives["planned_arrival"]))
    if "legs" in arrives:
        fields["legs"] = [{"from": "A", "to": "B", "planned_arrival": text(hours_ago(arrives["legs"]))}]
    answer = await plan(desk, **fields)
    if not told:
        assert (answer.status_code, answer.json()["overrides"]) == (201, [])
        return
    detail = problem(answer, 409)["detail"]
    assert all(one in detail for one in told)
    assert "override_reason" in detail
    problem(await plan(desk, **fields, override_reason="x"), 422)
    made = await plan(desk, **fields, override_reason=WHY)
    assert made.status_code == 201, made.text
    shown = (await desk.admin.get("/v1/shipments/S1")).json()["overrides"]
    assert [one["reason"] for one in shown] == [WHY] * len(told)
    assert {one["by"] for one in shown} == {"key:admin-key-setting"}
    (revision,) = await desk.items("/v1/shipments/S1/revisions")
    assert revision["overrides"] == shown == made.json()["overrides"]


async def test_a_later_arrival_is_held_against_the_papers_again(desk: Desk, hours_ago: HoursAgo) -> None:
    await registered(desk, hours_ago, calibrated_h=20, qualified_h=99)
    made = await plan(desk, planned_arrival=text(hours_ago(-12)), departed_at=text(hours_ago(1)))
    assert made.json()["overrides"] == []
    later = {"planned_arrival": text(hours_ago(-30)), "reason": "rebooked on the next day"}
    assert LOGGER in problem(await desk.admin.post("/v1/shipments/S1/schedule", json=later), 409)["detail"]
    changed = await desk.admin.post("/v1/shipments/S1/schedule", json={**later, "override_reason": WHY})
    assert [one["reason"] for one in changed.json()["overrides"]] == [WHY]
    # What was accepted is not asked for once more.
    again = {"planned_arrival": text(hours_ago(-31)), "reason": "rebooked once again"}
    assert (await desk.admin.post("/v1/shipments/S1/schedule", json=again)).status_code == 200


async def test_what_is_put_on_under_way_passes_the_same_gates(desk: Desk, hours_ago: HoursAgo) -> None:
    await registered(desk, hours_ago, calibrated_h=-1, qualified_h=-1)
    assert (await plan(desk, "GOOD", departed_at=text(hours_ago(1)))).status_code == 201
    for path, body in (("loggers", {"add": ["L1"]}), ("dewar", {"dewar_id": "D1"})):
        sent = {**body, "reason": "nothing else is here"}
        problem(await desk.admin.post(f"/v1/shipments/S1/{path}", json=sent), 409)
        kept = await desk.admin.post(f"/v1/shipments/S1/{path}", json={**sent, "override_reason": WHY})
        assert kept.status_code == 200, kept.text
    shown = (await desk.admin.get("/v1/shipments/S1")).json()["overrides"]
    assert [(one["gate"], one["id"]) for one in shown] == [("calibration", "L1"), ("qualification", "D1")]


async def test_a_departure_is_never_refused_and_shows_what_was_not_in_order(
    desk: Desk, hours_ago: HoursAgo
) -> None:
    await registered(desk, hours_ago, calibrated_h=99, qualified_h=99)
    assert (await plan(desk, dewar_id="D1")).json()["overrides"] == []
    late = {"calibration_due": text(hours_ago(1)), "reason": "the certificate was withdrawn"}
    assert (await desk.admin.patch("/v1/devices/L1", json=late)).status_code == 200
    left = await desk.admin.post("/v1/shipments/S1/depart")
    assert left.status_code == 200
    (found,) = left.json()["overrides"]
    assert (found["gate"], found["id"], found["reason"]) == ("calibration", "L1", None)
    events = await desk.pool.fetch("SELECT data::text AS data FROM outbox WHERE type = 'shipment.departed'")
    assert '"gate": "calibration"' in events[0]["data"] or '"gate":"calibration"' in events[0]["data"]


async def test_what_is_on_another_live_shipment_is_refused_with_the_reason(
    desk: Desk, hours_ago: HoursAgo
) -> None:
    await registered(desk, hours_ago, calibrated_h=99, qualified_h=99)
    assert (await plan(desk, dewar_id="D1", departed_at=text(hours_ago(1)))).status_code == 201
    for fields in ({"device_ids": ["L1"]}, {"dewar_id": "D1"}):
        body = {
            "shipment_id": "S2",
            "band": "cryogenic",
            "device_ids": ["GOOD"],
            "override_reason": WHY,
            **fields,
        }
        detail = problem(await desk.admin.post("/v1/shipments", json=body), 409)["detail"]
        assert "is on shipment S1 at that time: deliver or cancel it first" in detail
