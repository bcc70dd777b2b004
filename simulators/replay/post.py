"""Posts readings to `POST /v1/readings`, a few hundred at a time, until the service has answered for each."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Any

import httpx
import structlog

from simulators.exports.trace import Reading
from simulators.fleet.register import NOT_NOW

log = structlog.get_logger(__name__)

AT_ONCE = 500
REFUSES = {401: "it does not know the key", 403: "that takes a key of role courier, device or ops"}


class PostRefusedError(Exception):
    """The service does not take such a call; its text says so to a person."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A reading that the service refused, by the line that it came from."""

    line: int
    reason: str
    detail: str


@dataclass(slots=True)
class Posted:
    """What the service has answered so far."""

    accepted: int = 0
    duplicates: int = 0
    rejected: tuple[Refused, ...] = ()

    @property
    def answered(self) -> int:
        return self.accepted + self.duplicates + len(self.rejected)


async def post(
    api: httpx.AsyncClient, readings: Sequence[Reading], on_progress: Callable[[int], None]
) -> Posted:
    """Post readings in their order, and return what came of them.

    A service that is not there, or asks to wait, is asked again; one that refuses the call is a PostRefusedError.
    """
    posted = Posted()
    for start in range(0, len(readings), AT_ONCE):
        batch = readings[start : start + AT_ONCE]
        body = {"readings": [{"device_id": each.device_id} | each.fields() for each in batch]}
        answer = await _answered(api, body)
        posted.accepted += answer["accepted"]
        posted.duplicates += answer["duplicates"]
        posted.rejected += tuple(
            Refused(batch[said["index"]].line, said["reason"], said["detail"]) for said in answer["rejected"]
        )
        on_progress(posted.answered)
    return posted


async def _answered(api: httpx.AsyncClient, body: dict[str, Any]) -> dict[str, Any]:
    waits_s = chain((1.0, 2.0, 5.0, 10.0), repeat(15.0))
    while (answer := await _call(api, body)) is None or answer.status_code in NOT_NOW:
        asked = None if answer is None else answer.headers.get("Retry-After", "")
        wait_s = next(waits_s)
        await asyncio.sleep(float(asked) if asked and asked.isdecimal() else wait_s)
    if answer.is_error:
        why = REFUSES.get(answer.status_code, f"{answer.status_code} {answer.text[:200]}")
        raise PostRefusedError(f"the API at {api.base_url} refuses the readings: {why}")
    said: dict[str, Any] = answer.json()
    return said


async def _call(api: httpx.AsyncClient, body: dict[str, Any]) -> httpx.Response | None:
    try:
        return await api.post("/v1/readings", json=body)
    except httpx.TransportError as fault:
        log.warning("api_not_reached", path="/v1/readings", why=str(fault) or type(fault).__name__)
        return None
