"""Pure: lanes between real airports, the legs of a journey along them, and where a shipper is at any time."""

import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from typing import Literal

Stage = Literal["pick-up", "hub", "flight", "customs", "delivery"]

EARTH_KM = 6371.0088
CRUISE_KM_S = 850 / 3600
TAXI_AND_CLIMB_S = 1800

# How long a stage takes, in minutes, where a story does not say otherwise. A flight takes what its distance takes.
STAYS_MIN: dict[Stage, tuple[float, float]] = {
    "pick-up": (25, 60),
    "hub": (45, 150),
    "customs": (40, 240),
    "delivery": (25, 75),
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


@dataclass(frozen=True, slots=True)
class Place:
    name: str
    lat: float
    lon: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Airport:
    code: str
    city: str
    country: str
    lat: float
    lon: float

    @property
    def place(self) -> Place:
        return Place(f"{self.city} ({self.code})", self.lat, self.lon)


@dataclass(frozen=True, slots=True)
class Arc:
    """A stretch of great circle: the angle between its ends, and these as unit vectors from the earth's centre."""

    angle: float
    origin: tuple[float, float, float]
    destination: tuple[float, float, float]

    @classmethod
    def between(cls, origin: Place, destination: Place) -> "Arc":
        return cls(distance_km(origin, destination) / EARTH_KM, _vector(origin), _vector(destination))

    def at(self, share: float) -> tuple[float, float]:
        """Return latitude and longitude in degrees after `share` (0 to 1) of the way."""
        if self.angle < 1e-9:
            a, b = 1.0, 0.0
        else:
            a = math.sin((1 - share) * self.angle) / math.sin(self.angle)
            b = math.sin(share * self.angle) / math.sin(self.angle)
        x, y, z = (a * start + b * end for start, end in zip(self.origin, self.destination, strict=True))
        return math.degrees(math.atan2(z, math.hypot(x, y))), math.degrees(math.atan2(y, x))


@dataclass(frozen=True, kw_only=True, slots=True)
class Leg:
    """One stage of a journey, in seconds of the journey's clock; while it stays somewhere, both places are one."""

    stage: Stage
    origin: Place
    destination: Place
    begins_s: float
    ends_s: float
    arc: Arc

    def position(self, journey_s: float) -> tuple[float, float]:
        share = (journey_s - self.begins_s) / (self.ends_s - self.begins_s)
        return self.arc.at(min(1.0, max(0.0, share)))


def distance_km(origin: Place, destination: Place) -> float:
    """Return the great-circle distance (haversine)."""
    lat_1, lat_2 = math.radians(origin.lat), math.radians(destination.lat)
    half_lat, half_lon = (lat_2 - lat_1) / 2, math.radians(destination.lon - origin.lon) / 2
    h = math.sin(half_lat) ** 2 + math.cos(lat_1) * math.cos(lat_2) * math.sin(half_lon) ** 2
    return 2 * EARTH_KM * math.asin(min(1.0, math.sqrt(h)))


def _vector(place: Place) -> tuple[float, float, float]:
    lat, lon = math.radians(place.lat), math.radians(place.lon)
    return math.cos(lat) * math.cos(lon), math.cos(lat) * math.sin(lon), math.sin(lat)


def route(
    lane: tuple[str, ...],
    airports: Mapping[str, Airport],
    departs_s: float,
    stays_min: Mapping[Stage, tuple[float, float]],
    random: Random,
) -> tuple[Leg, ...]:
    """Return the legs from a site near the first airport to a site near the last, one after the other."""
    stops = [airports[code] for code in lane]
    legs: list[Leg] = []

    def add(stage: Stage, origin: Place, destination: Place) -> None:
        begins_s = legs[-1].ends_s if legs else departs_s
        if stage == "flight":
            lasts_s = TAXI_AND_CLIMB_S + distance_km(origin, destination) / CRUISE_KM_S
        else:
            lasts_s = 60 * random.uniform(*stays_min.get(stage, STAYS_MIN[stage]))
        legs.append(
            Leg(
                stage=stage,
                origin=origin,
                destination=destination,
                begins_s=begins_s,
                ends_s=begins_s + lasts_s,
                arc=Arc.between(origin, destination),
            )
        )

    add("pick-up", _site("Collection site", stops[0], random), stops[0].place)
    for here, there in pairwise(stops):
        add("hub", here.place, here.place)
        add("flight", here.place, there.place)
    if stops[0].country != stops[-1].country:
        add("customs", stops[-1].place, stops[-1].place)
    add("delivery", stops[-1].place, _site("Treatment site", stops[-1], random))
    return tuple(legs)


def leg_at(legs: tuple[Leg, ...], journey_s: float) -> Leg:
    """Return the leg under way; before departure the first, after delivery the last."""
    return legs[min(len(legs) - 1, bisect_right(legs, journey_s, key=lambda leg: leg.ends_s))]


def _site(kind: str, airport: Airport, random: Random) -> Place:
    # 5 to 25 km off in any direction; a degree of latitude is 111 km.
    bearing, km = random.uniform(0, 2 * math.pi), random.uniform(5, 25)
    lat = airport.lat + km / 111 * math.cos(bearing)
    lon = airport.lon + km / 111 * math.sin(bearing) / math.cos(math.radians(airport.lat))
    return Place(f"{kind}, {airport.city}", lat, lon)
