"""The airports of the world, from the `airportsdata` package. Only this module loads it."""

from functools import cache

import airportsdata

from simulators.world.places import Airport


@cache
def load_airports() -> dict[str, Airport]:
    """Return all airports by IATA code."""
    return {
        code: Airport(
            code=code,
            city=known["city"] or known["name"],
            country=known["country"],
            lat=known["lat"],
            lon=known["lon"],
            timezone=known["tz"],
        )
        for code, known in airportsdata.load("IATA").items()
    }
