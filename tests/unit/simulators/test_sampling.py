"""Readings as they are sent, at any time the same."""

from datetime import datetime

import orjson
import pytest

from simulators.clock import milliseconds
from simulators.lanes import Place, distance_km, leg_at
from simulators.sampling import journey_s, measured_ms, payload, reading, taken_by, true_readings


def test_the_same_seed_gives_the_same_bytes(fleet_in):
    one, two = (next(fleet_in("demo", seed=3).journeys(1)) for _ in range(2))
    assert payload(one, list(range(one.readings))) == payload(two, list(range(two.readings)))


def test_any_window_gives_the_same_readings(journey):
    everything = orjson.loads(payload(journey, list(range(journey.readings))))
    assert orjson.loads(payload(journey, list(range(300, 320)))) == everything[300:320]
    assert orjson.loads(payload(journey, [300])) == everything[300]


def test_a_reading(journey):
    sent = reading(journey, 5)
    assert sent["seq"] == 5
    assert milliseconds(datetime.fromisoformat(sent["measured_at"])) == measured_ms(journey, 5)
    assert sent["boot"] == journey.boot
    assert sent["temperature_c"] == round(sent["temperature_c"], 1)
    assert "probe_ok" not in sent
    assert sent["lid_open"] is False


def test_a_dead_probe_sends_no_temperature(fleet_in):
    (journey,) = fleet_in("dead-probe").journeys(0)
    sent = reading(journey, journey.readings - 1)
    assert sent["probe_ok"] is False
    assert "temperature_c" not in sent


def test_readings_are_counted_to_the_millisecond(journey):
    assert taken_by(journey, journey.on_ms - 1) == 0
    for seq in (0, 1, 2, 77, journey.readings - 1):
        assert taken_by(journey, measured_ms(journey, seq) - 1) == seq
        assert taken_by(journey, measured_ms(journey, seq)) == seq + 1
    assert taken_by(journey, journey.off_ms + 10**9) == journey.readings


@pytest.mark.parametrize("speed", [1, 7, 60, 3600])
def test_no_reading_has_the_time_of_another(fleet_in, speed):
    journey = next(fleet_in(speed=speed).journeys(1))
    times = [measured_ms(journey, seq) for seq in range(journey.readings)]
    assert len(set(times)) == len(times)
    assert times == sorted(times)


def test_positions_are_near_where_the_leg_is(fleet_in):
    for index in range(4):
        journey = next(fleet_in().journeys(index))
        for seq in range(0, journey.readings, 7):
            sent, at_s = reading(journey, seq), journey_s(journey, seq)
            leg = leg_at(journey.legs, at_s)
            off_km = distance_km(Place("", sent["lat"], sent["lon"]), Place("", *leg.position(at_s)))
            assert off_km * 1000 < 3 * sent["accuracy_m"]
            assert sent["accuracy_m"] < (130 if leg.stage == "flight" else 20)


def test_flight_mode_is_announced_before_take_off_and_until_landing(journey):
    flight = journey.flights[0]
    lands = [reading(journey, s).get("flight_mode_until") for s in range(journey.readings)]
    announced = [
        seq for seq, until in enumerate(lands) if until == lands[int((flight.ends_s - journey.on_s) / 60) - 1]
    ]
    assert journey_s(journey, announced[0]) == pytest.approx(flight.begins_s - 600, abs=60)
    assert journey_s(journey, announced[-1]) == pytest.approx(flight.ends_s, abs=60)


def test_the_truth_is_evaluated_over_what_is_sent(fleet_in):
    (journey,) = fleet_in("dead-probe").journeys(2)
    for seq, true in enumerate(true_readings(journey, journey.off_ms)):
        sent = reading(journey, seq)
        assert datetime.fromisoformat(sent["measured_at"]) == true.measured_at
        assert sent.get("temperature_c") == true.temperature_c
        assert sent.get("probe_ok", True) == true.probe_ok
