"""Notifications in the database as they are decided, and the sender at work in a hurry."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from alerts.notifications.loop import run_notifications
from alerts.notifications.mail import address
from alerts.notifications.mail_server import parse
from alerts.notifications.sender import DEFAULTS, Channels, SenderSettings
from alerts.notifications.smtp import Mailer
from alerts.outbound.resolve import Targets
from telemetry.channels import NotifyChannel
from telemetry.registry.ids import key_of

HURRY = replace(
    DEFAULTS,
    delays_s=(0.05, 0.05, 0.1, 0.1, 0.1),
    lease=timedelta(seconds=10),
    time_limit_s=2.0,
    poll_s=0.02,
    end_within_s=1.0,
)
AT = datetime(2026, 11, 21, 3, tzinfo=UTC)
LOOPBACK = Targets([ip_network("127.0.0.0/8")])


def channels(port: int | None = None, **fields: Any) -> Channels:
    mailer = None if port is None else Mailer(parse(f"smtp://127.0.0.1:{port}"), time_limit_s=2.0)
    made = {"targets": LOOPBACK, "mailer": mailer, "mail_from": address("Dewarwatch <alerts@dewars.example>")}
    return Channels(**{**made, "public_url": "https://dewars.example", **fields})


@dataclass
class Tower:
    """What a test does with notifications, below the loops that decide them."""

    pool: asyncpg.Pool
    running: list[tuple[asyncio.Event, asyncio.Task[None]]] = field(default_factory=list)

    async def _insert(self, table: str, **values: Any) -> None:
        places = ", ".join(f"${place}" for place in range(1, len(values) + 1))
        await self.pool.execute(
            f"INSERT INTO {table} ({', '.join(values)}) VALUES ({places})", *values.values()
        )

    async def shipment(self, shipment_id: str = "S1", **fields: Any) -> None:
        plan = {"band": "cryogenic", "lower_c": None, "upper_c": -150.0}
        made = {
            "band": "cryogenic",
            "plan": json.dumps(plan),
            "origin": "PHL",
            "destination": "VIE",
            "legs": "[]",
        }
        await self._insert("shipments", shipment_id=shipment_id, **{**made, **fields})

    async def site(self, site_id: str, name: str, organization: str | None = None) -> None:
        made = {"lat": 48.2, "lon": 16.4, "radius_m": 1000.0, "timezone": "Europe/Vienna", "updated_by": "k"}
        await self._insert(
            "sites", site_id=key_of(site_id, organization), name=name, organization=organization, **made
        )

    async def alert(self, shipment_id: str | None = "S1", **fields: Any) -> UUID:
        id_ = uuid4()
        made = {
            "id": id_, "shipment_id": shipment_id, "subject": f"excursion:{id_}", "kind": "excursion", "severity": "critical",
            "state": "firing", "message": "Payload above −150 °C", "since": AT, "withdrawn": False, "raised_at": AT,
        }  # fmt: skip
        await self._insert("alerts", **{**made, **fields})
        return id_

    async def incident(self, alert_id: UUID, shipment_id: str | None = "S1", **fields: Any) -> UUID:
        id_ = uuid4()
        made = {
            "id": id_, "shipment_id": shipment_id, "opened_at": AT, "cause_alert_id": alert_id, "state": "open",
            "kind": "excursion", "severity": "critical", "headline": "Payload above −150 °C", "next_action": "Move it <now>.",
        }  # fmt: skip
        await self._insert("incidents", **{**made, **fields})
        await self.pool.execute("UPDATE alerts SET incident_id = $2 WHERE id = $1", alert_id, id_)
        return id_

    async def notify(self, **fields: Any) -> UUID:
        id_ = uuid4()
        now = datetime.now(UTC)
        made = {
            "id": id_, "scope": "S1", "contact_id": "desk", "contact_name": "Night desk", "channel": "email",
            "address": "desk@clinic.example", "timezone": "Europe/Vienna", "purpose": "escalation", "level": 1, "reason": "began",
            "detail": "It began.", "severity": "critical", "state": "pending", "decided_at": now, "send_at": now,
        }  # fmt: skip
        await self._insert("notifications", **{**made, **fields})
        await self.pool.execute(f"NOTIFY {NotifyChannel.NOTIFICATIONS}")
        return id_

    def run(self, channels: Channels, settings: SenderSettings = HURRY) -> None:
        stop = asyncio.Event()
        work = run_notifications(self.pool, stop, channels=channels, settings=settings)
        self.running.append((stop, asyncio.create_task(work)))

    async def stop(self) -> None:
        for stop, _ in self.running:
            stop.set()
        await asyncio.wait_for(asyncio.gather(*[task for _, task in self.running]), 15)
        self.running.clear()

    async def row(self, id_: UUID) -> asyncpg.Record:
        row = await self.pool.fetchrow("SELECT * FROM notifications WHERE id = $1", id_)
        assert row is not None
        return row

    async def attempts(self, id_: UUID) -> list[asyncpg.Record]:
        return await self.pool.fetch(
            "SELECT * FROM notification_attempts WHERE notification_id = $1 ORDER BY number", id_
        )

    async def ends(self, id_: UUID, state: str) -> asyncpg.Record:
        """Waits until it is pending no more, and checks what it is then."""
        await self.until("SELECT state <> 'pending' FROM notifications WHERE id = $1", id_)
        row = await self.row(id_)
        assert row["state"] == state, row["error"]
        return row

    async def until(self, query: str, *arguments: object, patience_s: float = 20.0) -> None:
        """Waits until a query gives true; another task writes what it asks for."""
        async with asyncio.timeout(patience_s):
            while not await self.pool.fetchval(query, *arguments):
                await asyncio.sleep(0.01)


@pytest.fixture
async def tower(database_url: str) -> AsyncIterator[Tower]:
    async with asyncpg.create_pool(database_url, min_size=1, max_size=12) as pool:
        tower = Tower(pool)
        yield tower
        with contextlib.suppress(TimeoutError):
            await tower.stop()
        await asyncio.wait_for(pool.close(), 10)
