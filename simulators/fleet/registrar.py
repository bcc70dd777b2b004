"""Registers devices, dewars and shipments through the public HTTP API, and departs and delivers them.

What is registered already is left as it is, so a simulation that is started again goes on with its shipments.
"""

import asyncio
import time
from heapq import heapify, heappop, heappush
from itertools import islice

import httpx
import structlog

from simulators.fleet.fleet import Fleet
from simulators.fleet.registration import device_body
from simulators.fleet.registration_calls import RegistrationCall, registration_calls
from simulators.wire.api_client import get_until_answered, post_until_answered

log = structlog.get_logger(__name__)

CALLS_AT_ONCE = 8
# For how many loggers calls are prepared before they are made.
LOGGERS_AT_ONCE = 256
REFUSALS = {401: "the key is unknown", 403: "this needs a key of role ops or admin"}


class RegistrationRefusedError(Exception):
    """The fleet cannot be registered: the key may not, or a logger is taken; the text says so to a person."""


class Registrar:
    """Makes the calls of a fleet as they fall due. The calls of one logger are made in order."""

    def __init__(
        self, fleet: Fleet, api: httpx.AsyncClient, *, organization: str, drill: bool = False
    ) -> None:
        self.registered = 0
        self.refused = 0
        self.first_refusal: str | None = None
        """The first call that was refused, and why, for a person."""
        self._fleet = fleet
        self._api = api
        self._organization = organization
        self._drill = drill
        self._free = asyncio.Semaphore(CALLS_AT_ONCE)

    async def register_devices(self) -> None:
        """Register all loggers. Without that the service would refuse their readings.

        Raises RegistrationRefusedError if a logger is on the shipment of somebody else, who would get the
        readings of this fleet. A fleet that makes journeys without end is not stopped by that.
        """
        indices = iter(range(self._fleet.size))
        taken: list[str] = []

        async def register_some() -> None:
            for index in indices:
                answer = await self._call(RegistrationCall(0, "/v1/devices", device_body(self._fleet, index)))
                self.registered += 1
                is_known = answer.status_code == httpx.codes.CONFLICT
                if is_known and not self._fleet.waves and await self._is_taken(index):
                    taken.append(self._fleet.device_id(index))

        await asyncio.gather(*(register_some() for _ in range(CALLS_AT_ONCE)))
        if taken:
            more = len(taken) - 1
            who = (
                f"{min(taken)} and {more} more are on other shipments"
                if more
                else f"{taken[0]} is on another shipment"
            )
            raise RegistrationRefusedError(f"{who}: choose another --seed")

    async def _is_taken(self, index: int) -> bool:
        """Return whether a logger that was registered before is on a shipment that is not this fleet's."""
        path = f"/v1/devices/{self._fleet.device_id(index)}"
        answer = await get_until_answered(self._api, path, slots=self._free)
        on = answer.json().get("shipment_id") if answer.is_success else None
        return on is not None and on not in {journey.shipment_id for journey in self._fleet.journeys(index)}

    async def follow(self, from_ms: int, until_ms: int | None) -> None:
        """Make the calls for every journey known at `from_ms`, each when it is due, up to `until_ms`."""
        fleet = self._fleet
        coming = [
            registration_calls(fleet, index, from_ms, self._organization, drill=self._drill)
            for index in range(fleet.size)
        ]
        # The first call of each logger is prepared only when it is due, so that a large fleet starts at once.
        queue: list[tuple[int, int, RegistrationCall | None]] = [
            (fleet.begins_ms(index), index, None) for index in range(fleet.size)
        ]
        heapify(queue)
        while queue and (until_ms is None or queue[0][0] <= until_ms):
            await asyncio.sleep(queue[0][0] / 1000 - time.time())
            by_ms = time.time() * 1000 if until_ms is None else min(time.time() * 1000, until_ms)
            due: dict[int, list[RegistrationCall]] = {}
            while queue and queue[0][0] <= by_ms and len(due) < LOGGERS_AT_ONCE:
                _, index, call = heappop(queue)
                if call is not None:
                    due.setdefault(index, []).append(call)
                for later in islice(coming[index], 1):
                    heappush(queue, (later.due_ms, index, later))
            await asyncio.gather(*(self._call_in_order(each) for each in due.values()))

    async def _call_in_order(self, calls: list[RegistrationCall]) -> None:
        for call in calls:
            await self._call(call)

    async def _call(self, call: RegistrationCall) -> httpx.Response:
        answer = await post_until_answered(self._api, call.path, call.body, slots=self._free)
        if answer.status_code in REFUSALS and call.path == "/v1/devices":
            raise RegistrationRefusedError(
                f"the API at {self._api.base_url} refuses to register loggers: {REFUSALS[answer.status_code]}"
            )
        if answer.status_code == httpx.codes.CONFLICT and not _is_occupied(call, answer):
            log.debug("already_registered", path=call.path, answer=answer.text[:300])
        elif answer.is_error:
            self.refused += 1
            self.first_refusal = self.first_refusal or f"POST {call.path}: {_why(answer)}"
            log.warning(
                "registration_refused", path=call.path, status=answer.status_code, answer=answer.text[:300]
            )
        return answer


def _why(answer: httpx.Response) -> str:
    try:
        return f"{answer.status_code}, {answer.json()['detail']}"
    except (ValueError, TypeError, KeyError):  # not from the service, but from what stands before it
        return f"{answer.status_code}, {answer.text[:300]}"


def _is_occupied(call: RegistrationCall, answer: httpx.Response) -> bool:
    """Whether a shipment was refused because its logger is still on another one."""
    return call.path == "/v1/shipments" and "deliver or cancel it first" in answer.text
