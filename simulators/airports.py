"""The airports of the lanes, read from the airportsdata package: the one place that loads it."""

import airportsdata

from simulators.lanes import LANES, Airport


def load_airports() -> dict[str, Airport]:
    """Return the airports of all lanes by IATA code; an unknown code is a KeyError."""
    known = airportsdata.load("IATA")
    return {
        code: Airport(
            code=code,
            city=known[code]["city"],
            country=known[code]["country"],
            lat=known[code]["lat"],
            lon=known[code]["lon"],
        )
        for lane in LANES
        for code in lane
    }
