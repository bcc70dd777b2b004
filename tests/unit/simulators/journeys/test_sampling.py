"""Readings as they are sent, at any time the same."""

from datetime import datetime

import orjson
import pytest

from simulators.instants import milliseconds
from simulators.journeys.journey import put_away
from simulators.journeys.kept import kept_mask, true_readings
from simulators.journeys.observed import observe_journey, readings
from simulators.journeys.payloads import BLOCK, payload
from simulators.journeys.ticks import taken_ms, ticks_taken_by
from simulators.loggers.faults import FAULT_KINDS
from simulators.scenarios.load import load_library, load_scenario


def test_the_same_seed_gives_the_same_bytes(fleet_in):
    one, two = (next(fleet_in("demo", seed=3).journeys(1)) for _ in range(2))
    assert payload(one, list(range(one.readings))) == payload(two, list(range(two.readings)))


def test_any_window_gives_the_same_readings(journey):
    everything = orjson.loads(payload(journey, list(range(journey.readings))))
    assert orjson.loads(payload(journey, list(range(300, 320)))) == everything[300:320]
    assert orjson.loads(payload(journey, [300])) == everything[300]


@pytest.mark.parametrize("scenario", sorted(load_library()))
def test_recomputed_alone_every_reading_is_the_same(fleet_in, scenario):
    journey = next(fleet_in(scenario, speed=1).journeys(5))
    everything = readings(journey, range(journey.readings))
    for tick in (0, 1, BLOCK - 1, BLOCK, journey.readings // 2, journey.readings - 1):
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
    weights = [sent["ln2_kg"] for sent in readings(weighed, range(weighed.readings))]
    assert weights[0] == pytest.approx(3.3, abs=0.05)
    assert min(weights) < 2.8


def test_in_the_air_pressure_falls(journey):
    flight = journey.flights[0]
    tick = int(((flight.begins_s + flight.ends_s) / 2 - journey.on_s) / 60)
    assert readings(journey, [tick])[0]["pressure_hpa"] == 752.6


def test_a_dead_probe_sends_no_temperature(fleet_in):
    (journey,) = fleet_in("dead-probe").journeys(0)
    sent = readings(journey, [journey.readings - 1])[0]
    assert sent["probe_ok"] is False
    assert "temperature_c" not in sent


def test_readings_are_counted_to_the_millisecond(journey):
    assert ticks_taken_by(journey, journey.on_ms - 1) == 0
    for tick in (0, 1, 2, 77, journey.readings - 1):
        assert ticks_taken_by(journey, taken_ms(journey, tick) - 1) == tick
        assert ticks_taken_by(journey, taken_ms(journey, tick)) == tick + 1
    assert ticks_taken_by(journey, journey.off_ms + 10**9) == journey.readings


@pytest.mark.parametrize("speed", [1, 7, 60, 3600])
def test_no_reading_has_the_time_of_another(fleet_in, speed):
    journey = next(fleet_in(speed=speed).journeys(1))
    times = observe_journey(journey, range(journey.readings)).measured_ms.tolist()
    assert len(set(times)) == len(times)
    assert times == sorted(times)


def test_flight_mode_is_announced_before_take_off_and_until_landing(journey):
    flight = journey.flights[0]
    lands = [sent.get("flight_mode_until") for sent in readings(journey, range(journey.readings))]
    until = lands[int((flight.ends_s - journey.on_s) / 60) - 1]
    announced = [tick for tick, each in enumerate(lands) if each == until]
    assert journey.on_s + announced[0] * 60 == pytest.approx(flight.begins_s - 600, abs=60)
    assert journey.on_s + announced[-1] * 60 == pytest.approx(flight.ends_s, abs=60)


def test_the_truth_is_evaluated_over_what_is_sent(fleet_in):
    (journey,) = fleet_in("dead-probe").journeys(2)
    sent = readings(journey, range(journey.readings))
    for said, true in zip(sent, true_readings(journey, journey.off_ms), strict=True):
        assert datetime.fromisoformat(said["measured_at"]) == true.measured_at
        assert said.get("temperature_c") == true.temperature_c
        assert said.get("probe_ok", True) == true.probe_ok


def test_a_restart_counts_from_zero_and_leaves_readings_out(fleet_in):
    journey = next(fleet_in("reboots").journeys(0))
    sections = journey.sections
    assert [section.boot - journey.boot for section in sections] == [0, 1, 2]
    assert sections[0].end == sections[1].first
    first = readings(journey, [sections[1].first])[0]
    assert (first["boot"], first["seq"]) == (journey.boot + 1, 0)
    assert 10 <= (~kept_mask(journey)).sum() <= 62


def test_what_is_overwritten_is_not_had(fleet_in):
    journey = next(fleet_in("memory-overflow").journeys(0))
    (fault,) = journey.faults
    inside = [
        tick for tick in range(journey.readings) if fault.from_s <= journey.on_s + tick * 60 < fault.until_s
    ]
    assert kept_mask(journey)[inside].sum() == fault.amount
    assert not kept_mask(journey)[inside[0]]
    assert kept_mask(journey)[inside[-1]]


def test_each_kind_of_fault_is_in_some_scenario(fleet_in):
    kinds = {
        h.what for name in load_library() for _, story in load_scenario(name).mix for h in story.happenings
    }
    assert set(FAULT_KINDS) <= kinds


@pytest.mark.parametrize("scenario", ["everyday", "stuck-probe", "tarmac-heat", "dry-ice-melts"])
def test_put_away_it_is_the_same_journey(fleet_in, scenario):
    journey, other = (next(fleet_in(scenario).journeys(5)) for _ in range(2))
    put_away(other)
    assert other.put_away
    assert "track" not in vars(other)
    ticks = list(range(0, journey.readings, 7))
    assert [payload(other, [tick]) for tick in ticks] == [payload(journey, [tick]) for tick in ticks]
    assert payload(other, ticks) == payload(journey, ticks)


def test_a_put_away_journey_stays_small(fleet_in):
    journey = next(fleet_in().journeys(0))
    put_away(journey)
    payload(journey, [3])
    assert not {"track", "instrument"} & set(vars(journey))
