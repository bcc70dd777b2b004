"""Pure: lanes between real airports, and the legs of a journey along them, as they are planned."""

import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from typing import Literal, get_args

Stage = Literal["pick-up", "hub", "flight", "customs", "delivery"]
STAGES: tuple[Stage, ...] = get_args(Stage)
Pace = Literal["hours", "days"]
Stays = Mapping[Stage, tuple[float, float]]

EARTH_KM = 6371.0088
CRUISE_KM_S = 850 / 3600
TAXI_AND_CLIMB_S = 1800

# How long a stage takes, in minutes, where a story does not say otherwise. A flight takes what its distance takes.
# Within hours somebody who watches sees something; door to door most cell therapies take two to six days.
STAYS_MIN: dict[Pace, dict[Stage, tuple[float, float]]] = {
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
# Where what was put on the wrong aircraft turns up.
ELSEWHERE = ("CGN", "LEJ", "SDF", "MEM", "DXB", "HKG", "ANC", "LUX")


@dataclass(frozen=True, slots=True)
class Place:
    """Somewhere on the way; `timezone` is its name in the tz database, `airport` its IATA code where it is one."""

    name: str
    lat: float
    lon: float
    timezone: str = "UTC"
    airport: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Airport:
    code: str
    city: str
    country: str
    lat: float
    lon: float
    timezone: str = "UTC"

    @property
    def place(self) -> Place:
        return Place(f"{self.city} ({self.code})", self.lat, self.lon, self.timezone, self.code)


@dataclass(frozen=True, kw_only=True, slots=True)
class Leg:
    """One stage of a journey, in seconds of the journey's clock; while it stays somewhere, both places are one."""

    stage: Stage
    origin: Place
    destination: Place
    begins_s: float
    ends_s: float

    def position(self, journey_s: float) -> tuple[float, float]:
        """Return latitude and longitude in degrees on the great circle; before and after it the nearer end."""
        share = (journey_s - self.begins_s) / (self.ends_s - self.begins_s)
        return along(self.origin, self.destination, min(1.0, max(0.0, share)))


def along(origin: Place, destination: Place, share: float) -> tuple[float, float]:
    """Return latitude and longitude after a share (0 to 1) of the great circle: spherical linear interpolation."""
    angle = distance_km(origin, destination) / EARTH_KM
    if angle < 1e-9:
        a, b = 1.0, 0.0
    else:
        a, b = (math.sin(part * angle) / math.sin(angle) for part in (1 - share, share))
    x, y, z = (a * start + b * end for start, end in zip(vector(origin), vector(destination), strict=True))
    return math.degrees(math.atan2(z, math.hypot(x, y))), math.degrees(math.atan2(y, x))


def distance_km(origin: Place, destination: Place) -> float:
    """Return the great-circle distance (haversine)."""
    lat_1, lat_2 = math.radians(origin.lat), math.radians(destination.lat)
    half_lat, half_lon = (lat_2 - lat_1) / 2, math.radians(destination.lon - origin.lon) / 2
    h = math.sin(half_lat) ** 2 + math.cos(lat_1) * math.cos(lat_2) * math.sin(half_lon) ** 2
    return 2 * EARTH_KM * math.asin(min(1.0, math.sqrt(h)))


def vector(place: Place) -> tuple[float, float, float]:
    """Return a place as a unit vector from the earth's centre."""
    lat, lon = math.radians(place.lat), math.radians(place.lon)
    return math.cos(lat) * math.cos(lon), math.cos(lat) * math.sin(lon), math.sin(lat)


def flight_s(origin: Place, destination: Place) -> float:
    return TAXI_AND_CLIMB_S + distance_km(origin, destination) / CRUISE_KM_S


def route(
    lane: tuple[str, ...],
    airports: Mapping[str, Airport],
    departs_s: float,
    stays_min: Stays,
    random: Random,
    pace: Pace = "hours",
) -> tuple[Leg, ...]:
    """Return the legs from a site near the first airport to a site near the last, one after the other."""
    stops = [airports[code] for code in lane]
    stays = STAYS_MIN[pace] | dict(stays_min)
    legs: list[Leg] = []

    def add(stage: Stage, origin: Place, destination: Place) -> None:
        begins_s = legs[-1].ends_s if legs else departs_s
        lasts_s = flight_s(origin, destination) if stage == "flight" else 60 * random.uniform(*stays[stage])
        ends_s = begins_s + lasts_s
        legs.append(
            Leg(stage=stage, origin=origin, destination=destination, begins_s=begins_s, ends_s=ends_s)
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


def leg_at(legs: tuple[Leg, ...], journey_s: float) -> Leg:
    """Return the leg under way; before departure the first, after delivery the last."""
    return legs[min(len(legs) - 1, bisect_right(legs, journey_s, key=lambda leg: leg.ends_s))]


def stage_leg(legs: tuple[Leg, ...], stage: Stage, which: int = 0) -> Leg | None:
    """Return the so-manieth leg of a stage (-1 is the last), the last where there are fewer; None where there is none."""
    found = [leg for leg in legs if leg.stage == stage]
    if not found:
        return None
    return found[-1] if which < 0 else found[min(which, len(found) - 1)]


def _site(kind: str, airport: Airport, random: Random) -> Place:
    # 5 to 25 km off in any direction; a degree of latitude is 111 km.
    bearing, km = random.uniform(0, 2 * math.pi), random.uniform(5, 25)
    lat = airport.lat + km / 111 * math.cos(bearing)
    lon = airport.lon + km / 111 * math.sin(bearing) / math.cos(math.radians(airport.lat))
    return Place(f"{kind}, {airport.city}", lat, lon, airport.timezone)
