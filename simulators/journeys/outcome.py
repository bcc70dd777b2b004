"""Pure: how a journey really ends: when the coolant is used up, and whether the payload is lost."""

from dataclasses import dataclass

import numpy as np

from simulators.journeys.journey import Journey
from simulators.world.thermal_tracks import is_outside

STEP_S = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class JourneyOutcome:
    """The truth about one journey, in seconds of journey time, whatever its logger measured.

    `coolant_until_s` is when the coolant is first used up, or would be if the shipper stood in a room of 20
    °C from its delivery on; None for never. `leaves_band_s` is the first instant between departure and
    delivery at which the payload is outside its band, `critical_s` the first at which it is beyond a critical
    limit. `outside_s` is how long it is outside in all, to the minute.
    """

    coolant_until_s: float | None
    leaves_band_s: float | None
    critical_s: float | None
    outside_s: float
    lost: bool


def outcome_of(journey: Journey) -> JourneyOutcome:
    """Return the outcome of a journey.

    A shipment is lost once it is critical, or outside for longer than its budget.
    """
    shipper, track = journey.shipper, journey.track
    from_s, until_s = journey.departed_s - journey.on_s, journey.delivered_s - journey.on_s
    leaves_s = track.leaves_s(shipper.lower_c, shipper.upper_c, from_s, until_s)
    critical_s = outside_s = None
    if leaves_s is not None:
        critical_s = track.leaves_s(shipper.critical_low_c, shipper.critical_high_c, leaves_s, until_s)
        celsius = track.at(np.arange(from_s, until_s, STEP_S)).payload_c
        outside_s = float(is_outside(celsius, shipper.lower_c, shipper.upper_c).sum() * STEP_S)
    empty_s = track.empty_s(until_s)
    return JourneyOutcome(
        coolant_until_s=journey.on_s + empty_s if np.isfinite(empty_s) else None,
        leaves_band_s=None if leaves_s is None else journey.on_s + leaves_s,
        critical_s=None if critical_s is None else journey.on_s + critical_s,
        outside_s=outside_s or 0.0,
        lost=critical_s is not None or (outside_s or 0.0) > shipper.budget_s,
    )
