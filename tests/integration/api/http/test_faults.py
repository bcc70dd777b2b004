"""Faults of ours: the database away, or a bug; never told in detail, never mistaken for the caller's."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import asyncpg
import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from api.embedded.process import Supervisor
from api.http.app import ACTIONS
from api.http.problems import is_passing
from api.http.routes import operations
from api.identity.authenticator import Authenticator
from api.schema_upgrade import upgrade
from api.transactions import begin
from telemetry.database.connections import engine_for
from telemetry.ingest.pipeline import Ingest
from tests.integration.api.conftest import ADMIN_KEY, Desk, MakeDesk, MakeServices, problem
from tests.integration.api.identity.test_auth import call_of

BODIES = {
    "POST /v1/dewars/{dewar_id}/charges/correct": {
        "charged_at": "2026-11-20T08:00:00Z",
        "reason": "it has to be so",
        "withdrawn": True,
    },
    "POST /v1/devices": {"device_id": "D1"},
    "POST /v1/dewars": {"dewar_id": "W1"},
    "POST /v1/devices/{device_id}/loans": {"organization": "acme"},
    "POST /v1/devices/{device_id}/loans/{loan_id}/end": {"reason": "x"},
    "POST /v1/dewars/{dewar_id}/loans": {"organization": "acme"},
    "POST /v1/dewars/{dewar_id}/loans/{loan_id}/end": {"reason": "x"},
    "PATCH /v1/devices/{device_id}": {"model": "Tempod 2"},
    "POST /v1/devices/bulk": {"devices": [{"device_id": "D2"}]},
    "POST /v1/devices/{device_id}/calibrations": {
        "certificate": "C1",
        "calibrated_at": "2026-11-01T00:00:00Z",
        "due_at": "2027-11-01T00:00:00Z",
    },
    "POST /v1/devices/{device_id}/retire": {"reason": "it has to be so"},
    "POST /v1/devices/{device_id}/revoke-credentials": {"reason": "it has to be so"},
    "POST /v1/shipments/{shipment_id}/correct": {"uncancel": True, "reason": "it has to be so"},
    "POST /v1/shipments/{shipment_id}/loggers": {"add": ["D2"], "reason": "it has to be so"},
    "POST /v1/shipments/{shipment_id}/dewar": {"dewar_id": "W1", "reason": "it has to be so"},
    "POST /v1/shipments": {"shipment_id": "S1", "band": "room", "device_ids": ["D1"]},
    "PATCH /v1/dewars/{dewar_id}": {"hold_time_h": 200},
    "POST /v1/sites": {
        "site_id": "FRA",
        "name": "Frankfurt",
        "lat": 50,
        "lon": 8.6,
        "timezone": "Europe/Berlin",
    },
    "PATCH /v1/sites/{site_id}": {"name": "Frankfurt am Main"},
    "POST /v1/products": {"product_id": "P1", "band": "room"},
    "PATCH /v1/products/{product_id}": {"budget_s": 60},
    "POST /v1/shipments/{shipment_id}/schedule": {"reason": "it has to be so", "destination": "JFK"},
    "POST /v1/shipments/{shipment_id}/plan": {"reason": "it has to be so", "budget_s": 60},
    "POST /v1/backtests": {"plan": {"upper_c": -155}},
    "POST /v1/readings": {
        "readings": [{"device_id": "D1", "measured_at": "2026-11-01T00:00:00Z", "temperature_c": -180}]
    },
    "POST /v1/webhooks": {"url": "https://8.8.8.8/hook"},
    "PATCH /v1/webhooks/{webhook_id}": {"min_severity": "critical"},
    "POST /v1/webhooks/{webhook_id}/replay": {"failed": True},
    "POST /v1/keys": {"role": "ops"},
    "POST /v1/alerts/{alert_id}/assign": {"owner": "night desk"},
    "POST /v1/alerts/{alert_id}/snooze": {"until": "2036-11-20T08:00:00Z", "reason": "it has to be so"},
    "POST /v1/alerts/{alert_id}/resolve": {"reason": "it has to be so"},
    "POST /v1/alerts/{alert_id}/comment": {"text": "x"},
    "POST /v1/incidents/{incident_id}/assign": {"owner": "night desk"},
    "POST /v1/incidents/{incident_id}/snooze": {"until": "2036-11-20T08:00:00Z", "reason": "it has to be so"},
    "POST /v1/incidents/{incident_id}/resolve": {"reason": "it has to be so"},
    "POST /v1/incidents/{incident_id}/comment": {"text": "x"},
    "POST /v1/shipments/{shipment_id}/cancel": {"reason": "it has to be so"},
    "POST /v1/shipments/{shipment_id}/handovers": {"from_party": "Depot", "to_party": "Courier"},
    "POST /v1/contacts": {
        "contact_id": "ops-night",
        "name": "Night desk",
        "timezone": "Europe/Berlin",
        "channels": [{"channel": "email", "address": "night@ops.example"}],
    },
    "PATCH /v1/contacts/{contact_id}": {"name": "Night shift"},
    "POST /v1/policies": {"policy_id": "P1", "steps": [{"after_s": 0, "to": ["holder"]}]},
    "PATCH /v1/policies/{policy_id}": {"reason": "it has to be so", "repeat_s": 600},
    "POST /v1/policies/dry-run": {"kind": "excursion", "severity": "critical", "at": "2026-11-21T22:00:00Z"},
}


@contextlib.asynccontextmanager
async def disposed(engine: AsyncEngine) -> AsyncIterator[None]:
    """Closes the connections at the end also of a test that fails, so that the next one does not fail for them."""
    try:
        yield
    finally:
        await engine.dispose()


async def test_every_call_while_the_database_is_away(
    postgres: Supervisor, make_desk: MakeDesk, make_services: MakeServices
) -> None:
    await upgrade(postgres.url)
    engine = engine_for(postgres.url)
    async with asyncpg.create_pool(postgres.url, min_size=1) as pool, disposed(engine):
        services = make_services(
            engine=engine,
            ingest=Ingest(pool),
            authenticator=Authenticator(engine, admin_key=ADMIN_KEY, clock=make_services().clock),
        )
        desk = await make_desk(services)
        await desk.device("D1")
        ops = await desk.caller("ops")
        assert (await ops.get("/v1/shipments")).status_code == 200
        await asyncio.to_thread(postgres.kill)
        for call in ACTIONS:
            if call == "GET /v1/stream":
                continue
            method, path = call_of(call)
            for client in (desk.admin, ops):
                answer = await client.request(method, path, json=BODIES.get(call))
                if answer.status_code == 403:
                    continue
                assert "database" in problem(answer, 503)["detail"], call
                assert int(answer.headers["retry-after"]) > 0
        ready = await desk.admin.get("/readyz")
        assert ready.status_code == 503
        assert ready.json()["parts"]["database"]["ok"] is False
        assert (await desk.admin.get("/livez")).status_code == 200
        await asyncio.to_thread(postgres.start)
        assert (await desk.admin.get("/v1/devices")).status_code in {
            200,
            503,
        }  # a pooled connection may be stale
        assert (await desk.admin.get("/v1/devices")).json()["items"][0]["device_id"] == "D1"
        await asyncio.sleep(operations.READINESS_FOR_S)  # so long the answer from before counts
        assert (await desk.admin.get("/readyz")).status_code == 200


async def test_a_bug_is_a_500_that_says_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the secret of the house")

    monkeypatch.setattr("telemetry.registry.devices.page", broken)
    answer = await desk.admin.get("/v1/devices")
    assert "secret" not in answer.text
    problem(answer, 500)


async def test_what_the_database_refuses_is_our_bug_and_not_its_absence(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    for statement, values in (("SELECT 1/0", {}), ("SELECT CAST(:x AS int)", {"x": 2**40}), ("SELEC 1", {})):
        with pytest.raises(Exception) as caught:
            async with desk.services.engine.connect() as connection:
                await connection.execute(text(statement), values)
        assert not is_passing(caught.value), statement


async def test_a_connection_that_is_not_made_in_time_is_the_databases_absence() -> None:
    with pytest.raises(TimeoutError) as caught:
        async with asyncio.timeout(0):
            await asyncio.sleep(1)
    assert isinstance(caught.value.__cause__, asyncio.CancelledError)
    assert is_passing(caught.value)


async def test_a_lock_that_is_not_had_in_time_is_a_503(
    database_url: str, make_desk: MakeDesk, make_services: MakeServices
) -> None:
    engine = engine_for(database_url, settings={"lock_timeout": "100ms"})
    async with disposed(engine):
        desk = await make_desk(make_services(engine=engine))
        await desk.ship("S1")
        async with desk.pool.acquire() as holder, holder.transaction():
            await holder.execute("SELECT 1 FROM shipments FOR UPDATE")
            answer: httpx.Response = await desk.admin.post("/v1/shipments/S1/depart")
        problem(answer, 503)


async def test_a_connection_that_is_lost_within_a_transaction_is_the_databases_absence(
    engine: AsyncEngine, database_url: str
) -> None:
    """Whatever comes after it: what is to be said after the commit hides it as little as all else."""
    other = await asyncpg.connect(database_url)

    async def lose_it() -> None:
        async with begin(engine) as connection:
            pid = await connection.scalar(text("SELECT pg_backend_pid()"))
            assert await other.fetchval("SELECT pg_terminate_backend($1, 5000)", pid)
            await connection.execute(text("SELECT 1"))

    with pytest.raises(DBAPIError) as caught:
        await lose_it()
    await other.close()
    assert is_passing(caught.value)
