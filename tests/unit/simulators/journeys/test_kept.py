"""Which readings a logger kept, and the truth about them."""

from datetime import datetime

from simulators.journeys.kept import kept_mask, true_readings
from simulators.journeys.observed import readings


def test_the_truth_is_evaluated_over_what_is_sent(fleet_in):
    (journey,) = fleet_in("dead-probe").journeys(2)
    sent = readings(journey, range(journey.tick_count))
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


def test_what_is_overwritten_is_not_kept(fleet_in):
    journey = next(fleet_in("memory-overflow").journeys(0))
    (fault,) = journey.faults
    inside = [
        tick for tick in range(journey.tick_count) if fault.from_s <= journey.on_s + tick * 60 < fault.until_s
    ]
    assert kept_mask(journey)[inside].sum() == fault.amount
    assert not kept_mask(journey)[inside[0]]
    assert kept_mask(journey)[inside[-1]]
