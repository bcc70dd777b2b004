"""Deliverers and whoever tells are killed while endpoints misbehave: every message arrives, with one id, in an order to be had."""

import asyncio
import random
import sys
from collections import defaultdict
from dataclasses import dataclass, field

import asyncpg
import pytest

from tests.chaos.deliverer import SHIPMENTS
from tests.integration.alerts.webhooks.conftest import Hooks
from tests.receivers import FAIL, HANG, OK, RESET, Got, Receiver, Reply

BUSY = Reply(429, b"slowly", (("Retry-After", "0"),))
LARGE = Reply(200, b"x" * 300_000)
CHARACTERS = [
    [OK], [OK, OK, OK, FAIL], [FAIL, OK], [BUSY, OK], [OK, OK, HANG], [RESET, OK], [LARGE], [LARGE, RESET],
    [OK, FAIL, BUSY, HANG, RESET, LARGE], [FAIL, FAIL, OK],
]  # fmt: skip
"""What endpoints answer, drawn anew for each request."""
ENDPOINTS = 20


@dataclass
class Crowd:
    """The programs that are killed, and started again."""

    url: str
    events: int
    chance: random.Random
    programs: list[tuple[tuple[str, ...], asyncio.subprocess.Process]] = field(default_factory=list)

    async def start(self, *call: str) -> None:
        process = await asyncio.create_subprocess_exec(
            *("setpriv", "--pdeathsig", "KILL", sys.executable, "-m", "tests.chaos.deliverer", *call)
        )
        self.programs.append((call, process))

    async def begin(self) -> None:
        for _ in range(3):
            await self.start("deliver", self.url)
        await self.start("tell", self.url, str(self.events))

    async def kill_one(self) -> None:
        call, process = self.programs.pop(self.chance.randrange(len(self.programs)))
        assert process.returncode is None, f"{call[0]} ended by itself with {process.returncode}"
        process.kill()
        await process.wait()
        await self.start(*call)

    async def end(self) -> None:
        for _, process in self.programs:
            process.kill()
            await process.wait()


@pytest.mark.made_up_events
@pytest.mark.parametrize(
    ("events", "kills"),
    [
        pytest.param(25, 5, id="500 deliveries, 5 kills"),
        pytest.param(
            1000, 300, id="20000 deliveries, 300 kills", marks=[pytest.mark.long, pytest.mark.timeout(1800)]
        ),
    ],
)
async def test_kill_9_of_deliverers(database_url: str, run_seed: int, events: int, kills: int) -> None:
    chance = random.Random(run_seed)
    taken: dict[str, set[str]] = defaultdict(set)

    def answer(got: Got) -> Reply:
        reply = chance.choice(CHARACTERS[int(got.path[1:]) % len(CHARACTERS)])
        if reply.status == 200 and not (reply.hang or reply.reset):
            taken[got.path].add(got.id)
        return reply

    async with (
        asyncpg.create_pool(database_url, min_size=1, max_size=4) as pool,
        Receiver(answers=answer) as receiver,
    ):
        hooks = Hooks(pool)
        ids = [await hooks.endpoint(f"http://127.0.0.1:{receiver.port}/{n}") for n in range(ENDPOINTS)]
        crowd = Crowd(database_url, events, chance)
        await crowd.begin()
        try:
            for blow in range(1, kills + 1):
                threshold = events * ENDPOINTS * blow // (kills + 1)
                await receiver.until(lambda at=threshold: sum(map(len, taken.values())) >= at, 600)
                await crowd.kill_one()
            await hooks.until(
                "SELECT count(*) FILTER (WHERE state = 'delivered') = $1 FROM webhook_deliveries",
                events * ENDPOINTS,
                patience_s=600,
            )
        finally:
            await crowd.end()
        told = await pool.fetch(
            "SELECT position::text || '-' || (extract(epoch FROM created_at) * 1000000)::bigint AS id, shipment_id, (data->>'sequence')::int AS sequence FROM outbox"
        )
        assert await pool.fetchval("SELECT count(*) FROM webhook_deliveries WHERE state <> 'delivered'") == 0
        assert {
            row["webhook_id"] for row in await pool.fetch("SELECT webhook_id FROM webhook_deliveries")
        } == set(ids)
    everything = {row["id"] for row in told}
    assert len(everything) == events
    assert {path: everything - got for path, got in taken.items() if got != everything} == {}
    assert len(taken) == ENDPOINTS
    _each_id_is_one_message(receiver.got)
    _order_can_be_had(receiver.got, {(row["shipment_id"], row["sequence"]): row["id"] for row in told})
    duplicates = len(receiver.got) - len({(got.path, got.id) for got in receiver.got})
    told_of = f"{kills} kills, {events * ENDPOINTS} deliveries, {len(receiver.got)} requests, {duplicates} more than one each"
    print(told_of)  # noqa: T201


def _each_id_is_one_message(got: list[Got]) -> None:
    bodies: dict[str, set[bytes]] = defaultdict(set)
    for one in got:
        bodies[one.id].add(one.body)
    assert {id_: len(different) for id_, different in bodies.items() if len(different) > 1} == {}


def _order_can_be_had(got: list[Got], told: dict[tuple[str, int], str]) -> None:
    """Of what each endpoint got, `sequence` gives each shipment's events without a gap, in the order of their commits."""
    of_each: dict[str, dict[tuple[str, int], str]] = defaultdict(dict)
    for one in got:
        data = one.message["data"]
        of_each[one.path][data["shipment_id"], data["sequence"]] = one.id
    for path, events in of_each.items():
        assert events == told, path
    for shipment in range(SHIPMENTS):
        numbers = sorted(number for shipment_id, number in told if shipment_id == f"S{shipment}")
        assert numbers == list(range(1, len(numbers) + 1))
