"""Pure: the journey's own clock, which runs `speed` times as fast as the clock on the wall."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class JourneyClock:
    """Turns seconds of the journeys into the wall's epoch milliseconds, in which readings carry their time.

    Whole milliseconds, so that a reading sent, sent again and recomputed for the truth has one and the same time.
    """

    start_ms: int
    speed: float

    def wall_ms(self, journey_s: float) -> int:
        return self.start_ms + int(journey_s * 1000 / self.speed)

    def walls_ms(self, journey_s: NDArray[np.float64]) -> NDArray[np.int64]:
        """Do the same for many; they may lie before the start, where somebody's clock is wrong."""
        return self.start_ms + np.floor(journey_s * 1000 / self.speed).astype(np.int64)

    def shortened(self, seconds: float) -> float:
        """Return a length of time of the journey, such as an on-delay, as it passes on the wall."""
        return round(seconds / self.speed, 3)
