"""A shipment in the database, readings stored as ingest stores them, and the oracle's word on them."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from alerts.evaluation.loop import evaluate_due
from alerts.excursions.plan import Plan, make_plan
from alerts.rules import registry
from simulators.truth.oracle import TruePlan, TrueReading, true_excursions

DEPARTED = datetime(2026, 11, 1, tzinfo=UTC)


def minute(number: float) -> datetime:
    return DEPARTED + timedelta(minutes=number)


@dataclass
class Desk:
    """What a test does to shipments."""

    pool: asyncpg.Pool

    async def ship(self, shipment_id: str = "S1", device_id: str = "D1", **overrides: object) -> None:
        band = str(overrides.pop("band", "cryogenic"))
        created_at = overrides.pop("created_at", DEPARTED)
        plan = make_plan(band, overrides)
        assert isinstance(plan, Plan)
        async with self.pool.acquire() as connection, connection.transaction():
            await connection.execute("INSERT INTO devices (device_id) VALUES ($1)", device_id)
            await connection.execute(
                "INSERT INTO shipments (shipment_id, band, plan, departed_at, created_at) "
                "VALUES ($1, $2, $3, $4, $5)",
                shipment_id,
                band,
                json.dumps(plan.to_json()),
                DEPARTED,
                created_at,
            )
            await connection.execute(
                "INSERT INTO device_assignments (device_id, shipment_id, starts_at) VALUES ($1, $2, $3)",
                device_id,
                shipment_id,
                DEPARTED,
            )
            await connection.execute("INSERT INTO evaluations (shipment_id) VALUES ($1)", shipment_id)

    async def store(
        self,
        readings: Sequence[tuple[datetime, float | None]],
        shipment_id: str = "S1",
        device_id: str = "D1",
    ) -> None:
        """Stores in one transaction, with a mark for what is new in it, like ingest."""
        async with self.pool.acquire() as connection, connection.transaction():
            new = await connection.fetch(
                "INSERT INTO readings (device_id, measured_at, received_at, source, temperature_c, probe_ok) "
                "SELECT $1, r.at, now(), 'mqtt', r.celsius, r.celsius IS NOT NULL "
                "FROM unnest($2::timestamptz[], $3::float8[]) AS r(at, celsius) ON CONFLICT DO NOTHING "
                "RETURNING measured_at",
                device_id,
                [at for at, _ in readings],
                [celsius for _, celsius in readings],
            )
            if new:
                await connection.execute(
                    "INSERT INTO evaluation_marks (shipment_id, device_id, dirty_from) VALUES ($1, $2, $3)",
                    shipment_id,
                    device_id,
                    min(row["measured_at"] for row in new),
                )

    async def deliver(self, at: datetime, shipment_id: str = "S1") -> None:
        async with self.pool.acquire() as connection, connection.transaction():
            await connection.execute(
                "UPDATE shipments SET delivered_at = $2 WHERE shipment_id = $1", shipment_id, at
            )
            await connection.execute(
                "UPDATE device_assignments SET ends_at = $2 WHERE shipment_id = $1", shipment_id, at
            )
            await connection.execute("INSERT INTO evaluation_marks (shipment_id) VALUES ($1)", shipment_id)

    async def evaluate(self) -> None:
        """Until nothing is due."""
        while await evaluate_due(self.pool):
            pass

    async def excursions(self, shipment_id: str = "S1") -> list[asyncpg.Record]:
        return await self.pool.fetch(
            "SELECT * FROM excursions WHERE shipment_id = $1 ORDER BY start_at, opened_at", shipment_id
        )

    async def alerts(self, shipment_id: str = "S1") -> dict[str, asyncpg.Record]:
        rows = await self.pool.fetch("SELECT * FROM alerts WHERE shipment_id = $1", shipment_id)
        return {row["kind"]: row for row in rows}

    async def told(self) -> list[tuple[str, dict[str, object]]]:
        rows = await self.pool.fetch("SELECT type, data FROM outbox ORDER BY id")
        return [(row["type"], json.loads(row["data"])) for row in rows]

    async def live(self, shipment_id: str = "S1") -> list[tuple[object, ...]]:
        """The live excursions as the tuple that the definition compares."""
        return [
            (e["side"], e["start_at"], e["end_at"], e["ended_by"], e["peak_c"], e["severity"], e["has_gap"])
            for e in await self.excursions(shipment_id)
            if e["state"] in ("open", "closed")
        ]


def truth(readings: Sequence[tuple[datetime, float | None]], plan: TruePlan) -> list[tuple[object, ...]]:
    found = true_excursions(
        plan, [TrueReading(at, celsius, celsius is not None) for at, celsius in readings], datetime.now(UTC)
    )
    return [(e.side, e.start, e.end, e.ended_by, e.peak_c, e.severity, e.has_gap) for e in found]


@pytest.fixture(autouse=True)
def _tunings_are_read_again() -> Iterator[None]:
    """What a test installed as rules must not be remembered for the plans of the next one."""
    yield
    registry.tuned_rules.cache_clear()


@pytest.fixture
async def desk(database_url: str) -> AsyncIterator[Desk]:
    async with asyncpg.create_pool(database_url, min_size=1, max_size=8) as pool:
        yield Desk(pool)
        await asyncio.wait_for(pool.close(), 10)
