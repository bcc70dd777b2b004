"""The curves, band by band, against what the field knows of them."""

import math

import pytest

from simulators.sampling import true_readings
from simulators.thermal import Disturbance

HOUR = 3600


def curves(fleet, shipper):
    """All valid temperatures of each of the fleet's journeys in that shipper, until delivery."""
    for index in range(fleet.size):
        (journey,) = fleet.journeys(index)
        if journey.shipper.name == shipper:
            delivered_ms = journey.clock.wall_ms(journey.delivered_s)
            yield [r.temperature_c for r in true_readings(journey, delivered_ms) if r.probe_ok]


@pytest.mark.parametrize(
    ("shipper", "lowest", "highest", "range_c"),
    [("nitrogen", -193, -187, 4), ("dry-ice", -82.5, -76.5, 5), ("box-20", 17, 23, 5), ("box-5", 3, 7, 3.5)],
)
def test_undisturbed_it_stays_where_it_rests(fleet_in, shipper, lowest, highest, range_c):
    for celsius in curves(fleet_in("quiet-but-fine", size=16), shipper):
        assert lowest < min(celsius)
        assert max(celsius) < highest
        assert max(celsius) - min(celsius) < range_c


def test_dry_ice_is_colder_in_the_cabin(fleet_in):
    assert all(min(celsius) < -80 for celsius in curves(fleet_in("quiet-but-fine", size=16), "dry-ice"))


def test_without_nitrogen_it_warms_nearly_linearly():
    gone = Disturbance(begins_s=HOUR, ends_s=math.inf, excess_c=211, rise_s=12 * HOUR, recover_s=HOUR)
    assert gone.at(HOUR) == 0
    rates = [gone.at((hour + 1) * HOUR) - gone.at(hour * HOUR) for hour in (1, 2, 3)]
    assert all(13 < rate < 18 for rate in rates)
    assert gone.at(1000 * HOUR) == pytest.approx(211)


def test_it_recovers_continuously_after_a_disturbance():
    lid = Disturbance(begins_s=0, ends_s=600, excess_c=150, rise_s=1800, recover_s=3600)
    assert lid.at(600) == pytest.approx(lid.at(600.001), abs=1e-3)
    assert lid.at(600) > lid.at(1200) > lid.at(9000) > 0
    assert lid.at(100_000) < 1e-6
