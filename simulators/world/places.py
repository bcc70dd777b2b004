"""Pure: airports and other places on a route, and distances between them."""

import math
from dataclasses import dataclass

EARTH_KM = 6371.0088


@dataclass(frozen=True, slots=True)
class Waypoint:
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
    def place(self) -> Waypoint:
        return Waypoint(f"{self.city} ({self.code})", self.lat, self.lon, self.timezone, self.code)


def along(origin: Waypoint, destination: Waypoint, share: float) -> tuple[float, float]:
    """Return latitude and longitude after a share (0 to 1) of the great circle: spherical linear interpolation."""
    angle = distance_km(origin, destination) / EARTH_KM
    if angle < 1e-9:
        a, b = 1.0, 0.0
    else:
        a, b = (math.sin(part * angle) / math.sin(angle) for part in (1 - share, share))
    x, y, z = (
        a * start + b * end for start, end in zip(unit_vector(origin), unit_vector(destination), strict=True)
    )
    return math.degrees(math.atan2(z, math.hypot(x, y))), math.degrees(math.atan2(y, x))


def distance_km(origin: Waypoint, destination: Waypoint) -> float:
    """Return the great-circle distance (haversine)."""
    lat_1, lat_2 = math.radians(origin.lat), math.radians(destination.lat)
    half_lat, half_lon = (lat_2 - lat_1) / 2, math.radians(destination.lon - origin.lon) / 2
    h = math.sin(half_lat) ** 2 + math.cos(lat_1) * math.cos(lat_2) * math.sin(half_lon) ** 2
    return 2 * EARTH_KM * math.asin(min(1.0, math.sqrt(h)))


def unit_vector(place: Waypoint) -> tuple[float, float, float]:
    """Return a place as a unit vector from the earth's centre."""
    lat, lon = math.radians(place.lat), math.radians(place.lon)
    return math.cos(lat) * math.cos(lon), math.cos(lat) * math.sin(lon), math.sin(lat)
