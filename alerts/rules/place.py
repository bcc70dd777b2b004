"""Pure: a place that a shipment names: a site, an airport, or a name that is not registered."""

from dataclasses import dataclass

from telemetry.registry.receiving_hours import ReceivingHours


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A site or airport, in degrees of WGS 84.

    `hours` None means always open, `stores` None means unknown.
    """

    name: str
    lat: float | None = None
    lon: float | None = None
    radius_m: float = 5000
    airport: bool = False
    stores: frozenset[str] | None = None
    hours: ReceivingHours | None = None
