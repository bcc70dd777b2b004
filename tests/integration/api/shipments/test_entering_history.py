"""A journey of the past that is entered step by step, at any speed, raises nothing that is only about now."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.integration.api.conftest import Desk, text

HoursAgo = Callable[[float], datetime]


async def raised(desk: Desk) -> list[str]:
    await desk.evaluate()
    return sorted(one["kind"] for one in await desk.items("/v1/alerts"))


async def planned(desk: Desk, hours_ago: HoursAgo, **fields: Any) -> None:
    """A shipment that has long been delivered, of which only the plan has been entered so far."""
    await desk.admin.post("/v1/dewars", json={"dewar_id": "DW-1", "hold_time_h": 24})
    await desk.ship(
        "S1",
        dewar_id="DW-1",
        planned_departure=text(hours_ago(60)),
        planned_arrival=text(hours_ago(40)),
        packed_out_at=text(hours_ago(61)),
        **fields,
    )
    charged = await desk.admin.post("/v1/dewars/DW-1/charge", json={"at": text(hours_ago(61))})
    assert charged.is_success, charged.text


async def step(desk: Desk, what: str, at: datetime) -> None:
    done = await desk.admin.post(
        f"/v1/shipments/S1/{what}", json={"at": text(at), "reason": "entered from the paper record"}
    )
    assert done.status_code == 200, done.text


@pytest.mark.parametrize("with_readings", [False, True])
async def test_it_is_silent_from_the_plan_to_the_delivery(
    desk: Desk, hours_ago: HoursAgo, *, with_readings: bool
) -> None:
    await planned(desk, hours_ago)
    assert await raised(desk) == []
    await step(desk, "depart", hours_ago(60))
    assert await raised(desk) == []
    if with_readings:
        await desk.store("S1-logger", *((hours_ago(60 - n / 2), -180.0) for n in range(20)))
        assert await raised(desk) == []
    await step(desk, "deliver", hours_ago(41))
    assert await raised(desk) == []
    assert (await desk.admin.get("/v1/shipments/S1/summary")).json()["pending"] is False


async def test_once_nothing_more_is_entered_it_is_taken_to_be_under_way(
    desk: Desk, hours_ago: HoursAgo
) -> None:
    await planned(desk, hours_ago)
    await step(desk, "depart", hours_ago(60))
    assert await raised(desk) == []
    due = await desk.pool.fetchval("SELECT evaluate_at - clock_timestamp() FROM evaluations")
    assert timedelta(minutes=29) < due <= timedelta(minutes=30)
    await told_earlier(desk, timedelta(minutes=31))
    assert await raised(desk) == ["hold_time_short", "late", "signal_lost"]


async def test_a_reading_measured_since_shows_that_it_is_under_way(desk: Desk, hours_ago: HoursAgo) -> None:
    await planned(desk, hours_ago)
    await step(desk, "depart", hours_ago(60))
    await told_earlier(desk, timedelta(minutes=10))
    await desk.store("S1-logger", (hours_ago(1 / 60), -180.0))
    assert await raised(desk) == ["hold_time_short", "late"]


async def test_a_departure_told_late_does_not_miss_a_logger_at_once(desk: Desk, hours_ago: HoursAgo) -> None:
    await desk.ship("S1")
    await desk.pool.execute("UPDATE shipments SET created_at = $1", hours_ago(9))
    await step(desk, "depart", hours_ago(2))
    assert await raised(desk) == []
    await told_earlier(desk, timedelta(minutes=31))
    assert await raised(desk) == ["signal_lost"]


async def test_excursions_of_the_past_are_told_all_the_same(desk: Desk, hours_ago: HoursAgo) -> None:
    await planned(desk, hours_ago)
    await step(desk, "depart", hours_ago(60))
    await desk.store("S1-logger", (hours_ago(50), -120.0), (hours_ago(49), -180.0))
    assert await raised(desk) == ["excursion"]


async def told_earlier(desk: Desk, length: timedelta) -> None:
    """Lets time go by since the departure was told."""
    async with desk.pool.acquire() as connection, connection.transaction():
        await connection.execute("ALTER TABLE shipment_revisions DISABLE TRIGGER USER")
        await connection.execute(
            "UPDATE shipment_revisions SET recorded_at = recorded_at - $1::interval", length
        )
        await connection.execute("ALTER TABLE shipment_revisions ENABLE TRIGGER USER")
        await connection.execute("UPDATE shipments SET created_at = created_at - $1::interval", length)
        await connection.execute("UPDATE evaluations SET evaluate_at = now()")
