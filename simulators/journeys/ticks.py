"""Pure: when the readings of a journey are taken."""

from simulators.journeys.journey import Journey


def taken_ms(journey: Journey, tick: int) -> int:
    """Return when a reading is really taken, in epoch milliseconds."""
    return journey.clock.wall_ms(journey.on_s + tick * journey.interval_s)


def ticks_taken_by(journey: Journey, now_ms: int) -> int:
    """Return how many readings have been taken at `now_ms`, including one that is taken at this instant."""
    elapsed_s = (now_ms - journey.clock.start_ms) * journey.clock.speed / 1000 - journey.on_s
    count = min(journey.tick_count, max(0, int(elapsed_s / journey.interval_s) + 2))
    while count > 0 and taken_ms(journey, count - 1) > now_ms:
        count -= 1
    return count
