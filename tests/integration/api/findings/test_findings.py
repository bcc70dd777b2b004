"""Excursions, alerts and figures, from the readings in to the answers out, held against the oracle."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from simulators.truth.oracle import TruePlan, TrueReading, true_excursions, true_summary
from tests.integration.api.conftest import Desk, problem, text

HoursAgo = Callable[[float], datetime]

TRACE = [*[-180.0] * 5, *[-140.0] * 3, -120.0, *[-170.0] * 5, *[-149.0] * 4, *[-180.0] * 5, *[-130.0] * 3]


def trace(start: datetime, celsius: list[float] = TRACE) -> list[tuple[datetime, float | None]]:
    return [(start + timedelta(minutes=10 * n), value) for n, value in enumerate(celsius)]


def true_plan(departed_at: datetime, delivered_at: datetime | None = None, **limits: Any) -> TruePlan:
    plan = {
        "lower_c": None,
        "upper_c": -150.0,
        "critical_low_c": None,
        "critical_high_c": -135.0,
        "deadband_c": 0.5,
        "on_delay_s": 0.0,
        "budget_s": None,
        "max_gap_s": 1800.0,
    }
    return TruePlan(departed_at=departed_at, delivered_at=delivered_at, **{**plan, **limits})


async def shipped(desk: Desk, hours_ago: HoursAgo, **fields: Any) -> list[tuple[datetime, float | None]]:
    await desk.ship("S1", departed_at=text(hours_ago(6)), **fields)
    await desk.told_in_time()
    readings = trace(hours_ago(5))
    await desk.store("S1-logger", *readings)
    await desk.evaluate()
    return readings


def at(item: Any) -> datetime | None:
    return None if item is None else datetime.fromisoformat(item)


async def test_excursions_are_the_oracles(desk: Desk, hours_ago: HoursAgo) -> None:
    readings = await shipped(desk, hours_ago, organization="acme")
    expected = true_excursions(
        true_plan(hours_ago(6)), [TrueReading(when, celsius) for when, celsius in readings], datetime.now(UTC)
    )
    listed = await desk.items("/v1/shipments/S1/excursions")
    found = [
        (item["side"], at(item["start"]), at(item["end"]), item["ended_by"], item["peak_c"], item["severity"])
        for item in reversed(listed)
    ]
    assert found == [(e.side, e.start, e.end, e.ended_by, e.peak_c, e.severity) for e in expected]
    assert len(found) == 3
    assert await desk.items("/v1/excursions") == listed
    assert all(item["organization"] == "acme" and item["revision"] >= 1 for item in listed)
    expected_counts: list[tuple[dict[str, Any], int]] = [
        ({"state": "open"}, 1),
        ({"state": ["open", "closed"]}, 3),
        ({"state": "withdrawn"}, 0),
        ({"severity": "critical"}, 2),
        ({"shipment_id": "S1", "device_id": "S1-logger"}, 3),
        ({"shipment_id": "S2"}, 0),
    ]
    for params, count in expected_counts:
        assert len(await desk.items("/v1/excursions", **params)) == count, params
    shown = (await desk.admin.get("/v1/shipments/S1")).json()
    assert (shown["open_excursions"], shown["worst_severity"], shown["health"]) == (1, "critical", "critical")


async def test_every_revision_stays_on_record(desk: Desk, hours_ago: HoursAgo) -> None:
    await shipped(desk, hours_ago)
    latest = (await desk.items("/v1/excursions"))[0]
    assert latest["end"] is None
    late = (hours_ago(5) + timedelta(minutes=10 * len(TRACE) + 5), -180.0)
    await desk.store("S1-logger", late)
    await desk.evaluate()
    whole = (await desk.admin.get(f"/v1/excursions/{latest['id']}")).json()
    assert at(whole["end"]) == late[0]
    assert whole["state"] == "closed"
    assert [revision["revision"] for revision in whole["revisions"]] == list(range(1, whole["revision"] + 1))
    assert whole["revisions"][0]["state"] == "open"
    assert whole["revisions"][-1]["end"] == whole["end"]
    assert all(revision["reason"] for revision in whole["revisions"])


async def test_the_summary_is_the_oracles(desk: Desk, hours_ago: HoursAgo) -> None:
    readings = await shipped(desk, hours_ago, budget_s=3600)
    delivered_at = hours_ago(0.5)
    arrived = {"at": text(delivered_at), "reason": "It arrived then, and lasts beyond it."}
    assert (await desk.admin.post("/v1/shipments/S1/deliver", json=arrived)).status_code == 200

    async def check(*, pending: bool) -> None:
        summary = (await desk.admin.get("/v1/shipments/S1/summary")).json()
        expected = true_summary(
            true_plan(hours_ago(6), delivered_at, budget_s=3600.0),
            [TrueReading(when, celsius) for when, celsius in readings],
            datetime.now(UTC),
        )
        (device,) = summary["devices"]
        assert summary["worst"] == device
        assert summary["pending"] is device["pending"] is pending
        assert at(summary["evaluated_through"]) == delivered_at
        assert at(device["last_measured_at"]) == readings[-1][0]
        for name in ("in_range", "out_of_range", "unobserved", "budget_used"):
            assert round(device[f"{name}_s"] * 1_000_000) == getattr(expected, f"{name}_us"), name
        assert device["in_range_s"] + device["out_of_range_s"] + device["unobserved_s"] == 5.5 * 3600
        assert at(device["budget_exhausted_at"]) == expected.budget_exhausted_at
        assert (device["min_c"], device["max_c"]) == (expected.min_c, expected.max_c)
        assert device["mean_c"] == pytest.approx(expected.mean_c)
        assert device["readings"] == len(readings)
        assert device["mkt_c"] is None

    await check(pending=True)
    await desk.evaluate()
    await check(pending=False)
    await desk.pool.execute("DELETE FROM evaluation_states")  # losing it costs time, never correctness
    await check(pending=False)
    await desk.pool.execute("UPDATE evaluations SET failures = 1")  # its marks are gone, and were for nothing
    await check(pending=True)


async def test_mean_kinetic_temperature_where_it_has_a_meaning(desk: Desk, hours_ago: HoursAgo) -> None:
    await desk.ship("S1", band="controlled", departed_at=text(hours_ago(2)))
    readings = trace(hours_ago(2), [20.0, 22.0, 24.5, 21.0])
    await desk.store("S1-logger", *readings)
    await desk.evaluate()
    await desk.admin.post("/v1/shipments/S1/deliver", json={"at": text(hours_ago(1))})
    (device,) = (await desk.admin.get("/v1/shipments/S1/summary")).json()["devices"]
    limits = {"lower_c": 2.0, "upper_c": 25.0, "critical_low_c": 0.0, "critical_high_c": 40.0}
    expected = true_summary(
        true_plan(hours_ago(2), hours_ago(1), **limits),
        [TrueReading(when, celsius) for when, celsius in readings],
        datetime.now(UTC),
    )
    assert device["mkt_c"] == pytest.approx(expected.mkt_c)


async def test_the_worst_of_several_loggers(desk: Desk, hours_ago: HoursAgo) -> None:
    await desk.device("D1", "D2")
    await desk.ship("S1", "D1", "D2", departed_at=text(hours_ago(5)))
    await desk.store("D1", *trace(hours_ago(5), [-180.0] * 30))
    await desk.store("D2", *trace(hours_ago(5), [-180.0, -140.0, -180.0]))
    summary = (await desk.admin.get("/v1/shipments/S1/summary")).json()
    assert [device["device_id"] for device in summary["devices"]] == ["D1", "D2"]
    assert summary["worst"]["device_id"] == "D2"


async def test_before_departure_there_is_nothing_to_sum_up(desk: Desk) -> None:
    await desk.ship("S1")
    summary = (await desk.admin.get("/v1/shipments/S1/summary")).json()
    assert summary["devices"] == []
    assert summary["worst"] is summary["evaluated_through"] is None


async def test_an_alert_is_taken_once_and_everybody_is_told(desk: Desk, hours_ago: HoursAgo) -> None:
    await shipped(desk, hours_ago, organization="acme")
    firing = await desk.items("/v1/alerts", state="firing")
    (alert,) = [item for item in firing if item["kind"] == "excursion"]
    assert alert["severity"] == "critical"
    assert alert["message"].startswith("Payload above")
    ops = await desk.caller("ops")
    taken = (await ops.post(f"/v1/alerts/{alert['id']}/acknowledge")).json()
    assert taken["state"] == "acknowledged"
    assert taken["acknowledged_by"].startswith("key:dw_")
    assert taken["revision"] == alert["revision"] + 1
    assert [revision["state"] for revision in taken["revisions"]][-2:] == ["firing", "acknowledged"]
    assert (await desk.admin.post(f"/v1/alerts/{alert['id']}/acknowledge")).json() == taken
    assert (await desk.admin.get(f"/v1/alerts/{alert['id']}")).json() == taken
    events = await desk.pool.fetch("SELECT * FROM outbox WHERE type = 'alert.acknowledged'")
    assert len(events) == 1
    assert (events[0]["shipment_id"], events[0]["organization"]) == ("acme/S1", "acme")
    await desk.evaluate()
    assert (await desk.admin.get(f"/v1/alerts/{alert['id']}")).json() == taken


async def test_who_may_take_which_alert(desk: Desk, hours_ago: HoursAgo) -> None:
    await shipped(desk, hours_ago, organization="acme")
    (alert,) = await desk.items("/v1/alerts", state="firing", kind="excursion")
    other = await desk.caller("ops", organization="bcell")
    problem(await other.post(f"/v1/alerts/{alert['id']}/acknowledge"), 404)
    problem(await other.get(f"/v1/alerts/{alert['id']}"), 404)
    assert await desk.items("/v1/alerts", other) == await desk.items("/v1/excursions", other) == []
    viewer = await desk.caller("viewer", organization="acme")
    seen = [alert["kind"] for alert in await desk.items("/v1/alerts", viewer)]
    assert sorted(seen) == ["excursion"] * 3 + ["signal_lost"]
    problem(await viewer.post(f"/v1/alerts/{alert['id']}/acknowledge"), 403)
    (resolved, _) = await desk.items("/v1/alerts", state="resolved", kind="excursion")
    seen = (await desk.admin.post(f"/v1/alerts/{resolved['id']}/acknowledge")).json()
    assert (seen["state"], seen["needs_attention"]) == ("resolved", False)


async def test_health_follows_the_worst_that_goes_on(desk: Desk, hours_ago: HoursAgo) -> None:
    async def health() -> str:
        return str((await desk.admin.get("/v1/shipments/S1")).json()["health"])

    await desk.ship("S1", departed_at=text(hours_ago(2)))
    await desk.told_in_time()
    course = ((0, -180, "no_signal"), (10, -140, "warning"), (20, -130, "critical"))
    for minutes, celsius, expected in course:
        await desk.store("S1-logger", (hours_ago(1) + timedelta(minutes=minutes), celsius))
        await desk.evaluate()
        assert await health() == expected
    await desk.store("S1-logger", (hours_ago(0.4), -180))
    await desk.evaluate()
    assert await health() == "had_excursion"
    assert await desk.items("/v1/shipments", health="normal") == []
    assert (await desk.items("/v1/shipments", health="had_excursion"))[0]["worst_severity"] == "critical"
    await desk.admin.post("/v1/shipments/S1/deliver", json={"at": text(hours_ago(0.2))})
    await desk.evaluate()
    assert await health() == "had_excursion"
