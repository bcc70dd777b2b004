"""The bridge's own tasks: a batch is never empty, and whoever is cancelled just as it is woken ends."""

import asyncio
from typing import Any, cast

import asyncpg
import pytest

from telemetry.ingest.pipeline import Ingest
from telemetry.mqtt.bridge import Bridge
from telemetry.mqtt.guard import Guard
from telemetry.mqtt.inbox import MAX_SMALL_BYTES, Lane
from telemetry.mqtt.packets import Publish
from telemetry.mqtt.slots import Slot

NO_POOL = cast(asyncpg.Pool, None)
FLOOD, HONEST = "dewar/v1/flood/readings", "dewar/v1/honest/readings"
SIZES = {Lane.SMALL: 2, Lane.LARGE: MAX_SMALL_BYTES + 1}


class Connection:
    """A connection to the broker as the bridge uses it here."""

    def __init__(self) -> None:
        self.acknowledged: list[int] = []

    def acknowledge(self, packet_ids: list[int]) -> None:
        self.acknowledged += packet_ids

    def pause(self) -> None: ...

    def resume(self) -> None: ...


@pytest.mark.parametrize("lane", Lane)
async def test_a_batch_is_never_empty_though_all_that_was_waited_for_is_discarded(lane: Lane) -> None:
    bridge, connection = (
        Bridge("mqtt://nowhere", Ingest(NO_POOL), NO_POOL, lambda _: None, None),
        Connection(),
    )

    def deliver(topic: str, packet_id: int) -> None:
        bridge._deliver(cast(Any, connection), [Publish(topic, packet_id, b"x" * SIZES[lane])])

    taking = asyncio.create_task(bridge._next_batch(lane))
    await asyncio.sleep(0)
    deliver(FLOOD, 1)
    await asyncio.sleep(0)  # it lingers for more
    bridge._guard.unwanted.add(FLOOD)
    bridge._discard()
    await asyncio.sleep(0.05)
    assert not taking.done()
    deliver(HONEST, 2)
    async with asyncio.timeout(5):
        assert [queued.message.origin for queued in await taking] == [HONEST]
    assert connection.acknowledged == [1]


class Database:
    """A connection that holds a slot's lock."""

    def add_termination_listener(self, _: object) -> None: ...

    async def execute(self, *_: object, **__: object) -> None: ...


@pytest.mark.parametrize("who", ["guard", "slot"])
@pytest.mark.parametrize("later", range(4))
async def test_who_is_cancelled_just_as_it_is_woken_ends(
    who: str, later: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the group of its task waits for it for ever, and nothing is received any more, nor said."""

    async def nothing(*_: object) -> None: ...

    monkeypatch.setattr(Guard, "_reconcile", nothing)
    guard, slot = Guard(NO_POOL, None), Slot(NO_POOL)
    work = guard.run() if who == "guard" else slot._keep(cast(Any, Database()))
    task = asyncio.create_task(work)
    await asyncio.sleep(0.01)
    (guard if who == "guard" else slot)._woken.set()
    for _ in range(later):
        await asyncio.sleep(0)
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=0.3)
    cancelled_again = task.cancel()
    assert done
    assert not cancelled_again
