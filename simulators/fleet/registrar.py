"""Registers the fleet's devices, dewars and shipments through the public HTTP API, and departs and delivers them.

What is there already is taken as it is, so that a simulation that is started again goes on with its shipments.
"""

import asyncio
import time
from heapq import heapify, heappop, heappush
from itertools import islice

import httpx
import structlog

from simulators.fleet.fleet import Fleet
from simulators.fleet.registration import device
from simulators.fleet.registration_calls import RegistrationCall, registration_calls
from simulators.wire.api_client import post_until_answered

log = structlog.get_logger(__name__)

AT_ONCE = 8
# Loggers whose calls are made up before some are made.
DUE_AT_ONCE = 256
FORBIDDEN = {401: "it does not know the key", 403: "that takes a key of role ops or admin"}


class RegistrationRefusedError(Exception):
    """The API does not let this key register anything; its text says so to a person."""


class Registrar:
    """Makes the calls of a fleet as they fall due; no shipment's call overtakes an earlier one of its logger."""

    def __init__(
        self, fleet: Fleet, api: httpx.AsyncClient, *, organization: str, drill: bool = False
    ) -> None:
        self.registered = 0
        self.refused = 0
        self._fleet = fleet
        self._api = api
        self._organization = organization
        self._drill = drill
        self._free = asyncio.Semaphore(AT_ONCE)

    async def register_devices(self) -> None:
        """Register all loggers, without which the service would refuse their readings."""
        bodies = (device(self._fleet, index) for index in range(self._fleet.size))

        async def register_some() -> None:
            for body in bodies:
                await self._call(RegistrationCall(0, "/v1/devices", body))
                self.registered += 1

        await asyncio.gather(*(register_some() for _ in range(AT_ONCE)))

    async def follow(self, from_ms: int, until_ms: int | None) -> None:
        """Make the calls of each journey that a logger knows of at `from_ms`, each in its time, up to `until_ms`."""
        fleet = self._fleet
        coming = [
            registration_calls(fleet, index, from_ms, self._organization, drill=self._drill)
            for index in range(fleet.size)
        ]
        # The first step of each is made up when it is due: a large fleet begins at once.
        queue: list[tuple[int, int, RegistrationCall | None]] = [
            (fleet.begins_ms(index), index, None) for index in range(fleet.size)
        ]
        heapify(queue)
        while queue and (until_ms is None or queue[0][0] <= until_ms):
            await asyncio.sleep(queue[0][0] / 1000 - time.time())
            by_ms = time.time() * 1000 if until_ms is None else min(time.time() * 1000, until_ms)
            due: dict[int, list[RegistrationCall]] = {}
            while queue and queue[0][0] <= by_ms and len(due) < DUE_AT_ONCE:
                _, index, step = heappop(queue)
                if step is not None:
                    due.setdefault(index, []).append(step)
                for later in islice(coming[index], 1):
                    heappush(queue, (later.due_ms, index, later))
            await asyncio.gather(*(self._make(each) for each in due.values()))

    async def _make(self, calls: list[RegistrationCall]) -> None:
        for step in calls:
            await self._call(step)

    async def _call(self, step: RegistrationCall) -> None:
        answer = await post_until_answered(self._api, step.path, step.body, slots=self._free)
        if answer.status_code in FORBIDDEN and step.path == "/v1/devices":
            raise RegistrationRefusedError(
                f"the API at {self._api.base_url} refuses to register loggers: {FORBIDDEN[answer.status_code]}"
            )
        if answer.status_code == httpx.codes.CONFLICT and not _occupied(step, answer):
            log.debug("already_registered", path=step.path, answer=answer.text[:300])
        elif answer.is_error:
            self.refused += 1
            log.warning(
                "registration_refused", path=step.path, status=answer.status_code, answer=answer.text[:300]
            )


def _occupied(step: RegistrationCall, answer: httpx.Response) -> bool:
    """Whether a shipment was not made because its logger is on another one, as of a simulation that was stopped."""
    return step.path == "/v1/shipments" and "deliver or cancel it first" in answer.text
