"""The whole service with a clock that is ten minutes slow: it stores what is live, and says what is wrong."""

import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial
from time import time

import httpx
import pytest

from api import bootstrap
from api.embedded.process import Supervisor
from api.roles import ALL_ROLES
from api.settings import Settings
from telemetry.database.clocks import Clocks
from telemetry.mqtt import bridge
from tests.integration.api.conftest import ADMIN_KEY, until
from tests.integration.telemetry.conftest import connected

SLOW = timedelta(minutes=10)


class SlowClock(datetime):
    @classmethod
    def now(cls, tz=None):
        return datetime.now(tz) - SLOW


async def test_a_slow_service_loses_nothing_and_says_so(
    database_url: str, broker: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "spare_collections", lambda: None)
    monkeypatch.setattr(bootstrap, "_clock", lambda: datetime.now(UTC) - SLOW)
    monkeypatch.setattr(bootstrap, "Clocks", partial(Clocks, wall=lambda: time() - SLOW.total_seconds()))
    monkeypatch.setattr(bridge, "datetime", SlowClock)
    settings = Settings(database_url=database_url, mqtt_url=broker.url, http_port=0, admin_key=ADMIN_KEY)
    async with (
        bootstrap.running(settings, ALL_ROLES, interrupted=asyncio.Event()) as service,
        httpx.AsyncClient(
            base_url=service.url, headers={"Authorization": f"Bearer {ADMIN_KEY}"}, trust_env=False
        ) as admin,
    ):
        for device_id in ("BY-HTTP", "LOG-1"):
            (await admin.post("/v1/devices", json={"device_id": device_id})).raise_for_status()
        reading = {"measured_at": datetime.now(UTC).isoformat(), "temperature_c": -180.0}
        stored = await admin.post("/v1/readings", json={"readings": [{"device_id": "BY-HTTP", **reading}]})
        assert stored.json()["rejected"] == []
        with connected(broker.url) as loggers:
            loggers.publish(reading)

            async def is_stored() -> bool:
                return bool(await service.pool.fetchval("SELECT count(*) = 2 FROM readings"))

            await until(is_stored)

        async def is_told() -> bool:
            parts = (await admin.get("/readyz")).json()["parts"]
            return "ahead of the service's" in parts["clock"].get("problem", "")

        await until(is_told)
        assert abs(
            (await service.pool.fetchval("SELECT max(received_at) - now() FROM readings")) + SLOW
        ) < timedelta(minutes=1)
        assert await service.pool.fetchval("SELECT count(*) FROM refusals") == 0
