"""The clock of the journeys against real time."""

from simulators.world.clock import JourneyClock


def test_a_journey_passes_faster_on_the_wall():
    assert JourneyClock(1_000, 60).wall_ms(120) == 3_000


def test_lengths_of_time_are_shortened_alike():
    assert JourneyClock(0, 60).shortened(1800) == 30
    assert JourneyClock(0, 7).shortened(1) == 0.143
