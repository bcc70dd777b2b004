"""Readings stop from much of the fleet: one alert for all of it, and single ones only for who stays silent after it."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from alerts.evaluation.fleet_outage import hear_fleet
from tests.integration.api.conftest import Desk, problem, text

HoursAgo = Callable[[float], datetime]
LOGGERS = 24


async def under_way(desk: Desk, departed_at: datetime, heard_at: datetime) -> list[str]:
    """So many shipments of two organizations, each with a logger that was heard last at an instant."""
    loggers = [f"L{n:02}" for n in range(LOGGERS)]
    for n, logger in enumerate(loggers):
        await desk.device(logger)
        organization = "acme" if n % 2 else "bcell"
        await desk.ship(f"S{n:02}", logger, organization=organization, departed_at=text(departed_at))
        await desk.store(logger, (heard_at, -190.0))
    await desk.told_in_time()
    return loggers


async def look_again(desk: Desk) -> None:
    await desk.pool.execute("UPDATE evaluations SET evaluate_at = now()")
    await desk.evaluate()


@pytest.mark.parametrize(
    "ended", ["- interval '11 minutes'", "+ interval '1 hour'"], ids=["past", "by a clock ahead"]
)
async def test_an_outage_is_one_alert_and_who_stays_silent_after_it_is_told_of(
    desk: Desk, hours_ago: HoursAgo, ended: str
) -> None:
    loggers = await under_way(desk, hours_ago(3), hours_ago(1))
    heard = await asyncio.gather(*(hear_fleet(desk.pool) for _ in range(4)))  # several evaluators
    assert next((h.live, h.silent, h.shipments) for h in heard if h) == (LOGGERS, LOGGERS, LOGGERS)
    await desk.evaluate()
    [alert] = await desk.items("/v1/alerts")
    assert (alert["kind"], alert["severity"], alert["state"]) == ("signal_lost", "critical", "firing")
    assert (alert["shipment_id"], alert["device_id"], alert["organization"]) == (None, None, None)
    assert datetime.fromisoformat(alert["since"]) == hours_ago(1)
    assert alert["details"]["shipments"] == LOGGERS
    told = await desk.pool.fetch("SELECT type, shipment_id FROM outbox WHERE type LIKE 'alert.%'")
    assert [tuple(row) for row in told] == [("alert.firing", None)]
    # No shipment looks safe meanwhile.
    shown = await desk.items("/v1/shipments", limit=100)
    assert {shipment["health"] for shipment in shown} == {"no_signal"}
    assert len(await desk.items("/v1/shipments", limit=100, health="no_signal")) == LOGGERS

    again = await hear_fleet(desk.pool)
    assert again is not None
    [same] = await desk.items("/v1/alerts")
    assert same == alert

    for logger in loggers[4:]:
        await desk.store(logger, (datetime.now(hours_ago(0).tzinfo), -190.0))
    await desk.evaluate()
    await hear_fleet(desk.pool)
    await look_again(desk)
    [over] = await desk.items("/v1/alerts")
    assert (over["id"], over["state"]) == (alert["id"], "resolved")
    healths = {shipment["shipment_id"]: shipment["health"] for shipment in await desk.items("/v1/shipments")}
    assert [id_ for id_, health in sorted(healths.items()) if health == "no_signal"] == [
        "S00",
        "S01",
        "S02",
        "S03",
    ]

    await desk.pool.execute(f"UPDATE alerts SET until = until {ended}")
    await look_again(desk)
    singles = await desk.items("/v1/alerts", state="firing")
    assert sorted(one["shipment_id"] for one in singles) == ["S00", "S01", "S02", "S03"]
    assert {datetime.fromisoformat(one["since"]) for one in singles} == {hours_ago(1) + timedelta(minutes=30)}


async def test_only_those_who_operate_the_fleet_hear_of_it(desk: Desk, hours_ago: HoursAgo) -> None:
    await under_way(desk, hours_ago(3), hours_ago(1))
    await hear_fleet(desk.pool)
    [alert] = await desk.items("/v1/alerts")
    one = f"/v1/alerts/{alert['id']}"
    for role in ("ops", "qa"):
        caller = await desk.caller(role)
        assert [a["id"] for a in await desk.items("/v1/alerts", caller)] == [alert["id"]]
        assert (await caller.get(one)).status_code == 200
    for role, bounds in (("ops", {"organization": "acme"}), ("partner", {"organization": "acme"})):
        caller = await desk.caller(role, **bounds)
        assert await desk.items("/v1/alerts", caller) == []
        problem(await caller.get(one), 404)
    ops = await desk.caller("ops")
    taken = await ops.post(f"{one}/acknowledge")
    assert (taken.status_code, taken.json()["state"]) == (200, "acknowledged")
    then = await desk.items("/v1/alerts", as_of=alert["raised_at"])
    assert [(a["id"], a["state"], a["details"]) for a in then] == [(alert["id"], "firing", alert["details"])]


async def test_it_is_known_before_the_first_logger_would_be_told_of_by_itself(
    desk: Desk, hours_ago: HoursAgo
) -> None:
    await under_way(desk, hours_ago(3), hours_ago(20 / 60))
    await desk.evaluate()
    assert await desk.items("/v1/alerts") == []
    await hear_fleet(desk.pool)
    [alert] = await desk.items("/v1/alerts")
    assert alert["shipment_id"] is None


async def test_loggers_that_announced_silence_or_were_silent_all_day_are_no_outage(
    desk: Desk, hours_ago: HoursAgo
) -> None:
    loggers = await under_way(desk, hours_ago(30), hours_ago(1))
    flying, dead = loggers[:12], loggers[12:]
    await desk.pool.execute(
        "UPDATE device_states SET flight_mode_until = now() + interval '2 hours' WHERE device_id = ANY($1::text[])",
        flying,
    )
    await desk.pool.execute(
        "UPDATE device_states SET measured_at = $2 WHERE device_id = ANY($1::text[])", dead, hours_ago(25)
    )
    hearing = await hear_fleet(desk.pool)
    assert hearing is not None
    assert (hearing.live, hearing.silent) == (0, 0)
    assert await desk.items("/v1/alerts") == []


async def test_drills_and_who_has_just_landed_are_no_outage(desk: Desk, hours_ago: HoursAgo) -> None:
    loggers = await under_way(desk, hours_ago(3), hours_ago(2))
    await desk.pool.execute(
        "UPDATE device_states SET flight_mode_until = $2 WHERE device_id = ANY($1)",
        loggers[:12],
        hours_ago(0.5),
    )
    await desk.pool.execute(
        "UPDATE shipments SET drill = true WHERE split_part(shipment_id, '/', -1) >= 'S18'"
    )
    heard = await hear_fleet(desk.pool)
    assert heard is not None
    assert (heard.live, heard.silent) == (6, 6)
    # An hour after the announced landing they are missed.
    await desk.pool.execute(
        "UPDATE device_states SET flight_mode_until = $2 WHERE device_id = ANY($1)",
        loggers[:12],
        hours_ago(1.5),
    )
    heard = await hear_fleet(desk.pool)
    assert heard is not None
    assert (heard.live, heard.silent) == (18, 18)
    assert await desk.items("/v1/alerts") == []  # fewer than twenty
