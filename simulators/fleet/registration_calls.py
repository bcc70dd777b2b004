"""Pure: the API calls that register the journeys of a logger, and when each is due."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from simulators.fleet.fleet import Fleet
from simulators.fleet.registration import charged_at_ms, dewar_body, shipment_body, site_bodies
from simulators.instants import moment, rfc3339
from simulators.journeys.journey import Journey


@dataclass(frozen=True, slots=True)
class RegistrationCall:
    """A call, and when it is due, in epoch milliseconds."""

    due_ms: int
    path: str
    body: dict[str, Any]


def _charge_call(journey: Journey, at_ms: int) -> RegistrationCall:
    return RegistrationCall(at_ms, f"/v1/dewars/{journey.dewar_id}/charge", {"at": rfc3339(moment(at_ms))})


def registration_calls(
    fleet: Fleet, index: int, from_ms: int, organization: str, *, drill: bool = False
) -> Iterator[RegistrationCall]:
    """Yield the calls for the journeys of one logger, in the order in which they fall due."""
    for journey in fleet.journeys_from(index, from_ms):
        path = f"/v1/shipments/{journey.shipment_id}"
        departed_ms = fleet.clock.wall_ms(journey.departed_s)
        delivered_ms = fleet.clock.wall_ms(journey.delivered_s)
        yield RegistrationCall(journey.on_ms, "/v1/dewars", dewar_body(journey))
        for site in site_bodies(journey, organization):
            yield RegistrationCall(journey.on_ms, "/v1/sites", site)
        full, *recharged = charged_at_ms(journey)
        yield _charge_call(journey, full)
        yield RegistrationCall(
            journey.on_ms, "/v1/shipments", shipment_body(journey, organization, drill=drill)
        )
        yield RegistrationCall(departed_ms, f"{path}/depart", {"at": rfc3339(moment(departed_ms))})
        for at_ms in recharged:
            yield _charge_call(journey, at_ms)
        # After an absence of the service this comes late, and an excursion on record may last beyond it.
        arrived = {"at": rfc3339(moment(delivered_ms)), "reason": "The simulated journey ended then."}
        yield RegistrationCall(delivered_ms, f"{path}/deliver", arrived)
