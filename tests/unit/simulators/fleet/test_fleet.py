"""The journeys that follow from a seed."""

from itertools import islice, pairwise

import pytest

from simulators.instants import moment


def test_the_same_seed_gives_the_same_journeys(fleet_in):
    one, two = (fleet_in("demo", seed=5, waves=True) for _ in range(2))
    for index in range(one.size):
        assert list(islice(one.journeys(index), 3)) == list(islice(two.journeys(index), 3))


def test_another_seed_gives_others(fleet_in):
    one, two = fleet_in(seed=5), fleet_in(seed=6)
    assert next(one.journeys(3)).unit != next(two.journeys(3)).unit


def test_a_logger_does_not_depend_on_how_many_others_there_are(fleet_in):
    assert next(fleet_in("demo", size=10).journeys(7)) == next(fleet_in("demo", size=1000).journeys(7))


def test_without_waves_there_is_one_journey(fleet_in):
    assert len(list(fleet_in().journeys(0))) == 1


def test_waves_follow_each_other_with_new_names_and_higher_boots(fleet_in):
    journeys = list(islice(fleet_in("demo", waves=True).journeys(1), 20))
    for before, after in pairwise(journeys):
        assert before.off_s < after.on_s
        assert before.boot < after.boot
        assert before.device_id == after.device_id
    assert len({journey.shipment_id for journey in journeys}) == 20


def test_a_later_run_has_higher_boots_and_other_shipments(fleet_in, journey):
    later = next(fleet_in(start_ms=journey.clock.start_ms + 86_400_000).journeys(0))
    assert later.boot > journey.boot
    assert later.shipment_id != journey.shipment_id


def test_names(journey):
    assert (journey.device_id, journey.dewar_id) == ("SIM-1-0001", "SIM-1-LN2-0001")
    assert journey.shipment_id.startswith("SIM-1-0301-08")
    assert journey.shipment_id.endswith("-0001")


def test_on_before_departure_off_after_delivery(fleet_in):
    for index in range(24):
        (journey,) = fleet_in("demo").journeys(index)
        assert journey.on_s < journey.departed_s < journey.delivered_s < journey.off_s


def test_the_plans_times_are_those_of_the_wall(journey):
    plan = journey.plan()
    assert (plan.max_gap_s, plan.on_delay_s, plan.budget_s) == (30, 0, 120)
    assert plan.departed_at == moment(journey.clock.wall_ms(journey.departed_s))
    assert (plan.lower_c, plan.upper_c, plan.critical_high_c) == (None, -150, -135)


def test_a_fleet_is_mixed_over_the_bands(fleet_in):
    bands = [next(fleet_in("demo").journeys(index)).shipper.band for index in range(24)]
    assert {band: bands.count(band) >= 4 for band in set(bands)} == {
        "cryogenic": True,
        "ultra_low": True,
        "controlled": True,
        "refrigerated": True,
    }


@pytest.mark.parametrize("days", [0, 1, 2])
def test_a_logger_knows_its_last_journey_and_those_to_come(fleet_in, days):
    fleet = fleet_in("demo", waves=True)
    now_ms = fleet.clock.start_ms + days * 86_400_000
    known = list(islice(fleet.journeys_from(2, now_ms), 3))
    over = [journey for journey in known if journey.off_ms <= now_ms]
    assert len(over) == (1 if days else 0)
    every = list(islice(fleet.journeys(2), 400))
    first = every.index(known[0])
    assert known == every[first : first + 3]


def test_when_all_is_over_the_last_journey_is_still_known(fleet_in, journey):
    assert list(fleet_in().journeys_from(0, journey.off_ms + 1)) == [journey]
