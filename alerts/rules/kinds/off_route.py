"""Pure: the shipment is outside of the corridor along its route, and of all its stops."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from math import hypot, sin
from typing import ClassVar, NamedTuple, TypeAlias

from alerts.alert_kinds import KINDS
from alerts.excursions.trace import Trace
from alerts.model import AlertKind, Instant
from alerts.rules.blocks.arrival_rule import ARRIVAL_RANGES, POSITIONS, duration_of
from alerts.rules.blocks.hysteresis import NO_EPISODE, Episode, Levels, fold_value
from alerts.rules.blocks.itinerary import AT_ORIGIN, RouteProgress, Sampling, fold_positions, stops
from alerts.rules.facts import Facts
from alerts.rules.geodesy import EARTH_M, Vector, cross, distance_m, distance_to_path_m, dot, unit_vector
from alerts.rules.place import Place
from alerts.rules.rule import NOTHING, Finding, Look, LookTime, ShipmentRule, Tuning
from telemetry.fixes import is_fine

_SEVERITY = KINDS[AlertKind.OFF_ROUTE].severity

Route: TypeAlias = tuple[tuple[Vector, float], ...]
"""Stops whose position is known, each with its radius in km."""

_INSIDE_KM = -1000.0
_FIRST_REPORTED_KM = 25.0
_AT_AIRPORT_M = 10_000.0
"""Freight is handled next to an airfield, and the largest ones are ten kilometres across."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OffRouteTuning(Tuning):
    """A corridor is 50 km wide to each side, and widens with the distance to its nearer end.

    Roads and airways are not great circles. 15 % of that distance is about right for the North Atlantic,
    where the tracks of a day are up to 500 km from the great circle. Half an hour outside is reported: it
    is no holding pattern, and no detour of a van.
    """

    corridor_km: float = 50
    corridor_part: float = 0.15
    back_inside_km: float = 10
    dwell_s: float = 1800
    position_every_s: float = 300
    accuracy_m: float = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class OffRouteState:
    """The newest position, and how far outside of the corridor it was, in km, and for how long."""

    progress: RouteProgress = AT_ORIGIN
    outside: Episode = NO_EPISODE
    proven: bool = False
    """Whether its receiver has given more than one position. Positions before that count for nothing: one that it repeats to
    the metre from the start may be of a journey before."""


class OffRoute(ShipmentRule[OffRouteTuning, OffRouteState]):
    """Raised if positions are outside of corridor and geofences for a while; cleared by one well inside."""

    kind = AlertKind.OFF_ROUTE
    tuning = OffRouteTuning
    state = OffRouteState
    reads = POSITIONS
    shared_field = "progress"
    ranges: ClassVar = {
        "corridor_km": (1, 20_000),
        "corridor_part": (0, 10),
        "back_inside_km": (0, 900),
        "dwell_s": (0, 30 * 86_400),
        "position_every_s": ARRIVAL_RANGES["position_every_s"],
        "accuracy_m": ARRIVAL_RANGES["accuracy_m"],
    }

    def fold(self, tuning: OffRouteTuning, facts: Facts, state: OffRouteState, trace: Trace) -> OffRouteState:
        """Sample positions, but none that are physically impossible."""
        route = _route_of(stops(facts))
        if len(route) < 2:
            return state
        sampled = fold_positions(facts, _sampling(tuning), state.progress, trace)
        before, outside, proven = state.progress, state.outside, state.proven
        for at, progress in sampled:
            if progress.seen_at == at:
                proven = proven or _proves(before, progress)
                if proven:
                    outside = _fold_position(tuning, route, outside, before.seen_at, progress)
            before = progress
        return OffRouteState(progress=sampled[-1][1], outside=outside, proven=proven) if sampled else state

    def look(
        self,
        tuning: OffRouteTuning,
        facts: Facts,
        states: Sequence[OffRouteState],
        look_time: LookTime,  # noqa: ARG002 -- the newest position counts, not the clock
    ) -> Look:
        """Judge by the logger with the newest position."""
        state = max(states, key=lambda state: state.progress.seen_at or 0)
        newest = state.outside.newest(_levels(tuning), state.progress.seen_at or 0)
        if newest is None:
            return NOTHING
        since, until, furthest_km = newest
        reported_km = _FIRST_REPORTED_KM
        while reported_km * 2 <= furthest_km:
            reported_km *= 2
        near = _nearest_airport(facts, state.progress) if until is None else None
        far = f"more than {reported_km:.0f} km " if furthest_km >= reported_km else ""
        route = " - ".join(place.name for place in stops(facts))
        at = "" if near is None else f"near {near}, "
        message = (
            f"{at}{far}outside of its way {route}: ask whoever holds it where it is, and where it is going"
        )
        details: dict[str, float | str] = {"more_than_km_outside": reported_km if far else 0}
        if near is not None:
            details["near_airport"] = near
        found = Finding(
            severity=_SEVERITY,
            message=message[0].upper() + message[1:],
            since=since,
            until=until,
            details=details,
        )
        return Look(found=found)


def _proves(before: RouteProgress, after: RouteProgress) -> bool:
    """Return whether a position shows that its receiver works: it is another than before, or too coarse to tell."""
    if not is_fine(after.lat, after.lon):
        return True
    return before.seen_at is not None and (before.lat, before.lon) != (after.lat, after.lon)


def _nearest_airport(facts: Facts, progress: RouteProgress) -> str | None:
    """Return the airport where it was last seen, which is where somebody can be asked."""
    if facts.airports is None or progress.seen_at is None:
        return None
    return facts.airports.nearest(progress.lat, progress.lon, _AT_AIRPORT_M)


@lru_cache(maxsize=1024)
def _sampling(tuning: OffRouteTuning) -> Sampling:
    return Sampling(every=duration_of(tuning.position_every_s), accuracy_m=tuning.accuracy_m)


@lru_cache(maxsize=1024)
def _levels(tuning: OffRouteTuning) -> Levels:
    return Levels(raise_at=1e-9, clear_at=-tuning.back_inside_km, dwell=round(tuning.dwell_s * 1_000_000))


def _fold_position(
    tuning: OffRouteTuning, route: Route, outside: Episode, before: Instant | None, progress: RouteProgress
) -> Episode:
    """Fold in one position.

    If it was outside before a long silence and is inside after it, it returned unseen.
    """
    here, at = unit_vector(progress.lat, progress.lon), progress.sampled_at
    assert at is not None
    well_inside = _well_inside(tuning, route, here)
    if well_inside and outside.since is None:
        return outside
    levels, outside_km = _levels(tuning), _INSIDE_KM if well_inside else _outside_km(tuning, route, here)
    if before is not None and at - before > levels.dwell and outside_km <= levels.clear_at:
        at = before
    return fold_value(levels, outside, at, outside_km)


def _route_of(places: Sequence[Place]) -> Route:
    return tuple(
        (unit_vector(place.lat, place.lon), place.radius_m / 1000)
        for place in places
        if place.lat is not None and place.lon is not None
    )


class _Leg(NamedTuple):
    """The great circle from one stop to the next: its normal, and the normals of planes at its ends."""

    normal: Vector
    at_start: Vector
    at_end: Vector
    length: float


@lru_cache(maxsize=1024)
def _legs(route: Route) -> tuple[_Leg, ...]:
    found = []
    for (start, _), (end, _) in pairwise(route):
        normal = cross(start, end)
        found.append(_Leg(normal, cross(normal, start), cross(end, normal), hypot(*normal)))
    return tuple(found)


def _well_inside(tuning: OffRouteTuning, route: Route, here: Vector) -> bool:
    """Return whether a position is surely far enough inside to clear the alert; False if uncertain."""
    within = sin(min((tuning.corridor_km - tuning.back_inside_km) * 1000 / EARTH_M, 1.5)) - 1e-9
    return any(
        abs(dot(leg.normal, here)) <= within * leg.length
        and dot(leg.at_start, here) > 1e-9
        and dot(leg.at_end, here) > 1e-9
        for leg in _legs(route)
    )


def _outside_km(tuning: OffRouteTuning, route: Route, here: Vector) -> float:
    """Return how far a position is outside of all that is planned, in km; negative inside."""
    if any(distance_m(centre, here) <= radius_km * 1000 for centre, radius_km in route):
        return _INSIDE_KM
    outside = []
    for (start, _), (end, _) in pairwise(route):
        to_stop_km = min(distance_m(start, here), distance_m(end, here)) / 1000
        width_km = tuning.corridor_km + tuning.corridor_part * to_stop_km
        outside.append(distance_to_path_m(here, start, end) / 1000 - width_km)
    return min(outside)


OFF_ROUTE = OffRoute()
