"""Pure: the legs of a journey."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from simulators.arrays import Floats
from simulators.world.places import Waypoint

Stage = Literal["pick-up", "hub", "flight", "customs", "delivery"]


@dataclass(frozen=True, kw_only=True, slots=True)
class JourneyLeg:
    """One stage of a journey.

    Times are seconds of journey time. A stay has the same origin and destination.
    """

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


def leg_indices(legs: Sequence[JourneyLeg], at_s: Floats) -> NDArray[np.intp]:
    """Return the index of the leg under way; before departure the first, after delivery the last."""
    ends_s = np.array([leg.ends_s for leg in legs])
    return np.minimum(np.searchsorted(ends_s, at_s, side="right"), len(legs) - 1)
