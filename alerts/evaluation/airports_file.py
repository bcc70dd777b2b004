"""The world's airports by IATA code: places that a shipment can name without registering them."""

from collections.abc import Mapping
from functools import cache

import airportsdata

from alerts.rules.airports import AirportIndex
from alerts.rules.place import Place

RADIUS_M = 5000
"""The largest airfields are about ten kilometres across."""


@cache
def airports() -> Mapping[str, Place]:
    """Return all airports, read once: some 8,000 in a tenth of a second and 9 MB."""
    return {
        code: Place(name=code, lat=known["lat"], lon=known["lon"], radius_m=RADIUS_M, airport=True)
        for code, known in airportsdata.load("IATA").items()
    }


@cache
def airport_index() -> AirportIndex:
    """Return the index that finds the nearest airport."""
    return AirportIndex.of(airports())
