"""Each scenario does what its name says, whatever the seed."""

import pytest

from simulators.instants import moment
from simulators.journeys.kept import true_readings
from simulators.scenarios.load import load_library
from simulators.truth.oracle import true_excursions


def outcomes(fleet):
    """Each journey with its excursions as they are in the end."""
    for index in range(fleet.size):
        (journey,) = fleet.journeys(index)
        readings = true_readings(journey, journey.off_ms)
        yield journey, true_excursions(journey.plan(), readings, moment(journey.off_ms))


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("scenario", ["quiet-but-fine", "dead-probe"])
def test_nothing_is_found_where_nothing_is(fleet_in, scenario, seed):
    assert all(not found for _, found in outcomes(fleet_in(scenario, size=12, seed=seed)))


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("scenario", ["lid-left-open", "flight-upload"])
def test_one_excursion_that_recovers(fleet_in, scenario, seed):
    for journey, found in outcomes(fleet_in(scenario, size=12, seed=seed)):
        assert [(e.side, e.ended_by) for e in found] == [("high", "recovery")], journey.shipment_id


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_stood_on_the_tarmac_recovers_if_there_is_time(fleet_in, seed):
    for journey, found in outcomes(fleet_in("tarmac-heat", size=12, seed=seed)):
        assert len(found) == 1, journey.shipment_id
        assert found[0].ended_by in ("recovery", "delivery")


def test_without_nitrogen_it_is_warm_at_delivery(fleet_in):
    for journey, found in outcomes(fleet_in("nitrogen-runs-out", size=12)):
        assert found[-1].ended_by == "delivery", journey.shipment_id
        assert found[-1].peak_c > -150


def test_a_dead_probe_stays_dead(fleet_in):
    for index in range(12):
        (journey,) = fleet_in("dead-probe").journeys(index)
        valid = [reading.probe_ok for reading in true_readings(journey, journey.off_ms)]
        assert valid == sorted(valid, reverse=True)
        assert 0 < valid.count(False) < len(valid)


@pytest.mark.parametrize("seed", range(1, 6))
def test_flight_upload_is_out_of_range_at_take_off_and_recovers_in_flight(fleet_in, seed):
    for journey, (excursion,) in outcomes(fleet_in("flight-upload", size=8, seed=seed)):
        flight = journey.flights[0]
        takes_off, lands = (moment(journey.clock.wall_ms(at)) for at in (flight.begins_s, flight.ends_s))
        assert excursion.start < takes_off < excursion.end < lands


@pytest.mark.parametrize("seed", range(1, 11))
def test_the_demo_shows_something_within_the_first_minute(fleet_in, seed):
    fleet = fleet_in("demo", seed=seed)
    journey = next(fleet.journeys(0))
    (excursion,) = true_excursions(
        journey.plan(), true_readings(journey, journey.off_ms), moment(journey.off_ms)
    )
    seconds = (excursion.start - moment(fleet.clock.start_ms)).total_seconds()
    assert 15 <= seconds <= 30


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_most_of_the_demo_is_fine_and_one_is_amended_after_landing(fleet_in, seed):
    fleet = fleet_in("demo", seed=seed)
    found = [excursions for _, excursions in outcomes(fleet)]
    assert sum(not excursions for excursions in found) >= 14
    landed_s = next(fleet.journeys(1)).flights[0].ends_s / fleet.clock.speed
    assert landed_s < 180


def test_every_scenario_says_what_it_is():
    assert all(scenario.description.endswith(".") for scenario in load_library().values())
