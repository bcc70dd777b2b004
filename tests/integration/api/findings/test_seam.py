"""Storing, assigning and evaluating at the same time: no reading of a shipment is ever left out."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

from tests.integration.api.conftest import Desk, text

HoursAgo = Callable[[float], datetime]


async def test_a_shipment_made_while_its_loggers_readings_flow_in(desk: Desk, hours_ago: HoursAgo) -> None:
    await desk.device("D1", "D2")
    stored = asyncio.Event()

    async def store(device_id: str) -> None:
        for number in range(60):
            at = hours_ago(5) + timedelta(minutes=number)
            await desk.store(device_id, (at, -180.0 if number % 7 else -140.0))
            if number == 10:
                stored.set()

    async def ship() -> None:
        await stored.wait()
        await desk.ship("S1", "D1", "D2")
        await desk.admin.post("/v1/shipments/S1/depart", json={"at": text(hours_ago(5))})

    async def evaluate(done: asyncio.Event) -> None:
        while not done.is_set():
            await desk.evaluate()
            await asyncio.sleep(0)

    done = asyncio.Event()
    evaluating = asyncio.create_task(evaluate(done))
    await asyncio.gather(store("D1"), store("D2"), ship())
    done.set()
    await evaluating
    await desk.evaluate()
    summary = (await desk.admin.get("/v1/shipments/S1/summary")).json()
    assert summary["pending"] is False
    assert [device["readings"] for device in summary["devices"]] == [60, 60]
    assert len(await desk.items("/v1/shipments/S1/excursions", limit=500)) == 18
