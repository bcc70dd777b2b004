"""Readings as they are sent: any of them can be computed alone."""

from datetime import datetime

import orjson
import pytest

from simulators.instants import milliseconds
from simulators.journeys.observed import observe_journey, readings
from simulators.journeys.payloads import BLOCK, payload
from simulators.journeys.ticks import taken_ms
from simulators.loggers.faults import FAULT_KINDS
from simulators.scenarios.load import load_library, load_scenario


@pytest.mark.parametrize("scenario", sorted(load_library()))
def test_recomputed_alone_every_reading_is_the_same(fleet_in, scenario):
    journey = next(fleet_in(scenario, speed=1).journeys(5))
    everything = readings(journey, range(journey.tick_count))
    for tick in (0, 1, BLOCK - 1, BLOCK, journey.tick_count // 2, journey.tick_count - 1):
        (alone,) = observe_journey(journey, [tick]).readings()
        assert alone == orjson.loads(payload(journey, [tick])) == everything[tick]


def test_a_reading(journey):
    sent = readings(journey, [5])[0]
    assert sent["seq"] == 5
    assert abs(milliseconds(datetime.fromisoformat(sent["measured_at"])) - taken_ms(journey, 5)) <= 1
    assert sent["boot"] == journey.boot
    assert sent["temperature_c"] == round(sent["temperature_c"], 1)
    assert "probe_ok" not in sent
    assert sent["lid_open"] is False
    assert sent["pressure_hpa"] == 1013.2
    assert 0 <= sent["tilt_deg"] <= 20
    assert 0 < sent["shock_g"] < 4
    assert 70 < sent["battery_pct"] <= 100


def test_only_a_load_cell_weighs_the_nitrogen(fleet_in):
    plain, weighed = (next(fleet_in("tipped-in-transit").journeys(index)) for index in (0, 1))
    assert "ln2_kg" not in readings(plain, [5])[0]
    weights = [sent["ln2_kg"] for sent in readings(weighed, range(weighed.tick_count))]
    assert weights[0] == pytest.approx(3.3, abs=0.05)
    assert min(weights) < 2.8


def test_in_the_air_pressure_falls(journey):
    flight = journey.flights[0]
    tick = int(((flight.begins_s + flight.ends_s) / 2 - journey.on_s) / 60)
    assert readings(journey, [tick])[0]["pressure_hpa"] == 752.6


def test_a_dead_probe_sends_no_temperature(fleet_in):
    (journey,) = fleet_in("dead-probe").journeys(0)
    sent = readings(journey, [journey.tick_count - 1])[0]
    assert sent["probe_ok"] is False
    assert "temperature_c" not in sent


@pytest.mark.parametrize("speed", [1, 7, 60, 3600])
def test_no_reading_has_the_time_of_another(fleet_in, speed):
    journey = next(fleet_in(speed=speed).journeys(1))
    times = observe_journey(journey, range(journey.tick_count)).measured_ms.tolist()
    assert len(set(times)) == len(times)
    assert times == sorted(times)


def test_flight_mode_is_announced_before_take_off_and_until_landing(journey):
    flight = journey.flights[0]
    lands = [sent.get("flight_mode_until") for sent in readings(journey, range(journey.tick_count))]
    until = lands[int((flight.ends_s - journey.on_s) / 60) - 1]
    announced = [tick for tick, each in enumerate(lands) if each == until]
    assert journey.on_s + announced[0] * 60 == pytest.approx(flight.begins_s - 600, abs=60)
    assert journey.on_s + announced[-1] * 60 == pytest.approx(flight.ends_s, abs=60)


def test_each_kind_of_fault_is_in_some_scenario(fleet_in):
    kinds = {
        h.what for name in load_library() for _, story in load_scenario(name).mix for h in story.happenings
    }
    assert set(FAULT_KINDS) <= kinds
