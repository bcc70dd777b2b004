"""Pure: finds the airport at a position."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from alerts.rules.geodesy import EARTH_M, unit_vector
from alerts.rules.place import Place


@dataclass(frozen=True, slots=True, eq=False)
class AirportIndex:
    """Airport codes, and the position of each as a unit vector, one row per airport."""

    codes: tuple[str, ...]
    at: NDArray[np.float64] = field(repr=False)

    @classmethod
    def of(cls, airports: Mapping[str, Place]) -> "AirportIndex":
        """Build an index of the places that have a position."""
        known = {code: p for code, p in airports.items() if p.lat is not None and p.lon is not None}
        vectors = [
            unit_vector(p.lat, p.lon) for p in known.values() if p.lat is not None and p.lon is not None
        ]
        return cls(tuple(known), np.array(vectors, np.float64).reshape(-1, 3))

    def nearest(self, lat: float, lon: float, within_m: float) -> str | None:
        """Return the code of the nearest airport; None if none is within that distance."""
        if not self.codes:
            return None
        chords = np.linalg.norm(self.at - np.array(unit_vector(lat, lon)), axis=1)
        place = int(chords.argmin())
        return self.codes[place] if chords[place] * EARTH_M <= within_m else None
