"""Loggers and dewars: registered once, with what the logger needs to reach the broker."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from api.embedded.process import Supervisor
from api.identity.device_credentials import DeviceCredentials
from tests.integration.api.conftest import Desk, MakeDesk, MakeServices, problem, text


def may_connect(broker_url: str, username: str, password: str) -> bool:
    """Whether the broker lets a client in."""
    found: list[bool] = []

    def on_connect(client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        found.append(not reason.is_failure)
        client.disconnect()

    client = mqtt.Client(CallbackAPIVersion.VERSION2, username, protocol=mqtt.MQTTv5)
    client.username_pw_set(username, password)
    client.on_connect = on_connect
    host, port = broker_url.rpartition("@")[2].split(":")
    client.connect(host, int(port))
    client.loop_forever()
    return found[0]


@pytest.fixture
async def managed(make_desk: MakeDesk, make_services: MakeServices, broker: Supervisor) -> Desk:
    credentials = DeviceCredentials(broker.url, patience_s=1)
    return await make_desk(make_services(device_credentials=credentials))


async def test_a_registered_logger_reaches_the_broker(managed: Desk, broker: Supervisor) -> None:
    made = await managed.admin.post("/v1/devices", json={"device_id": "D1", "model": "TX", "interval_s": 60})
    assert made.status_code == 201
    assert made.headers["location"] == "/v1/devices/D1"
    access = made.json()["mqtt"]
    assert access["url"] == "mqtt://broker.example.org:1883"
    assert access["username"] == "D1"
    assert access["provisioned"] is True
    assert await asyncio.to_thread(may_connect, broker.url, "D1", access["password"])
    assert not await asyncio.to_thread(may_connect, broker.url, "D1", "guessed")
    shown = (await managed.admin.get("/v1/devices/D1")).json()
    assert "mqtt" not in shown
    assert shown["health"] == "never_seen"

    rotated = (await managed.admin.post("/v1/devices/D1/rotate-credentials")).json()["mqtt"]
    assert rotated["password"] != access["password"]
    assert await asyncio.to_thread(may_connect, broker.url, "D1", rotated["password"])
    assert not await asyncio.to_thread(may_connect, broker.url, "D1", access["password"])


async def test_a_logger_is_registered_once(managed: Desk, broker: Supervisor) -> None:
    first = await managed.admin.post("/v1/devices", json={"device_id": "D1"})
    again = problem(await managed.admin.post("/v1/devices", json={"device_id": "D1"}), 409)
    assert "/v1/devices/D1/rotate-credentials" in again["detail"]
    assert await asyncio.to_thread(may_connect, broker.url, "D1", first.json()["mqtt"]["password"])


async def test_without_the_broker_nothing_is_registered(managed: Desk, broker: Supervisor) -> None:
    await asyncio.to_thread(broker.stop)
    answer = await managed.admin.post("/v1/devices", json={"device_id": "D1"})
    assert "broker" in problem(answer, 503)["detail"]
    assert answer.headers["retry-after"]
    assert await managed.items("/v1/devices") == []
    await asyncio.to_thread(broker.start)
    assert (await managed.admin.post("/v1/devices", json={"device_id": "D1"})).status_code == 201


async def test_the_services_own_user_is_no_logger(managed: Desk, broker: Supervisor) -> None:
    own = broker.url.removeprefix("mqtt://").partition(":")[0]
    problem(await managed.admin.post("/v1/devices", json={"device_id": own}), 409)
    assert await managed.items("/v1/devices") == []


async def test_where_the_broker_is_not_ours_to_manage(desk: Desk) -> None:
    made = (await desk.admin.post("/v1/devices", json={"device_id": "D1"})).json()
    assert made["mqtt"]["provisioned"] is False
    assert made["mqtt"]["password"] is None
    assert "at the broker itself" in made["mqtt"]["note"]
    problem(await desk.admin.post("/v1/devices/D2/rotate-credentials"), 404)


WRONG_DEVICES: list[Any] = [
    {},
    [],
    {"device_id": "a/b"},
    {"device_id": "x" * 300},
    {"device_id": ""},
    {"device_id": "é"},
    {"device_id": "D1\n"},
    {"device_id": 1},
    {"device_id": "D1", "interval_s": 0},
    {"device_id": "D1", "interval_s": "60"},
    {"device_id": "D1", "model": "\0"},
    {"device_id": "D1", "model": ""},
    {"device_id": "D1", "model": " "},
    {"device_id": "D1", "model": "\u200b"},
    {"device_id": "\u200b"},
    {"device_id": "D1", "calibration_due": "soon"},
    {"device_id": "D1", "colour": "red"},
]


async def test_wrong_devices(desk: Desk) -> None:
    for body in WRONG_DEVICES:
        problem(await desk.admin.post("/v1/devices", json=body), 422)
    assert await desk.items("/v1/devices") == []


async def test_health_and_text(desk: Desk) -> None:
    await desk.device("D1", "D2", "D3", "D4")
    for device_id, minutes, probe_ok, battery in (
        ("D1", 1, True, 80),
        ("D2", 1, False, 80),
        ("D3", 1, True, 19),
        ("D4", 31, True, 80),
    ):
        await desk.pool.execute(
            "UPDATE device_states SET last_received_at = now() - $2 * interval '1 min', probe_ok = $3, "
            "battery_pct = $4 WHERE device_id = $1",
            device_id,
            minutes,
            probe_ok,
            battery,
        )
    shown = {item["device_id"]: item["health"] for item in await desk.items("/v1/devices")}
    assert shown == {"D1": "normal", "D2": "probe_fault", "D3": "low_battery", "D4": "no_signal"}
    assert [item["device_id"] for item in await desk.items("/v1/devices", q="d2")] == ["D2"]
    await desk.ship("S1", "D1")
    assert (await desk.admin.get("/v1/devices/D1")).json()["shipment_id"] == "S1"


async def test_dewars(desk: Desk) -> None:
    given = {
        "dewar_id": "W-1.a",
        "model": "dry shipper",
        "hold_time_h": 240,
        "ln2_capacity_kg": 4.5,
        "last_charged_at": "2026-11-20T10:00:00+02:00",
        "qualified_until": "2027-01-01T00:00:00Z",
    }
    made = await desk.admin.post("/v1/dewars", json=given)
    assert made.status_code == 201
    shown = (await desk.admin.get(made.headers["location"])).json()
    assert shown == made.json()
    assert shown["last_charged_at"] == "2026-11-20T08:00:00Z"
    assert {**shown, **given} | {"last_charged_at": shown["last_charged_at"]} == shown
    problem(await desk.admin.post("/v1/dewars", json=given), 409)
    problem(await desk.admin.get("/v1/dewars/W2"), 404)
    problem(await desk.admin.post("/v1/dewars", json={"dewar_id": "W2", "hold_time_h": -1}), 422)


async def test_charges_of_a_dewar(desk: Desk, hours_ago: Callable[[float], datetime]) -> None:
    dewar = {"dewar_id": "W1", "ln2_capacity_kg": 4, "last_charged_at": text(hours_ago(50))}
    await desk.admin.post("/v1/dewars", json=dewar)
    await desk.ship("S1", dewar_id="W1", departed_at=text(hours_ago(9)))
    await desk.ship("S2")
    await desk.pool.execute("DELETE FROM evaluation_marks")
    ops = await desk.caller("ops")
    charge = {"at": text(hours_ago(1)), "ln2_kg": 3.9}
    made = await ops.post("/v1/dewars/W1/charge", json=charge)
    assert (made.status_code, made.json()["ln2_kg"]) == (201, 3.9)
    assert made.json()["by"].startswith("key:dw_")
    marks = await desk.pool.fetch("SELECT shipment_id, dirty_from FROM evaluation_marks ORDER BY shipment_id")
    assert [tuple(mark) for mark in marks] == [("S1", hours_ago(1))]
    again = await ops.post("/v1/dewars/W1/charge", json=charge)
    assert (again.status_code, again.json()) == (200, made.json())
    assert await desk.pool.fetchval("SELECT count(*) FROM evaluation_marks") == 1
    other = problem(await ops.post("/v1/dewars/W1/charge", json={**charge, "ln2_kg": 2}), 409)
    assert "recorded with 3.9 kg" in other["detail"]

    await ops.post("/v1/dewars/W1/charge", json={"at": text(hours_ago(20))})  # told late
    shown = (await desk.admin.get("/v1/dewars/W1")).json()
    assert datetime.fromisoformat(shown["last_charged_at"]) == hours_ago(1)
    charges = await desk.items("/v1/dewars/W1/charges")
    times = [datetime.fromisoformat(one["charged_at"]) for one in charges]
    assert times == [hours_ago(1), hours_ago(20), hours_ago(50)]
    assert [one["ln2_kg"] for one in charges] == [3.9, None, None]
    assert (await ops.post("/v1/dewars/W1/charge")).status_code == 201  # now


async def test_wrong_charges(desk: Desk) -> None:
    await desk.admin.post("/v1/dewars", json={"dewar_id": "W1", "ln2_capacity_kg": 4})
    for body, field in (
        ({"at": "2100-01-01T00:00:00Z"}, "at"),
        ({"ln2_kg": 3500}, "ln2_kg"),
        ({"ln2_kg": -1}, "ln2_kg"),
        ({"kg": 1}, "kg"),
    ):
        found = problem(await desk.admin.post("/v1/dewars/W1/charge", json=body), 422)
        assert found["errors"][0]["field"] == field
    assert await desk.items("/v1/dewars/W1/charges") == []
    problem(await desk.admin.post("/v1/dewars/W2/charge", json={}), 404)
    problem(await desk.admin.get("/v1/dewars/W2/charges"), 404)
    assert [item["dewar_id"] for item in await desk.items("/v1/dewars", q="w")] == ["W1"]
    assert await desk.items("/v1/dewars", q="x") == []


async def test_a_dewar_is_described_anew(desk: Desk) -> None:
    made = (await desk.admin.post("/v1/dewars", json={"dewar_id": "W1", "hold_time_h": 240})).json()
    await desk.ship("S1", dewar_id="W1")
    await desk.pool.execute("DELETE FROM evaluation_marks")
    body = {
        "reason": "requalified",
        "hold_time_h": 216,
        "qualified_until": "2027-11-01T00:00:00Z",
        "revision": 1,
    }
    changed = (await desk.admin.patch("/v1/dewars/W1", json=body)).json()
    assert (changed["hold_time_h"], changed["qualified_until"]) == (216, "2027-11-01T00:00:00Z")
    assert (made["revision"], changed["revision"]) == (1, 2)
    marks = await desk.pool.fetch("SELECT shipment_id FROM evaluation_marks")
    assert [mark["shipment_id"] for mark in marks] == ["S1"]
    assert (await desk.admin.patch("/v1/dewars/W1", json=body)).json() == changed
    assert await desk.pool.fetchval("SELECT count(*) FROM evaluation_marks") == 1
    problem(await desk.admin.patch("/v1/dewars/W1", json={"model": "x", "revision": 1}), 409)
    history = await desk.items("/v1/dewars/W1/revisions")
    assert made.pop("lent_to") is changed.pop("lent_to") is None  # no part of a description
    assert history == [{**made, "reason": None}, {**changed, "reason": "requalified"}]
    for wrong in ({"hold_time_h": -1}, {"last_charged_at": None}, {"dewar_id": "W2"}):
        problem(await desk.admin.patch("/v1/dewars/W1", json=wrong), 422)
    problem(await desk.admin.patch("/v1/dewars/W2", json={}), 404)
    problem(await desk.admin.get("/v1/dewars/W2/revisions"), 404)


async def test_a_charge_told_wrongly_is_corrected_or_withdrawn_and_stays_on_record(
    desk: Desk, hours_ago: Callable[[float], datetime]
) -> None:
    await desk.admin.post("/v1/dewars", json={"dewar_id": "W1", "ln2_capacity_kg": 4})
    for hours in (50, 2):
        await desk.admin.post("/v1/dewars/W1/charge", json={"at": text(hours_ago(hours)), "ln2_kg": 3.9})
    wrong = {"charged_at": text(hours_ago(2)), "reason": "the tare"}
    corrected = await desk.admin.post("/v1/dewars/W1/charges/correct", json={**wrong, "ln2_kg": 2.5})
    assert corrected.status_code == 200
    assert corrected.json()["ln2_kg"] == 2.5
    again = await desk.admin.post("/v1/dewars/W1/charges/correct", json={**wrong, "ln2_kg": 2.5})
    assert again.json() == corrected.json()

    withdrawn = await desk.admin.post("/v1/dewars/W1/charges/correct", json={**wrong, "withdrawn": True})
    assert withdrawn.json()["withdrawn"] is True
    assert [(one["reason"], one["was"]) for one in withdrawn.json()["corrections"]] == [
        ("the tare", {"ln2_kg": 3.9, "withdrawn": False}),
        ("the tare", {"ln2_kg": 2.5, "withdrawn": False}),
    ]
    shown = (await desk.admin.get("/v1/dewars/W1")).json()
    assert datetime.fromisoformat(shown["last_charged_at"]) == hours_ago(50)
    refused = problem(await desk.admin.post("/v1/dewars/W1/charge", json={"at": wrong["charged_at"]}), 409)
    assert "was withdrawn: correct it, with withdrawn false" in refused["detail"]

    back = await desk.admin.post("/v1/dewars/W1/charges/correct", json={**wrong, "withdrawn": False})
    assert back.json()["withdrawn"] is False
    assert [one["ln2_kg"] for one in await desk.items("/v1/dewars/W1/charges")] == [2.5, 3.9]
    for body, status in (
        (wrong, 422),
        ({**wrong, "ln2_kg": 9}, 422),
        ({**wrong, "withdrawn": True, "charged_at": text(hours_ago(3))}, 404),
        ({"charged_at": wrong["charged_at"], "withdrawn": True}, 422),
    ):
        problem(await desk.admin.post("/v1/dewars/W1/charges/correct", json=body), status)


async def test_a_courier_charges_the_dewars_of_its_shipments_while_they_are_not_over(
    desk: Desk, hours_ago: Callable[[float], datetime]
) -> None:
    for dewar in ("W1", "W2"):
        await desk.admin.post("/v1/dewars", json={"dewar_id": dewar})
    for number in (1, 2):
        await desk.device(f"L{number}")
        await desk.ship(
            f"S{number}",
            f"L{number}",
            organization="acme",
            dewar_id=f"W{number}",
            departed_at=text(hours_ago(3)),
        )
    courier = await desk.caller("courier", organization="acme", shipment_ids=["S1"])
    charge = {"at": text(hours_ago(0.2)), "ln2_kg": 3}
    assert (await courier.post("/v1/dewars/W1/charge", json=charge)).status_code == 201
    problem(await courier.post("/v1/dewars/W2/charge", json=charge), 404)
    correction = {"charged_at": charge["at"], "reason": "it has to be so", "withdrawn": True}
    problem(await courier.post("/v1/dewars/W1/charges/correct", json=correction), 403)
    await desk.admin.post("/v1/shipments/S1/deliver", json={"at": text(hours_ago(0.1))})
    problem(await courier.post("/v1/dewars/W1/charge"), 404)
