"""Pure: a place of a shipment: a site, an airport, or what somebody typed."""

from dataclasses import dataclass

from telemetry.registry.receiving_hours import ReceivingHours


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A site, or an airport that a leg names; degrees of WGS 84. `hours` None is always open, `stores` None not known."""

    name: str
    lat: float | None = None
    lon: float | None = None
    radius_m: float = 5000
    airport: bool = False
    stores: frozenset[str] | None = None
    hours: ReceivingHours | None = None
