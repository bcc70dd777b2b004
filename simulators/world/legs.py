"""Pure: the legs of a journey."""

from dataclasses import dataclass
from typing import Literal

from simulators.world.places import Waypoint

Stage = Literal["pick-up", "hub", "flight", "customs", "delivery"]


@dataclass(frozen=True, kw_only=True, slots=True)
class JourneyLeg:
    """One stage of a journey. Times are seconds of journey time. A stay has the same origin and destination."""

    stage: Stage
    origin: Waypoint
    destination: Waypoint
    begins_s: float
    ends_s: float


def leg_of_stage(legs: tuple[JourneyLeg, ...], stage: Stage, which: int = 0) -> JourneyLeg | None:
    """Return the leg of a stage with index `which`, or the last one if there are fewer or `which` is -1.

    None if the journey has no such stage.
    """
    found = [leg for leg in legs if leg.stage == stage]
    if not found:
        return None
    return found[-1] if which < 0 else found[min(which, len(found) - 1)]
