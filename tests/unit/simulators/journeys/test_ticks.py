"""When readings are taken, to the millisecond."""

from simulators.journeys.ticks import taken_ms, ticks_taken_by


def test_readings_are_counted_to_the_millisecond(journey):
    assert ticks_taken_by(journey, journey.on_ms - 1) == 0
    for tick in (0, 1, 2, 77, journey.tick_count - 1):
        assert ticks_taken_by(journey, taken_ms(journey, tick) - 1) == tick
        assert ticks_taken_by(journey, taken_ms(journey, tick)) == tick + 1
    assert ticks_taken_by(journey, journey.off_ms + 10**9) == journey.tick_count
