"""Pure: the legs of a journey."""

from bisect import bisect_right
from dataclasses import dataclass
from typing import Literal, get_args

from simulators.world.places import Waypoint, along

Stage = Literal["pick-up", "hub", "flight", "customs", "delivery"]
STAGES: tuple[Stage, ...] = get_args(Stage)


@dataclass(frozen=True, kw_only=True, slots=True)
class JourneyLeg:
    """One stage of a journey, in seconds of the journey's clock; while it stays somewhere, both places are one."""

    stage: Stage
    origin: Waypoint
    destination: Waypoint
    begins_s: float
    ends_s: float

    def position(self, journey_s: float) -> tuple[float, float]:
        """Return latitude and longitude in degrees on the great circle; before and after it the nearer end."""
        share = (journey_s - self.begins_s) / (self.ends_s - self.begins_s)
        return along(self.origin, self.destination, min(1.0, max(0.0, share)))


def leg_at(legs: tuple[JourneyLeg, ...], journey_s: float) -> JourneyLeg:
    """Return the leg under way; before departure the first, after delivery the last."""
    return legs[min(len(legs) - 1, bisect_right(legs, journey_s, key=lambda leg: leg.ends_s))]


def leg_of_stage(legs: tuple[JourneyLeg, ...], stage: Stage, which: int = 0) -> JourneyLeg | None:
    """Return the so-manieth leg of a stage (-1 is the last), the last where there are fewer; None where there is none."""
    found = [leg for leg in legs if leg.stage == stage]
    if not found:
        return None
    return found[-1] if which < 0 else found[min(which, len(found) - 1)]
