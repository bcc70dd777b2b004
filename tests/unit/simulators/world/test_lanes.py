"""Legs and positions between real airports."""

from itertools import pairwise
from random import Random

import pytest

from simulators.world.lanes import LANES, SHORT_LANES, plan_legs
from simulators.world.legs import JourneyLeg, leg_at, leg_of_stage
from simulators.world.places import Waypoint, along, distance_km

FRANKFURT = Waypoint("Frankfurt", 50.0264, 8.54313)
NEW_YORK = Waypoint("New York", 40.639928, -73.778692)


def test_distance_frankfurt_new_york():
    assert distance_km(FRANKFURT, NEW_YORK) == pytest.approx(6180, rel=0.01)


def test_positions_lie_on_the_great_circle():
    def at(share):
        return along(FRANKFURT, NEW_YORK, share)

    assert at(0) == pytest.approx((FRANKFURT.lat, FRANKFURT.lon))
    assert at(1) == pytest.approx((NEW_YORK.lat, NEW_YORK.lon))
    assert at(0.5)[0] > FRANKFURT.lat  # the short way goes north
    for share in (0.1, 0.25, 0.5, 0.9):
        there = Waypoint("", *at(share))
        assert distance_km(FRANKFURT, there) == pytest.approx(share * distance_km(FRANKFURT, NEW_YORK))
        assert distance_km(there, NEW_YORK) == pytest.approx((1 - share) * distance_km(FRANKFURT, NEW_YORK))


def test_a_stay_does_not_move():
    assert along(NEW_YORK, NEW_YORK, 0.5) == pytest.approx((NEW_YORK.lat, NEW_YORK.lon))


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


def test_before_departure_the_first_leg_and_after_delivery_the_last():
    def leg(begins_s, ends_s):
        return JourneyLeg(
            stage="hub", origin=FRANKFURT, destination=NEW_YORK, begins_s=begins_s, ends_s=ends_s
        )

    legs = (leg(10, 20), leg(20, 30))
    assert [leg_at(legs, at).begins_s for at in (0, 10, 19, 20, 29, 30, 99)] == [10, 10, 10, 20, 20, 20, 20]
    assert legs[0].position(0) == pytest.approx((FRANKFURT.lat, FRANKFURT.lon))
    assert legs[1].position(99) == pytest.approx((NEW_YORK.lat, NEW_YORK.lon))


def test_the_so_manieth_of_a_stage(airports):
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
