"""The truth file."""

from datetime import datetime, timedelta

import orjson

from simulators.fleet.truth_file import truth_of
from simulators.instants import moment


def test_of_the_demo(fleet_in):
    fleet = fleet_in("demo", size=6)
    start_ms = fleet.clock.start_ms
    truth = truth_of(fleet, start_ms, start_ms + 60_000)
    first = truth["shipments"][0]
    assert truth["evaluated_at"] == "2026-03-01T08:01:00.000Z"
    assert first["device_id"] == "SIM-1-0001"
    assert first["delivered_at"] is None
    assert first["plan"]["max_gap_s"] == 30
    assert first["readings"] == 61
    (excursion,) = first["excursions"]
    assert abs(datetime.fromisoformat(excursion["start"]) - moment(start_ms + 22_000)) <= timedelta(
        milliseconds=9
    )
    assert (excursion["side"], excursion["ended_by"]) == ("high", "recovery")
    assert excursion["start"] < excursion["end"] < truth["evaluated_at"]


def test_what_has_not_departed_is_left_out(fleet_in):
    fleet = fleet_in("demo", size=24)
    assert truth_of(fleet, fleet.clock.start_ms, fleet.clock.start_ms + 4_000)["shipments"] == []


def test_the_same_seed_gives_the_same_bytes(fleet_in):
    one, two = (
        orjson.dumps(truth_of(fleet_in("demo", size=6, waves=True), 0, fleet_in().clock.start_ms + 2_400_000))
        for _ in range(2)
    )
    assert one == two
    assert one.count(b'"ended_by":"recovery"') > 2
