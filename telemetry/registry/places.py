"""Pure: the places that a shipment names, and whose sites and products it may refer to."""

from typing import Any


def may_refer_to(owner: str | None, organization: str | None) -> bool:
    """Return whether an id in a shipment of an organization, or of none, can mean a site or product of this owner.

    It can unless the owner is another organization.
    """
    return owner is None or organization is None or owner == organization


def places_of(shipment: Any) -> set[str]:
    """Return the names of all places of a shipment: site ids or free text."""
    ends = [shipment["origin"], shipment["destination"]]
    ends += [leg[end] for leg in shipment["legs"] for end in ("from", "to")]
    return {end for end in ends if end is not None}
