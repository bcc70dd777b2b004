"""Planned legs between real airports."""

from itertools import pairwise
from random import Random

import pytest

from simulators.world.lanes import LANES, SHORT_LANES, plan_legs
from simulators.world.legs import leg_of_stage
from simulators.world.places import Waypoint, distance_km

FRANKFURT = Waypoint("Frankfurt", 50.0264, 8.54313)
NEW_YORK = Waypoint("New York", 40.639928, -73.778692)


def test_distance_frankfurt_new_york():
    assert distance_km(FRANKFURT, NEW_YORK) == pytest.approx(6180, rel=0.01)


@pytest.mark.parametrize("lane", LANES, ids="-".join)
def test_every_lane_is_a_journey_without_gaps(airports, lane):
    legs = plan_legs(lane, airports, 100.0, {}, Random(1))
    assert [legs[0].stage, legs[-1].stage] == ["pick-up", "delivery"]
    assert sum(leg.stage == "flight" for leg in legs) == len(lane) - 1
    abroad = airports[lane[0]].country != airports[lane[-1]].country
    assert any(leg.stage == "customs" for leg in legs) == abroad
    assert legs[0].begins_s == 100.0
    for before, after in pairwise(legs):
        assert before.ends_s == after.begins_s
        assert before.destination == after.origin
    for leg in legs:
        assert leg.ends_s > leg.begins_s
        if leg.stage == "flight":
            hours = (leg.ends_s - leg.begins_s) / 3600
            assert 700 < distance_km(leg.origin, leg.destination) / (hours - 0.5) < 900
        elif leg.stage in ("pick-up", "delivery"):
            assert 4 < distance_km(leg.origin, leg.destination) < 26


def test_short_lanes_are_short(airports):
    for lane in SHORT_LANES:
        assert all(distance_km(airports[a].place, airports[b].place) < 1200 for a, b in [lane])


def test_stays_can_be_given(airports):
    legs = plan_legs(("ZRH", "AMS"), airports, 0.0, {"hub": (100, 100)}, Random(1))
    assert next(leg.ends_s - leg.begins_s for leg in legs if leg.stage == "hub") == pytest.approx(6000)


def test_a_leg_is_found_by_its_stage(airports):
    legs = plan_legs(("MUC", "FRA", "BOS"), airports, 0.0, {}, Random(1))
    flights = [leg for leg in legs if leg.stage == "flight"]
    assert [leg_of_stage(legs, "flight", which) for which in (0, 1, 7, -1)] == [flights[0], *flights[1:] * 3]
    assert leg_of_stage(legs[:2], "customs") is None


def test_days_are_two_to_six(airports):
    for lane in LANES:
        legs = plan_legs(lane, airports, 0.0, {}, Random(1), "days")
        assert 1.3 < legs[-1].ends_s / 86_400 < 6.5


def test_places_know_their_time_zone(airports):
    legs = plan_legs(("FRA", "JFK"), airports, 0.0, {}, Random(1))
    assert (legs[0].origin.timezone, legs[-1].destination.timezone) == ("Europe/Berlin", "America/New_York")
