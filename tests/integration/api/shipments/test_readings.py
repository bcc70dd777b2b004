"""Readings in, with the bad ones told apart from the good, and the trace out, whole or thinned out."""

import base64
import gzip
import hashlib
import json
import random
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.integration.api.conftest import Desk, problem, text

HoursAgo = Callable[[float], datetime]


def reading(at: datetime, celsius: float = -180.0, device_id: str = "D1", **fields: Any) -> dict[str, Any]:
    return {"device_id": device_id, "measured_at": text(at), "temperature_c": celsius, **fields}


async def send(client: httpx.AsyncClient, *readings: Any) -> dict[str, Any]:
    answer = await client.post("/v1/readings", json={"readings": readings})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def test_stored_once_and_read_back(desk: Desk, hours_ago: HoursAgo) -> None:
    await desk.ship("S1", departed_at=text(hours_ago(3)))
    sent = {
        "device_id": "S1-logger",
        "measured_at": text(hours_ago(2)),
        "temperature_c": -178.4,
        "seq": 3,
        "lat": 50.03,
        "lon": 8.57,
        "battery_pct": 81,
        "firmware": {"version": "1.2"},
    }
    stored = {"source": "logger", "rejected": []}
    assert await send(desk.admin, sent) == {**stored, "accepted": 1, "duplicates": 0}
    assert await send(desk.admin, sent) == {**stored, "accepted": 0, "duplicates": 1}
    trace = (await desk.admin.get("/v1/shipments/S1/readings")).json()
    (shown,) = trace["items"]
    assert shown.pop("received_at").endswith("Z")
    assert shown == {
        "device_id": "S1-logger",
        "measured_at": text(hours_ago(2)).replace("+00:00", "Z"),
        "source": "logger",
        "via": "http",
        "author": "key:admin-key-setting",
        "temperature_c": -178.4,
        "probe_ok": True,
        "seq": 3,
        "lat": 50.03,
        "lon": 8.57,
        "battery_pct": 81,
        "extra": {"firmware": {"version": "1.2"}},
    }
    assert trace["next_cursor"] is trace["bucket_s"] is None
    (device,) = (await desk.admin.get("/v1/shipments/S1")).json()["devices"]
    assert device["latest"]["temperature_c"] == -178.4
    assert device["position"]["lat"] == 50.03


async def test_unknown_fields_may_hold_any_number(desk: Desk, hours_ago: HoursAgo) -> None:
    await desk.ship("S1", departed_at=text(hours_ago(3)))
    sent = reading(
        hours_ago(2), device_id="S1-logger", serial=2**64, large=1e300, small=1e-300, place="Zürich"
    )
    assert (await send(desk.admin, sent))["accepted"] == 1
    assert (await send(desk.admin, sent))["duplicates"] == 1
    for query in ({}, {"points": 2}):
        answer = await desk.admin.get("/v1/shipments/S1/readings", params=query)
        assert answer.status_code == 200
        (shown,) = answer.json()["items"]
        assert shown["extra"] == {"serial": 2**64, "large": 10**300, "small": 1e-300, "place": "Zürich"}


async def test_bad_ones_cost_the_good_ones_nothing(desk: Desk, hours_ago: HoursAgo) -> None:
    await desk.device("D1")
    await send(desk.admin, reading(hours_ago(9), -180))
    good = [reading(hours_ago(8) + timedelta(seconds=n)) for n in range(3)]
    bad: list[tuple[Any, str]] = [
        (reading(hours_ago(7), "-180"), "invalid_reading"),  # type: ignore[arg-type]  # the point of it
        ({"device_id": "D1", "measured_at": text(hours_ago(7))}, "invalid_reading"),
        ("reading", "invalid_reading"),
        (None, "invalid_reading"),
        (reading(hours_ago(7), device_id="D9"), "unknown_device"),
        (reading(hours_ago(7), device_id="a/b"), "unknown_device"),
        (reading(hours_ago(-1)), "clock_ahead"),
        (reading(hours_ago(9), -170), "conflict"),
    ]
    answer = await send(desk.admin, *good[:2], *(one for one, _ in bad), good[2])
    assert answer["accepted"] == 3
    assert [(one["index"], one["reason"]) for one in answer["rejected"]] == [
        (index, reason) for index, (_, reason) in enumerate(bad, start=2)
    ]
    assert all(one["detail"] for one in answer["rejected"])
    listed = await desk.items("/v1/rejected")
    assert sorted(one["reason"] for one in listed) == sorted(reason for _, reason in bad)
    (conflict,) = await desk.items("/v1/rejected", reason="conflict")
    assert conflict["device_id"] == "D1"
    assert conflict["index"] == 9
    assert conflict["caller"] == "admin-key-setting"
    assert conflict["topic"] is None
    assert b'"reading"' in base64.b64decode(conflict["payload_base64"])


async def test_a_temperature_that_is_none_is_a_broken_probe(desk: Desk, hours_ago: HoursAgo) -> None:
    await desk.ship("S1", departed_at=text(hours_ago(9)))
    for hours, wrong in enumerate(("NaN", "Infinity", "1e999", "-1e999", "9" * 400, "null")):
        at = text(hours_ago(hours + 1))
        sent = f'{{"device_id": "S1-logger", "measured_at": "{at}", "temperature_c": {wrong}}}'
        answer = await desk.admin.post("/v1/readings", content=f'{{"readings": [{sent}]}}')
        assert (answer.json()["accepted"], answer.json()["rejected"]) == (1, []), answer.text
    trace = await desk.items("/v1/shipments/S1/readings")
    assert [(one["temperature_c"], one["probe_ok"]) for one in trace] == [(None, False)] * 6


async def test_a_field_that_cannot_count_costs_no_temperature_and_is_shown(
    desk: Desk, hours_ago: HoursAgo
) -> None:
    await desk.ship("S1", departed_at=text(hours_ago(3)))
    sent = [
        reading(hours_ago(2), -80, "S1-logger", humidity_pct=102.9),
        reading(hours_ago(1.5), -80, "S1-logger", humidity_pct=104, battery_pct=255),
        reading(hours_ago(1), -80, "S1-logger", battery_pct=80),
    ]
    answer = await send(desk.admin, *sent)
    reason = "it must be a number from 0 to 100"
    assert answer.pop("set_aside") == [
        {"index": 0, "fields": {"humidity_pct": {"value": 102.9, "reason": reason}}},
        {
            "index": 1,
            "fields": {
                "humidity_pct": {"value": 104, "reason": reason},
                "battery_pct": {"value": 255, "reason": reason},
            },
        },
    ]
    assert answer == {"source": "logger", "accepted": 3, "duplicates": 0, "rejected": []}
    trace = await desk.items("/v1/shipments/S1/readings")
    told = (await send(desk.admin, *sent[:2]))["set_aside"]
    assert [one.get("set_aside") for one in trace] == [*(one["fields"] for one in told), None]
    known = (await desk.admin.get("/v1/shipments/S1/summary")).json()
    (device,) = known["devices"]
    assert (device["readings"], device["max_c"]) == (3, -80)
    shown = [(one["field"], one["readings"], one["value"], one["reason"]) for one in device["set_aside"]]
    assert shown == [("humidity_pct", 2, 104, reason), ("battery_pct", 1, 255, reason)]
    assert device["set_aside"][0]["last"] == text(hours_ago(1.5)).replace("+00:00", "Z")
    assert known["worst"] == device
    (as_known,) = (await desk.admin.get("/v1/shipments/S1/summary", params={"as_of": known["as_of"]})).json()[
        "devices"
    ]
    assert as_known["set_aside"] == device["set_aside"]
    logger = (await desk.admin.get("/v1/devices/S1-logger")).json()
    assert (logger["health"], logger["latest"]["set_aside"]) == ("normal", None)
    await send(desk.admin, reading(hours_ago(0.1), -80, "S1-logger", tilt_deg=181))
    for latest in (
        (await desk.admin.get("/v1/devices/S1-logger")).json(),
        (await desk.admin.get("/v1/shipments/S1")).json()["devices"][0],
    ):
        assert latest["latest"]["set_aside"]["tilt_deg"]["value"] == 181
    assert [one["health"] for one in await desk.items("/v1/devices")] == ["set_aside"]


async def test_a_body_may_be_packed(desk: Desk, hours_ago: HoursAgo) -> None:
    await desk.device("D1")
    body = b"\xef\xbb\xbf" + json.dumps({"readings": [reading(hours_ago(1))]}).encode() + b"\0"
    for content, stored in ((gzip.compress(body), "accepted"), (body, "duplicates")):
        answer = await desk.admin.post("/v1/readings", content=content)
        assert answer.json()[stored] == 1, answer.text
    bomb = gzip.compress(b'{"readings": [' + b" " * 5_000_000 + b"]}")
    problem(await desk.admin.post("/v1/readings", content=bomb), 413)
    problem(await desk.admin.post("/v1/readings", content=bomb[:-5]), 413)
    problem(await desk.admin.post("/v1/readings", content=gzip.compress(body)[:-5]), 400)


async def test_what_is_not_json_is_kept_as_evidence(desk: Desk) -> None:
    for body in (b"", b"{", b"\xff\xfe", b"[" * 100_000):
        problem(await desk.admin.post("/v1/readings", content=body), 400)
    listed = await desk.items("/v1/rejected", reason="not_json", limit=1)
    assert listed[0]["payload_bytes"] == 100_000
    whole = (await desk.admin.get(f"/v1/rejected/{listed[0]['id']}")).json()
    assert base64.b64decode(whole["payload_base64"]) == b"[" * 4096
    assert whole["payload_sha256"] == hashlib.sha256(b"[" * 100_000).hexdigest()
    assert len(await desk.items("/v1/rejected", reason="not_json")) == 4


NO_READINGS: list[Any] = [
    [],
    1,
    "x",
    None,
    {},
    {"readings": {}},
    {"readings": []},
    {"readings": [{}] * 1001},
    {"reading": []},
    {"readings": [{}], "device_id": "D1"},
]


async def test_what_holds_no_readings(desk: Desk) -> None:
    for body in NO_READINGS:
        problem(await desk.admin.post("/v1/readings", content=json.dumps(body)), 422)


async def test_who_may_send_for_whom(desk: Desk, hours_ago: HoursAgo) -> None:
    await desk.ship("A1", organization="acme", departed_at=text(hours_ago(2)))
    await desk.ship("B1", organization="bcell", departed_at=text(hours_ago(2)))
    await desk.device("D1")
    keys = {
        await desk.key("ops"): {"A1-logger", "B1-logger", "D1"},
        await desk.key("ops", organization="acme"): {"A1-logger"},
        await desk.key("courier", shipment_ids=["B1"]): {"B1-logger"},
        await desk.key("device", device_ids=["D1"]): {"D1"},
        await desk.key("device", device_ids=["D1"], shipment_ids=["A1"]): {"D1", "A1-logger"},
    }
    for number, (key, expected) in enumerate(keys.items()):
        client = await desk.client(key)
        for device_id in ("A1-logger", "B1-logger", "D1"):
            answer = await send(
                client, reading(hours_ago(1) + timedelta(seconds=number), device_id=device_id)
            )
            allowed = answer["accepted"] == 1
            assert allowed == (device_id in expected), (expected, device_id)
            assert allowed or answer["rejected"][0]["reason"] == "not_yours"


async def test_the_trace_is_what_its_loggers_measured_while_they_were_on_it(
    desk: Desk, hours_ago: HoursAgo
) -> None:
    await desk.device("D1")
    await desk.store("D1", *((hours_ago(hours), float(-hours)) for hours in range(150, 170)))
    await desk.ship("S1", "D1", departed_at=text(hours_ago(165)))
    await desk.admin.post("/v1/shipments/S1/deliver", json={"at": text(hours_ago(160))})
    await desk.ship("S2", "D1", departed_at=text(hours_ago(158)))
    await desk.admin.post("/v1/shipments/S2/deliver", json={"at": text(hours_ago(155))})
    traces = {
        id_: [item["temperature_c"] for item in await desk.items(f"/v1/shipments/{id_}/readings")]
        for id_ in ("S1", "S2")
    }
    assert traces == {"S1": [-165, -164, -163, -162, -161], "S2": [-158, -157, -156]}


async def test_the_trace_in_pages_and_stretches(desk: Desk, hours_ago: HoursAgo) -> None:
    await desk.device("D1", "D2")
    await desk.ship("S1", "D1", "D2", departed_at=text(hours_ago(5)))
    for device_id in ("D2", "D1"):
        times = [hours_ago(4) + timedelta(minutes=n) for n in range(25)]
        await desk.store(device_id, *((at, -180.0) for at in times))
    whole = await desk.items("/v1/shipments/S1/readings", limit=500)
    keys = [(item["measured_at"], item["device_id"]) for item in whole]
    assert len(keys) == 50
    assert keys == sorted(keys)
    for limit in (1, 7, 25, 50):
        paged: list[Any] = []
        cursor: dict[str, str] = {}
        while cursor is not None:
            page = (
                await desk.admin.get("/v1/shipments/S1/readings", params={"limit": limit, **cursor})
            ).json()
            paged += page["items"]
            cursor = {"cursor": page["next_cursor"]} if page["next_cursor"] else None  # type: ignore[assignment]
        assert paged == whole
    start, end = hours_ago(4) + timedelta(minutes=5), hours_ago(4) + timedelta(minutes=8)
    params = {"from": text(start), "to": text(end), "device_id": "D2"}
    some = await desk.items("/v1/shipments/S1/readings", **params)
    assert [(item["measured_at"], item["device_id"]) for item in some] == [
        key for key in keys if text(start) <= key[0].replace("Z", "+00:00") < text(end) and key[1] == "D2"
    ]
    assert await desk.items("/v1/shipments/S1/readings", **params, points=100) == some


async def test_a_stretch_that_ends_before_it_begins_is_refused(desk: Desk, hours_ago: HoursAgo) -> None:
    await desk.ship("S1", departed_at=text(hours_ago(2)))
    ends = {"from": text(hours_ago(1)), "to": text(hours_ago(2))}
    for points in ({}, {"points": 100}):
        told = problem(await desk.admin.get("/v1/shipments/S1/readings", params={**ends, **points}), 422)
        assert told["errors"] == [{"field": "to", "in": "query", "detail": "must not be before from"}]


async def test_a_thinned_trace_keeps_every_peak_and_every_fault(desk: Desk, hours_ago: HoursAgo) -> None:
    seeded = random.Random(7)
    await desk.device("D1", "D2")
    await desk.ship("S1", "D1", "D2", departed_at=text(hours_ago(100)))
    peaks: dict[str, float] = {"D1": -131.5, "D2": -140.25}
    for device_id, peak in peaks.items():
        readings: list[tuple[datetime, float | None]] = [
            (hours_ago(99) + timedelta(minutes=n), round(seeded.uniform(-190, -160), 2)) for n in range(3000)
        ]
        readings[1234] = (readings[1234][0], peak)
        readings[2345] = (readings[2345][0], -195.8)
        readings[2999] = (readings[2999][0], None)
        await desk.store(device_id, *readings)
    await send(desk.admin, reading(hours_ago(99) - timedelta(minutes=1), 850.0, "D1"))  # a broken probe, too
    answer = (await desk.admin.get("/v1/shipments/S1/readings", params={"points": 200})).json()
    assert 150 <= len(answer["items"]) <= 210
    assert answer["bucket_s"] == pytest.approx(3000 * 60 / 50, rel=0.01)
    assert answer["next_cursor"] is None
    keys = [(item["measured_at"], item["device_id"]) for item in answer["items"]]
    assert keys == sorted(keys)
    assert len(set(keys)) == len(keys)
    for device_id, peak in peaks.items():
        mine = [item["temperature_c"] for item in answer["items"] if item["device_id"] == device_id]
        valid = [celsius for celsius in mine if celsius is not None and celsius < 150]
        assert (min(valid), max(valid)) == (-195.8, peak)
        assert None in mine
    assert 850 in [item["temperature_c"] for item in answer["items"]]
    few = (await desk.admin.get("/v1/shipments/S1/readings", params={"points": 2})).json()["items"]
    assert {-131.5, -140.25} <= {item["temperature_c"] for item in few}
    for wrong in (1, 0, -1, 100_000, "many"):
        problem(await desk.admin.get("/v1/shipments/S1/readings", params={"points": wrong}), 422)


async def test_of_long_messages_a_list_shows_the_beginning(desk: Desk) -> None:
    body = b'{"readings": [' + b"x" * 500_000
    problem(await desk.admin.post("/v1/readings", content=body), 400)
    (shown,) = await desk.items("/v1/rejected", limit=500)
    assert shown["payload_truncated"] is True
    assert shown["payload_bytes"] == len(body)
    assert body.startswith(base64.b64decode(shown["payload_base64"]))
    assert len(base64.b64decode(shown["payload_base64"])) == 4096
    assert shown["payload_sha256"] == hashlib.sha256(body).hexdigest()
    assert (await desk.admin.get(f"/v1/rejected/{shown['id']}")).json() == shown
    problem(await desk.admin.get("/v1/rejected/99"), 404)
    problem(await desk.admin.get("/v1/rejected/x"), 422)


async def test_a_body_that_is_too_large_is_refused_and_kept(desk: Desk, hours_ago: HoursAgo) -> None:
    await desk.device("D1")
    reading = {
        "device_id": "D1",
        "measured_at": text(hours_ago(1)),
        "temperature_c": -180,
        "pad": "x" * 70_000,
    }
    refused = problem(await desk.admin.post("/v1/readings", json={"readings": [reading]}), 413)
    assert "65536 bytes" in refused["detail"]
    (kept,) = await desk.items("/v1/rejected", reason="too_large")
    assert kept["payload_bytes"] > 70_000


async def test_as_many_readings_as_are_allowed_fit_into_a_body(desk: Desk, hours_ago: HoursAgo) -> None:
    await desk.device("D1")
    readings = [
        {
            "device_id": "D1",
            "measured_at": text(hours_ago(1 + n / 3600)),
            "temperature_c": -180,
            "pad": "x" * 500,
        }
        for n in range(1000)
    ]
    answer = await desk.admin.post("/v1/readings", json={"readings": readings})
    assert answer.json()["accepted"] == 1000
