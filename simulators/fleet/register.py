"""Registers the fleet's devices, dewars and shipments through the public HTTP API, and departs and delivers them.

What is there already is taken as it is, so that a simulation that is started again goes on with its shipments.
"""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from itertools import islice
from typing import Any

import httpx
import structlog

from simulators.fleet.fleet import Fleet
from simulators.fleet.registration import charges, device, dewar, ends, shipment
from simulators.instants import moment, rfc3339
from simulators.journeys.journey import Journey
from simulators.wire.api_client import post_until_answered

log = structlog.get_logger(__name__)

AT_ONCE = 8
# Loggers whose calls are made up before some are made.
DUE_AT_ONCE = 256
FORBIDDEN = {401: "it does not know the key", 403: "that takes a key of role ops or admin"}


class RegistrationRefusedError(Exception):
    """The API does not let this key register anything; its text says so to a person."""


@dataclass(frozen=True, slots=True)
class Step:
    """A call that is due at a time on the wall, in epoch milliseconds."""

    due_ms: int
    path: str
    body: dict[str, Any]


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
                await self._call(Step(0, "/v1/devices", body))
                self.registered += 1

        await asyncio.gather(*(register_some() for _ in range(AT_ONCE)))

    async def follow(self, from_ms: int, until_ms: int | None) -> None:
        """Make the calls of each journey that a logger knows of at `from_ms`, each in its time, up to `until_ms`."""
        fleet = self._fleet
        coming = [
            steps(fleet, index, from_ms, self._organization, drill=self._drill) for index in range(fleet.size)
        ]
        # The first step of each is made up when it is due: a large fleet begins at once.
        queue: list[tuple[int, int, Step | None]] = [
            (fleet.begins_ms(index), index, None) for index in range(fleet.size)
        ]
        heapify(queue)
        while queue and (until_ms is None or queue[0][0] <= until_ms):
            await asyncio.sleep(queue[0][0] / 1000 - time.time())
            by_ms = time.time() * 1000 if until_ms is None else min(time.time() * 1000, until_ms)
            due: dict[int, list[Step]] = {}
            while queue and queue[0][0] <= by_ms and len(due) < DUE_AT_ONCE:
                _, index, step = heappop(queue)
                if step is not None:
                    due.setdefault(index, []).append(step)
                for later in islice(coming[index], 1):
                    heappush(queue, (later.due_ms, index, later))
            await asyncio.gather(*(self._make(each) for each in due.values()))

    async def _make(self, calls: list[Step]) -> None:
        for step in calls:
            await self._call(step)

    async def _call(self, step: Step) -> None:
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


def _occupied(step: Step, answer: httpx.Response) -> bool:
    """Whether a shipment was not made because its logger is on another one, as of a simulation that was stopped."""
    return step.path == "/v1/shipments" and "deliver or cancel it first" in answer.text


def _charge(journey: Journey, at_ms: int) -> Step:
    return Step(at_ms, f"/v1/dewars/{journey.dewar_id}/charge", {"at": rfc3339(moment(at_ms))})


def steps(
    fleet: Fleet, index: int, from_ms: int, organization: str, *, drill: bool = False
) -> Iterator[Step]:
    """Yield the calls for one logger's journeys, in the order of time."""
    for journey in fleet.journeys_from(index, from_ms):
        path = f"/v1/shipments/{journey.shipment_id}"
        departed_ms = fleet.clock.wall_ms(journey.departed_s)
        delivered_ms = fleet.clock.wall_ms(journey.delivered_s)
        yield Step(journey.on_ms, "/v1/dewars", dewar(journey))
        for site in ends(journey, organization):
            yield Step(journey.on_ms, "/v1/sites", site)
        full, *recharged = charges(journey)
        yield _charge(journey, full)
        yield Step(journey.on_ms, "/v1/shipments", shipment(journey, organization, drill=drill))
        yield Step(departed_ms, f"{path}/depart", {"at": rfc3339(moment(departed_ms))})
        for at_ms in recharged:
            yield _charge(journey, at_ms)
        yield Step(delivered_ms, f"{path}/deliver", {"at": rfc3339(moment(delivered_ms))})
