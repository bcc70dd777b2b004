"""Pure: the API calls that register a journey."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from simulators.fleet.fleet import Fleet
from simulators.fleet.registration import charges, dewar, ends, shipment
from simulators.instants import moment, rfc3339
from simulators.journeys.journey import Journey


@dataclass(frozen=True, slots=True)
class RegistrationCall:
    """A call that is due at a time on the wall, in epoch milliseconds."""

    due_ms: int
    path: str
    body: dict[str, Any]


def _charge(journey: Journey, at_ms: int) -> RegistrationCall:
    return RegistrationCall(at_ms, f"/v1/dewars/{journey.dewar_id}/charge", {"at": rfc3339(moment(at_ms))})


def registration_calls(
    fleet: Fleet, index: int, from_ms: int, organization: str, *, drill: bool = False
) -> Iterator[RegistrationCall]:
    """Yield the calls for one logger's journeys, in the order of time."""
    for journey in fleet.journeys_from(index, from_ms):
        path = f"/v1/shipments/{journey.shipment_id}"
        departed_ms = fleet.clock.wall_ms(journey.departed_s)
        delivered_ms = fleet.clock.wall_ms(journey.delivered_s)
        yield RegistrationCall(journey.on_ms, "/v1/dewars", dewar(journey))
        for site in ends(journey, organization):
            yield RegistrationCall(journey.on_ms, "/v1/sites", site)
        full, *recharged = charges(journey)
        yield _charge(journey, full)
        yield RegistrationCall(journey.on_ms, "/v1/shipments", shipment(journey, organization, drill=drill))
        yield RegistrationCall(departed_ms, f"{path}/depart", {"at": rfc3339(moment(departed_ms))})
        for at_ms in recharged:
            yield _charge(journey, at_ms)
        yield RegistrationCall(delivered_ms, f"{path}/deliver", {"at": rfc3339(moment(delivered_ms))})
