"""Positions on the way, true and as a receiver reports them."""

import numpy as np
import pytest

from simulators.journeys.observed import readings
from simulators.journeys.positions import true_positions
from simulators.world.legs import JourneyLeg
from simulators.world.places import Waypoint, distance_km

FRANKFURT = Waypoint("Frankfurt", 50.0264, 8.54313)
NEW_YORK = Waypoint("New York", 40.639928, -73.778692)


def leg(origin, destination, begins_s, ends_s):
    return JourneyLeg(
        stage="flight", origin=origin, destination=destination, begins_s=begins_s, ends_s=ends_s
    )


def at(legs, journey_s):
    lat, lon = true_positions(legs, np.array([journey_s], float))
    return lat[0], lon[0]


def test_positions_lie_on_the_great_circle():
    legs = [leg(FRANKFURT, NEW_YORK, 0, 1)]
    assert at(legs, 0) == pytest.approx((FRANKFURT.lat, FRANKFURT.lon))
    assert at(legs, 1) == pytest.approx((NEW_YORK.lat, NEW_YORK.lon))
    assert at(legs, 0.5)[0] > FRANKFURT.lat  # the short way goes north
    for share in (0.1, 0.25, 0.5, 0.9):
        there = Waypoint("", *at(legs, share))
        assert distance_km(FRANKFURT, there) == pytest.approx(share * distance_km(FRANKFURT, NEW_YORK))
        assert distance_km(there, NEW_YORK) == pytest.approx((1 - share) * distance_km(FRANKFURT, NEW_YORK))


def test_a_stay_does_not_move():
    assert at([leg(NEW_YORK, NEW_YORK, 0, 1)], 0.5) == pytest.approx((NEW_YORK.lat, NEW_YORK.lon))


def test_before_departure_at_the_origin_and_after_delivery_at_the_destination():
    legs = [leg(FRANKFURT, NEW_YORK, 10, 20), leg(NEW_YORK, FRANKFURT, 20, 40)]
    for journey_s, place in (
        (0, FRANKFURT),
        (10, FRANKFURT),
        (20, NEW_YORK),
        (40, FRANKFURT),
        (99, FRANKFURT),
    ):
        assert at(legs, journey_s) == pytest.approx((place.lat, place.lon))
    assert at(legs, 15) == pytest.approx(at(legs, 30))


def test_fixes_are_near_the_true_position_and_there_are_none_in_flight(fleet_in):
    for index in range(4):
        journey = next(fleet_in().journeys(index))
        known = {"flight": 0, "pick-up": 0, "hub": 0}
        for tick, sent in enumerate(readings(journey, range(journey.tick_count))):
            at_s = journey.on_s + tick * 60
            if "lat" not in sent:
                continue
            stage = next((leg.stage for leg in journey.legs if at_s < leg.ends_s), "delivery")
            known[stage] = known.get(stage, 0) + 1
            off_km = distance_km(
                Waypoint("", sent["lat"], sent["lon"]), Waypoint("", *at(journey.legs, at_s))
            )
            assert off_km * 1000 < 3 * sent["accuracy_m"]
            assert sent["accuracy_m"] < 61
        assert known["flight"] == 0
        assert known["pick-up"] > 15
        assert known["hub"] > 5
