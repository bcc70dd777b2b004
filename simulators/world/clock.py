"""Pure: the clock of simulated journeys, which runs `speed` times as fast as the real one."""

from dataclasses import dataclass

import numpy as np

from simulators.arrays import Floats, Ints


@dataclass(frozen=True, slots=True)
class JourneyClock:
    """Converts seconds of journey time to the real epoch milliseconds that readings carry.

    The milliseconds are whole, so that a reading has the same time whether it is sent, sent again, or
    computed for the truth.
    """

    start_ms: int
    speed: float

    def wall_ms(self, journey_s: float) -> int:
        """Return the epoch milliseconds of a journey time."""
        return self.start_ms + int(journey_s * 1000 / self.speed)

    def walls_ms(self, journey_s: Floats) -> Ints:
        """Return the epoch milliseconds of many journey times.

        A logger with a wrong clock may be before the start.
        """
        return self.start_ms + np.floor(journey_s * 1000 / self.speed).astype(np.int64)

    def shortened(self, seconds: float) -> float:
        """Return how long a duration of the journey, such as an on-delay, takes in real time."""
        return round(seconds / self.speed, 3)
