"""Pure: what is told to the service about a fleet: its loggers, its dewars, its shipments with plan and legs."""

from typing import Any

from simulators.fleet.fleet import Fleet
from simulators.instants import moment, rfc3339
from simulators.journeys.journey import Journey
from simulators.world.legs import JourneyLeg
from simulators.world.places import Waypoint


def device(fleet: Fleet, index: int) -> dict[str, Any]:
    return {
        "device_id": fleet.device_id(index),
        "model": "simulated logger",
        "interval_s": fleet.clock.shortened(fleet.interval_s),
    }


def dewar(journey: Journey) -> dict[str, Any]:
    """Return the shipper as its model promises it, taken for full; whether it is, only the truth knows."""
    shipper = journey.shipper
    promised = {"ln2_capacity_kg": shipper.capacity_kg} if shipper.coolant == "nitrogen" else {}
    return {
        "dewar_id": journey.dewar_id,
        "model": shipper.model,
        "hold_time_h": round(shipper.hold_time_h / journey.clock.speed, 6),
        **promised,
        "last_charged_at": rfc3339(moment(journey.on_ms)),
    }


def shipment(journey: Journey, organization: str, *, drill: bool = False) -> dict[str, Any]:
    """Return a shipment as it is registered: its band's limits but for the overrides, its plan's times in full."""
    plan, planned = journey.plan(), journey.planned
    return {
        "shipment_id": journey.shipment_id,
        "organization": organization,
        "band": journey.shipper.band,
        **journey.shipper.overrides,
        "deadband_c": plan.deadband_c,
        "on_delay_s": plan.on_delay_s,
        "budget_s": plan.budget_s,
        "max_gap_s": plan.max_gap_s,
        "device_ids": [journey.device_id],
        "dewar_id": journey.dewar_id,
        "origin": place(journey, planned[0].origin),
        "destination": place(journey, planned[-1].destination),
        "legs": [leg(journey, each) for each in planned if each.origin != each.destination],
        "planned_departure": wall(journey, planned[0].begins_s),
        "planned_arrival": wall(journey, planned[-1].ends_s),
        "packed_out_at": wall(journey, journey.on_s),
        "time_lapse": journey.clock.speed,
        "drill": drill,
    }


def leg(journey: Journey, planned: JourneyLeg) -> dict[str, Any]:
    return {
        "from": place(journey, planned.origin),
        "to": place(journey, planned.destination),
        "planned_departure": wall(journey, planned.begins_s),
        "planned_arrival": wall(journey, planned.ends_s),
    }


def sites(journey: Journey) -> list[dict[str, Any]]:
    """Return the places that the plan touches, as fences can be drawn around them: name, position, time zone."""
    ends = [journey.planned[0].origin, *(each.destination for each in journey.planned)]
    return [
        {
            "name": place.name,
            "lat": round(place.lat, 6),
            "lon": round(place.lon, 6),
            "timezone": place.timezone,
        }
        for place in dict.fromkeys(ends)
    ]


def ends(journey: Journey, organization: str) -> list[dict[str, Any]]:
    """Return the sites to register: where it comes from and goes to; airports are known by their codes."""
    return [
        {
            "site_id": place(journey, end),
            "organization": organization,
            "name": end.name,
            "lat": round(end.lat, 6),
            "lon": round(end.lon, 6),
            "timezone": end.timezone,
        }
        for end in (journey.planned[0].origin, journey.planned[-1].destination)
        if end.airport is None
    ]


def charges(journey: Journey) -> list[int]:
    """Return when its dewar is charged, in epoch milliseconds: before it is packed, and once it is on its way."""
    on_the_way = [event.until_s for event in journey.events if event.what == "recharged"]
    return [journey.on_ms, *(journey.clock.wall_ms(at_s) for at_s in on_the_way)]


def place(journey: Journey, named: Waypoint) -> str:
    """Return what a shipment calls a place: an airport's code, or the id of a site of its own."""
    if named.airport is not None:
        return named.airport
    return f"{journey.shipment_id}-{'FROM' if named == journey.planned[0].origin else 'TO'}"


def wall(journey: Journey, journey_s: float) -> str:
    return rfc3339(moment(journey.clock.wall_ms(journey_s)))
