"""A key that ends takes with it what it opened and what belongs to it, within a second, in every process."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from typing import Any
from uuid import UUID

import httpx
import pytest

from alerts.outbound.resolve import Targets
from alerts.webhooks import queue, upkeep
from alerts.webhooks.fanout import fan_out
from alerts.webhooks.queue import Room
from api.http import event_hub
from api.http.event_hub import EventHub
from api.identity import authenticator
from tests.integration.api.conftest import Desk, MakeDesk, MakeServices, Served, problem, text
from tests.integration.api.listening import Reader, reading, tell

pytestmark = pytest.mark.made_up_events

HOOK = {"url": "http://127.0.0.1:9/hook"}
ROOM = Room(held={}, of_each=100, at_most=100, after=UUID(int=0), trips_at=100)


@pytest.fixture
async def desk(make_desk: MakeDesk, make_services: MakeServices) -> Desk:
    return await make_desk(make_services(webhook_targets=Targets([ip_network("127.0.0.0/8")])))


async def key_of(desk: Desk, role: str, **bounds: Any) -> tuple[str, str]:
    made = (await desk.admin.post("/v1/keys", json={"role": role, **bounds})).json()
    return made["id"], made["key"]


async def last_event(reader: Reader) -> dict[str, Any]:
    """What is told at last, after which the stream ends."""
    body: dict[str, Any] = {}
    async with asyncio.timeout(10):
        try:
            while True:
                body = json.loads((await reader.frame()).get("data", "{}"))
        except EOFError:
            return body


@pytest.fixture
async def another_process(pool: Any) -> AsyncIterator[EventHub]:
    """What another process would have: a hub of its own, which only the database tells of anything."""
    hub, stop = EventHub(pool), asyncio.Event()
    running = asyncio.create_task(hub.run(stop))
    yield hub
    stop.set()
    await running


async def test_a_revoked_key_ends_its_streams_within_a_second_and_no_others(
    desk: Desk, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_hub, "KEYS_POLL_S", 60)  # the notification alone must do
    id_, key = await key_of(desk, "viewer", organization="acme")
    _, other = await key_of(desk, "viewer", organization="acme")
    async with reading(served, key=key) as ends, reading(served, key=other) as stays:
        await tell(desk, "S1", "acme")
        assert await ends.ids(1) == ["S1"]
        here = ends.last_event_id
        began = time.monotonic()
        assert (await desk.admin.delete(f"/v1/keys/{id_}")).status_code == 204
        ended = await last_event(ends)
        assert time.monotonic() - began < 1
        assert (ended["type"], ended["data"]["reason"]) == ("stream.ended", "key_revoked")
        assert ends.last_event_id == here  # another key goes on from there
        await tell(desk, "S2", "acme")
        assert await stays.ids(2) == ["S1", "S2"]
        assert [place.principal.name for place in desk.services.hub._places] == [other[:11]]


async def test_it_ends_in_every_process_and_without_a_notification(
    desk: Desk, served: Served, another_process: EventHub
) -> None:
    _, key = await key_of(desk, "viewer", organization="acme")
    async with reading(served, key=key) as ends:
        (place,) = desk.services.hub._places
        with another_process.place(place.principal) as there:
            await desk.pool.execute("UPDATE api_keys SET revoked_at = now()")  # by hand: nobody is notified
            assert (await last_event(ends))["data"]["reason"] == "key_revoked"
            async with asyncio.timeout(1):
                while there.last is None:
                    await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    "change",
    ["role = 'partner'", "organization = 'bcell'", "shipment_ids = '{S1}'"],
)
async def test_other_rights_end_a_stream(desk: Desk, served: Served, change: str) -> None:
    await key_of(desk, "viewer", organization="bcell")
    _, key = await key_of(desk, "viewer", organization="acme")
    async with reading(served, key=key) as ends:
        await desk.pool.execute(f"UPDATE api_keys SET {change} WHERE prefix = $1", key[:11])
        assert (await last_event(ends))["data"]["reason"] == "rights_changed"


async def test_a_key_that_expires_ends_its_stream_though_the_database_is_away(
    desk: Desk, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any) -> None:
        raise ConnectionError

    monkeypatch.setattr(event_hub, "find_ended", away)
    expires_at = datetime.now(UTC) + timedelta(seconds=3)
    _, key = await key_of(desk, "viewer", organization="acme", expires_at=expires_at.isoformat())
    async with reading(served, key=key) as ends:
        assert (await last_event(ends))["data"]["reason"] == "key_expired"
    assert timedelta() <= datetime.now(UTC) - expires_at < timedelta(seconds=1)


async def test_a_stream_that_catches_up_ends_as_well(
    desk: Desk, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_hub, "_PAGE", 1)
    id_, key = await key_of(desk, "viewer", organization="acme")
    page = EventHub._page

    async def slowly(hub: EventHub, *asked: Any) -> Any:
        await asyncio.sleep(0.05)
        return await page(hub, *asked)

    monkeypatch.setattr(EventHub, "_page", slowly)
    await tell(desk, "S1", "acme", times=100)
    async with reading(served, key=key, after="0-0") as ends:
        await desk.admin.delete(f"/v1/keys/{id_}")
        began = time.monotonic()
        ended = await last_event(ends)
        assert time.monotonic() - began < 1.5  # more than 5 s without
    assert ended["data"]["reason"] == "key_revoked"


async def test_a_reader_that_takes_nothing_is_cut_off(desk: Desk, served: Served) -> None:
    id_, key = await key_of(desk, "viewer", organization="acme")
    host, port = served.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
    writer.write(f"GET /v1/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\r\n".encode())
    await reader.readline()
    for _ in range(9):
        await tell(desk, "S1", "acme", times=100, note="x" * 20_000)
    (place,) = desk.services.hub._places
    await desk.admin.delete(f"/v1/keys/{id_}")
    async with asyncio.timeout(1 + 4):
        while desk.services.hub._places:
            await asyncio.sleep(0.01)
    assert place.last is not None
    writer.close()


async def test_what_is_remembered_of_a_key_is_forgotten_within_a_second(desk: Desk) -> None:
    """Also where the database took its time: the answer is as old as the question."""
    assert authenticator.REMEMBERED_S < 1
    id_, key = await key_of(desk, "ops")
    client = await desk.client(key)
    assert (await client.get("/v1/alerts")).status_code == 200
    await desk.admin.delete(f"/v1/keys/{id_}")
    await asyncio.sleep(1)
    problem(await client.get("/v1/alerts"), 401)


# -- webhooks --------------------------------------------------------------------------------------------------


async def owner(desk: Desk, client: httpx.AsyncClient, **body: Any) -> tuple[str, str]:
    answer = await client.post("/v1/webhooks", json=HOOK | body)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"], answer.json()["owned_by"]


async def of_key(desk: Desk, key: str, **body: Any) -> str:
    """A webhook of a key without an organization, as such keys once made them; returns its id."""
    id_, _ = await owner(desk, desk.admin, **body)
    await desk.pool.execute(
        "UPDATE webhooks AS w SET key_prefix = k.prefix, ends_at = k.expires_at, sees_shipment_ids = k.shipment_ids "
        "FROM api_keys AS k WHERE w.id = $1 AND k.prefix = $2",
        UUID(id_), key[:11],
    )  # fmt: skip
    return id_


async def to_send(desk: Desk) -> list[str]:
    """The endpoints to which something is sent now."""
    while (await fan_out(desk.pool)).more:
        pass
    async with desk.pool.acquire() as connection:
        return sorted({str(one.webhook_id) for one in await queue.claim(connection, ROOM)})


async def test_a_webhook_lives_as_long_as_its_owner(desk: Desk) -> None:
    await desk.ship("S1", organization="acme")
    keys = {
        "organization:acme": await key_of(desk, "partner", organization="acme"),
        "operator": await key_of(desk, "ops"),
        "own": await key_of(desk, "ops", shipment_ids=["S1"]),
    }
    own = keys["own"][1]
    hooks = {"own": await of_key(desk, own)}
    for expected in ("organization:acme", "operator"):
        hooks[expected], owned_by = await owner(desk, await desk.client(keys[expected][1]))
        assert owned_by == expected
    named = await of_key(desk, own, organization="acme")
    for id_ in (hooks["own"], named):
        assert (await desk.admin.get(f"/v1/webhooks/{id_}")).json()["owned_by"] == f"key:{own[:11]}"
    problem(await (await desk.client(own)).post("/v1/webhooks", json=HOOK), 403)
    await tell(desk, "S1", "acme")
    assert await to_send(desk) == sorted([*hooks.values(), named])
    for name, (id_, _) in keys.items():
        revoked = await desk.admin.delete(f"/v1/keys/{id_}")
        if name == "own":
            assert revoked.status_code == 204
        else:
            assert revoked.status_code == 200
            assert [one["id"] for one in revoked.json()["webhooks"]] == [hooks[name]]
            assert "end_webhooks" in revoked.json()["note"]
    await tell(desk, "S1", "acme")
    assert await to_send(desk) == sorted(id_ for name, id_ in hooks.items() if name != "own")
    shown = (await desk.admin.get(f"/v1/webhooks/{hooks['own']}")).json()
    assert (shown["state"], shown["disabled_reason"]) == ("disabled", "key_ended")
    told = await desk.pool.fetch("SELECT data FROM outbox WHERE type = 'webhook.disabled'")
    assert {json.loads(row["data"])["webhook_id"] for row in told} == {hooks["own"], named}
    here = f"/v1/webhooks/{hooks['own']}"
    for step, body in (("resume", None), ("pause", None), ("test", None), ("rotate-secret", None)):
        refused = await desk.admin.post(f"{here}/{step}", json=body)
        assert "ended with the key" in problem(refused, 409)["detail"]
    problem(await desk.admin.post(f"{here}/replay", json={"failed": True}), 409)
    problem(await desk.admin.patch(here, json={"description": "x"}), 409)
    assert (await desk.admin.delete(here)).status_code == 204


async def test_a_webhook_ends_when_its_key_expires(desk: Desk) -> None:
    await desk.ship("S1")
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    _, key = await key_of(desk, "ops", shipment_ids=["S1"], expires_at=soon)
    id_ = await of_key(desk, key)
    await tell(desk, "S1")
    await desk.pool.execute("UPDATE webhooks SET ends_at = now()")
    assert await to_send(desk) == []  # at once, whoever has noticed it
    await upkeep.maintain(desk.pool, timedelta(days=30))
    shown = (await desk.admin.get(f"/v1/webhooks/{id_}")).json()
    assert (shown["state"], shown["disabled_reason"]) == ("disabled", "key_ended")
    await upkeep.maintain(desk.pool, timedelta(days=30))
    assert await desk.pool.fetchval("SELECT count(*) FROM outbox WHERE type = 'webhook.disabled'") == 1


async def test_a_partner_is_cut_off_with_its_webhooks_if_that_is_asked_for(desk: Desk) -> None:
    await desk.ship("S1", organization="acme")
    _, key = await key_of(desk, "partner", organization="acme")
    id_, _ = await owner(desk, await desk.client(key))
    others, _ = await owner(desk, desk.admin, organization="acme")
    made_by = {"created_by": f"key:{key[:11]}"}
    assert [one["id"] for one in await desk.items("/v1/webhooks", **made_by)] == [id_]
    assert [one["id"] for one in await desk.items("/v1/webhooks", organization="acme")] == [others, id_]
    assert (await desk.admin.delete(f"/v1/keys/{key[:11]}")).status_code == 200
    ended = await desk.admin.delete(f"/v1/keys/{key[:11]}", params={"end_webhooks": True})
    assert ended.status_code == 204
    await tell(desk, "S1", "acme")
    assert await to_send(desk) == [others]
    shown = (await desk.admin.get(f"/v1/webhooks/{id_}")).json()
    assert (shown["state"], shown["disabled_reason"]) == ("disabled", "key_ended")
    problem(await desk.admin.post(f"/v1/webhooks/{id_}/resume"), 409)


async def test_keys_are_found_and_revoked_by_the_prefix_that_logs_show(desk: Desk) -> None:
    made = (await desk.admin.post("/v1/keys", json={"role": "ops", "organization": "acme"})).json()
    again = (await desk.admin.post("/v1/keys", json={"role": "ops", "organization": "acme"})).json()
    assert (made["organization_is_new"], again["organization_is_new"]) == (True, False)
    prefix = made["prefix"]
    assert made["key"].startswith(f"{prefix}_")
    assert [one["id"] for one in await desk.items("/v1/keys", prefix=prefix)] == [made["id"]]
    assert (await desk.admin.get(f"/v1/keys/{prefix}")).json()["id"] == made["id"]
    assert (await desk.admin.delete(f"/v1/keys/{prefix}")).status_code == 204
    assert (await desk.admin.get(f"/v1/keys/{made['id']}")).json()["revoked_at"]
    problem(await desk.admin.get("/v1/keys/dw_00000000"), 404)
    told = problem(await desk.admin.get("/v1/keys/nonsense"), 422)["detail"]
    assert told == "key_id must be the id of a key, or its prefix such as dw_1f0c93ab."


async def test_a_key_that_would_let_nobody_in_is_not_made(
    make_desk: MakeDesk, make_services: MakeServices
) -> None:
    desk = await make_desk(make_services(courier_key_lasts=timedelta(0)))
    await desk.ship("S1", departed_at=text(datetime.now(UTC) - timedelta(hours=1)))
    courier = {"role": "courier", "shipment_ids": ["S1"]}
    made = await desk.admin.post("/v1/keys", json=courier)
    assert (made.status_code, made.json()["ends_at"]) == (201, None)
    assert (await desk.admin.post("/v1/shipments/S1/deliver", json={})).status_code == 200
    before = await desk.items("/v1/keys")
    assert "expires_at" in problem(await desk.admin.post("/v1/keys", json=courier), 422)["detail"]
    assert await desk.items("/v1/keys") == before
    soon = text(datetime.now(UTC) + timedelta(hours=1))
    assert (await desk.admin.post("/v1/keys", json=courier | {"expires_at": soon})).json()["ends_at"]


async def test_a_key_for_loggers_that_are_not_registered_says_so(desk: Desk) -> None:
    await desk.device("LOG-1")
    body = {"role": "device", "device_ids": ["LOG-1", "NOPE"]}
    made = await desk.admin.post("/v1/keys", json=body)
    assert (made.status_code, made.json()["unregistered_device_ids"]) == (201, ["NOPE"])
