"""Two organizations give the same ids to everything, and neither ever learns of the other."""

import asyncio
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import httpx
import pytest

from alerts.attention.loop import decide_due
from alerts.events import outbox
from alerts.events.outbox import Position
from alerts.notifications.loop import run_notifications
from alerts.webhooks.fanout import fan_out
from api.http.event_hub import Wanted, event_frame
from api.identity.access import Principal, permitted
from api.identity.permissions import KeyRole
from tests.integration.alerts.notifications.conftest import HURRY, channels
from tests.integration.api.conftest import Desk, problem
from tests.mailboxes import mail_server

ORGANIZATIONS: Final = ("acme", "corp")
"""Of one length, so that answers of one can be held against answers of the other to the byte."""
WARM: Final = (-180, -180, -120, -110, -100)
KEY: Final = re.compile(r"\b(acme|corp)/")
"""How what is stored begins; nothing that anybody is shown has it."""
STEP: Final = {"after_s": 0, "to": ["contact:desk", "destination"]}
MAIL: Final = {"channel": "email", "outside_office_hours": True}
SITE: Final = {"site_id": "HUB", "name": "Hub", "lat": 50.0, "lon": 8.5, "timezone": "UTC"}
NOW: Final = datetime.now(UTC).replace(microsecond=0)


def bodies(whose: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """What an organization registers, in this order: the same ids as any other, and loggers and a mailbox of its own."""
    yield "/v1/sites", {**SITE, "contacts": [{"name": "Gate", "email": f"gate@{whose}.example"}]}
    yield "/v1/products", {"product_id": "P", "band": "cryogenic"}
    for contact_id, more in (("late", {}), ("desk", {"fallback": "late"})):
        ways = [{**MAIL, "address": f"{contact_id}@{whose}.example"}]
        yield (
            "/v1/contacts",
            {"contact_id": contact_id, "name": "Desk", "timezone": "UTC", "channels": ways, **more},
        )
    yield "/v1/policies", {"policy_id": "critical", "group_wait_s": 0, "steps": [STEP]}
    yield (
        "/v1/shipments",
        {
            "shipment_id": "SH-1",
            "product_id": "P",
            "origin": "HUB",
            "destination": "HUB",
            "device_ids": [f"{whose}-logger"],
            "departed_at": (NOW - timedelta(hours=1)).isoformat(),
        },
    )
    yield "/v1/webhooks", {"url": "https://93.184.216.34/hook", "shipment_ids": ["SH-1"]}


def alike(answer: httpx.Response) -> tuple[int, str]:
    """An answer without what must differ: the organization, its caller, and what is drawn or measured."""
    told = re.sub(r"\b(acme|corp)\b", "----", answer.text)
    told = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|whsec_[\w+/=]+|dw_[0-9a-f]{8}", "…", told)
    return answer.status_code, re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "…", told)


async def logger_of(desk: Desk, whose: str) -> None:
    """Register a logger and lend it to an organization, long enough ago for what it brings."""
    await desk.device(f"{whose}-logger")
    lent = {"organization": whose, "from": (NOW - timedelta(hours=2)).isoformat()}
    made = await desk.admin.post(f"/v1/devices/{whose}-logger/loans", json=lent)
    assert made.status_code == 201, made.text


@pytest.fixture
async def callers(desk: Desk) -> dict[str, httpx.AsyncClient]:
    for whose in ORGANIZATIONS:
        await logger_of(desk, whose)
    return {whose: await desk.caller("ops", organization=whose) for whose in ORGANIZATIONS}


async def register(desk: Desk, callers: dict[str, httpx.AsyncClient]) -> None:
    """Both register everything, and both have an excursion."""
    for whose, client in callers.items():
        for path, body in bodies(whose):
            made = await client.post(path, json=body)
            assert made.status_code == 201, (path, made.text)
    for whose in callers:
        await excursion_of(desk, whose)
    await desk.evaluate()
    while await decide_due(desk.pool):
        pass


async def excursion_of(desk: Desk, whose: str) -> None:
    """Its shipment becomes warm."""
    start = NOW - timedelta(minutes=50)
    readings = ((start + timedelta(minutes=n), celsius) for n, celsius in enumerate(WARM))
    await desk.store(f"{whose}-logger", *readings)


async def test_creation_tells_nothing_of_what_others_have(
    desk: Desk, callers: dict[str, httpx.AsyncClient]
) -> None:
    for first, second in zip(bodies("acme"), bodies("corp"), strict=True):
        path, body = first
        made = await callers["acme"].post(path, json=body)
        assert made.status_code == 201, (path, made.text)
        assert KEY.search(made.text + made.headers["location"]) is None
        others = await callers["corp"].post(path, json=second[1])
        assert alike(others) == alike(made), path
        assert others.headers["content-length"] == made.headers["content-length"], path
        if path == "/v1/webhooks":
            continue
        again = [await callers[whose].post(path, json=body) for whose in ORGANIZATIONS]
        assert [problem(one, 409)["detail"] for one in again] == [again[0].json()["detail"]] * 2
        assert KEY.search(again[0].text) is None


async def test_each_sees_its_own_and_changes_its_own(
    desk: Desk, callers: dict[str, httpx.AsyncClient]
) -> None:
    await register(desk, callers)
    for whose, client in callers.items():
        for noun, id_ in (
            ("sites", "HUB"),
            ("products", "P"),
            ("contacts", "desk"),
            ("policies", "critical"),
        ):
            shown = (await client.get(f"/v1/{noun}/{id_}")).json()
            assert shown["organization"] == whose
            (listed,) = [one for one in await desk.items(f"/v1/{noun}", client) if id_ in one.values()]
            assert listed["organization"] == whose
        changed = await client.patch("/v1/sites/HUB", json={"name": f"Hub of {whose}"})
        assert changed.json()["name"] == f"Hub of {whose}"
        assert [one["name"] for one in await desk.items("/v1/sites/HUB/revisions", client)] == [
            "Hub",
            f"Hub of {whose}",
        ]
        shipment = (await client.get("/v1/shipments/SH-1")).json()
        assert (shipment["organization"], shipment["product_id"]) == (whose, "P")
        assert [one["name"] for one in shipment["sites"].values()] == [f"Hub of {whose}"]
        for noun in ("alerts", "incidents", "excursions", "notifications"):
            found = await desk.items(f"/v1/{noun}", client, shipment_id="SH-1")
            assert {(one["shipment_id"], one["organization"]) for one in found} == {("SH-1", whose)}, noun
        told = await desk.items("/v1/notifications", client, contact_id="desk")
        assert {(one["address"], one["policy_id"]) for one in told if one["address"]} == {
            (f"desk@{whose}.example", "critical")
        }
        assert (await client.get("/v1/contacts/desk")).json()["fallback"] == "late"
        assert (await client.get("/v1/policies/critical")).json()["steps"][0]["to"] == STEP["to"]
        delivered = await client.post("/v1/shipments/SH-1/deliver", json={})
        assert delivered.json()["status"] == "delivered"
        other = next(one for one in ORGANIZATIONS if one != whose)
        problem(await client.get("/v1/shipments/SH-1", params={"organization": other}), 404)
    assert [one["status"] for one in await desk.items("/v1/shipments")] == ["delivered"] * 2


async def test_operators_say_whose(desk: Desk, callers: dict[str, httpx.AsyncClient]) -> None:
    await register(desk, callers)
    for path in ("/v1/shipments/SH-1", "/v1/sites/HUB", "/v1/products/P", "/v1/contacts/desk"):
        told = problem(await desk.admin.get(path), 409)["detail"]
        assert "of acme, of corp" in told
        assert "?organization=SLUG" in told
        for whose in ORGANIZATIONS:
            shown = await desk.admin.get(path, params={"organization": whose})
            assert shown.json()["organization"] == whose
        problem(await desk.admin.get(path, params={"organization": ""}), 404)
        problem(await desk.admin.get(path, params={"organization": "nobody-here"}), 404)
    shared = await desk.admin.post("/v1/sites", json={**SITE, "name": "Everybody's"})
    assert shared.status_code == 201
    assert (await desk.admin.get("/v1/sites/HUB", params={"organization": ""})).json()["organization"] is None
    assert (await callers["acme"].get("/v1/sites/HUB")).json()["organization"] == "acme"
    body = {"role": "courier", "shipment_ids": ["SH-1"]}
    assert (
        "several organizations have" in problem(await desk.admin.post("/v1/keys", json=body), 422)["detail"]
    )
    courier = await desk.caller("courier", organization="corp", shipment_ids=["SH-1"])
    assert (await courier.get("/v1/shipments/SH-1")).json()["organization"] == "corp"
    assert [one["organization"] for one in await desk.items("/v1/shipments", courier)] == ["corp"]


def ids(items: list[Any]) -> list[str]:
    return [one["id"] for one in items]


@pytest.mark.parametrize("noun", ["alerts", "excursions", "incidents", "notifications"])
async def test_operators_say_whose_in_filters_too(
    desk: Desk, callers: dict[str, httpx.AsyncClient], noun: str
) -> None:
    await register(desk, callers)
    path = f"/v1/{noun}"
    filters = [{"shipment_id": "SH-1"}, *([{"contact_id": "desk"}] if noun == "notifications" else [])]
    for one in filters:
        assert "of acme, of corp" in problem(await desk.admin.get(path, params=one), 409)["detail"]
        for whose, client in callers.items():
            found = await desk.items(path, **one, organization=whose)
            assert ids(found) == ids(await desk.items(path, client, **one)), one
            assert {item["organization"] for item in found} == {whose}
    for whose, client in callers.items():
        assert ids(await desk.items(path, organization=whose)) == ids(await desk.items(path, client))
        other = next(name for name in ORGANIZATIONS if name != whose)
        told = problem(await client.get(path, params={"organization": other}), 404)
        assert told["detail"] == f"There is no organization {other}.", "as of one that there is not"
    assert await desk.items(path, organization="") == []


async def test_an_organization_that_there_is_not_is_said_to_be_none(
    desk: Desk, callers: dict[str, httpx.AsyncClient]
) -> None:
    await register(desk, callers)
    nouns = ("shipments", "alerts", "excursions", "incidents", "notifications", "devices", "dewars")
    addresses = [f"/v1/{noun}" for noun in nouns]
    for path in (*addresses, "/v1/shipments/SH-1", "/v1/sites/HUB", "/v1/stream"):
        told = problem(await desk.admin.get(path, params={"organization": "acne"}), 404)
        assert told["detail"] == "There is no organization acne."
    # Others learn nothing of which organizations there are.
    for slug in ("corp", "acne"):
        hidden = problem(await callers["acme"].get("/v1/shipments/SH-1", params={"organization": slug}), 404)
        assert hidden["detail"] == "There is no shipment SH-1."


async def test_what_is_lent_is_found_by_to_whom(desk: Desk, callers: dict[str, httpx.AsyncClient]) -> None:
    await desk.device("nobodys-logger")
    for whose, client in callers.items():
        lent = {"dewar_id": f"{whose}-dewar", "organization": whose}
        made = await desk.admin.post("/v1/dewars", json=lent)
        assert made.json()["lent_to"] == whose
        for noun, key in (("devices", "device_id"), ("dewars", "dewar_id")):
            found = await desk.items(f"/v1/{noun}", organization=whose)
            assert [one[key] for one in found] == [f"{whose}-{'logger' if noun == 'devices' else 'dewar'}"]
            assert [one["lent_to"] for one in found] == [whose]
            assert [one["lent_to"] for one in await desk.items(f"/v1/{noun}", client)] == [whose]
    nobodys = await desk.admin.get("/v1/devices/nobodys-logger")
    assert nobodys.json()["lent_to"] is None


async def test_the_address_of_what_an_operator_has_made_leads_to_it(
    desk: Desk, callers: dict[str, httpx.AsyncClient]
) -> None:
    await desk.device("nobodys-logger")
    for path, body in bodies("acme"):
        if path == "/v1/webhooks":
            continue
        for whose in (*ORGANIZATIONS, None):
            own = {"organization": whose}
            if path == "/v1/shipments":
                loggers = [f"{whose or 'nobodys'}-logger"]
                own |= {"device_ids": loggers, "product_id": None, "band": "cryogenic"}
            made = await desk.admin.post(path, json={**body, **own})
            assert made.status_code == 201, (path, made.text)
            shown = await desk.admin.get(made.headers["location"])
            assert (shown.status_code, shown.json()["organization"]) == (200, whose), made.headers["location"]


async def test_keys_and_webhooks_show_whose_their_shipments_are(desk: Desk) -> None:
    await desk.ship("SH-1", organization="acme")
    await desk.ship("SH-2", organization="corp")
    await desk.ship("SH-3")
    ids = {"shipment_ids": ["SH-1", "SH-2", "SH-3"]}
    key = await desk.admin.post("/v1/keys", json={"role": "ops", **ids})
    hook = await desk.admin.post("/v1/webhooks", json={"url": "https://93.184.216.34/hook", **ids})
    for answer in (await desk.admin.get(key.headers["location"]), hook):
        assert answer.json()["shipment_ids"] == ids["shipment_ids"], answer.text
        assert answer.json()["shipment_organizations"] == ["acme", "corp", None]
    unbound = await desk.admin.post("/v1/keys", json={"role": "ops"})
    assert (await desk.admin.get(unbound.headers["location"])).json()["shipment_organizations"] is None


async def test_an_id_that_one_has_needs_no_word_more(desk: Desk) -> None:
    await desk.ship("SH-7", organization="acme")
    assert (await desk.admin.get("/v1/shipments/SH-7")).json()["organization"] == "acme"
    courier = await desk.caller("courier", shipment_ids=["SH-7"])
    assert (await courier.get("/v1/shipments/SH-7")).json()["shipment_id"] == "SH-7"
    (key,) = [one for one in await desk.items("/v1/keys") if one["shipment_ids"]]
    assert key["shipment_ids"] == ["SH-7"]


async def test_an_id_cannot_be_taken_ahead(desk: Desk, callers: dict[str, httpx.AsyncClient]) -> None:
    """Neither that of a shipment which somebody else makes later, nor that of a site which shipments of others name."""
    await callers["corp"].post(
        "/v1/sites", json={**SITE, "contacts": [{"name": "x", "email": "x@corp.example"}]}
    )
    taken = await callers["corp"].post(
        "/v1/shipments", json={"shipment_id": "SH-8", "band": "room", "device_ids": ["corp-logger"]}
    )
    assert taken.status_code == 201
    nobodys = await desk.ship("SH-8", destination="HUB")
    assert nobodys["sites"] == {}
    assert (await desk.ship("SH-9", destination="corp/HUB"))["sites"] == {}  # a word that looks like a key
    both = await desk.items("/v1/shipments", q="SH-8")
    assert {(one["shipment_id"], one["organization"]) for one in both} == {("SH-8", None), ("SH-8", "corp")}


@pytest.mark.timeout(300)  # every address, three times
async def test_nothing_that_is_stored_is_shown(desk: Desk, callers: dict[str, httpx.AsyncClient]) -> None:
    """Every answer, event, message to an endpoint and mail: none has a key in it."""
    await register(desk, callers)
    for whose, client in callers.items():
        handed = {"from_party": "A", "to_party": "B", "to_contact": "desk"}
        assert (await client.post("/v1/shipments/SH-1/handovers", json=handed)).status_code == 201, whose
        assert (await client.post("/v1/contacts/desk/test")).status_code == 202
        dry = {"kind": "excursion", "at": NOW.isoformat()}
        tried = await client.post("/v1/policies/dry-run", json=dry)
        assert {one["address"] for one in tried.json()["decisions"] if one["sent"]} == {
            f"desk@{whose}.example"
        }
        compared = await client.post(
            "/v1/backtests", json={"plan": {"upper_c": -130}, "shipment_ids": ["SH-1"]}
        )
        assert compared.status_code == 200, compared.text
        late = await client.post("/v1/shipments/SH-1/depart", json={})
        for answer in (tried, compared, late):
            assert KEY.search(answer.text) is None, answer.text
    while await decide_due(desk.pool):
        pass
    await _no_answer_has_one(desk, callers)
    events = await _events(desk)
    assert {event.organization for event in events} == set(ORGANIZATIONS)
    for event in events:
        assert KEY.search(event_frame(event).decode()) is None
    for whose in ORGANIZATIONS:
        caller = permitted(Principal(name="x", role=KeyRole.OPS, organization=whose), "stream.follow")
        wanted = Wanted(principal=caller, shipment_ids=frozenset({"SH-1"}))
        assert {event.organization for event in events if wanted.takes(event)} == {whose}
    while (await fan_out(desk.pool)).events:
        pass
    rows = await desk.pool.fetch(
        "SELECT w.organization, m.body FROM webhook_messages AS m JOIN webhook_deliveries AS d ON d.message_id = m.id "
        "JOIN webhooks AS w ON w.id = d.webhook_id"
    )
    assert {row["organization"] for row in rows} == set(ORGANIZATIONS)
    for row in rows:
        assert json.loads(row["body"])["data"].get("organization") in {row["organization"], None}
        assert KEY.search(row["body"]) is None
    await _no_mail_has_one(desk)


async def _no_answer_has_one(desk: Desk, callers: dict[str, httpx.AsyncClient]) -> None:
    document = (await desk.admin.get("/openapi.json")).json()
    seen = 0
    for who, client in {**callers, "operator": desk.admin}.items():
        ids = {"site_id": "HUB", "product_id": "P", "contact_id": "desk", "policy_id": "critical"}
        ids |= {"shipment_id": "SH-1", "device_id": "acme-logger", "dewar_id": "none", "rejected_id": "1"}
        for noun in ("alert", "incident", "excursion"):
            ids[f"{noun}_id"] = (await desk.items(f"/v1/{noun}s", client))[0]["id"]
        hook = (await desk.items("/v1/webhooks", client))[0]["id"]
        ids |= {"webhook_id": hook, "key_id": (await desk.items("/v1/keys"))[0]["id"], "event_id": "1-1"}
        for path, methods in document["paths"].items():
            if "get" not in methods or path in {"/v1/stream", "/metrics", "/asyncapi.json", "/openapi.json"}:
                continue
            takes = {one["name"] for one in methods["get"].get("parameters", ())}
            named = set(re.findall(r"{(\w+)}", path)) & {
                f"{noun}_id" for noun in ("shipment", "site", "product", "contact", "policy")
            }
            assert not named or "organization" in takes, path
            params = {"organization": "acme"} if named and who == "operator" else {}
            answer = await client.get(path.format_map(ids), params=params)
            assert answer.status_code < 500, (path, answer.text)
            assert KEY.search(answer.text) is None, (who, path, answer.text)
            if named:
                assert answer.status_code == 200, (who, path, answer.text)
                seen += 1
    assert seen >= 3 * 15


async def _events(desk: Desk) -> list[outbox.Event]:
    async with desk.pool.acquire() as connection:
        return await outbox.read(connection, Position(0), 1000)


async def _no_mail_has_one(desk: Desk) -> None:
    stop = asyncio.Event()
    async with mail_server() as server, asyncio.timeout(30):
        sending = asyncio.create_task(
            run_notifications(desk.pool, stop, channels=channels(server.port), settings=HURRY)
        )
        while await desk.pool.fetchval("SELECT count(*) FROM notifications WHERE state = 'pending'"):
            await asyncio.sleep(0.02)
        stop.set()
        await sending
    assert {str(mail["To"]).rpartition("@")[2].strip(">") for mail in server.taken} == {
        "acme.example",
        "corp.example",
    }
    for mail in server.taken:
        headers = "\n".join(f"{name}: {value}" for name, value in mail.items())
        parts = [part.get_content() for part in mail.walk() if not part.is_multipart()]
        assert KEY.search("\n".join([headers, *parts])) is None
