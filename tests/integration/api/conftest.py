"""The application on a real database, callers of every role, and the steps of a shipment's life."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncEngine

from alerts.evaluation.loop import evaluate_due
from api.http.app import create_app
from api.http.connections.server import Web, bind
from api.http.event_hub import EventHub
from api.http.routes import operations
from api.http.services import Services
from api.identity.authenticator import Authenticator
from api.pages.site import with_pages
from telemetry.database.connections import engine_for
from telemetry.ingest.pipeline import Ingest
from tests.conftest import as_service

ADMIN_KEY = "an-admin-key-of-at-least-32-characters"
Answer = httpx.Response


@dataclass
class Desk:
    """The application, and what a test asks of it; calls are the admin's unless a client says otherwise."""

    app: FastAPI
    services: Services
    pool: asyncpg.Pool
    """The test's own, which may do anything."""
    service_pool: asyncpg.Pool
    """The service's, with no more rights than it has."""
    admin: httpx.AsyncClient
    stack: AsyncExitStack
    numbers: dict[str, int] = field(default_factory=dict)

    async def client(self, key: str | None = None) -> httpx.AsyncClient:
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        client = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app), base_url="http://dewarwatch", headers=headers
        )
        return await self.stack.enter_async_context(client)

    async def key(self, role: str, **bounds: Any) -> str:
        made = await self.admin.post("/v1/keys", json={"role": role, **bounds})
        assert made.status_code == 201, made.text
        return str(made.json()["key"])

    async def caller(self, role: str, **bounds: Any) -> httpx.AsyncClient:
        return await self.client(await self.key(role, **bounds))

    async def device(self, *device_ids: str) -> None:
        for device_id in device_ids:
            made = await self.admin.post("/v1/devices", json={"device_id": device_id})
            assert made.status_code == 201, made.text

    async def ship(self, shipment_id: str, *device_ids: str, **fields: Any) -> dict[str, Any]:
        """A shipment with loggers of its own, unless some are named; cryogenic unless a band is."""
        if not device_ids:
            device_ids = (f"{shipment_id}-logger",)
            await self.device(*device_ids)
        body = {"shipment_id": shipment_id, "band": "cryogenic", "device_ids": device_ids, **fields}
        made = await self.admin.post("/v1/shipments", json=body)
        assert made.status_code == 201, made.text
        return dict(made.json())

    async def store(self, device_id: str, *readings: tuple[datetime, float | None]) -> None:
        """Sends readings the way couriers do; None is a broken probe."""
        sent = [
            {"device_id": device_id, "measured_at": text(at), "probe_ok": celsius is not None}
            | ({} if celsius is None else {"temperature_c": celsius})
            for at, celsius in readings
        ]
        for start in range(0, len(sent), 1000):
            stored = await self.admin.post("/v1/readings", json={"readings": sent[start : start + 1000]})
            assert stored.status_code == 200, stored.text
            assert stored.json()["rejected"] == []

    async def told_in_time(self) -> None:
        """Has every departure recorded when it was, and not now: no shipment is being entered after the fact."""
        async with self.pool.acquire() as connection, connection.transaction():
            await connection.execute("ALTER TABLE shipment_revisions DISABLE TRIGGER USER")
            await connection.execute(
                "UPDATE shipment_revisions SET recorded_at = departed_at WHERE departed_at IS NOT NULL"
            )
            await connection.execute("ALTER TABLE shipment_revisions ENABLE TRIGGER USER")
            await connection.execute(
                "UPDATE shipments SET created_at = departed_at WHERE departed_at IS NOT NULL"
            )

    async def evaluate(self) -> None:
        while await evaluate_due(self.service_pool):
            pass

    async def items(self, url: str, client: httpx.AsyncClient | None = None, **params: Any) -> list[Any]:
        answer = await (client or self.admin).get(url, params=params)
        assert answer.status_code == 200, answer.text
        return list(answer.json()["items"])


def text(at: datetime) -> str:
    return at.isoformat()


def problem(answer: Answer, status: int) -> dict[str, Any]:
    """The problem that a call was answered with, which must be a proper one."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = answer.json()
    assert found["status"] == status
    assert found["title"]
    assert found["detail"].endswith(".")
    assert found["request_id"] == answer.headers["x-request-id"]
    return found


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    """The service's, with no more rights than it has."""
    engine = engine_for(as_service(database_url))
    yield engine
    await engine.dispose()


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[asyncpg.Pool]:
    """The test's own: it may do what the service may not."""
    async with asyncpg.create_pool(database_url, min_size=0, max_size=5) as pool:
        yield pool


@pytest.fixture
async def service_pool(database_url: str) -> AsyncIterator[asyncpg.Pool]:
    """The service's, with no more rights than it has."""
    async with asyncpg.create_pool(as_service(database_url), min_size=0, max_size=5) as pool:
        yield pool


MakeServices = Callable[..., Services]


@pytest.fixture
def make_services(engine: AsyncEngine, service_pool: asyncpg.Pool) -> MakeServices:
    def make(**changes: Any) -> Services:
        def clock() -> datetime:
            return datetime.now(UTC)

        given = {
            "engine": engine,
            "ingest": Ingest(service_pool),
            "authenticator": Authenticator(engine, admin_key=ADMIN_KEY, clock=clock),
            "hub": EventHub(service_pool),
            "mqtt_public_url": "mqtt://broker.example.org:1883",
            "clock": clock,
        }
        return Services(**{**given, **changes})

    return make


MakeDesk = Callable[[Services], Awaitable[Desk]]
MakeApp = Callable[[Services], FastAPI]


@pytest.fixture(scope="session")
def apps() -> dict[int, FastAPI]:
    """Applications of tests before, by the limit of bodies: FastAPI takes a tenth of a second to get one to work."""
    return {}


@pytest.fixture
def make_app(apps: dict[int, FastAPI]) -> Iterator[MakeApp]:
    """Gives an application that no other has, with the services that alone differ from test to test."""
    lent: list[FastAPI] = []

    def make(services: Services) -> FastAPI:
        app = apps.pop(services.body_limit, None) or with_pages(create_app(services))
        app.state.services = services
        operations.install(app)
        lent.append(app)
        return app

    yield make
    apps.update({app.state.services.body_limit: app for app in lent})


@pytest.fixture
async def make_desk(
    pool: asyncpg.Pool, service_pool: asyncpg.Pool, make_app: MakeApp
) -> AsyncIterator[MakeDesk]:
    async with AsyncExitStack() as stack:

        async def make(services: Services) -> Desk:
            app = make_app(services)
            headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
            transport = httpx.ASGITransport(app)
            admin = httpx.AsyncClient(transport=transport, base_url="http://dewarwatch", headers=headers)
            await stack.enter_async_context(admin)
            return Desk(
                app=app, services=services, pool=pool, service_pool=service_pool, admin=admin, stack=stack
            )

        yield make


@pytest.fixture
async def desk(make_desk: MakeDesk, make_services: MakeServices) -> Desk:
    return await make_desk(make_services())


@pytest.fixture
def hours_ago() -> Callable[[float], datetime]:
    now = datetime.now(UTC).replace(microsecond=0)
    return lambda hours: now - timedelta(hours=hours)


async def until(condition: Callable[[], Awaitable[bool]], patience_s: float = 10) -> None:
    """Waits for what another process or task does, and fails where it does not come."""
    async with asyncio.timeout(patience_s):
        while not await condition():
            await asyncio.sleep(0.01)


@dataclass
class Served:
    """The application behind a real server, and its event hub at work."""

    url: str
    web: Web
    stop: asyncio.Event
    tasks: list[asyncio.Task[None]]

    async def end(self) -> None:
        """Stops as the service does: the hub first, so that no stream holds the server up."""
        self.stop.set()
        self.web.should_exit = True
        await asyncio.wait_for(asyncio.gather(*self.tasks), 10)


@pytest.fixture
async def served(desk: Desk) -> AsyncIterator[Served]:
    listener = bind("127.0.0.1", 0)
    web, stop = Web(desk.app, listener), asyncio.Event()
    tasks = [
        asyncio.create_task(web.run_until_stopped()),
        asyncio.create_task(desk.services.hub.run(stop)),
    ]
    served = Served(url=web.url, web=web, stop=stop, tasks=tasks)
    yield served
    await served.end()
    listener.close()
