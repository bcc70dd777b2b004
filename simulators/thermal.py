"""Pure: the temperature at the payload of a shipper, in closed form over the time of its journey."""

import math
from dataclasses import dataclass

DAY_S = 86_400


@dataclass(frozen=True, kw_only=True, slots=True)
class Disturbance:
    """Heat let in (or, with a negative excess, taken out) for a while: Newton's law towards `excess_c` and back.

    Far from its asymptote this is the near-linear warm-up that dry shippers show once their nitrogen is gone.
    """

    begins_s: float
    ends_s: float
    excess_c: float
    rise_s: float
    recover_s: float

    def at(self, journey_s: float) -> float:
        if journey_s <= self.begins_s:
            return 0.0
        acting_s = min(journey_s, self.ends_s) - self.begins_s
        reached = self.excess_c * -math.expm1(-acting_s / self.rise_s)
        return reached * math.exp(-max(0.0, journey_s - self.ends_s) / self.recover_s)


@dataclass(frozen=True, kw_only=True, slots=True)
class Curve:
    """A payload's temperature: where it rests, how it wanders there, and what disturbs it.

    `wander_c` is the amplitude of a slow drift of hours; `day_c` what comes through of day and night.
    """

    rest_c: float
    wander_c: float
    wander_period_s: float
    wander_phase: float
    day_c: float
    day_phase: float
    disturbances: tuple[Disturbance, ...]

    def at(self, journey_s: float) -> float:
        celsius = (
            self.rest_c
            + self.wander_c * math.sin(2 * math.pi * journey_s / self.wander_period_s + self.wander_phase)
            + self.day_c * math.sin(2 * math.pi * journey_s / DAY_S + self.day_phase)
        )
        for disturbance in self.disturbances:
            celsius += disturbance.at(journey_s)
        return celsius
