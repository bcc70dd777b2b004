"""Pure: what the service is told about a fleet: request bodies for devices, dewars, shipments and sites."""

from typing import Any

from simulators.fleet.fleet import Fleet
from simulators.instants import moment, rfc3339
from simulators.journeys.journey import Journey
from simulators.world.legs import JourneyLeg
from simulators.world.places import Waypoint


def device_body(fleet: Fleet, index: int) -> dict[str, Any]:
    """Return the body that registers a logger."""
    return {
        "device_id": fleet.device_id(index),
        "model": "simulated logger",
        "interval_s": fleet.clock.shortened(fleet.interval_s),
    }


def dewar_body(journey: Journey) -> dict[str, Any]:
    """Return the body that registers a shipper, as its model promises it and as full.

    Only the truth knows whether it is.
    """
    shipper = journey.shipper
    promised = {"ln2_capacity_kg": shipper.capacity_kg} if shipper.coolant == "nitrogen" else {}
    return {
        "dewar_id": journey.dewar_id,
        "model": shipper.model,
        "hold_time_h": round(shipper.hold_time_h / journey.clock.speed, 6),
        **promised,
        "last_charged_at": rfc3339(moment(journey.on_ms)),
    }


def shipment_body(journey: Journey, organization: str, *, drill: bool = False) -> dict[str, Any]:
    """Return the body that registers a shipment: its plan, with the limits that differ from the band's."""
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
        "origin": place_name(journey, planned[0].origin),
        "destination": place_name(journey, planned[-1].destination),
        "legs": [_leg_body(journey, each) for each in planned if each.origin != each.destination],
        "planned_departure": wall_time(journey, planned[0].begins_s),
        "planned_arrival": wall_time(journey, planned[-1].ends_s),
        "packed_out_at": wall_time(journey, journey.on_s),
        "time_lapse": journey.clock.speed,
        "drill": drill,
    }


def _leg_body(journey: Journey, planned: JourneyLeg) -> dict[str, Any]:
    return {
        "from": place_name(journey, planned.origin),
        "to": place_name(journey, planned.destination),
        "planned_departure": wall_time(journey, planned.begins_s),
        "planned_arrival": wall_time(journey, planned.ends_s),
    }


def plan_places(journey: Journey) -> list[dict[str, Any]]:
    """Return the places of the plan, each once, with name, position and time zone."""
    places = [journey.planned[0].origin, *(each.destination for each in journey.planned)]
    return [_located(place) for place in dict.fromkeys(places)]


def site_bodies(journey: Journey, organization: str) -> list[dict[str, Any]]:
    """Return the sites to register: origin and destination. The service knows airports by their codes."""
    return [
        {"site_id": place_name(journey, end), "organization": organization, **_located(end)}
        for end in (journey.planned[0].origin, journey.planned[-1].destination)
        if end.airport is None
    ]


def _located(place: Waypoint) -> dict[str, Any]:
    return {
        "name": place.name,
        "lat": round(place.lat, 6),
        "lon": round(place.lon, 6),
        "timezone": place.timezone,
    }


def charged_at_ms(journey: Journey) -> list[int]:
    """Return when the dewar is charged, in epoch milliseconds: before it is packed, and on the way."""
    on_the_way = [event.until_s for event in journey.events if event.what == "recharged"]
    return [journey.on_ms, *(journey.clock.wall_ms(at_s) for at_s in on_the_way)]


def place_name(journey: Journey, place: Waypoint) -> str:
    """Return what a shipment calls a place: the code of an airport, or the id of a site."""
    if place.airport is not None:
        return place.airport
    return f"{journey.shipment_id}-{'FROM' if place == journey.planned[0].origin else 'TO'}"


def wall_time(journey: Journey, journey_s: float) -> str:
    """Return a journey time as the text of the real instant."""
    return rfc3339(moment(journey.clock.wall_ms(journey_s)))
