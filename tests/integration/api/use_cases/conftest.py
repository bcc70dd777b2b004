"""What people do, called as a command would: on a real database, without HTTP."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from alerts.excursions.plan import Band
from api.identity.access import Principal, permitted
from api.identity.permissions import KeyRole
from api.transactions import begin
from api.use_cases.registry import devices, dewars
from api.use_cases.registry.devices import NewDevice
from api.use_cases.registry.dewars import NewDewar
from api.use_cases.shipments import lifecycle as shipments
from api.use_cases.shipments.lifecycle import NewShipment
from telemetry.actor import Actor, ActorKind

NOW: Final = datetime(2026, 11, 21, 12, tzinfo=UTC)
BEFORE: Final = NOW - timedelta(hours=8)
SHELL: Final = Actor(ActorKind.COMMAND, "command line")


def operator(action: str) -> Principal:
    """Whoever has a shell of the service, about to do something."""
    return permitted(Principal(name=SHELL.name, role=KeyRole.ADMIN), action)


def of_acme(action: str, role: KeyRole = KeyRole.OPS, **bounds: Any) -> Principal:
    """Somebody with a key of the organization acme, about to do something."""
    return permitted(Principal(name="dw_acme", role=role, organization="acme", **bounds), action)


@pytest.fixture
async def connection(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A transaction, which is committed at the end."""
    async with begin(engine) as connection:
        yield connection


async def planned(connection: AsyncConnection, shipment_id: str, **fields: Any) -> None:
    """Register a shipment with a logger and a dewar of its own."""
    device_id, dewar_id = f"{shipment_id}-logger", f"{shipment_id}-dewar"
    await devices.register(connection, None, NewDevice(device_id=device_id), actor=SHELL, now=NOW)
    await dewars.register(connection, NewDewar(dewar_id=dewar_id, ln2_capacity_kg=3.5), actor=SHELL, now=NOW)
    whole = {
        "shipment_id": shipment_id,
        "device_ids": [device_id],
        "dewar_id": dewar_id,
        "band": Band.CRYOGENIC,
    }
    new = NewShipment(**{**whole, **fields})
    await shipments.create(connection, operator("shipments.create"), new, actor=SHELL, now=NOW)


async def told(pool: asyncpg.Pool, shipment_id: str) -> list[dict[str, Any]]:
    """The events of a shipment that were told, in their order; after the commit."""
    rows = await pool.fetch("SELECT type, data FROM outbox WHERE shipment_id = $1 ORDER BY id", shipment_id)
    return [dict(row) for row in rows]
