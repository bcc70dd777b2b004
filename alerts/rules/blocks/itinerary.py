"""Pure: how far a shipment has come on its planned route, and when it will arrive.

Theory of operation. The route is a chain of stops, joined by legs. Positions in the geofence of a stop show
that it was reached, and positions outside that it was left; a stop may be passed unseen, as in flight mode.
Positions are only sampled once per `Sampling.every`, in event time, so that cuts and order of arrival change
nothing. From the last known stop the plan is continued: a delay carries over to the next leg, less the slack
between them, and a missed flight is replaced by the same one of the next day.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import cos, isnan, pi
from typing import Final, NamedTuple

import numpy as np

from alerts.excursions.trace import Channel, Trace
from alerts.model import SECOND, Duration, Instant
from alerts.rules.facts import Facts, Leg
from alerts.rules.geodesy import EARTH_M, Vector, distance_m, dot, unit_vector
from alerts.rules.place import Place
from telemetry.fixes import is_fix

LEAVES_AT = 1.2
"""A stop is left beyond this multiple of its radius; otherwise noise would leave it again and again."""
FASTEST_M_S = 340.0
"""No airliner is faster over ground, jet stream included; a faster position is wrong."""


PAPERS: Final[Duration] = 5400 * SECOND
"""Time for loading, customs papers and finding the right door, which a van needs beside driving."""
DETOUR, ROAD_M_S = 1.4, 14.0
"""Roads are 1.4 times as long as the straight line, and driven at 50 km/h on average."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How often a position is sampled, and how accurate it must claim to be, in metres."""

    every: Duration
    accuracy_m: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FreightPractice:
    """What is customary: how long before departure an aircraft takes freight, and how often one leaves."""

    cut_off: Duration
    service_every: Duration


class RouteProgress(NamedTuple):
    """What positions have shown so far. `stop` is the last stop reached; 0 is the origin.

    `seen_at` is the newest position, at `lat` and `lon`. `at_stop` is the newest position in the geofence
    of that stop. `reached_at` is when it was reached and `left_at` when it was left, None while unknown.
    A position too far from the one before to be true is `doubted_at` until another one agrees with it.
    """

    sampled_at: Instant | None = None
    seen_at: Instant | None = None
    lat: float = 0.0
    lon: float = 0.0
    stop: int = 0
    reached_at: Instant | None = None
    at_stop: Instant | None = None
    left_at: Instant | None = None
    doubted_at: Instant | None = None
    doubted_lat: float = 0.0
    doubted_lon: float = 0.0


AT_ORIGIN: Final = RouteProgress()
STOP, DOUBTED = RouteProgress._fields.index("stop"), RouteProgress._fields.index("doubted_at")
"""A forecast depends on the fields from `stop` up to `doubted_at`."""


class Position(NamedTuple):
    """Where a logger was."""

    at: Instant
    lat: float
    lon: float


def stops(facts: Facts) -> tuple[Place, ...]:
    """Return the stops of the route, origin first; empty if nothing is planned."""
    if facts.legs:
        return (facts.legs[0].start, *(leg.end for leg in facts.legs))
    return tuple(place for place in (facts.origin, facts.destination) if place is not None)


def sampled_positions(sampling: Sampling, after: Instant | None, trace: Trace) -> Iterator[Position]:
    """Return the first good position of each period of `sampling.every` that has not been sampled yet."""
    lats, lons = trace.channels.get(Channel.LAT), trace.channels.get(Channel.LON)
    if lats is None or lons is None or not len(trace) or not _is_due(sampling, int(trace.at[-1]), after):
        return
    if len(trace) == 1:
        lat, lon = float(lats[0]), float(lons[0])
        radius = trace.channels.get(Channel.ACCURACY_M)
        if is_fix(lat, lon) and not (
            isnan(lat + lon) or (radius is not None and radius[0] > sampling.accuracy_m)
        ):
            yield Position(int(trace.at[0]), lat, lon)
        return
    good = ~np.isnan(lats + lons) & is_fix(lats, lons)
    if (accuracy := trace.channels.get(Channel.ACCURACY_M)) is not None:
        good &= ~(accuracy > sampling.accuracy_m)
    places = np.flatnonzero(good)
    if len(places) > 1:
        _, first = np.unique(trace.at[places] // sampling.every, return_index=True)
        places = places[first]
    for at, lat, lon in zip(
        trace.at[places].tolist(), lats[places].tolist(), lons[places].tolist(), strict=True
    ):
        if _is_due(sampling, at, after):
            yield Position(at, lat, lon)


def _is_due(sampling: Sampling, at: Instant, after: Instant | None) -> bool:
    return after is None or at // sampling.every > after // sampling.every


def fold_positions(
    facts: Facts, sampling: Sampling, progress: RouteProgress, trace: Trace
) -> Sequence[tuple[Instant, RouteProgress]]:
    """Return when positions were sampled and the progress after each; cached for rules that share it."""
    key = sampling, progress
    cached = trace.cache.get(key)
    if cached is not None and cached[0] is facts:
        return cached[1]  # type: ignore[no-any-return]
    fences, steps = _fences(facts), []
    for position in sampled_positions(sampling, progress.sampled_at, trace):
        progress = _advance(fences, progress, position)
        steps.append((position.at, progress))
    trace.cache[key] = facts, steps
    return steps


def advance(facts: Facts, progress: RouteProgress, position: Position) -> RouteProgress:
    """Return the progress after one more position, later than all before."""
    return _advance(_fences(facts), progress, position)


class _Fence(NamedTuple):
    """The geofence of a stop.

    A position whose dot product with the centre is below `outside_below` is outside.
    """

    centre: Vector
    radius_m: float
    outside_below: float


def _fences(facts: Facts) -> list[_Fence | None]:
    """Return the geofences of the stops; None for a stop whose position is unknown."""
    return [
        None if place.lat is None or place.lon is None else _fence(place.lat, place.lon, place.radius_m)
        for place in stops(facts)
    ]


@lru_cache(maxsize=4096)
def _fence(lat: float, lon: float, radius_m: float) -> _Fence:
    return _Fence(unit_vector(lat, lon), radius_m, cos((LEAVES_AT * radius_m + 1) / EARTH_M))


def _advance(fences: Sequence[_Fence | None], progress: RouteProgress, position: Position) -> RouteProgress:
    at, lat, lon = position
    here = unit_vector(lat, lon)
    _, seen, _, _, stop, since, newest, left, doubted, *of_doubted = progress
    if seen is not None and not _plausible(Position(seen, progress.lat, progress.lon), position, here):
        before = None if doubted is None else Position(doubted, progress.doubted_lat, progress.doubted_lon)
        if before is None or not _plausible(before, position, here):
            return progress._replace(sampled_at=at, doubted_at=at, doubted_lat=lat, doubted_lon=lon)
    reached = _stop_reached(fences, stop, here)
    if reached is None:
        if left is None and stop < len(fences) and _outside(fences[stop], here):
            left = at
    elif reached == stop:
        since, newest, left = at if since is None else since, at, None
    else:
        stop, since, newest, left = reached, at, at, None
    return RouteProgress._make((at, at, lat, lon, stop, since, newest, left, None, *of_doubted))


def _plausible(before: Position, after: Position, here: Vector) -> bool:
    there, seconds = unit_vector(before.lat, before.lon), (after.at - before.at) / SECOND
    most_m = FASTEST_M_S * seconds + 5000  # both may be off by some kilometres
    if dot(there, here) > cos(min(0.99 * most_m / EARTH_M, pi)):
        return True  # nearly always, without the exact distance
    return distance_m(there, here) <= most_m


def _stop_reached(fences: Sequence[_Fence | None], stop: int, here: Vector) -> int | None:
    """Return the stop whose geofence contains a position: the one reached last, else the first after it."""
    for number in range(stop, len(fences)):
        fence = fences[number]
        if fence is None or dot(fence.centre, here) < fence.outside_below:
            continue
        if distance_m(fence.centre, here) <= fence.radius_m:
            return number
    return None


def _outside(fence: _Fence | None, here: Vector) -> bool:
    if fence is None:
        return False
    surely = dot(fence.centre, here) < fence.outside_below
    return surely or distance_m(fence.centre, here) > LEAVES_AT * fence.radius_m


def _centre(place: Place) -> Vector | None:
    return None if place.lat is None or place.lon is None else unit_vector(place.lat, place.lon)


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """When a shipment will arrive, as of an instant."""

    arrival: Instant
    planned: Instant
    missed: Leg | None = None
    """The first connection that it cannot reach; the arrival is then with the next service."""
    overdue: bool = False
    """It should have arrived by now, for unknown reasons has not; the arrival is never before now."""

    @property
    def delay(self) -> Duration:
        """Return how late it arrives; negative if early."""
        return self.arrival - self.planned


def forecast(
    facts: Facts, progress: RouteProgress, practice: FreightPractice, through: Instant
) -> Forecast | None:
    """Forecast when the shipment will arrive; None if no arrival is planned."""
    planned = planned_arrival(facts)
    if planned is None:
        return None
    arrival, missed = planned, None
    if facts.legs and all(leg.planned_departure and leg.planned_arrival for leg in facts.legs):
        if progress.stop >= len(facts.legs):  # at its destination, and to be handed over
            arrival = progress.reached_at or planned
        else:
            arrival, missed = _continue_plan(facts, progress, practice)
        arrival += planned - (facts.legs[-1].planned_arrival or planned)  # from the last airport to the site
    elif facts.planned_departure is not None:
        arrival += max(0, facts.window.departed_at - facts.planned_departure)
    overdue = arrival < through
    return Forecast(arrival=max(arrival, through), planned=planned, missed=missed, overdue=overdue)


def planned_arrival(facts: Facts) -> Instant | None:
    """Return the planned arrival; None if there is none."""
    if facts.planned_arrival is not None:
        return facts.planned_arrival
    return facts.legs[-1].planned_arrival if facts.legs else None


def _continue_plan(
    facts: Facts, progress: RouteProgress, practice: FreightPractice
) -> tuple[Instant, Leg | None]:
    """Continue the plan from the stop that was reached last; all legs have times."""
    first = facts.legs[progress.stop]
    ready: Instant | None = progress.reached_at
    missed: Leg | None = None
    arrival: Instant = 0
    for number, leg in enumerate(facts.legs[progress.stop :], progress.stop):
        cut_off = _cut_off(facts, number, practice)
        departs, arrives = leg.planned_departure or 0, leg.planned_arrival or 0
        if leg is first and progress.left_at is not None:
            leaves = max(departs, progress.left_at)
        elif (
            leg is first
            and progress.at_stop is not None
            and departs < progress.at_stop <= departs + practice.cut_off
        ):
            leaves = progress.at_stop  # aircraft leave late, too
        elif leg is first and progress.at_stop is not None and progress.at_stop > departs:
            leaves = _departs_at(leg, progress.at_stop, cut_off, practice)
        elif leg is first and progress.stop == 0:
            leaves = max(departs, facts.window.departed_at)
        else:
            leaves = departs if ready is None else _departs_at(leg, ready, cut_off, practice)
        if leaves > departs + practice.cut_off and _is_flight(leg) and progress.left_at is None:
            missed = missed or leg
        arrival = ready = max(arrives, leaves + _leg_duration(leg)) if leaves > departs else arrives
    return arrival, missed


def _leg_duration(leg: Leg) -> Duration:
    """Return the least duration of a leg: a flight as planned, a van no longer than its road and papers take."""
    planned = (leg.planned_arrival or 0) - (leg.planned_departure or 0)
    start, end = _centre(leg.start), _centre(leg.end)
    if _is_flight(leg) or start is None or end is None:
        return planned
    return min(planned, PAPERS + round(DETOUR * distance_m(start, end) / ROAD_M_S * SECOND))


def _cut_off(facts: Facts, number: int, practice: FreightPractice) -> Duration:
    """Return how long before departure freight must be there: at most two thirds of the planned connection."""
    before, departs = (
        facts.legs[number - 1].planned_arrival if number else None,
        facts.legs[number].planned_departure,
    )
    if before is None or departs is None:
        return practice.cut_off
    return min(practice.cut_off, max(0, departs - before) * 2 // 3)


def _departs_at(leg: Leg, ready: Instant, cut_off: Duration, practice: FreightPractice) -> Instant:
    """Return when a leg departs for freight ready then: by road at once, by air with the next service."""
    departs = leg.planned_departure or 0
    if not _is_flight(leg):
        return max(departs, ready)
    late = ready + cut_off - departs
    return departs if late <= 0 else departs + -(-late // practice.service_every) * practice.service_every


def _is_flight(leg: Leg) -> bool:
    return leg.start.airport and leg.end.airport
