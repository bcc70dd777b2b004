"""The service is killed while a reader follows the stream: it resumes, and has every event once."""

import asyncio
import contextlib
import json
import random
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest

from alerts.events.write import WRITE_EVENTS
from alerts.model import Change, ChangeKind, Excursion, ExcursionState, Reason, Run, Severity, Side
from alerts.triage.payloads import excursion_events
from tests.acceptance.command import ADMIN_KEY, Command, Commands
from tests.conftest import free_port
from tests.described import problems

SHIPMENTS, TELLERS = 20, 4


@dataclass
class Follower:
    """Follows the stream from a position on, and takes it up again wherever it breaks off; only whole frames count."""

    url: str
    last_id: str
    read: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    connections: int = 0

    async def follow(self) -> None:
        async with httpx.AsyncClient(
            base_url=self.url, timeout=httpx.Timeout(20, connect=2), trust_env=False
        ) as client:
            while True:
                with contextlib.suppress(httpx.TransportError):  # the service is away
                    await self._follow(client)
                await asyncio.sleep(0.05)

    async def _follow(self, client: httpx.AsyncClient) -> None:
        headers = {"Authorization": f"Bearer {ADMIN_KEY}", "Last-Event-ID": self.last_id}
        async with client.stream("GET", "/v1/stream", headers=headers) as answer:
            if answer.status_code != httpx.codes.OK:
                return
            self.connections += 1
            frame: dict[str, str] = {}
            async for line in answer.aiter_lines():
                if line:
                    name, _, value = line.partition(": ")
                    frame[name] = value
                    continue
                if "data" in frame:
                    self.read.append((frame["id"], json.loads(frame["data"])))
                self.last_id = frame.get("id", self.last_id)
                frame = {}


def events(number: int, chance: random.Random) -> list[dict[str, Any]]:
    """What evaluation tells in one transaction of a few shipments."""
    run = Run(
        side=Side.HIGH,
        start=number,
        end=None,
        ended_by=None,
        peak_c=-140.0,
        severity=Severity.MAJOR,
        has_gap=False,
    )
    found = Excursion(
        id=str(uuid4()), run=run, state=ExcursionState.OPEN, revision=1, superseded_by=None, opened_at=2
    )
    opened = Change(kind=ChangeKind.OPENED, before=None, after=found, reason=Reason.LIMIT_EXCEEDED)
    shipments = sorted({f"S{chance.randrange(SHIPMENTS)}" for _ in range(chance.randrange(1, 4))})
    told = [
        (shipment, event)
        for shipment in shipments
        for event in excursion_events(opened, shipment_id=shipment, device_id="D1")
    ]
    return [
        {
            "type": type_,
            "shipment_id": shipment,
            "organization": None,
            "data": {**data, "organization": None, "drill": False},
        }
        for shipment, (type_, data) in told
    ]


async def tell(pool: asyncpg.Pool, stop: asyncio.Event, chance: random.Random) -> None:
    """Tells in transactions that overlap with others and commit in another order than they began in."""
    number = 0
    while not stop.is_set():
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute(WRITE_EVENTS, json.dumps(events(number, chance)))
            await asyncio.sleep(chance.random() * 0.02)
        number += 1


@pytest.mark.parametrize(
    "kills",
    [
        pytest.param(3, id="3 kills"),
        pytest.param(100, id="100 kills", marks=[pytest.mark.long, pytest.mark.timeout(1800)]),
    ],
)
async def test_kill_9_while_a_reader_resumes(
    database_url: str, commands: Commands, run_seed: int, kills: int
) -> None:
    chance, stop = random.Random(run_seed), asyncio.Event()
    settings = {"DATABASE_URL": database_url, "MQTT_URL": "mqtt://127.0.0.1:1", "HTTP_PORT": str(free_port())}

    async def serve() -> Command:
        return await asyncio.to_thread(commands.start("serve", "--roles", "api", **settings).ready, 60)

    async with asyncpg.create_pool(database_url, min_size=1, max_size=TELLERS + 1) as pool:
        service = await serve()
        follower = Follower(service.url, "0-0")
        following = asyncio.create_task(follower.follow())
        tellers = [asyncio.create_task(tell(pool, stop, random.Random(run_seed + n))) for n in range(TELLERS)]
        try:
            for kill in range(kills):
                seen = len(follower.read)
                async with asyncio.timeout(60):  # it is at work again, and in the middle of it
                    until = seen + 1 + chance.randrange(200)
                    while len(follower.read) < until or follower.connections <= kill:
                        assert not following.done(), following
                        await asyncio.sleep(0.005)
                service.killed()
                service = await serve()
            stop.set()
            await asyncio.gather(*tellers)
            rows = await pool.fetch(
                "SELECT position::text || '-' || (extract(epoch FROM created_at) * 1000000)::bigint AS id FROM outbox"
            )
            async with asyncio.timeout(60):
                while len(follower.read) < len(rows):
                    await asyncio.sleep(0.01)
        finally:
            stop.set()
            following.cancel()
            await asyncio.gather(*tellers, following, return_exceptions=True)
    assert follower.connections > kills
    assert sorted(id_ for id_, _ in follower.read) == sorted(
        row["id"] for row in rows
    )  # each once, and none lost
    sequences: dict[str, list[int]] = defaultdict(list)
    for _, event in follower.read:
        sequences[event["data"]["shipment_id"]].append(event["data"]["sequence"])
    # The stream's order is that of transactions; that of a shipment is to be had from `sequence`.
    assert all(sorted(numbers) == [*range(1, len(numbers) + 1)] for numbers in sequences.values())
    assert [
        wrong for _, event in follower.read[::50] for wrong in problems(f"stream.{event['type']}", event)
    ] == []
