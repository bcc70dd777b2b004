"""Pure: the places that a shipment names, and whose sites and products it may refer to."""

from collections.abc import Mapping
from typing import Any, TypeVar

from telemetry.registry.ids import meant

T = TypeVar("T")


def may_refer_to(owner: str | None, organization: str | None) -> bool:
    """Return whether a shipment of an organization, or of none, can refer to a site or product of this owner.

    It can if that is its own or everybody's. What is nobody's refers to no organization's: the contacts of a site are
    told of shipments that name it, and anybody may choose the id of a site.
    """
    return owner is None or owner == organization


def places_of(shipment: Any) -> set[str]:
    """Return the names of all places of a shipment: site ids or free text."""
    ends = [shipment["origin"], shipment["destination"]]
    ends += [leg[end] for leg in shipment["legs"] for end in ("from", "to")]
    return {end for end in ends if end is not None}


def site_named(place: str, organization: str | None, sites: Mapping[str, T]) -> T | None:
    """Return the site, of those by their keys, that a shipment of an organization means by a place: its own come first."""
    return next((sites[key] for key in meant(place, organization) if key in sites), None)
