"""What a logger measured goes before what somebody typed; the same data by two ways are one; nothing of it is lost."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from telemetry.model import RawMessage, Source
from tests.integration.api.conftest import Desk, problem, text

HoursAgo = Callable[[float], datetime]
DEVICE = "S1-logger"


def readings(at: datetime, *celsius: float, every_min: float = 10, **fields: Any) -> list[dict[str, Any]]:
    return [
        {
            "device_id": DEVICE,
            "measured_at": text(at + number * timedelta(minutes=every_min)),
            "temperature_c": warm,
            **fields,
        }
        for number, warm in enumerate(celsius)
    ]


def numbered(sent: list[dict[str, Any]], first: int = 0) -> list[dict[str, Any]]:
    return [one | {"seq": number, "boot": 1} for number, one in enumerate(sent, start=first)]


async def send(client: httpx.AsyncClient, sent: list[dict[str, Any]], **body: Any) -> dict[str, Any]:
    answer = await client.post("/v1/readings", json={"readings": sent, **body})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def refrigerated(
    desk: Desk, departed_at: datetime, **plan: Any
) -> tuple[httpx.AsyncClient, httpx.AsyncClient]:
    """A shipment under way; returns its courier and its logger."""
    await desk.device(DEVICE)
    await desk.ship(
        "S1", DEVICE, organization="acme", band="refrigerated", departed_at=text(departed_at), **plan
    )
    courier = await desk.caller("courier", shipment_ids=["S1"])
    return courier, await desk.caller("device", device_ids=[DEVICE])


async def excursions(desk: Desk) -> list[tuple[Any, ...]]:
    await desk.evaluate()
    return [
        (one["state"], one["ended_by"], one["peak_c"])
        for one in await desk.items("/v1/shipments/S1/excursions")
    ]


async def summary(desk: Desk) -> dict[str, Any]:
    answer = (await desk.admin.get("/v1/shipments/S1/summary")).json()
    (device,) = answer["devices"]
    return dict(device)


async def test_what_was_typed_ends_no_excursion_takes_no_place_and_stays_in_sight(
    desk: Desk, hours_ago: HoursAgo
) -> None:
    courier, logger = await refrigerated(desk, hours_ago(3))
    warm = readings(hours_ago(2), 5.0, 12.0, 30.0, 31.0)
    typed = readings(hours_ago(2) + timedelta(minutes=30), 5.0, 4.0, note="as it shows")
    assert await send(logger, warm[:3]) == {
        "source": "logger",
        "accepted": 3,
        "duplicates": 0,
        "rejected": [],
    }
    assert (await excursions(desk)) == [("open", None, 30.0)]
    before = await summary(desk)
    assert await send(courier, typed) == {"source": "manual", "accepted": 2, "duplicates": 0, "rejected": []}
    assert (await send(courier, typed))["duplicates"] == 2
    wrong = await send(courier, [typed[0] | {"temperature_c": 6.0}])
    assert [one["reason"] for one in wrong["rejected"]] == ["conflict"]
    assert (await excursions(desk)) == [("open", None, 30.0)]
    # The logger's own reading of an instant at which somebody typed: no conflict, and it is judged.
    assert (await send(logger, warm[3:]))["accepted"] == 1
    assert (await excursions(desk)) == [("open", None, 31.0)]
    after = await summary(desk)
    assert (before["manual_readings"], after["manual_readings"]) == (0, 2)
    assert (after["readings"], after["max_c"], after["min_c"]) == (4, 31.0, 5.0)
    trace = await desk.items("/v1/shipments/S1/readings")
    assert [(one["temperature_c"], one["source"], one.get("superseded")) for one in trace] == [
        (5.0, "logger", None),
        (12.0, "logger", None),
        (30.0, "logger", None),
        (31.0, "logger", None),
        (5.0, "manual", True),
        (4.0, "manual", None),
    ]
    assert {(one["source"], one["via"], one["author"].partition(":")[0]) for one in trace} == {
        ("logger", "http", "key"),
        ("manual", "http", "key"),
    }
    assert len({one["author"] for one in trace}) == 2
    assert trace[-1]["extra"] == {"note": "as it shows"}
    pages, cursor = [], None
    while True:
        page = (
            await desk.admin.get(
                "/v1/shipments/S1/readings", params={"limit": 1} | ({"cursor": cursor} if cursor else {})
            )
        ).json()
        pages += page["items"]
        if (cursor := page["next_cursor"]) is None:
            break
    assert pages == trace
    thinned = await desk.items("/v1/shipments/S1/readings", points=4)
    assert {one["source"] for one in thinned} == {"logger", "manual"}
    state = await desk.admin.get(f"/v1/devices/{DEVICE}")
    assert datetime.fromisoformat(state.json()["latest"]["measured_at"]) == hours_ago(1.5)


async def test_where_no_logger_goes_along_what_people_type_is_judged(desk: Desk, hours_ago: HoursAgo) -> None:
    courier, logger = await refrigerated(desk, hours_ago(3), manual_only=True)
    shipment = (await desk.admin.get("/v1/shipments/S1")).json()
    assert shipment["plan"]["manual_only"] is True
    typed = readings(hours_ago(2), 5.0, 12.0, 13.0, 5.0)
    await send(courier, typed[:3])
    assert await excursions(desk) == [("open", None, 13.0)]
    await send(courier, typed[3:])
    assert await excursions(desk) == [("closed", "recovery", 13.0)]
    known_then = datetime.fromisoformat((await desk.items("/v1/shipments/S1/readings"))[-1]["received_at"])
    # Should a logger have been with it after all, what it measured goes before what was typed of that instant.
    await send(logger, readings(hours_ago(2) + timedelta(minutes=30), 14.0))
    assert await excursions(desk) == [("open", None, 14.0)]
    now = await summary(desk)
    assert (now["max_c"], now["readings"], now["manual_readings"]) == (14.0, 4, 4)
    then = (await desk.admin.get("/v1/shipments/S1/summary", params={"as_of": text(known_then)})).json()
    assert (then["devices"][0]["max_c"], then["devices"][0]["manual_readings"]) == (13.0, 4)
    changed = await desk.admin.post(
        "/v1/shipments/S1/plan",
        json={"manual_only": False, "reason": "A logger went along after all", "plan_revision": 1},
    )
    assert changed.status_code == 200, changed.text
    assert (await excursions(desk))[0][0] == "open"
    assert (await summary(desk))["readings"] == 1


async def test_whoever_reads_a_logger_out_says_so(desk: Desk, hours_ago: HoursAgo) -> None:
    courier, _ = await refrigerated(desk, hours_ago(3))
    assert (await send(courier, readings(hours_ago(2), 12.0), source="logger"))["source"] == "logger"
    assert await excursions(desk) == [("open", None, 12.0)]
    numbered_ = numbered(readings(hours_ago(1.9), 12.0))
    assert (await send(courier, numbered_))["source"] == "logger"
    assert (await send(courier, numbered_ + readings(hours_ago(1.8), 5.0)))["source"] == "manual"
    assert await excursions(desk) == [("open", None, 12.0)]
    ops = await desk.caller("ops")
    assert (await send(ops, readings(hours_ago(1), 5.0), source="manual"))["source"] == "manual"
    assert await excursions(desk) == [("open", None, 12.0)]
    for wrong in ("typed", 1, True, ["logger"]):
        body = {"readings": readings(hours_ago(1), 5.0), "source": wrong}
        refused = problem(await courier.post("/v1/readings", json=body), 422)
        assert refused["errors"][0]["field"] == "source"


async def test_a_read_out_and_the_buffer_after_it_are_one_record(desk: Desk, hours_ago: HoursAgo) -> None:
    """Numbers come with the second copy, and decimals as numbers of single precision: nothing is missing, nothing contradicts."""
    _, logger = await refrigerated(desk, hours_ago(6), rules={"logger_memory_gap": {"patience_s": 0}})
    plain = readings(hours_ago(5), *(4.0 + number / 10 for number in range(9)))
    numbers = numbered(plain)
    await send(logger, numbers[:3])
    await send(desk.admin, plain[:7])
    single = [one | {"temperature_c": 4.0 + number / 10 + 1e-7} for number, one in enumerate(numbers)]
    assert await send(logger, [numbers[8]]) | {"source": ""} == {
        "source": "",
        "accepted": 1,
        "duplicates": 0,
        "rejected": [],
    }
    await desk.told_in_time()
    await desk.evaluate()
    kinds = [one["kind"] for one in await desk.items("/v1/alerts", state="firing")]
    assert "logger_memory_gap" in kinds
    assert await send(logger, single[:7]) | {"source": ""} == {
        "source": "",
        "accepted": 0,
        "duplicates": 7,
        "rejected": [],
    }
    # The last one is refused; with that it has come, and the alert ends.
    message = RawMessage(
        Source.MQTT,
        f"dewar/v1/{DEVICE}/readings",
        b'{"measured_at": "2026-13-01T00:00:00Z", "temperature_c": 4.7, "seq": 7, "boot": 1}',
        desk.services.clock(),
    )
    outcome = await desk.services.ingest.store([message])
    assert len(outcome.messages[0].refusals) == 1
    await desk.evaluate()
    assert "logger_memory_gap" not in [one["kind"] for one in await desk.items("/v1/alerts", state="firing")]
    trace = await desk.items("/v1/shipments/S1/readings")
    assert [one.get("seq") for one in trace] == [0, 1, 2, 3, 4, 5, 6, 8]
    assert [one["temperature_c"] for one in trace[:7]] == [one["temperature_c"] for one in plain[:7]]


async def test_what_no_payload_has_and_what_is_no_place_are_marked(desk: Desk, hours_ago: HoursAgo) -> None:
    _, logger = await refrigerated(desk, hours_ago(3))
    sent = readings(hours_ago(2), 5.0, 85.0, 5.2, lat=0.0, lon=0.0)
    await send(logger, sent)
    assert await excursions(desk) == []
    figures = await summary(desk)
    assert (figures["readings"], figures["disowned_readings"], figures["max_c"]) == (3, 1, 5.2)
    assert figures["mkt_c"] < 6
    trace = await desk.items("/v1/shipments/S1/readings")
    assert [one.get("disowned") for one in trace] == [None, True, None]
    assert [one.get("no_fix") for one in trace] == [True, True, True]
    assert "probe_fault" in [one["kind"] for one in await desk.items("/v1/alerts")]
    device = (await desk.admin.get("/v1/shipments/S1")).json()["devices"][0]
    assert device["position"] is None


async def test_what_was_typed_of_a_time_ahead_does_not_change_hands(desk: Desk, hours_ago: HoursAgo) -> None:
    courier, _ = await refrigerated(desk, hours_ago(2))
    ahead = datetime.now(UTC) + timedelta(seconds=20)
    assert (await send(courier, readings(ahead, 5.0)))["accepted"] == 1
    delivered = await desk.admin.post("/v1/shipments/S1/deliver", json={"at": text(datetime.now(UTC))})
    assert delivered.status_code == 200, delivered.text
    now = text(datetime.now(UTC))
    await desk.ship(
        "S2", DEVICE, organization="bcell", band="refrigerated", manual_only=True, departed_at=now
    )
    assert await desk.items("/v1/shipments/S2/readings") == []
    assert len(await desk.items("/v1/rejected", reason="not_yours")) == 1
