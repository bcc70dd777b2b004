"""Charges of dewars: told by who held the dewar then, told from no one else, and held against what loggers measured."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import httpx
import pytest

from tests.integration.api.conftest import Desk, problem, text

HoursAgo = Callable[[float], datetime]


async def running_short(desk: Desk, hours_ago: HoursAgo, **dewar: Any) -> None:
    """B's shipment, in a dewar that was charged too long ago: its coolant will not last."""
    about = {"dewar_id": "W1", "hold_time_h": 240, "last_charged_at": text(hours_ago(200)), **dewar}
    made = await desk.admin.post("/v1/dewars", json=about)
    assert made.status_code == 201, made.text
    await desk.ship(
        "B1",
        organization="bcell",
        dewar_id="W1",
        departed_at=text(hours_ago(24)),
        planned_arrival=text(hours_ago(-60)),
    )
    await desk.told_in_time()
    for hours in range(23, 0, -1):
        await desk.store("B1-logger", (hours_ago(hours), -190.0))
    await desk.evaluate()


async def short(desk: Desk) -> list[tuple[str, str]]:
    alerts = await desk.items("/v1/alerts", kind="hold_time_short", shipment_id="B1")
    return [(alert["state"], alert["severity"]) for alert in alerts]


async def margin_h(desk: Desk) -> float:
    forecast = (await desk.admin.get("/v1/shipments/B1/forecast")).json()
    return float(forecast["hold_time"]["margin_h"])


async def test_a_competitor_does_not_end_a_critical_alert(desk: Desk, hours_ago: HoursAgo) -> None:
    await running_short(desk, hours_ago)
    before = await margin_h(desk)
    assert before < -20
    assert await short(desk) == [("firing", "critical")]
    acme = await desk.caller("ops", organization="acme")
    await desk.admin.post("/v1/devices", json={"device_id": "A-logger", "organization": "acme"})
    body = {"shipment_id": "A1", "band": "cryogenic", "device_ids": ["A-logger"], "dewar_id": "W1"}
    for departed_at in (None, text(hours_ago(30)), text(hours_ago(1))):
        problem(await acme.post("/v1/shipments", json={**body, "departed_at": departed_at}), 409)
    for at in (None, text(hours_ago(1)), text(hours_ago(23)), text(hours_ago(100))):
        charge = {} if at is None else {"at": at}
        found = problem(await acme.post("/v1/dewars/W1/charge", json=charge), 404)
        unknown = problem(await acme.post("/v1/dewars/W9/charge", json=charge), 404)
        assert found["detail"].replace("W1", "W9") == unknown["detail"]
    await desk.evaluate()
    assert await margin_h(desk) == pytest.approx(before, abs=0.1)
    assert await short(desk) == [("firing", "critical")]


@pytest.mark.parametrize("hours", [0.5, 100])
async def test_what_another_told_reaches_no_forecast_however_it_came_on_record(
    desk: Desk, hours_ago: HoursAgo, hours: float
) -> None:
    """As in records from before dewars were lent, or of a loan that somebody made for the past."""
    await running_short(desk, hours_ago)
    before = await margin_h(desk)
    await desk.pool.execute("INSERT INTO organizations (slug) VALUES ('acme')")
    await desk.pool.execute(
        "INSERT INTO dewar_charges (dewar_id, charged_at, \"by\", organization) VALUES ('W1', $1, 'key:a', 'acme')",
        hours_ago(hours),
    )
    await desk.pool.execute("UPDATE dewars SET last_charged_at = $1", hours_ago(hours))
    await desk.pool.execute("INSERT INTO evaluation_marks (shipment_id) VALUES ('B1')")
    await desk.evaluate()
    assert await margin_h(desk) == pytest.approx(before, abs=0.1)
    assert await short(desk) == [("firing", "critical")]


async def test_what_a_holder_before_told_in_time_counts(desk: Desk, hours_ago: HoursAgo) -> None:
    await desk.admin.post("/v1/dewars", json={"dewar_id": "W1", "hold_time_h": 240})
    await desk.pool.execute("INSERT INTO organizations (slug) VALUES ('acme')")
    await desk.pool.execute(
        'INSERT INTO dewar_charges (dewar_id, charged_at, recorded_at, "by", organization) '
        "VALUES ('W1', $1, $2, 'key:a', 'acme')",
        *(hours_ago(200), hours_ago(199)),
    )
    await desk.ship(
        "B1",
        organization="bcell",
        dewar_id="W1",
        departed_at=text(hours_ago(24)),
        planned_arrival=text(hours_ago(-60)),
    )
    assert await margin_h(desk) < -20  # it is known to be nearly empty


async def test_the_holder_and_the_operator_charge_it(desk: Desk, hours_ago: HoursAgo) -> None:
    await running_short(desk, hours_ago)
    bcell = await desk.caller("ops", organization="bcell")
    courier = await desk.caller("courier", shipment_ids=["B1"])
    await desk.ship("B2", organization="bcell")
    stranger = await desk.caller("courier", shipment_ids=["B2"])
    problem(await stranger.post("/v1/dewars/W1/charge", json={"at": text(hours_ago(0.2))}), 404)
    problem(await bcell.post("/v1/dewars/W1/charge", json={"at": text(hours_ago(25))}), 404)
    for hours, caller in ((3, bcell), (1, desk.admin), (0.2, courier)):
        made = await caller.post("/v1/dewars/W1/charge", json={"at": text(hours_ago(hours))})
        assert made.status_code == 201, made.text
        assert made.json()["doubts"] == []
    await desk.evaluate()
    assert await margin_h(desk) > 40
    owners = await desk.pool.fetch("SELECT organization FROM dewar_charges ORDER BY charged_at")
    assert [row["organization"] for row in owners] == [None, "bcell", None, "bcell"]

    await desk.admin.post("/v1/shipments/B1/deliver", json={"at": text(hours_ago(0.5))})
    problem(await bcell.post("/v1/dewars/W1/charge"), 404)
    late = await bcell.post("/v1/dewars/W1/charge", json={"at": text(hours_ago(0.7))})
    assert late.status_code == 201  # told late, of a time in which it was theirs


async def test_a_loan_lets_charge_while_no_shipment_of_another_has_it(
    desk: Desk, hours_ago: HoursAgo
) -> None:
    await running_short(desk, hours_ago)
    lent = {"organization": "acme", "from": text(hours_ago(50))}
    assert (await desk.admin.post("/v1/dewars/W1/loans", json=lent)).status_code == 201
    acme = await desk.caller("ops", organization="acme")
    bound = await desk.caller("ops", organization="acme", shipment_ids=["A1"])
    problem(await acme.post("/v1/dewars/W1/charge", json={"at": text(hours_ago(51))}), 404)
    problem(await acme.post("/v1/dewars/W1/charge"), 404)
    before = {"at": text(hours_ago(30))}
    problem(await bound.post("/v1/dewars/W1/charge", json=before), 404)
    assert (await acme.post("/v1/dewars/W1/charge", json=before)).status_code == 201
    margin = await margin_h(desk)
    assert margin < -20  # told once B's shipment had it


async def test_what_lies_ahead_is_told_by_operators_only_and_what_another_told_is_not_shown(
    desk: Desk, hours_ago: HoursAgo
) -> None:
    """Of a time of which nobody knows yet who will have the dewar: it may be the next one's."""
    await running_short(desk, hours_ago)
    bcell = await desk.caller("ops", organization="bcell")
    courier = await desk.caller("courier", shipment_ids=["B1"])
    ahead = {"at": text(hours_ago(-4 / 60))}
    for caller in (bcell, courier):
        refused = problem(await caller.post("/v1/dewars/W1/charge", json=ahead), 422)
        assert refused["detail"].startswith("at lies more than 30 seconds ahead")
        unknown = problem(await caller.post("/v1/dewars/W9/charge", json=ahead), 422)
        assert {**refused, "request_id": None} == {**unknown, "request_id": None}
    await desk.pool.execute("INSERT INTO organizations (slug) VALUES ('acme')")
    await desk.pool.execute(
        "INSERT INTO dewar_charges (dewar_id, charged_at, \"by\", organization) VALUES ('W1', $1, 'key:a', 'acme')",
        hours_ago(1),
    )
    for mass in (None, 3.0):
        taken = {"at": text(hours_ago(1)), "ln2_kg": mass}
        refused = problem(await bcell.post("/v1/dewars/W1/charge", json=taken), 409)
        assert "is taken by a charge that another told" in refused["detail"]
    assert await desk.items("/v1/dewars/W1/charges", bcell) == []
    assert (await bcell.get("/v1/dewars/W1")).json()["last_charged_at"] is None
    bound = await desk.caller("ops", shipment_ids=["B1"])
    assert await desk.items("/v1/dewars/W1/charges", bound) == []
    made = await bcell.post("/v1/dewars/W1/charge", json={"at": text(hours_ago(2))})
    assert made.status_code == 201, made.text
    for caller in (bcell, bound):
        (shown,) = await desk.items("/v1/dewars/W1/charges", caller)
        assert shown["charged_at"] == made.json()["charged_at"]
    assert len(await desk.items("/v1/dewars/W1/charges")) == 3


async def doubts(caller: httpx.AsyncClient, **charge: Any) -> list[str]:
    made = await caller.post("/v1/dewars/W1/charge", json=charge)
    assert made.status_code == 201, made.text
    return [doubt["code"] for doubt in made.json()["doubts"]]


async def test_a_charge_that_physics_cannot_explain_is_told(desk: Desk, hours_ago: HoursAgo) -> None:
    await running_short(desk, hours_ago, ln2_capacity_kg=4)
    await desk.pool.execute("DELETE FROM readings")
    readings = []
    for minutes in range(600, 0, -10):
        at = hours_ago(minutes / 60)
        mass = 1.0 if minutes > 300 else 3.9  # filled 5 hours ago
        readings.append({"measured_at": text(at), "temperature_c": -185.0, "ln2_kg": mass})
    readings.append(
        {
            "measured_at": text(hours_ago(20)),
            "temperature_c": -100.0,
            "flight_mode_until": text(hours_ago(12)),
        }
    )
    readings += [
        {"measured_at": text(hours_ago(minutes / 60)), "temperature_c": -120.0}
        for minutes in range(23 * 60, 21 * 60, -10)
    ]
    sent = [{"device_id": "B1-logger", **reading} for reading in readings]
    assert (await desk.admin.post("/v1/readings", json={"readings": sent})).json()["rejected"] == []
    bcell = await desk.caller("ops", organization="bcell")
    assert await doubts(bcell, at=text(hours_ago(5))) == []
    assert await doubts(bcell, at=text(hours_ago(8))) == ["no_mass_gained"]
    assert await doubts(bcell, at=text(hours_ago(7.5)), ln2_kg=3.9) == ["no_mass_gained"]
    assert await doubts(bcell, at=text(hours_ago(2)), ln2_kg=2.0) == ["less_than_before"]
    assert await doubts(bcell, at=text(hours_ago(15))) == ["in_flight"]
    assert await doubts(bcell, at=text(hours_ago(22))) == ["still_warm"]
    found = (await bcell.get("/v1/shipments/B1/forecast")).json()["doubtful_charges"]
    assert [[one["code"] for one in charge["doubts"]] for charge in found] == [
        *(["still_warm"], ["in_flight"], ["no_mass_gained"], ["no_mass_gained"], ["less_than_before"])
    ]
    listed = await desk.items("/v1/dewars/W1/charges")
    assert [bool(charge["doubts"]) for charge in listed] == [True, False, True, True, True, True, False]
    wrong = {"charged_at": text(hours_ago(15)), "reason": "never was", "withdrawn": True}
    await desk.admin.post("/v1/dewars/W1/charges/correct", json=wrong)
    assert len((await bcell.get("/v1/shipments/B1/forecast")).json()["doubtful_charges"]) == 4
