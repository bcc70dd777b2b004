"""The HTTP client of the service, and calls that are repeated until the service answers."""

import asyncio
import contextlib
from itertools import chain, repeat
from typing import Any

import httpx
import structlog

log = structlog.get_logger(__name__)

# Statuses that mean "not now": the call is made again.
NOT_NOW = {429, 502, 503, 504}
FIRST_WAITS_S, LATER_WAITS_S = (1.0, 2.0, 5.0, 10.0), 15.0


def api_client(url: str, key: str) -> httpx.AsyncClient:
    """Return a client that sends the API key. It ignores proxies that the environment names for the web."""
    return httpx.AsyncClient(
        base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=30, trust_env=False
    )


async def post_until_answered(
    api: httpx.AsyncClient, path: str, body: dict[str, Any], *, slots: asyncio.Semaphore | None = None
) -> httpx.Response:
    """POST a JSON body until the service is reached and does not say "not now", and return its answer.

    Between two tries this waits as long as `Retry-After` asks, or 1, 2, 5, 10 and then 15 s each time.
    `slots` limits how many calls run at once; a call that waits holds none.
    """
    return await _until_answered(api, "POST", path, body, slots)


async def get_until_answered(
    api: httpx.AsyncClient, path: str, *, slots: asyncio.Semaphore | None = None
) -> httpx.Response:
    """GET until the service answers, as `post_until_answered` posts."""
    return await _until_answered(api, "GET", path, None, slots)


async def _until_answered(
    api: httpx.AsyncClient,
    method: str,
    path: str,
    body: dict[str, Any] | None,
    slots: asyncio.Semaphore | None,
) -> httpx.Response:
    waits_s = chain(FIRST_WAITS_S, repeat(LATER_WAITS_S))
    while (answer := await _send(api, method, path, body, slots)) is None or answer.status_code in NOT_NOW:
        asked = None if answer is None else answer.headers.get("Retry-After", "")
        wait_s = next(waits_s)
        await asyncio.sleep(float(asked) if asked and asked.isdecimal() else wait_s)
    return answer


async def _send(
    api: httpx.AsyncClient,
    method: str,
    path: str,
    body: dict[str, Any] | None,
    slots: asyncio.Semaphore | None,
) -> httpx.Response | None:
    async with slots or contextlib.nullcontext():
        try:
            return await api.request(method, path, json=body)
        except httpx.TransportError as fault:
            log.warning("api_not_reached", path=path, why=str(fault) or type(fault).__name__)
            return None
