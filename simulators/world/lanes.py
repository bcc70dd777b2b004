"""Pure: lanes between real airports, and the planned legs of a journey along one, drawn at random."""

import math
from collections.abc import Mapping
from itertools import pairwise
from random import Random
from typing import Literal

from simulators.world.legs import JourneyLeg, Stage
from simulators.world.places import Airport, Waypoint, distance_km

TravelPace = Literal["hours", "days"]
Stays = Mapping[Stage, tuple[float, float]]
CRUISE_KM_S = 850 / 3600
TAXI_AND_CLIMB_S = 1800

# How long each stage takes, in minutes, unless a story says otherwise. The distance sets the length of a
# flight. "hours" is short enough to watch; most cell therapies take two to six days door to door.
STAYS_MIN: dict[TravelPace, dict[Stage, tuple[float, float]]] = {
    "hours": {"pick-up": (25, 60), "hub": (45, 150), "customs": (40, 240), "delivery": (25, 75)},
    "days": {"pick-up": (120, 420), "hub": (960, 2700), "customs": (960, 2880), "delivery": (120, 480)},
}

LANES = (
    ("FRA", "JFK"),
    ("MUC", "FRA", "BOS"),
    ("AMS", "ORD"),
    ("LHR", "PHL"),
    ("ZRH", "LHR", "SFO"),
    ("BRU", "IAD"),
    ("CDG", "YUL"),
    ("CPH", "AMS", "YYZ"),
    ("MAD", "MIA"),
    ("JFK", "LAX"),
    ("BOS", "ORD", "SEA"),
    ("ICN", "NRT"),
    ("NRT", "SIN"),
    ("SIN", "SYD"),
    ("ZRH", "AMS"),
    ("MUC", "CPH"),
    ("LHR", "FRA"),
    ("BRU", "VIE"),
)
SHORT_LANES = (("ZRH", "AMS"), ("MUC", "CPH"), ("LHR", "FRA"))
# Where a shipment on the wrong aircraft ends up.
WRONG_HUBS = ("CGN", "LEJ", "SDF", "MEM", "DXB", "HKG", "ANC", "LUX")


def flight_s(origin: Waypoint, destination: Waypoint) -> float:
    """Return how long a flight between two places takes, in seconds."""
    return TAXI_AND_CLIMB_S + distance_km(origin, destination) / CRUISE_KM_S


def plan_legs(
    lane: tuple[str, ...],
    airports: Mapping[str, Airport],
    departs_s: float,
    stays_min: Stays,
    random: Random,
    pace: TravelPace = "hours",
) -> tuple[JourneyLeg, ...]:
    """Return the planned legs along a lane, from a site near the first airport to one near the last.

    `lane` holds IATA codes. `stays_min` overrides how long stages take, as ranges of minutes.
    """
    stops = [airports[code] for code in lane]
    stays = STAYS_MIN[pace] | dict(stays_min)
    legs: list[JourneyLeg] = []

    def add(stage: Stage, origin: Waypoint, destination: Waypoint) -> None:
        begins_s = legs[-1].ends_s if legs else departs_s
        lasts_s = flight_s(origin, destination) if stage == "flight" else 60 * random.uniform(*stays[stage])
        ends_s = begins_s + lasts_s
        legs.append(
            JourneyLeg(stage=stage, origin=origin, destination=destination, begins_s=begins_s, ends_s=ends_s)
        )

    places = [stop.place for stop in stops]
    add("pick-up", _site("Collection site", stops[0], random), places[0])
    for here, there in pairwise(places):
        add("hub", here, here)
        add("flight", here, there)
    if stops[0].country != stops[-1].country:
        add("customs", places[-1], places[-1])
    add("delivery", places[-1], _site("Treatment site", stops[-1], random))
    return tuple(legs)


def _site(kind: str, airport: Airport, random: Random) -> Waypoint:
    # 5 to 25 km away in any direction; a degree of latitude is 111 km.
    bearing, km = random.uniform(0, 2 * math.pi), random.uniform(5, 25)
    lat = airport.lat + km / 111 * math.cos(bearing)
    lon = airport.lon + km / 111 * math.sin(bearing) / math.cos(math.radians(airport.lat))
    return Waypoint(f"{kind}, {airport.city}", lat, lon, airport.timezone)
