"""Webhooks through the HTTP interface: made, shown, changed, tested, paused, replayed; by whom, and seen by whom."""

import asyncio
import base64
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from standardwebhooks import Webhook

from alerts.outbound.resolve import Targets
from alerts.webhooks.schedule import Schedule
from tests.integration.alerts.webhooks.conftest import HURRY, Hooks
from tests.integration.api.conftest import Desk, MakeDesk, MakeServices, problem, until
from tests.receivers import FAIL, OK, Receiver, Reply, in_turn, receiver

LOOPBACK = Targets([ip_network("127.0.0.0/8")])
NOWHERE = "http://127.0.0.1:9/hook"


@pytest.fixture
async def desk(make_desk: MakeDesk, make_services: MakeServices) -> Desk:
    return await make_desk(make_services(webhook_targets=LOOPBACK))


@pytest.fixture
async def sender(desk: Desk, request: pytest.FixtureRequest) -> AsyncIterator[Hooks]:
    hooks = Hooks(desk.pool, lambda: request.node.add_marker(pytest.mark.made_up_events))
    yield hooks
    await hooks.stop()


@pytest.fixture
async def partner(desk: Desk) -> AsyncIterator[httpx.AsyncClient]:
    return await desk.caller("partner", organization="acme")  # type: ignore[return-value]


@pytest.fixture
async def endpoint() -> AsyncIterator[Receiver]:
    async with receiver() as server:
        yield server


async def made(client: httpx.AsyncClient, url: str = NOWHERE, **fields: Any) -> dict[str, Any]:
    answer = await client.post("/v1/webhooks", json={"url": url, **fields})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def test_the_secret_is_shown_once(partner: httpx.AsyncClient) -> None:
    hook = await made(partner, events=["alert.firing", "alert.firing"], min_severity="critical")
    assert hook["secret"].startswith("whsec_")
    assert len(base64.b64decode(hook["secret"].removeprefix("whsec_"))) == 32
    assert (hook["organization"], hook["state"], hook["events"]) == ("acme", "active", ["alert.firing"])
    for shown in (
        (await partner.get(f"/v1/webhooks/{hook['id']}")).json(),
        (await partner.get("/v1/webhooks")).json()["items"][0],
    ):
        assert shown == {name: value for name, value in hook.items() if name != "secret"}


@pytest.mark.parametrize(
    ("body", "field", "says"),
    [
        ({}, "url", "is required"),
        ({"url": "nonsense"}, "url", "must begin with https://"),
        ({"url": "https://10.0.0.1/"}, "url", "must lead to a public address"),
        ({"url": "http://8.8.8.8/"}, "url", "over https"),
        ({"url": "https://2130706433/"}, "url", "plain form"),
        ({"url": NOWHERE, "events": []}, "events", "at least 1"),
        ({"url": NOWHERE, "events": ["excursion.open"]}, "events[0]", "did you mean excursion.opened?"),
        (
            {"url": NOWHERE, "events": ["alert.notification"]},
            "events[0]",
            "comes where a contact of yours names",
        ),
        ({"url": NOWHERE, "min_severity": "high"}, "min_severity", "major"),
        ({"url": NOWHERE, "shipment_ids": ["no blank"]}, "shipment_ids[0]", "letters"),
        ({"url": NOWHERE, "event": []}, "event", "did you mean events?"),
    ],
)
async def test_what_is_wrong_is_refused(
    partner: httpx.AsyncClient, body: dict[str, Any], field: str, says: str
) -> None:
    refused = problem(await partner.post("/v1/webhooks", json=body), 422)
    (error,) = refused["errors"]
    assert error["field"] == field
    assert says in error["detail"]


async def test_who_may(desk: Desk) -> None:
    callers = {
        "qa": {},
        "viewer": {"organization": "acme"},
        "courier": {"shipment_ids": ["S1"]},
        "device": {"device_ids": ["D1"]},
    }
    await desk.ship("S1")
    for role, bounds in callers.items():
        client = await desk.caller(role, **bounds)
        problem(await client.post("/v1/webhooks", json={"url": NOWHERE}), 403)
        problem(await client.get("/v1/webhooks"), 403)
    for role, bounds in {"ops": {}, "partner": {"organization": "acme"}}.items():
        await made(await desk.caller(role, **bounds))


async def test_what_another_organization_owns_answers_404(desk: Desk, partner: httpx.AsyncClient) -> None:
    hook = await made(partner)
    operators = await made(desk.admin)
    other = await desk.caller("partner", organization="other")
    bound = await desk.caller("partner", organization="acme", shipment_ids=["S1"])
    for client in (other, bound):
        for id_ in (hook["id"], operators["id"], str(uuid4())):
            at = f"/v1/webhooks/{id_}"
            problem(await client.get(at), 404)
            problem(await client.patch(at, json={"min_severity": "critical"}), 404)
            problem(await client.patch(at, json={"url": NOWHERE}), 404)
            problem(await client.delete(at), 404)
            problem(await client.get(f"{at}/deliveries"), 404)
            problem(await client.get(f"{at}/deliveries/1-1"), 404)
            for step in ("rotate-secret", "test", "pause", "resume"):
                problem(await client.post(f"{at}/{step}"), 404)
            problem(await client.post(f"{at}/replay", json={"failed": True}), 404)
        assert await desk.items("/v1/webhooks", client) == []
    assert [one["id"] for one in await desk.items("/v1/webhooks")] == [operators["id"], hook["id"]]
    own = await made(bound)
    assert [one["id"] for one in await desk.items("/v1/webhooks", bound)] == [own["id"]]
    problem(await partner.post("/v1/webhooks", json={"url": NOWHERE, "organization": "other"}), 403)


async def test_a_filter_that_names_no_shipment_is_refused(desk: Desk, partner: httpx.AsyncClient) -> None:
    await desk.ship("A1", organization="acme")
    await desk.ship("B1", organization="other")
    told = problem(
        await partner.post("/v1/webhooks", json={"url": NOWHERE, "shipment_ids": ["A1", "B1"]}), 422
    )
    assert told["detail"] == "shipment_ids names no shipment: B1."
    hook = await made(partner, shipment_ids=["A1"])
    changed = await partner.patch(f"/v1/webhooks/{hook['id']}", json={"shipment_ids": ["SH-99"]})
    assert "names no shipment: SH-99" in problem(changed, 422)["detail"]


async def test_each_gets_what_it_may_see_and_asked_for(
    desk: Desk, partner: httpx.AsyncClient, sender: Hooks, endpoint: Receiver
) -> None:
    bound = await desk.caller("partner", organization="acme", shipment_ids=["A1"])
    wanted = {
        "all": await made(desk.admin, f"{endpoint.url}/all"),
        "acme": await made(partner, f"{endpoint.url}/acme"),
        "bound": await made(bound, f"{endpoint.url}/bound"),
        "one": await made(partner, f"{endpoint.url}/one"),
        "critical": await made(partner, f"{endpoint.url}/critical", min_severity="critical"),
        "departed": await made(partner, f"{endpoint.url}/departed", events=["shipment.departed"]),
    }
    assert wanted["bound"]["organization"] == "acme"
    await desk.pool.execute(
        "UPDATE webhooks SET shipment_ids = '{acme/A2,acme/B1}' WHERE id = $1", UUID(wanted["one"]["id"])
    )
    await sender.tell(shipment_id="A1", organization="acme", severity="critical", what="A1 critical")
    await sender.tell(shipment_id="A2", organization="acme", severity="major", what="A2 major")
    await sender.tell(shipment_id="B1", organization="other", severity="critical", what="B1 critical")
    await sender.tell(type_="shipment.departed", shipment_id="A1", organization="acme", what="A1 departed")
    await sender.tell(shipment_id=None, severity="critical", what="fleet")
    sender.run()
    await endpoint.until(lambda: len(endpoint.got) >= 5 + 3 + 2 + 1 + 2 + 1)
    await sender.stop()
    got: dict[str, set[str]] = {name: set() for name in wanted}
    for one in endpoint.got:
        got[one.path.rpartition("/")[2]].add(one.message["data"]["what"])
    assert got == {
        "all": {"A1 critical", "A2 major", "B1 critical", "A1 departed", "fleet"},
        "acme": {"A1 critical", "A2 major", "A1 departed"},
        "bound": {"A1 critical", "A1 departed"},
        "one": {"A2 major"},
        "critical": {"A1 critical", "A1 departed"},
        "departed": {"A1 departed"},
    }


async def test_a_test_reaches_its_endpoint_and_is_in_the_log(
    partner: httpx.AsyncClient, sender: Hooks, endpoint: Receiver
) -> None:
    hook = await made(partner, endpoint.url)
    await made(partner, f"{endpoint.url}/other")
    sender.run()
    sent = await partner.post(f"/v1/webhooks/{hook['id']}/test")
    assert sent.status_code == 202
    event_id = sent.json()["event_id"]
    delivery = await delivered(partner, hook["id"], event_id)
    assert (delivery["state"], delivery["type"], delivery["next_attempt_at"]) == (
        "delivered",
        "webhook.test",
        None,
    )
    (attempt,) = delivery["attempts"]
    assert (attempt["number"], attempt["status"], attempt["error"], attempt["answer"]) == (1, 200, None, "ok")
    assert [got.id for got in endpoint.got] == [event_id]
    assert Webhook(hook["secret"]).verify(endpoint.got[0].body, endpoint.got[0].headers) == delivery["body"]


async def delivered(
    client: httpx.AsyncClient, hook_id: str, event_id: str, state: str = "delivered"
) -> dict[str, Any]:
    at = f"/v1/webhooks/{hook_id}/deliveries/{event_id}"

    async def is_there() -> bool:
        return bool((await client.get(at)).json()["state"] == state)

    await until(is_there)
    return dict((await client.get(at)).json())


async def test_every_attempt_is_in_the_log_with_its_answer(partner: httpx.AsyncClient, sender: Hooks) -> None:
    strange = Reply(500, b"caf\xe9 \x00 " + b"x" * 30_000)
    async with receiver(in_turn(strange, FAIL, OK)) as endpoint:
        hook = await made(partner, endpoint.url)
        sender.run()
        await sender.tell(organization="acme")
        await endpoint.until(lambda: len(endpoint.got) == 3)
        event_id = endpoint.got[0].id
        delivery = await delivered(partner, hook["id"], event_id)
    assert [one["status"] for one in delivery["attempts"]] == [500, 500, 200]
    first = delivery["attempts"][0]["answer"]
    assert first.startswith("caf� \x00 xx")
    assert len(first) == 20_000
    (listed,) = (await partner.get(f"/v1/webhooks/{hook['id']}/deliveries")).json()["items"]
    assert [one["answer"] for one in listed["attempts"]] == [None, None, "ok"]
    for query, count in (
        ("state=delivered&state=waiting", 1), ("state=exhausted", 0), ("type=alert.firing", 1),
        ("type=shipment.departed", 0), ("shipment_id=S1", 1), ("shipment_id=S2", 0), ("limit=1", 1),
    ):  # fmt: skip
        page = (await partner.get(f"/v1/webhooks/{hook['id']}/deliveries?{query}")).json()
        assert len(page["items"]) == count, query
    shown = (await partner.get(f"/v1/webhooks/{hook['id']}")).json()
    assert (shown["failures"], shown["failing_since"], shown["waiting"]) == (0, None, 0)
    assert shown["last_success_at"] is not None


async def test_a_pause_loses_nothing(partner: httpx.AsyncClient, sender: Hooks, endpoint: Receiver) -> None:
    hook = await made(partner, endpoint.url)
    at = f"/v1/webhooks/{hook['id']}"
    assert (await partner.post(f"{at}/pause")).json()["state"] == "paused"
    assert (await partner.post(f"{at}/pause")).json()["state"] == "paused"
    problem(await partner.post(f"{at}/test"), 409)
    sender.run()
    await sender.tell(5, organization="acme")
    await sender.until("SELECT count(*) = 5 FROM webhook_deliveries")
    assert (await partner.get(at)).json()["waiting"] == 5
    assert endpoint.got == []
    assert (await partner.post(f"{at}/resume")).json()["state"] == "active"
    await endpoint.until(lambda: len(endpoint.got) == 5)
    assert {one.message["data"]["sequence"] for one in endpoint.got} == {1, 2, 3, 4, 5}


async def test_a_pause_amid_failures_loses_nothing_that_was_under_way(
    partner: httpx.AsyncClient, sender: Hooks
) -> None:
    """What is in hand, what waits for its next try and what comes during the pause: all of it arrives."""
    answers = [FAIL]
    async with receiver(lambda _: answers[0]) as endpoint:
        hook = await made(partner, endpoint.url)
        at = f"/v1/webhooks/{hook['id']}"
        # A slow machine must not make an attempt fail: its next try would come in an hour.
        patient = replace(
            HURRY,
            time_limit_s=15.0,
            lease=timedelta(seconds=60),
            schedule=Schedule(delays_s=(0.0, 0.05, *[3600.0] * 3)),
        )
        sender.run(patient)
        await sender.tell(20, organization="acme")
        await endpoint.until(lambda: len(endpoint.got) >= 3)
        assert (await partner.post(f"{at}/pause")).json()["state"] == "paused"
        await sender.tell(20, organization="acme")
        await sender.until("SELECT count(*) = 40 FROM webhook_deliveries")
        await sender.stop()  # whatever was in hand is recorded or given back
        answers[0] = OK
        before = len(endpoint.got)
        sender.run(patient)
        assert (await partner.post(f"{at}/resume")).json()["state"] == "active"
        await sender.until("SELECT bool_and(state = 'delivered') FROM webhook_deliveries")
    assert {one.message["data"]["sequence"] for one in endpoint.got[before:]} == set(range(1, 41))


async def test_what_came_while_it_was_switched_off_is_sent_when_it_is_resumed(
    partner: httpx.AsyncClient, sender: Hooks
) -> None:
    answers = [Reply(410)]
    async with receiver(lambda _: answers[0]) as endpoint:
        hook = await made(partner, endpoint.url, events=["alert.firing"])
        sender.run()
        await sender.tell(organization="acme")
        await sender.until("SELECT state = 'disabled' FROM webhooks")
        await sender.tell(3, organization="acme")
        await sender.until("SELECT count(*) = 4 FROM webhook_deliveries")
        answers[0] = OK
        endpoint.got.clear()
        assert (await partner.post(f"/v1/webhooks/{hook['id']}/resume")).json()["state"] == "active"
        await sender.until("SELECT bool_and(state = 'delivered') FROM webhook_deliveries")
        assert {one.message["data"]["sequence"] for one in endpoint.got} == {1, 2, 3, 4}


async def test_replays_of_one_of_a_stretch_and_of_all_that_failed(
    partner: httpx.AsyncClient, sender: Hooks
) -> None:
    answers = [FAIL]
    async with receiver(lambda _: answers[0]) as endpoint:
        hook = await made(partner, endpoint.url)
        at = f"/v1/webhooks/{hook['id']}/replay"
        sender.run()
        await sender.tell(3, organization="acme")
        await sender.until("SELECT count(*) = 3 FROM webhook_deliveries WHERE state = 'exhausted'")
        ids = set(endpoint.ids)
        assert len(ids) == 3
        answers[0] = OK
        endpoint.got.clear()
        assert (await partner.post(at, json={"failed": True})).json() == {"replayed": 3}
        await sender.until("SELECT bool_and(state = 'delivered') FROM webhook_deliveries")
        assert set(endpoint.ids) == ids  # the same ids, so that a receiver knows them
        one = min(ids)
        endpoint.got.clear()
        assert (await partner.post(at, json={"event_id": one})).json() == {"replayed": 1}
        await endpoint.until(lambda: endpoint.ids == [one])
        await sender.until("SELECT bool_and(state = 'delivered') FROM webhook_deliveries")
        endpoint.got.clear()
        soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
        assert (await partner.post(at, json={"from": "2026-01-01T00:00:00Z", "to": soon})).json() == {
            "replayed": 3
        }
        await endpoint.until(lambda: set(endpoint.ids) == ids)
        told = problem(await partner.post(at, json={"from": soon}), 422)
        assert told["detail"] == "from lies in the future: nothing has been sent since."
        problem(await partner.post(at, json={"event_id": "1-1"}), 404)
        for wrong in (
            {},
            {"failed": True, "event_id": one},
            {"to": soon},
            {"from": soon, "to": soon},
            {"failed": False},
        ):
            problem(await partner.post(at, json=wrong), 422)


async def test_a_rotation_loses_none(partner: httpx.AsyncClient, sender: Hooks, endpoint: Receiver) -> None:
    """Whoever verifies with the old secret, then with the new one, accepts every message on the way."""
    hook = await made(partner, endpoint.url)
    sender.run()
    verifies = Webhook(hook["secret"])
    for step in range(6):
        if step == 2:
            rotated = await partner.post(f"/v1/webhooks/{hook['id']}/rotate-secret")
            until_ = datetime.fromisoformat(rotated.json()["previous_secret_until"])
            assert timedelta(hours=23.9) < until_ - datetime.now(UTC) < timedelta(hours=24.1)
        if step == 4:
            verifies = Webhook(rotated.json()["secret"])
        endpoint.got.clear()
        await sender.tell(10, organization="acme")
        await endpoint.until(lambda: len(endpoint.got) == 10)
        for got in endpoint.got:
            verifies.verify(got.body, got.headers)
            assert len(got.headers["webhook-signature"].split(" ")) == (1 if step < 2 else 2)
    await sender.pool.execute("UPDATE webhooks SET previous_secret_until = now()")
    endpoint.got.clear()
    await sender.tell(organization="acme")
    await endpoint.until(lambda: len(endpoint.got) == 1)
    assert len(endpoint.got[0].headers["webhook-signature"].split(" ")) == 1


async def test_changes_and_removal(partner: httpx.AsyncClient, sender: Hooks, endpoint: Receiver) -> None:
    hook = await made(partner, NOWHERE, events=["alert.firing"], description="first")
    at = f"/v1/webhooks/{hook['id']}"
    changed = (await partner.patch(at, json={"url": endpoint.url, "events": None})).json()
    assert (changed["url"], changed["events"], changed["description"]) == (endpoint.url, None, "first")
    assert (await partner.patch(at, json={})).json() == changed
    problem(await partner.patch(at, json={"url": None}), 422)
    problem(await partner.patch(at, json={"url": "https://[::1]/"}), 422)
    problem(await partner.patch(at, json={"organization": "acme"}), 422)
    assert (await partner.delete(at)).status_code == 204
    problem(await partner.get(at), 404)
    problem(await partner.delete(at), 404)
    sender.run()
    await sender.tell(organization="acme")
    await sender.until("SELECT (SELECT position FROM webhook_fanout) = outbox_end()")
    assert endpoint.got == []
    assert await sender.pool.fetchval("SELECT secret FROM webhooks") == b""


async def test_an_organization_has_a_hundred_at_most(desk: Desk, partner: httpx.AsyncClient) -> None:
    await asyncio.gather(*[made(partner) for _ in range(99)])
    answers = await asyncio.gather(*[partner.post("/v1/webhooks", json={"url": NOWHERE}) for _ in range(4)])
    assert sorted(one.status_code for one in answers) == [201, 409, 409, 409]
    await made(desk.admin)
    first = await partner.get("/v1/webhooks", params={"limit": 60})
    rest = await partner.get("/v1/webhooks", params={"limit": 60, "cursor": first.json()["next_cursor"]})
    ids = {one["id"] for page in (first, rest) for one in page.json()["items"]}
    assert len(ids) == 100
