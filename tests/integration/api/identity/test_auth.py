"""Who gets in, who may do what, and who sees whose."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from api.http.app import ACTIONS
from api.identity import authenticator
from api.identity.permissions import PERMISSIONS, KeyRole
from tests.integration.api.conftest import ADMIN_KEY, Desk, problem

PATHS = {
    "{webhook_id}": str(uuid4()),
    "{event_id}": "1-1",
    "{device_id}": "D1",
    "{dewar_id}": "W1",
    "{loan_id}": str(uuid4()),
    "{correction_id}": str(uuid4()),
    "{shipment_id}": "S1",
    "{site_id}": "FRA",
    "{product_id}": "P1",
    "{rejected_id}": "1",
    "{excursion_id}": str(uuid4()),
    "{alert_id}": str(uuid4()),
    "{key_id}": str(uuid4()),
    "{incident_id}": str(uuid4()),
    "{contact_id}": "ops-night",
    "{policy_id}": "P1",
}


def call_of(call: str) -> tuple[str, str]:
    """The method and the address of a call, about something that need not exist."""
    method, path = call.split(" ")
    for name, value in PATHS.items():
        path = path.replace(name, value)
    return method, path


async def key_of(desk: Desk, role: KeyRole) -> str:
    bounds = {
        KeyRole.PARTNER: {"organization": "acme"},
        KeyRole.VIEWER: {"organization": "acme"},
        KeyRole.COURIER: {"shipment_ids": ["S1"]},
        KeyRole.DEVICE: {"device_ids": ["D1"]},
    }
    if role is KeyRole.COURIER:
        await desk.ship("S1")
    return await desk.key(role, **bounds.get(role, {}))


async def test_every_call_for_every_role(desk: Desk) -> None:
    """Allowed calls fail later, for what they name does not exist or has no body; the others fail with 403."""
    for role in KeyRole:
        client = await desk.client(await key_of(desk, role))
        for call, action in ACTIONS.items():
            if call == "GET /v1/stream":
                continue  # never ends: see test_stream.py
            method, path = call_of(call)
            answer = await client.request(method, path)
            if role in PERMISSIONS.roles(action):
                assert answer.status_code in {200, 400, 404, 422}, (role, call, answer.text)
            else:
                assert "only admin" in problem(answer, 403)["detail"], (role, call)


async def test_every_call_needs_a_key(desk: Desk) -> None:
    stranger = await desk.client()
    for call in ACTIONS:
        method, path = call_of(call)
        refused = await stranger.request(method, path, content=b"{", headers={"Content-Type": "text/json"})
        problem(refused, 401)
        assert refused.headers["www-authenticate"] == 'Bearer realm="dewarwatch"'


async def test_no_key_or_a_wrong_one(desk: Desk) -> None:
    stranger = await desk.client()
    unknown = "Bearer dw_00000000_" + "a" * 43
    for header in ("Bearer", "Bearer ", "Basic YTpi", ADMIN_KEY, f"Bearer {ADMIN_KEY}x", unknown):
        problem(await stranger.get("/v1/shipments", headers={"Authorization": header}), 401)


async def test_the_admin_key_needs_no_row(desk: Desk) -> None:
    assert await desk.pool.fetchval("SELECT count(*) FROM api_keys") == 0
    assert (await desk.admin.get("/v1/keys")).json() == {"items": [], "next_cursor": None}


async def test_a_key_is_shown_once_and_stored_hashed(desk: Desk) -> None:
    key = await desk.key("viewer", organization="acme")
    row = await desk.pool.fetchrow("SELECT * FROM api_keys")
    assert row is not None
    assert key.encode() not in b"".join(str(value).encode() for value in row.values())
    (listed,) = await desk.items("/v1/keys")
    assert listed["prefix"] == key[:11]
    assert "hash" not in listed
    assert listed["role"] == "viewer"
    assert listed["organization"] == "acme"
    assert listed["created_by"] == "admin-key-setting"
    assert (await desk.admin.get(f"/v1/keys/{listed['id']}")).json() == listed


async def test_a_revoked_key_stops_to_work_within_a_second(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await desk.caller("ops")
    assert (await client.get("/v1/shipments")).status_code == 200
    (listed,) = await desk.items("/v1/keys")
    assert (await desk.admin.delete(f"/v1/keys/{listed['id']}")).status_code == 204
    moment = authenticator.time.monotonic()
    monkeypatch.setattr(authenticator.time, "monotonic", lambda: moment + authenticator.REMEMBERED_S + 0.1)
    problem(await client.get("/v1/shipments"), 401)
    (revoked,) = await desk.items("/v1/keys")
    assert (await desk.admin.delete(f"/v1/keys/{listed['id']}")).status_code == 204
    assert await desk.items("/v1/keys") == [revoked]
    problem(await desk.admin.delete(f"/v1/keys/{uuid4()}"), 404)


async def test_an_expired_key_stops_to_work_at_once_though_it_is_remembered(
    desk: Desk, make_services, make_desk
) -> None:
    ahead = timedelta()

    def clock() -> datetime:
        return datetime.now(UTC) + ahead

    services = desk.services
    admitting = authenticator.Authenticator(services.engine, admin_key=ADMIN_KEY, clock=clock)
    desk = await make_desk(make_services(authenticator=admitting, clock=clock))
    client = await desk.caller("ops", expires_at=(clock() + timedelta(minutes=1)).isoformat())
    assert (await client.get("/v1/shipments")).status_code == 200
    ahead = timedelta(minutes=1)
    problem(await client.get("/v1/shipments"), 401)


async def test_asking_is_remembered(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authenticator, "REMEMBERED_S", 60)
    client = await desk.caller("ops")
    await client.get("/v1/shipments")
    await desk.pool.execute("UPDATE api_keys SET role = 'viewer'")
    assert (await client.get("/v1/dewars")).status_code == 200


KEYS_THAT_MAKE_NO_SENSE: list[tuple[dict[str, object], str]] = [
    ({"role": "boss"}, "role"),
    ({"role": "viewer"}, "organization"),
    ({"role": "partner"}, "organization"),
    ({"role": "courier"}, "shipment_ids"),
    ({"role": "courier", "shipment_ids": []}, "shipment_ids"),
    ({"role": "device"}, "device_ids"),
    ({"role": "ops", "device_ids": ["D1"]}, "device_ids"),
    ({"role": "admin", "organization": "acme"}, "role"),
    ({"role": "ops", "organization": "ACME"}, "organization"),
    ({"role": "ops", "expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
    ({"role": "ops", "expires_at": "2020-01-01T00:00:00"}, "expires_at"),
]


async def test_keys_that_make_no_sense(desk: Desk) -> None:
    for body, field in KEYS_THAT_MAKE_NO_SENSE:
        refused = problem(await desk.admin.post("/v1/keys", json=body), 422)
        assert refused["errors"][0]["field"].startswith(field), body
    assert await desk.items("/v1/keys") == []


async def test_each_sees_its_own(desk: Desk) -> None:
    await desk.ship("A1", organization="acme")
    await desk.ship("A2", organization="acme")
    await desk.ship("B1", organization="bcell")
    await desk.ship("N1")
    sees = {
        await desk.key("ops"): {"A1", "A2", "B1", "N1"},
        await desk.key("qa"): {"A1", "A2", "B1", "N1"},
        await desk.key("ops", organization="acme"): {"A1", "A2"},
        await desk.key("viewer", organization="bcell"): {"B1"},
        await desk.key("partner", organization="acme", shipment_ids=["A2", "B1"]): {"A2"},
        await desk.key("courier", shipment_ids=["B1"]): {"B1"},
        await desk.key("courier", shipment_ids=["A1", "A2"], organization="acme"): {"A1", "A2"},
        await desk.key("courier", shipment_ids=["N1"]): {"N1"},
        await desk.key("partner", organization="nobody"): set(),
    }
    for key, expected in sees.items():
        client = await desk.client(key)
        assert {item["shipment_id"] for item in await desk.items("/v1/shipments", client)} == expected
        for shipment_id in ("A1", "A2", "B1", "N1"):
            status = 200 if shipment_id in expected else 404
            for part in ("", "/readings", "/excursions", "/summary", "/forecast"):
                answer = await client.get(f"/v1/shipments/{shipment_id}{part}")
                assert answer.status_code == status, (expected, shipment_id, part)


async def test_the_fleet_is_the_operators(desk: Desk) -> None:
    bound = await desk.caller("ops", organization="acme")
    for method, path in (("POST", "/v1/devices"), ("POST", "/v1/dewars"), ("GET", "/v1/rejected")):
        assert "operating organization" in problem(await bound.request(method, path), 403)["detail"]
