"""Posts readings to `POST /v1/readings` in batches, until the service has answered for each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from simulators.exports.reading import ExportedReading
from simulators.wire.api_client import post_until_answered

READINGS_AT_ONCE = 500
REFUSALS = {401: "the key is unknown", 403: "this needs a key of role courier, device or ops"}


class PostRefusedError(Exception):
    """The service refuses the call; the text says why to a person."""


@dataclass(frozen=True, slots=True)
class RefusedReading:
    """A reading that the service refused, and the line of the file that it came from."""

    line: int
    reason: str
    detail: str


@dataclass(slots=True)
class PostSummary:
    """What the service has answered so far."""

    accepted: int = 0
    duplicates: int = 0
    rejected: tuple[RefusedReading, ...] = ()

    @property
    def answered(self) -> int:
        """Return how many readings the service has answered for."""
        return self.accepted + self.duplicates + len(self.rejected)


async def post(
    api: httpx.AsyncClient, readings: Sequence[ExportedReading], on_progress: Callable[[int], None]
) -> PostSummary:
    """Post readings in their order, and return what the service answered.

    A service that is not reached, or asks to wait, is asked again. Raises PostRefusedError if it refuses the
    call.
    """
    posted = PostSummary()
    for start in range(0, len(readings), READINGS_AT_ONCE):
        batch = readings[start : start + READINGS_AT_ONCE]
        # A file that a logger wrote was measured, whoever hands it in.
        body = {
            "source": "logger",
            "readings": [{"device_id": each.device_id} | each.fields() for each in batch],
        }
        answer = await _answered(api, body)
        posted.accepted += answer["accepted"]
        posted.duplicates += answer["duplicates"]
        posted.rejected += tuple(
            RefusedReading(batch[said["index"]].line, said["reason"], said["detail"])
            for said in answer["rejected"]
        )
        on_progress(posted.answered)
    return posted


async def _answered(api: httpx.AsyncClient, body: dict[str, Any]) -> dict[str, Any]:
    answer = await post_until_answered(api, "/v1/readings", body)
    if answer.is_error:
        why = REFUSALS.get(answer.status_code, f"{answer.status_code} {answer.text[:200]}")
        raise PostRefusedError(f"the API at {api.base_url} refuses the readings: {why}")
    said: dict[str, Any] = answer.json()
    return said
