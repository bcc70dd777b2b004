"""Journeys are on time, give or take some minutes, unless something happens."""

from itertools import pairwise
from random import Random

import pytest

from simulators.world.lanes import LANES, plan_legs
from simulators.world.travel import Detour, travel

HOUR = 3600


@pytest.fixture
def planned(airports):
    return plan_legs(("MUC", "FRA", "BOS"), airports, 0.0, {}, Random(1), "days")


def went(planned, airports, *detours):
    legs = travel(planned, detours, airports, Random(2))
    assert all(before.ends_s == after.begins_s for before, after in pairwise(legs))
    assert all(before.destination == after.origin for before, after in pairwise(legs))
    return legs


@pytest.mark.parametrize("lane", LANES, ids="-".join)
def test_on_a_usual_day_it_is_on_time(airports, lane):
    planned = plan_legs(lane, airports, 0.0, {}, Random(1), "days")
    for seed in range(5):
        legs = travel(planned, (), airports, Random(seed))
        assert abs(legs[-1].ends_s - planned[-1].ends_s) < 2 * HOUR


def test_a_hub_makes_up_for_what_comes_late_but_has_time(planned, airports):
    legs = went(planned, airports, Detour(kind="delayed", stage="pick-up", which=0, lasts_s=3 * HOUR))
    assert legs[0].ends_s - planned[0].ends_s > 2 * HOUR
    assert abs(legs[-1].ends_s - planned[-1].ends_s) < 2 * HOUR


def test_a_missed_connection_comes_through(planned, airports):
    legs = went(planned, airports, Detour(kind="missed_connection", stage="hub", which=-1, lasts_s=14 * HOUR))
    assert legs[-1].ends_s - planned[-1].ends_s == pytest.approx(14 * HOUR, abs=2 * HOUR)


def test_the_wrong_hub_is_somewhere_else_and_the_way_goes_on_from_where_it_should(planned, airports):
    legs = went(planned, airports, Detour(kind="wrong_hub", stage="flight", which=0, lasts_s=6 * HOUR))
    assert [leg.stage for leg in legs[:6]] == ["pick-up", "hub", "flight", "hub", "flight", "hub"]
    assert legs[3].origin not in {leg.origin for leg in planned}
    assert legs[4].destination == planned[2].destination
