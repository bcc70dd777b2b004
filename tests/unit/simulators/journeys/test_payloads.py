"""Payloads: the same bytes for the same seed, whichever readings a message carries."""

import orjson
import pytest

from simulators.journeys.journey import pack_away
from simulators.journeys.payloads import payload


def test_the_same_seed_gives_the_same_bytes(fleet_in):
    one, two = (next(fleet_in("demo", seed=3).journeys(1)) for _ in range(2))
    assert payload(one, list(range(one.tick_count))) == payload(two, list(range(two.tick_count)))


def test_any_window_gives_the_same_readings(journey):
    everything = orjson.loads(payload(journey, list(range(journey.tick_count))))
    assert orjson.loads(payload(journey, list(range(300, 320)))) == everything[300:320]
    assert orjson.loads(payload(journey, [300])) == everything[300]


@pytest.mark.parametrize("scenario", ["everyday", "stuck-probe", "tarmac-heat", "dry-ice-melts"])
def test_packed_away_it_is_the_same_journey(fleet_in, scenario):
    journey, other = (next(fleet_in(scenario).journeys(5)) for _ in range(2))
    pack_away(other)
    assert other.packed_away
    assert "track" not in vars(other)
    ticks = list(range(0, journey.tick_count, 7))
    assert [payload(other, [tick]) for tick in ticks] == [payload(journey, [tick]) for tick in ticks]
    assert payload(other, ticks) == payload(journey, ticks)


def test_a_packed_journey_stays_small(fleet_in):
    journey = next(fleet_in().journeys(0))
    pack_away(journey)
    payload(journey, [3])
    assert not {"track", "instrument"} & set(vars(journey))
