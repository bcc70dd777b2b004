"""Pure: the legs as a journey really takes them: the planned ones with everyday delays and with detours."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Literal, get_args

from simulators.world.lanes import WRONG_HUBS, flight_s
from simulators.world.legs import JourneyLeg, Stage
from simulators.world.places import Airport, Waypoint

DetourKind = Literal["delayed", "missed_connection", "wrong_hub"]
DETOUR_KINDS: tuple[DetourKind, ...] = get_args(DetourKind)

# A shipment that was unloaded less than this before its flight misses it.
TRANSFER_S = 45 * 60
# The mean delay of a flight, and by how much any other stage may differ from its plan.
LATE_FLIGHT_S = 12 * 60
PUNCTUAL_S = 15 * 60


@dataclass(frozen=True, kw_only=True, slots=True)
class Detour:
    """A delay of `lasts_s` at the leg of a stage with the index `which`; -1 is the last one."""

    kind: DetourKind
    stage: Stage
    which: int
    lasts_s: float


def travel(
    planned: Sequence[JourneyLeg], detours: Sequence[Detour], airports: Mapping[str, Airport], random: Random
) -> tuple[JourneyLeg, ...]:
    """Return the legs as they really go.

    A hub waits for its planned flight, which leaves on time or a little later. A shipment that reaches a hub
    too late for its flight takes the next one as soon as the transfer is done.
    """
    legs: list[JourneyLeg] = []
    seen: dict[Stage, int] = {}
    counts = {stage: sum(leg.stage == stage for leg in planned) for stage in {leg.stage for leg in planned}}
    for leg in planned:
        number = seen.get(leg.stage, 0)
        seen[leg.stage] = number + 1
        here = [d for d in detours if d.stage == leg.stage and _is_leg(d.which, number, counts[leg.stage])]
        begins_s = legs[-1].ends_s if legs else leg.begins_s
        wrong = next((d for d in here if d.kind == "wrong_hub"), None)
        if wrong is not None:
            legs += _astray(leg, begins_s, wrong.lasts_s, airports, random)
            continue
        extra_s = sum(d.lasts_s for d in here)
        legs.append(replace(leg, begins_s=begins_s, ends_s=_ends_s(leg, begins_s, extra_s, random)))
    return tuple(legs)


def _is_leg(which: int, number: int, count: int) -> bool:
    return number == (count - 1 if which < 0 else min(which, count - 1))


def _ends_s(leg: JourneyLeg, begins_s: float, extra_s: float, random: Random) -> float:
    planned_s = leg.ends_s - leg.begins_s
    if leg.stage == "hub":
        leaves_s = leg.ends_s + min(random.expovariate(1 / LATE_FLIGHT_S), 5 * LATE_FLIGHT_S, planned_s / 8)
        return max(leaves_s, begins_s + min(TRANSFER_S, planned_s)) + extra_s
    spread_s = min(0.03 * planned_s, PUNCTUAL_S)
    return begins_s + planned_s + random.uniform(-spread_s, spread_s) + extra_s


def _astray(
    flight: JourneyLeg, begins_s: float, stays_s: float, airports: Mapping[str, Airport], random: Random
) -> list[JourneyLeg]:
    """Return a flight to the wrong airport, a stay until somebody notices, and a flight to the right one."""
    here = {flight.origin.name, flight.destination.name}
    wrong = random.choice(
        [airports[code].place for code in WRONG_HUBS if airports[code].place.name not in here]
    )
    legs: list[JourneyLeg] = []

    def add(stage: Stage, origin: Waypoint, destination: Waypoint, lasts_s: float) -> None:
        from_s = legs[-1].ends_s if legs else begins_s
        legs.append(
            JourneyLeg(
                stage=stage, origin=origin, destination=destination, begins_s=from_s, ends_s=from_s + lasts_s
            )
        )

    add("flight", flight.origin, wrong, flight_s(flight.origin, wrong))
    add("hub", wrong, wrong, stays_s)
    add("flight", wrong, flight.destination, flight_s(wrong, flight.destination))
    return legs
