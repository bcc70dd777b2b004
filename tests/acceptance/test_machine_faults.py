"""Faults of machines under the real service: `/readyz`, the metric and an alert say so, and it heals without hands."""

import asyncio
import os
import re
import signal
from datetime import UTC, datetime

import asyncpg
import httpx
import pytest

from api.embedded import broker_users
from tests.acceptance.command import eventually
from tests.acceptance.logger import Link
from tests.conftest import as_service

pytestmark = pytest.mark.long


@pytest.fixture
def service(commands, database_url, broker):
    return commands.start("serve", DATABASE_URL=as_service(database_url), MQTT_URL=broker.url).ready()


def send(broker, password):
    content = {"measured_at": datetime.now(UTC).isoformat(), "temperature_c": -180.0, "seq": 1}
    with Link(broker.program.loggers_url, "D1", password) as logger:
        logger.until(lambda: logger.connected is not None)
        logger.publish("dewar/v1/D1/readings", content)


def registered(service):
    with service.client() as ops:
        return ops.post("/v1/devices", json={"device_id": "D1"}).json()["mqtt"]["password"]


def fault_of(service):
    """The part of /readyz that says since when it is not ready, with its name; None if none does."""
    parts = httpx.get(f"{service.url}/readyz", timeout=10, trust_env=False).json()["parts"]
    return next(((name, one) for name, one in parts.items() if not one["ok"] and "since" in one), None)


def alert_of(service, part):
    with service.client() as ops:
        found = [one for one in ops.get("/v1/alerts").json()["items"] if one["kind"] == "service_fault"]
    return next((one["state"] for one in found if one["details"]["part"] == part), None)


def seconds_of(service, part):
    page = httpx.get(f"{service.url}/metrics", timeout=10, trust_env=False).text
    return float(re.search(rf'dewarwatch_fault_seconds{{part="{part}"}} (\S+)', page)[1])


def told(service, ready_part, part, within_s):
    name, says = eventually(lambda: fault_of(service), within_s, lambda: service.log)
    assert name == ready_part, says
    eventually(lambda: seconds_of(service, part) > 0, 60, lambda: service.log)
    eventually(lambda: alert_of(service, part) == "firing", 60, lambda: service.log)
    return says


def healed(service, part):
    eventually(service.is_ready, 60, lambda: service.log)
    eventually(lambda: alert_of(service, part) == "resolved", 20, lambda: service.log)
    assert seconds_of(service, part) == 0


def test_a_locked_table(service, broker, database_url):
    password = registered(service)

    async def locked():
        other = await asyncpg.connect(database_url)
        await other.execute("BEGIN; LOCK TABLE readings")
        await asyncio.to_thread(send, broker, password)
        says = await asyncio.to_thread(told, service, "ingest", "storing", 40)
        assert says["error"] == "LockNotAvailableError"
        await other.execute("ROLLBACK")
        await asyncio.to_thread(healed, service, "storing")
        assert await other.fetchval("SELECT count(*) FROM readings") == 1
        await other.close()

    asyncio.run(locked())


def test_a_frozen_broker(service, broker):
    os.kill(broker.pid, signal.SIGSTOP)
    try:
        told(service, "ingest", "broker", 120)
    finally:
        os.kill(broker.pid, signal.SIGCONT)
    healed(service, "broker")


def test_all_loggers_locked_out(service, broker):
    password = registered(service)
    broker.stop()
    broker.program.accounts_file.write_text(broker_users.initial_users("dewarwatch", "secret"))
    broker.start()
    says = told(service, "accounts", "accounts", 90)
    assert "1 of 1 loggers" in says["problem"]
    with service.client() as ops:
        ops.post("/v1/devices/D1/rotate-credentials").raise_for_status()
    eventually(service.is_ready, 90, lambda: service.log)
    assert password
