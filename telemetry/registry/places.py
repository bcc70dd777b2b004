"""Pure: which places a shipment names, and which site it means by a name."""

from typing import Any


def is_meant(owner: str | None, organization: str | None) -> bool:
    """Tell whether a shipment of an organization, or of none, means an owner's site by its id: not that of a stranger."""
    return owner is None or organization is None or owner == organization


def places_of(shipment: Any) -> set[str]:
    """Give the names of all places of a shipment's row: site ids or free text."""
    ends = [shipment["origin"], shipment["destination"]]
    ends += [leg[end] for leg in shipment["legs"] for end in ("from", "to")]
    return {end for end in ends if end is not None}
