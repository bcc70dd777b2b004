"""What is refused because somebody asked for too much or has too much, and that nobody else is."""

import asyncio
import secrets
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from sqlalchemy import event

from api.http.event_hub import EventHub
from api.http.rates import Gate
from api.identity.access import Principal
from api.identity.authenticator import Authenticator
from api.identity.permissions import KeyRole
from api.rates.bucket import Rate
from api.rates.policy import Quotas, Rates
from api.rates.wrong_keys import WrongKeys
from tests.integration.api.conftest import ADMIN_KEY, Desk, problem

FEW = Rate(most=10, within_s=1000)


def a_key() -> str:
    """One that looks like a key, and is none."""
    return f"dw_{secrets.token_hex(4)}_{secrets.token_urlsafe(32)}"


@pytest.fixture
def limited(make_desk, make_services):
    async def limited(rates: Rates | None = None, quotas: Quotas | None = None) -> Desk:
        desk: Desk = await make_desk(make_services(gate=Gate(rates, quotas, held_s=0.01)))
        return desk

    return limited


async def test_a_key_that_asks_for_too_much_is_told_when_to_go_on_and_others_go_on(limited) -> None:
    desk = await limited(Rates(calls_of_key=FEW))
    greedy, honest = (
        await desk.caller("ops", organization="acme"),
        await desk.caller("ops", organization="acme"),
    )
    answers = [await greedy.get("/v1/sites") for _ in range(11)]
    assert [answer.status_code for answer in answers] == [200] * 10 + [429]
    assert [answer.headers["ratelimit"].split(";")[1] for answer in answers[:10]] == [
        f"r={left}" for left in range(9, -1, -1)
    ]
    assert answers[0].headers["ratelimit-policy"] == '"calls";q=10;w=1000'
    refused = problem(answers[-1], 429)
    assert refused["detail"].startswith("This key has asked for as many calls as it may")
    assert 90 <= int(answers[-1].headers["retry-after"]) <= 100
    assert (await honest.get("/v1/sites")).status_code == 200
    assert (await desk.admin.get("/v1/sites")).status_code == 200


async def test_the_keys_of_an_organization_share_what_it_has(limited) -> None:
    desk = await limited(Rates(calls_of_organization=FEW))
    acme = [await desk.caller("viewer", organization="acme") for _ in range(4)]
    statuses = [(await acme[number % 4].get("/v1/alerts")).status_code for number in range(12)]
    assert statuses == [200] * 10 + [429] * 2
    other = await desk.caller("viewer", organization="bcell")
    assert (await other.get("/v1/alerts")).status_code == 200


async def test_what_is_dear_counts_for_more(limited) -> None:
    desk = await limited(Rates(calls_of_key=FEW))
    await desk.ship("S1", organization="acme")
    reader, summer = [await desk.caller("viewer", organization="acme") for _ in range(2)]
    for client, path, times in ((reader, "readings", 2), (summer, "summary", 5)):
        statuses = [(await client.get(f"/v1/shipments/S1/{path}")).status_code for _ in range(times + 1)]
        assert statuses == [200] * times + [429], path


async def test_who_operates_the_service_asks_without_end(limited) -> None:
    """Health is asked by what restarts the process, and is nobody's call."""
    least = Rate(most=1, within_s=1000)
    desk = await limited(Rates(calls_of_key=least, calls_of_organization=least, calls_of_operator=least))
    assert [(await desk.admin.get("/v1/sites")).status_code for _ in range(2)] == [200, 429]
    for path in ("/livez", "/readyz", "/metrics", "/openapi.json"):
        assert [(await desk.admin.get(path)).status_code for _ in range(5)] == [200] * 5, path


async def test_readings_are_counted_one_by_one_and_none_of_a_call_that_is_refused_is_stored(limited) -> None:
    desk = await limited(Rates(readings_of_key=FEW))
    await desk.ship("S1", organization="acme", departed_at="2026-11-21T00:00:00Z")
    courier = await desk.caller("courier", organization="acme", shipment_ids=["S1"])

    def readings(count: int, minute: int) -> dict[str, Any]:
        return {
            "readings": [
                {
                    "device_id": "S1-logger",
                    "measured_at": f"2026-11-21T00:{minute:02}:{n:02}Z",
                    "temperature_c": -180,
                }
                for n in range(count)
            ]
        }

    assert (await courier.post("/v1/readings", json=readings(6, 1))).status_code == 200
    refused = problem(await courier.post("/v1/readings", json=readings(6, 2)), 429)
    assert "as many readings as it may" in refused["detail"]
    assert (await courier.post("/v1/readings", json=readings(4, 3))).status_code == 200
    assert (await desk.admin.post("/v1/readings", json=readings(6, 4))).status_code == 200


async def test_tests_of_contacts_are_counted_by_key_and_organization_whatever_their_addresses(
    limited,
) -> None:
    desk = await limited(
        Rates(tests_of_key=Rate(most=3, within_s=1000), tests_of_organization=Rate(most=5, within_s=1000))
    )
    for number in range(8):
        contact = {
            "contact_id": f"c{number}",
            "name": "A stranger",
            "organization": "acme",
            "timezone": "UTC",
            "channels": [{"channel": "email", "address": f"somebody-{number}@stranger.example"}],
        }
        made = await desk.admin.post("/v1/contacts", json=contact)
        assert made.status_code == 201, made.text
    one, two = [await desk.caller("ops", organization="acme") for _ in range(2)]
    statuses = [(await one.post(f"/v1/contacts/c{number}/test")).status_code for number in range(4)]
    statuses += [(await two.post(f"/v1/contacts/c{number}/test")).status_code for number in range(4, 7)]
    assert statuses == [202] * 3 + [429] + [202] * 2 + [429]
    queued = await desk.pool.fetchval("SELECT count(*) FROM notifications WHERE purpose = 'test'")
    assert queued == 5
    assert (await desk.admin.post("/v1/contacts/c7/test")).status_code == 202


MAIL = {"channel": "email", "address": "somebody@acme.example"}
QUOTAS = Quotas(contacts=2, policies=2, sites=2, products=2, planned_shipments=2, webhooks=2)
REGISTERED: dict[str, tuple[str, Any]] = {
    "contacts": (
        "/v1/contacts",
        lambda id_: {"contact_id": id_, "name": id_, "timezone": "UTC", "channels": [MAIL]},
    ),
    "policies": ("/v1/policies", lambda id_: {"policy_id": id_, "steps": [{"after_s": 0, "to": ["owner"]}]}),
    "sites": ("/v1/sites", lambda id_: {"site_id": id_, "name": id_, "lat": 1, "lon": 2, "timezone": "UTC"}),
    "products": ("/v1/products", lambda id_: {"product_id": id_, "band": "cryogenic"}),
    "planned shipments": (
        "/v1/shipments",
        lambda id_: {"shipment_id": id_, "band": "cryogenic", "device_ids": [f"{id_}-logger"]},
    ),
    "webhooks": ("/v1/webhooks", lambda id_: {"url": f"https://hooks.example/{id_}"}),
}


async def loggers(desk: Desk, organization: str, *ids: str) -> None:
    """Registers a logger for each of some shipments, lent to their organization."""
    for id_ in ids:
        body = {"device_id": f"{id_}-logger", "organization": organization}
        made = await desk.admin.post("/v1/devices", json=body)
        assert made.status_code == 201, made.text


@pytest.mark.parametrize("what", REGISTERED)
async def test_an_organization_has_as_many_as_its_quota_also_when_it_asks_for_all_at_once(
    limited, what, monkeypatch
) -> None:
    desk = await limited(quotas=QUOTAS)
    monkeypatch.setattr(type(desk.services.webhook_targets), "check", _found)
    path, body = REGISTERED[what]
    if what == "planned shipments":
        await loggers(desk, "acme", "a0", "a1", "a2", "a3", "a4", "a5", "o1")
        await loggers(desk, "bcell", "b1")
        await desk.device("o2-logger")
    acme, bcell = [
        await desk.caller("partner" if what == "webhooks" else "ops", organization=name)
        for name in ("acme", "bcell")
    ]
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(acme.post(path, json=body(f"a{number}"))) for number in range(6)]
    answers = [task.result() for task in asked]
    assert sorted(answer.status_code for answer in answers) == [201] * 2 + [409] * 4, [
        a.text for a in answers
    ]
    (refused, *_) = [problem(answer, 409) for answer in answers if answer.status_code == 409]
    assert refused["detail"].startswith(f"acme has 2 {what} already: ")
    assert (await bcell.post(path, json=body("b1"))).status_code == 201
    mine = await desk.admin.post(path, json={**body("o1"), "organization": "acme"})
    assert mine.status_code == (409 if what == "webhooks" else 201), (
        "an operator makes more, except where sending costs"
    )
    assert (await desk.admin.post(path, json=body("o2"))).status_code == 201


class _Target:
    def __init__(self, url: str) -> None:
        self.url = url


async def _found(_: object, url: str, *__: object) -> _Target:
    return _Target(url)


async def test_a_shipment_that_departs_makes_room_for_another(limited) -> None:
    desk = await limited(quotas=QUOTAS)
    acme = await desk.caller("ops", organization="acme")
    _, body = REGISTERED["planned shipments"]
    await loggers(desk, "acme", "a0", "a1", "b0", "b1", "b2")
    for number in range(2):
        assert (await acme.post("/v1/shipments", json=body(f"a{number}"))).status_code == 201
    for number in range(2):
        assert (await acme.post(f"/v1/shipments/a{number}/depart", json={})).status_code == 200
    statuses = [
        (await acme.post("/v1/shipments", json=body(f"b{number}"))).status_code for number in range(3)
    ]
    assert statuses == [201, 201, 409]


async def test_a_stream_for_each_organization_and_room_kept_for_operators(pool) -> None:
    """Twenty keys of one tenant take what is the tenant's, and not all that there is."""
    hub = EventHub(pool)
    tenant = [Principal(name=f"dw_{n}", role=KeyRole.VIEWER, organization="acme") for n in range(20)]
    others = [Principal(name=f"dw_o{n}", role=KeyRole.VIEWER, organization=f"o{n // 5}") for n in range(20)]
    operator = Principal(name="dw_op", role=KeyRole.OPS)
    async with AsyncExitStack() as stack:

        def fill(keys: list[Principal]) -> int:
            count = 0
            for key in keys:
                while hub.no_place_for(key) is None:
                    stack.enter_context(hub.place(key))
                    count += 1
            return count

        assert fill(tenant) == 500
        assert "Your organization has 500 streams open" in str(hub.no_place_for(tenant[-1]))
        assert fill(others) == 1800 - 500
        assert hub.no_place_for(others[-1]) is not None
        assert fill([operator]) == 100
    assert fill([tenant[0]]) == 100, "all of it is given back"
    assert not hub.no_place_for(operator)


@pytest.fixture
async def guarded(make_desk, make_services, engine) -> Desk:
    """A service that a wrong key waits at for half a second at most, after three of them."""
    wrong_keys = WrongKeys(Rate(most=3, within_s=60), most_delay_s=0.5)
    authenticator = Authenticator(
        engine, admin_key=ADMIN_KEY, clock=lambda: datetime.now(UTC), wrong_keys=wrong_keys
    )
    desk: Desk = await make_desk(make_services(authenticator=authenticator))
    return desk


async def test_wrong_keys_wait_and_cost_next_to_nothing_and_right_ones_from_there_are_let_in(
    guarded, engine
) -> None:
    desk = guarded
    known, fresh = await desk.key("ops"), await desk.key("ops")
    assert (await (await desk.client(known)).get("/v1/sites")).status_code == 200
    stranger = await desk.client()
    queries = 0

    def count(*_: object) -> None:
        nonlocal queries
        queries += 1

    event.listen(engine.sync_engine, "before_cursor_execute", count)
    try:
        async with asyncio.TaskGroup() as group:

            def call(key: str) -> "asyncio.Task[httpx.Response]":
                headers = {"Authorization": f"Bearer {key}"}
                return group.create_task(stranger.get("/v1/sites", headers=headers))

            tries = [call(a_key()) for _ in range(300)]
            honest = [call(known), call(fresh), call(ADMIN_KEY)]
    finally:
        event.remove(engine.sync_engine, "before_cursor_execute", count)
    answers = [task.result() for task in tries]
    assert {answer.status_code for answer in answers} == {429}
    refused = problem(answers[-1], 429)
    assert "too many wrong keys came from your address" in refused["detail"]
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert answers[-1].headers["www-authenticate"].endswith('error="invalid_token"')
    assert [task.result().status_code for task in honest] == [200] * 3
    assert queries < 100, "300 wrong keys are looked up together, more of them the slower it goes"


async def test_a_right_key_is_let_in_first_thing_where_wrong_ones_came(guarded) -> None:
    stranger = await guarded.client()
    for _ in range(8):
        await stranger.get("/v1/sites", headers={"Authorization": f"Bearer {a_key()}"})
    for key in (await guarded.key("ops"), await guarded.key("qa")):
        assert (await (await guarded.client(key)).get("/v1/sites")).status_code == 200


async def test_a_guess_at_the_secret_of_a_known_prefix_costs_no_query_of_its_own_either(guarded) -> None:
    """Prefixes stand on record, where colleagues read them."""
    prefix = (await guarded.key("ops"))[:11]
    stranger = await guarded.client()
    statuses = [
        (
            await stranger.get(
                "/v1/sites", headers={"Authorization": f"Bearer {prefix}_{secrets.token_urlsafe(32)}"}
            )
        ).status_code
        for _ in range(6)
    ]
    assert statuses == [401] * 3 + [429] * 3


async def test_a_script_that_goes_on_with_a_revoked_key_is_one_wrong_key_and_told_so_at_once(
    guarded, engine
) -> None:
    made = (await guarded.admin.post("/v1/keys", json={"role": "ops"})).json()
    script = await guarded.client(made["key"])
    assert (await guarded.admin.delete(f"/v1/keys/{made['id']}")).is_success
    queries = 0

    def count(*_: object) -> None:
        nonlocal queries
        queries += 1

    event.listen(engine.sync_engine, "before_cursor_execute", count)
    try:
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            asked = [group.create_task(script.get("/v1/sites")) for _ in range(50)]
        answers = [task.result() for task in asked] + [await script.get("/v1/sites") for _ in range(50)]
    finally:
        event.remove(engine.sync_engine, "before_cursor_execute", count)
    assert {answer.status_code for answer in answers} == {401}
    assert queries < 60, "a hundred calls, fewer queries: those at one time are looked up together"
