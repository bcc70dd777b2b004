"""What was stored when ids were unique over all organizations is answered as it was, once it is stored under keys."""

import json
import re
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from alembic import command
from sqlalchemy import Connection

from alerts.attention.loop import decide_due
from alerts.webhooks.fanout import fan_out
from api.embedded.postgres import APPLICATION, OWNER
from api.schema_upgrade import alembic_config, upgrade
from telemetry.database.connections import engine_for
from tests.conftest import as_user
from tests.integration.api.conftest import Desk
from tests.integration.api.identity.test_ids import ORGANIZATIONS, bodies, excursion_of, logger_of

BEFORE = "0017"
"""The revisions are in the order of their making, not of their numbers."""
LISTS = (
    *("shipments", "sites", "products", "contacts", "policies", "alerts", "incidents", "excursions"),
    *("notifications", "webhooks", "keys", "devices"),
)
RECORDED = {
    "notifications.facts",
    *(f"{noun}_revisions.content" for noun in ("site", "product", "contact", "policy")),
}
"""What was recorded or decided, which no migration touches."""
_AUTHOR = re.compile(r'"author":"[^"]*",')
_DESCRIBED = re.compile(r'"updated_(at|by)":("[^"]*"|null),?')
_NOW = re.compile(r'"(as_of|last_used_at|request_id)":("[^"]*"|null)')
_TEXTS = """
SELECT table_name, column_name, data_type FROM information_schema.columns
WHERE table_schema = 'public' AND data_type IN ('text', 'jsonb', 'ARRAY') AND table_name IN (
    SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' AND table_type = 'BASE TABLE')
"""


def with_own_ids(whose: str, body: dict[str, Any]) -> dict[str, Any]:
    """A body with ids that no other organization has."""
    ids = r'"((?:contact:)?(?:HUB|P|late|desk|critical|SH-1))"'
    return dict(json.loads(re.sub(ids, rf'"\1-{whose}"', json.dumps(body))))


async def moved_back(owner_url: str) -> None:
    def move(connection: Connection) -> None:
        config = alembic_config()
        config.attributes["connection"] = connection
        command.downgrade(config, BEFORE)

    engine = engine_for(owner_url)
    async with engine.begin() as connection:
        await connection.run_sync(move)
    await engine.dispose()


async def columns_with_keys(desk: Desk) -> set[str]:
    """The columns in which there is a key of an organization's."""
    found = set()
    for row in await desk.pool.fetch(_TEXTS):
        table, column = row["table_name"], row["column_name"]
        if await desk.pool.fetchval(
            f"SELECT count(*) FROM {table} WHERE \"{column}\"::text ~ '(^|[^a-z])(acme|corp)/'"
        ):
            found.add(f"{table}.{column}")
    return found


async def answers(desk: Desk, clients: dict[str, httpx.AsyncClient], at: datetime) -> dict[str, str]:
    """What everybody is told of everything; of figures that go on with the clock, those of an instant."""
    told: dict[str, str] = {}
    for who, client in clients.items():
        for noun in LISTS:
            told[f"{who}: {noun}"] = await _asked(client, f"/v1/{noun}")
        for whose in ORGANIZATIONS:
            shipment, hook = f"/v1/shipments/SH-1-{whose}", (await desk.items("/v1/webhooks"))[0]["id"]
            paths = [shipment, *(f"{shipment}/{part}" for part in ("revisions", "excursions"))]
            paths += [f"{shipment}/summary?as_of={at:%Y-%m-%dT%H:%M:%S.%fZ}"]
            paths += [f"{shipment}/{part}" for part in ("handovers", "notifications", "readings")]
            for noun, id_ in (
                ("sites", "HUB"),
                ("products", "P"),
                ("contacts", "desk"),
                ("policies", "critical"),
            ):
                paths += [f"/v1/{noun}/{id_}-{whose}", f"/v1/{noun}/{id_}-{whose}/revisions"]
            paths += [f"/v1/alerts?shipment_id=SH-1-{whose}", f"/v1/notifications?contact_id=desk-{whose}"]
            paths += [f"/v1/notifications?contact_id=site:HUB-{whose}:1", f"/v1/webhooks/{hook}/deliveries"]
            told |= {f"{who}: {path}": await _asked(client, path) for path in paths}
    return told


async def _asked(client: httpx.AsyncClient, path: str) -> str:
    answer = await client.get(path)
    assert answer.status_code in {200, 403, 404}, (path, answer.text)
    # A schema of before there were descriptions of loggers, and authors of readings, does not keep them.
    shown = answer.text if path != "/v1/devices" else _DESCRIBED.sub("", answer.text)
    shown = _AUTHOR.sub("", shown) if path.endswith("/readings") else shown
    return f"{answer.status_code} {_NOW.sub('', shown)}"


@pytest.mark.timeout(300)  # some five hundred calls, twice
async def test_what_was_stored_before_reads_the_same(desk: Desk, database_url: str) -> None:
    clients: dict[str, httpx.AsyncClient] = {"operator": desk.admin}
    for whose in ORGANIZATIONS:
        await logger_of(desk, whose)
        client = clients[whose] = await desk.caller("ops", organization=whose)
        for path, body in bodies(whose):
            made = await client.post(path, json=with_own_ids(whose, body))
            assert made.status_code == 201, (path, made.text)
        handed = {"from_party": f"HUB-{whose}", "to_party": "B", "to_contact": f"late-{whose}"}
        assert (await client.post(f"/v1/shipments/SH-1-{whose}/handovers", json=handed)).status_code == 201
        clients[f"courier of {whose}"] = await desk.caller("courier", shipment_ids=[f"SH-1-{whose}"])
        await excursion_of(desk, whose)
    await desk.evaluate()
    while await decide_due(desk.pool):
        pass
    while (await fan_out(desk.pool)).events:
        pass
    at = datetime.now(UTC)
    before = await answers(desk, clients, at)
    with_keys = await columns_with_keys(desk)
    await moved_back(as_user(database_url, OWNER))
    assert await columns_with_keys(desk) <= RECORDED
    await upgrade(as_user(database_url, OWNER), application=APPLICATION)
    assert await columns_with_keys(desk) == with_keys
    desk.services.authenticator._answers.clear()
    assert await answers(desk, clients, at) == before
    foreseen = await clients["acme"].get("/v1/shipments/SH-1-acme/forecast")
    assert foreseen.json()["shipment_id"] == "SH-1-acme"
    changed = await clients["acme"].patch("/v1/contacts/desk-acme", json={"fallback": None})
    assert changed.json()["revision"] == 2
    delivered = await clients["courier of corp"].post("/v1/shipments/SH-1-corp/deliver", json={})
    assert delivered.json()["status"] == "delivered"
