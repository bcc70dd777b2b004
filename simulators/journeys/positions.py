"""Pure: where a shipper is, and what a satellite receiver makes of that."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from simulators.arrays import Bools, Floats, Ints
from simulators.world.legs import JourneyLeg, Stage, leg_indices
from simulators.world.noise import gauss, uniform
from simulators.world.places import unit_vector

DEGREE_M = 111_195.0
NORTH, EAST, ACCURACY, FIX = range(4)

# How often there is a fix: rarely under a roof, never in an aircraft, where the receiver is off.
FIXES: dict[Stage, float] = {"pick-up": 0.97, "hub": 0.35, "flight": 0.0, "customs": 0.35, "delivery": 0.97}
OPEN_SKY_M, UNDER_A_ROOF_M = 8.0, 30.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Fixes:
    """Latitude and longitude in degrees, accuracy in metres, and whether there is a fix at all."""

    lat: Floats
    lon: Floats
    accuracy_m: Floats
    known: Bools


def true_positions(legs: Sequence[JourneyLeg], at_s: Floats) -> tuple[Floats, Floats]:
    """Return latitude and longitude at instants, interpolated along the great circle of each leg."""
    at = leg_indices(legs, at_s)
    begins_s, ends_s = (np.array([getattr(leg, name) for leg in legs])[at] for name in ("begins_s", "ends_s"))
    share = np.clip((at_s - begins_s) / (ends_s - begins_s), 0.0, 1.0)
    origin = np.array([unit_vector(leg.origin) for leg in legs])[at]
    destination = np.array([unit_vector(leg.destination) for leg in legs])[at]
    angle = np.arccos(np.clip((origin * destination).sum(axis=1), -1.0, 1.0))
    moves = angle > 1e-6
    sine = np.where(moves, np.sin(angle), 1.0)
    a = np.where(moves, np.sin((1 - share) * angle) / sine, 1.0)
    b = np.where(moves, np.sin(share * angle) / sine, 0.0)
    x, y, z = (a[:, None] * origin + b[:, None] * destination).T
    return np.degrees(np.arctan2(z, np.hypot(x, y))), np.degrees(np.arctan2(y, x))


def fixes(legs: Sequence[JourneyLeg], at_s: Floats, ticks: Ints, key: int) -> Fixes:
    """Return what the receiver reports at these ticks, one for each instant."""
    at = leg_indices(legs, at_s)
    chance = np.array([FIXES[leg.stage] for leg in legs])[at]
    lat, lon = true_positions(legs, at_s)
    spread_m = np.where(chance > 0.5, OPEN_SKY_M, UNDER_A_ROOF_M)
    accuracy_m = spread_m * (1 + uniform(key, ticks, ACCURACY))
    north_m = accuracy_m / 2 * gauss(key, ticks, NORTH)
    east_m = accuracy_m / 2 * gauss(key, ticks, EAST)
    lon = lon + east_m / (DEGREE_M * np.cos(np.radians(lat)))
    return Fixes(
        lat=np.round(lat + north_m / DEGREE_M, 6),
        lon=np.round((lon + 180) % 360 - 180, 6),
        accuracy_m=np.round(accuracy_m, 1),
        known=uniform(key, ticks, FIX) < chance,
    )
