"""Pure: when the readings of a journey are taken."""

from simulators.journeys.journey import Journey


def taken_ms(journey: Journey, tick: int) -> int:
    """Return when the reading is truly taken, in epoch milliseconds of the wall."""
    return journey.clock.wall_ms(journey.on_s + tick * journey.interval_s)


def ticks_taken_by(journey: Journey, now_ms: int) -> int:
    """Return how many ticks have passed at `now_ms`, that one included: those with number 0 to one less."""
    elapsed_s = (now_ms - journey.clock.start_ms) * journey.clock.speed / 1000 - journey.on_s
    count = min(journey.readings, max(0, int(elapsed_s / journey.interval_s) + 2))
    while count > 0 and taken_ms(journey, count - 1) > now_ms:
        count -= 1
    return count
