"""What is foreseen of a shipment, whether or not anybody is told of it."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.integration.api.conftest import Desk, problem, text

HoursAgo = Callable[[float], datetime]


async def under_way(desk: Desk, hours_ago: HoursAgo, **fields: object) -> None:
    await desk.device("D1")
    await desk.admin.post(
        "/v1/dewars",
        json={"dewar_id": "W1", "hold_time_h": 240, "last_charged_at": text(hours_ago(25))},
    )
    await desk.ship(
        "S1",
        "D1",
        organization="acme",
        dewar_id="W1",
        departed_at=text(hours_ago(24)),
        planned_arrival=text(hours_ago(-24)),
        **fields,
    )


async def foreseen(desk: Desk) -> dict[str, Any]:
    answer = await desk.admin.get("/v1/shipments/S1/forecast")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def test_hold_time_left_and_the_margin_at_arrival(desk: Desk, hours_ago: HoursAgo) -> None:
    await under_way(desk, hours_ago)
    before = await foreseen(desk)
    left = before["hold_time"]["left"]
    assert 110 < left["earliest_h"] < left["expected_h"] < left["latest_h"] < 300
    assert before["hold_time"]["margin_h"] == pytest.approx(left["expected_h"] - 24, abs=0.05)
    assert before["hold_time"]["least_margin_h"] == pytest.approx(left["earliest_h"] - 24, abs=0.05)
    assert datetime.fromisoformat(before["hold_time"]["expected_arrival"]) == hours_ago(-24)
    expected = timedelta(hours=left["expected_h"])
    spent = datetime.fromisoformat(left["expected_at"]) - datetime.fromisoformat(before["as_of"])
    assert abs(spent - expected) < timedelta(seconds=60)

    for hours in range(23, 0, -1):
        await desk.store("D1", (hours_ago(hours), -190.0))
    pending = await foreseen(desk)
    await desk.evaluate()
    after = await foreseen(desk)
    assert (pending["pending"], after["pending"]) == (True, False)
    assert pending["devices"] == after["devices"] == [{"device_id": "D1", "time_to_limit": None}]
    one, other = (each["hold_time"]["left"]["expected_h"] for each in (pending, after))
    assert one == pytest.approx(other, abs=0.05)


async def test_time_to_the_limit_while_it_warms(desk: Desk, hours_ago: HoursAgo) -> None:
    await under_way(desk, hours_ago)
    for minutes in range(600, 0, -10):
        warmed = max(0, 180 - minutes) / 60 * 8
        await desk.store("D1", (hours_ago(minutes / 60), -190.0 + warmed))
    await desk.evaluate()
    (device,) = (await foreseen(desk))["devices"]
    found = device["time_to_limit"]
    assert found["limit_c"] == -150
    reached = found["reached"]
    assert 0 <= reached["earliest_h"] < reached["expected_h"] < reached["latest_h"] < 12
    assert reached["expected_h"] == pytest.approx(2, abs=1)


async def test_what_is_not_on_its_way_or_not_known(desk: Desk, hours_ago: HoursAgo) -> None:
    await desk.device("D1")
    await desk.ship("S1", "D1")
    assert (await foreseen(desk))["devices"] == []
    await desk.admin.post("/v1/shipments/S1/depart", json={"at": text(hours_ago(2))})
    shown = await foreseen(desk)
    assert shown["hold_time"] is None  # nobody said in what it travels
    assert [one["device_id"] for one in shown["devices"]] == ["D1"]
    await desk.admin.post("/v1/shipments/S1/deliver", json={"at": text(hours_ago(1))})
    assert (await foreseen(desk))["devices"] == []


async def test_who_may_see_it(desk: Desk, hours_ago: HoursAgo) -> None:
    await under_way(desk, hours_ago)
    own, other = [await desk.caller("viewer", organization=name) for name in ("acme", "bcell")]
    assert (await own.get("/v1/shipments/S1/forecast")).status_code == 200
    problem(await other.get("/v1/shipments/S1/forecast"), 404)
