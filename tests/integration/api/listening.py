"""Somebody who follows the event stream over a real connection, and what is told to them."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from telemetry.registry.ids import key_of
from tests.integration.api.conftest import ADMIN_KEY, Desk, Served

Frame = dict[str, str]


class Reader:
    """What a browser's EventSource makes of a stream."""

    def __init__(self, answer: httpx.Response) -> None:
        self._lines = answer.aiter_lines()
        self.last_event_id = ""

    async def frame(self) -> Frame:
        """The next frame, with or without an event."""
        fields: Frame = {}
        async for line in self._lines:
            if line == "" and fields:
                self.last_event_id = fields.get("id", self.last_event_id)
                return fields
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
        raise EOFError

    async def forever(self) -> None:
        """Frames until the stream ends, which is an EOFError."""
        while True:
            await self.frame()

    async def event(self) -> dict[str, Any]:
        """The next event."""
        async with asyncio.timeout(10):
            while "data" not in (frame := await self.frame()):
                pass
        body: dict[str, Any] = json.loads(frame["data"])
        assert body["type"] == frame["event"]
        return body

    async def ids(self, count: int) -> list[str]:
        return [(await self.event())["data"]["shipment_id"] for _ in range(count)]


@asynccontextmanager
async def reading(
    served: Served, *, key: str = ADMIN_KEY, after: str | None = None, **params: Any
) -> AsyncIterator[Reader]:
    headers = {"Authorization": f"Bearer {key}"} | ({} if after is None else {"Last-Event-ID": after})
    async with (
        httpx.AsyncClient(base_url=served.url, timeout=10) as client,
        client.stream("GET", "/v1/stream", headers=headers, params=params) as answer,
    ):
        assert answer.status_code == 200, await answer.aread()
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        reader = Reader(answer)
        await reader.frame()  # retry
        await reader.frame()  # where we are: from here on nothing is missed
        yield reader


async def tell(
    desk: Desk,
    shipment_id: str,
    organization: str | None = None,
    *,
    type_: str = "shipment.departed",
    times: int = 1,
    **data: Any,
) -> None:
    """Tells, in one transaction, of something that only the stream knows."""
    await desk.pool.execute(
        "INSERT INTO outbox (type, shipment_id, organization, data) SELECT $1, $2, $3, $4 FROM generate_series(1, $5)",
        type_,
        key_of(shipment_id, organization),
        organization,
        json.dumps({"shipment_id": shipment_id, **data}),
        times,
    )
