"""Loggers whose clock is wrong: refused, told to the shipment by name, corrected on record, and put back as it was."""

import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from telemetry.corrections.certain import correct_certain
from tests.integration.api.conftest import Desk, problem, text

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
REASON = "Seen on its display at the hub"
HoursAgo = Callable[[float], datetime]


async def shipped(desk: Desk, departed_at: datetime, interval_s: float = 300) -> None:
    made = await desk.admin.post("/v1/devices", json={"device_id": "D1", "interval_s": interval_s})
    assert made.status_code == 201
    await desk.ship("S1", "D1", band="refrigerated", departed_at=text(departed_at))


async def sent(desk: Desk, *readings: tuple[Any, float]) -> list[str]:
    """Send readings by the times that the logger gives; return why some were refused."""
    body = [
        {
            "device_id": "D1",
            "measured_at": text(at) if isinstance(at, datetime) else at,
            "temperature_c": celsius,
        }
        for at, celsius in readings
    ]
    answer = await desk.admin.post("/v1/readings", json={"readings": body})
    assert answer.status_code == 200, answer.text
    await desk.evaluate()
    return [one["reason"] for one in answer.json()["rejected"]]


def every(minutes: float, first: datetime, count: int) -> list[datetime]:
    return [first + timedelta(minutes=minutes * n) for n in range(count)]


async def alerts(desk: Desk) -> dict[str, dict[str, Any]]:
    found = await desk.items("/v1/alerts", shipment_id="S1")
    return {one["kind"]: one for one in found}


async def peaks(desk: Desk) -> list[float]:
    found = await desk.items("/v1/shipments/S1/excursions")
    return [one["peak_c"] for one in found if one["state"] in {"open", "closed"}]


async def trace(desk: Desk, **params: Any) -> list[tuple[str, float]]:
    found = await desk.items("/v1/shipments/S1/readings", limit=500, **params)
    return [(one["measured_at"], one["temperature_c"]) for one in found]


async def correct(desk: Desk, **body: Any) -> dict[str, Any]:
    answer = await desk.admin.post("/v1/devices/D1/clock-corrections", json={"reason": REASON, **body})
    assert answer.status_code in {200, 201}, answer.text
    await desk.evaluate()
    return dict(answer.json())


async def test_seconds_for_milliseconds_are_told_and_the_excursion_in_them_is_found(
    desk: Desk, hours_ago: HoursAgo
) -> None:
    await shipped(desk, hours_ago(2))
    assert await sent(desk, *((at, 4.0) for at in every(5, hours_ago(2), 12))) == []
    warm = every(5, hours_ago(1), 11)
    assert set(await sent(desk, *((int(at.timestamp()), 12.0) for at in warm))) == {"clock_behind"}
    assert await desk.pool.fetchval("SELECT min(measured_at) FROM readings") == hours_ago(2)
    alert = (await alerts(desk))["readings_refused"]
    assert alert["state"] == "firing"
    assert alert["details"]["clock_fault"] == "seconds_for_milliseconds"
    assert "seconds since 1970" in alert["message"]
    assert (await desk.admin.get("/v1/devices/D1")).json()["health"] == "readings_refused"

    done: dict[Any, Any] = {}
    assert await correct_certain(desk.pool, done) == 1
    assert await correct_certain(desk.pool, done) == 0
    await desk.evaluate()
    assert await peaks(desk) == [12.0]
    assert [at for at, _ in await trace(desk)][-1] == text(warm[-1]).replace("+00:00", "Z")
    (correction,) = await desk.items("/v1/devices/D1/clock-corrections")
    assert (correction["by"], correction["taken_up"], correction["left_out"]) == (
        "rule:readings_refused",
        11,
        0,
    )

    # What comes later of the same fault continues the correction, until somebody takes it back.
    assert await sent(desk, (int(hours_ago(0).timestamp()), 12.5)) == ["clock_behind"]
    assert await correct_certain(desk.pool, done) == 1
    (correction,) = await desk.items("/v1/devices/D1/clock-corrections")
    assert correction["taken_up"] == 12
    back = await desk.admin.post(
        f"/v1/devices/D1/clock-corrections/{correction['id']}/reverse", json={"reason": REASON}
    )
    assert back.status_code == 200, back.text
    await desk.evaluate()
    assert await peaks(desk) == []
    assert len(await trace(desk)) == 12
    assert await sent(desk, (int(hours_ago(0.01).timestamp()), 12.5)) == ["clock_behind"]
    assert await correct_certain(desk.pool, done) == 0


async def test_a_clock_that_was_reset_is_corrected_by_people_and_that_is_taken_back(
    desk: Desk, hours_ago: HoursAgo
) -> None:
    await shipped(desk, hours_ago(2))
    good = every(5, hours_ago(2), 12)
    await sent(desk, *((at, 4.0) for at in good))
    reset = every(5, datetime(2000, 1, 1, tzinfo=UTC), 12)
    assert set(await sent(desk, *((at, 11.0) for at in reset))) == {"clock_behind"}
    alert = (await alerts(desk))["readings_refused"]
    assert alert["details"]["clock_fault"] == "reset"
    assert "Some of them are above 8 °C" in alert["message"]
    assert await correct_certain(desk.pool, {}) == 0
    before, then = await trace(desk), datetime.now(UTC)
    offset_s = (hours_ago(1) - reset[0]).total_seconds()
    stretch = {"measured_from": text(reset[0]), "measured_until": text(reset[-1] + timedelta(minutes=1))}
    correction = await correct(desk, offset_s=offset_s, **stretch)
    assert (correction["taken_up"], correction["moved"], correction["left_out"]) == (12, 0, 0)
    after = await trace(desk)
    assert after[:12] == before
    assert [one for _, one in after[12:]] == [11.0] * 12
    assert await peaks(desk) == [11.0]
    assert await trace(desk, as_of=text(then)) == before
    (*_, last) = await desk.items("/v1/shipments/S1/readings", limit=500)
    assert last["sent_at"] == text(reset[-1]).replace("+00:00", "Z")
    assert last["clock_correction_id"] == correction["id"]

    again = await correct(desk, offset_s=offset_s, **stretch)
    assert again["id"] == correction["id"]
    for _ in range(2):
        back = await desk.admin.post(
            f"/v1/devices/D1/clock-corrections/{correction['id']}/reverse", json={"reason": REASON}
        )
        assert back.status_code == 200, back.text
        assert back.json()["reversed_reason"] == REASON
        await desk.evaluate()
        assert await trace(desk) == before
        assert await peaks(desk) == []
    assert await trace(desk, as_of=text(datetime.now(UTC))) == before
    known = datetime.fromisoformat(correction["recorded_at"]) + timedelta(milliseconds=1)
    assert await trace(desk, as_of=text(known)) == after
    assert await trace(desk, as_of=text(known), points=100) == after


async def test_a_repeated_hour_is_a_clock_fault_and_one_correction_sets_all_of_it_right(
    desk: Desk, hours_ago: HoursAgo
) -> None:
    await shipped(desk, hours_ago(5))
    first = every(5, hours_ago(4), 12)
    await sent(desk, *((at, 4.0) for at in first))
    since = datetime.now(UTC)
    # The clock was set back by an hour: it measures the same hour again, and then goes on, an hour behind.
    assert await sent(desk, *((at, 14.0) for at in first)) == ["conflict"] * 12
    assert await sent(desk, *((at, 5.0) for at in every(5, hours_ago(3), 12))) == []
    alert = (await alerts(desk))["readings_refused"]
    assert alert["details"]["clock_fault"] == "hour_repeated"
    before, known = await trace(desk), datetime.now(UTC)
    correction = await correct(desk, offset_s=3600, received_from=text(since))
    assert (correction["taken_up"], correction["moved"], correction["left_out"]) == (12, 12, 0)
    assert [celsius for _, celsius in await trace(desk)] == [4.0] * 12 + [14.0] * 12 + [5.0] * 12
    assert await peaks(desk) == [14.0]
    assert await trace(desk, as_of=text(known)) == before
    after, corrected_by = await trace(desk), datetime.now(UTC)
    back = await desk.admin.post(
        f"/v1/devices/D1/clock-corrections/{correction['id']}/reverse", json={"reason": REASON}
    )
    assert back.status_code == 200
    await desk.evaluate()
    assert await trace(desk) == before
    assert await peaks(desk) == []
    assert await trace(desk, as_of=text(corrected_by)) == after
    # What an act takes away stays in sight with it.
    (gone,) = await desk.items("/v1/shipments/S1/excursions", state="withdrawn")
    assert (gone["act"]["step"], gone["act"]["reason"]) == ("clock_corrected", REASON)
    steps = [one["step"] for one in await desk.items("/v1/shipments/S1/revisions")]
    assert steps[-2:] == ["clock_corrected", "clock_corrected"]
    assert await trace(desk, as_of=text(known)) == before


async def test_what_a_correction_cannot_say(desk: Desk, hours_ago: HoursAgo) -> None:
    await shipped(desk, hours_ago(3))
    await sent(desk, *((at, 4.0) for at in every(5, hours_ago(2), 3)))
    stretch = {"measured_from": text(hours_ago(2)), "measured_until": text(hours_ago(1.9))}
    cases: Sequence[tuple[dict[str, Any], int]] = [
        ({"offset_s": 300, **stretch}, 409),  # on the third, which is not of the stretch
        ({"offset_s": 86_400, **stretch}, 422),
        ({"offset_s": 0, **stretch}, 422),
        ({"offset_s": 60, "measured_from": text(hours_ago(9)), "measured_until": text(hours_ago(8))}, 409),
        ({"offset_s": 60, "measured_from": text(hours_ago(1)), "measured_until": text(hours_ago(2))}, 422),
        ({"offset_s": 60}, 422),
        (stretch, 422),
        ({"offset_s": 60, **stretch, "reason": "x"}, 422),
    ]
    await sent(desk, (hours_ago(2) + timedelta(minutes=10), 4.0))
    await desk.pool.execute(
        "UPDATE readings SET temperature_c = 5 WHERE measured_at = $1", hours_ago(2) + timedelta(minutes=10)
    )
    for body, status in cases:
        answer = await desk.admin.post("/v1/devices/D1/clock-corrections", json={"reason": REASON, **body})
        problem(answer, status)
    assert len(await trace(desk)) == 3
    assert await desk.items("/v1/devices/D1/clock-corrections") == []


async def test_honest_history_is_stored_whichever_comes_first(desk: Desk, hours_ago: HoursAgo) -> None:
    made = await desk.admin.post("/v1/devices", json={"device_id": "D1"})
    assert made.status_code == 201
    last_month = every(30, hours_ago(24 * 40), 10)
    assert await sent(desk, *((at, 4.0) for at in last_month)) == []
    long_ago = every(30, hours_ago(24 * 700), 10)
    assert set(await sent(desk, *((at, 4.0) for at in long_ago))) == {"clock_behind"}
    await desk.ship("S1", "D1", band="refrigerated", departed_at=text(long_ago[1]))
    assert await sent(desk, *((at, 4.0) for at in long_ago)) == []
    assert len(await trace(desk)) == 19


async def test_history_that_was_refused_before_its_shipment_was_entered_is_taken_up(
    desk: Desk, hours_ago: HoursAgo
) -> None:
    assert (await desk.admin.post("/v1/devices", json={"device_id": "D1"})).status_code == 201
    long_ago = every(30, hours_ago(24 * 700), 10)
    assert set(await sent(desk, *((at, 9.0) for at in long_ago))) == {"clock_behind"}
    await desk.ship("S1", "D1", band="refrigerated", departed_at=text(long_ago[0]))
    await correct(desk, offset_s=0, of_which="refused", measured_from=text(long_ago[0]))
    assert await peaks(desk) == [9.0]


async def test_random_dates_of_a_dead_clock_are_no_readings(desk: Desk, hours_ago: HoursAgo) -> None:
    await shipped(desk, hours_ago(1))
    await sent(desk, (hours_ago(0.5), 4.0))
    chance = random.Random(1)
    ends = (hours_ago(24 * 365) - EPOCH).total_seconds()
    dates = [EPOCH + timedelta(seconds=chance.uniform(1, ends)) for _ in range(1000)]
    refused = await sent(desk, *((at, 4.0) for at in dates))
    assert refused == ["clock_behind"] * 1000
    assert await desk.pool.fetchval("SELECT count(*) FROM readings") == 1
    assert await desk.pool.fetchval("SELECT count(*) FROM refusals WHERE message_id IS NOT NULL") == 1000
    assert (await alerts(desk))["readings_refused"]["details"]["clock_fault"] == "scattered"
    assert len(await trace(desk)) == 1


async def test_a_logger_that_is_refused_is_not_called_silent(desk: Desk, hours_ago: HoursAgo) -> None:
    await shipped(desk, hours_ago(6))
    await desk.told_in_time()
    await sent(desk, (hours_ago(3), 4.0))
    assert "signal_lost" in await alerts(desk)
    assert set(await sent(desk, *((at, 4.0) for at in every(5, datetime(2000, 1, 1, tzinfo=UTC), 3)))) == {
        "clock_behind"
    }
    found = await alerts(desk)
    assert found["readings_refused"]["state"] == "firing"
    assert found["signal_lost"]["state"] == "resolved"
    assert found["signal_lost"]["until"] is not None
    assert (await desk.admin.get("/v1/shipments/S1")).json()["health"] == "warning"


@pytest.mark.parametrize("role", ["courier", "partner", "viewer"])
async def test_whose_clock_it_is_is_for_the_operator_to_say(
    desk: Desk, hours_ago: HoursAgo, role: str
) -> None:
    await desk.ship("S1", departed_at=text(hours_ago(1)), organization="acme")
    bounds = {"shipment_ids": ["S1"]} if role == "courier" else {}
    caller = await desk.caller(role, organization="acme", **bounds)
    answer = await caller.post(
        "/v1/devices/S1-logger/clock-corrections",
        json={"reason": REASON, "offset_s": 60, "measured_from": text(hours_ago(1))},
    )
    problem(answer, 403)
