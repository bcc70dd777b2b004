"""Pure: airports and other places on a route, and the distance between them."""

import math
from dataclasses import dataclass

EARTH_KM = 6371.0088


@dataclass(frozen=True, slots=True)
class Waypoint:
    """A place on a route.

    `timezone` is its name in the tz database; `airport` is its IATA code if it is an airport.
    """

    name: str
    lat: float
    lon: float
    timezone: str = "UTC"
    airport: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Airport:
    """An airport. `code` is its IATA code."""

    code: str
    city: str
    country: str
    lat: float
    lon: float
    timezone: str = "UTC"

    @property
    def place(self) -> Waypoint:
        """Return the airport as a place on a route."""
        return Waypoint(f"{self.city} ({self.code})", self.lat, self.lon, self.timezone, self.code)


def distance_km(origin: Waypoint, destination: Waypoint) -> float:
    """Return the great-circle distance, by the haversine formula."""
    lat_1, lat_2 = math.radians(origin.lat), math.radians(destination.lat)
    half_lat, half_lon = (lat_2 - lat_1) / 2, math.radians(destination.lon - origin.lon) / 2
    h = math.sin(half_lat) ** 2 + math.cos(lat_1) * math.cos(lat_2) * math.sin(half_lon) ** 2
    return 2 * EARTH_KM * math.asin(min(1.0, math.sqrt(h)))


def unit_vector(place: Waypoint) -> tuple[float, float, float]:
    """Return the unit vector from the earth's centre to a place."""
    lat, lon = math.radians(place.lat), math.radians(place.lon)
    return math.cos(lat) * math.cos(lon), math.cos(lat) * math.sin(lon), math.sin(lat)
