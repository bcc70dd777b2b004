"""Tests of contacts: a message by each channel, for whoever may ask."""

import asyncio
import json

from alerts.notifications.test_message import MOST
from api.http.rates import Gate
from api.rates.bucket import Rate
from api.rates.policy import Rates
from telemetry.registry.ids import key_of
from tests.integration.api.conftest import Desk

WAYS = [
    {"channel": "email", "address": "desk@clinic.example"},
    {"channel": "chat", "address": "https://chat.example/hook"},
]


async def contact(desk: Desk, contact_id: str, organization: str | None, ways: list[dict[str, str]]) -> None:
    if organization is not None:
        await desk.pool.execute(
            "INSERT INTO organizations (slug) VALUES ($1) ON CONFLICT DO NOTHING", organization
        )
    await desk.pool.execute(
        "INSERT INTO contacts (contact_id, organization, name, timezone, channels, updated_by) "
        "VALUES ($1, $2, 'Night desk', 'Europe/Vienna', $3, 'k')",
        key_of(contact_id, organization), organization, json.dumps(ways),
    )  # fmt: skip


async def test_a_message_by_each_channel_is_put_on_its_way(desk: Desk) -> None:
    await contact(desk, "desk", None, WAYS)
    answer = await desk.admin.post("/v1/contacts/desk/test")
    assert answer.status_code == 202
    sent = answer.json()["notifications"]
    assert [{"channel": one["channel"], "address": one["address"]} for one in sent] == WAYS
    rows = await desk.pool.fetch("SELECT * FROM notifications")
    assert {str(row["id"]) for row in rows} == {one["id"] for one in sent}
    assert {(row["purpose"], row["state"], row["timezone"]) for row in rows} == {
        ("test", "pending", "Europe/Vienna")
    }
    assert all(json.loads(row["facts"])["by"] for row in rows)


async def test_an_address_gets_so_many_tests_whichever_contact_it_is_of(desk: Desk) -> None:
    await contact(desk, "one", None, WAYS)
    await contact(desk, "two", None, WAYS[:1])
    await contact(desk, "other", None, [{"channel": "email", "address": "other@clinic.example"}])
    answers = await asyncio.gather(
        *(desk.admin.post(f"/v1/contacts/{id_}/test") for id_ in ("one", "two") for _ in range(MOST))
    )
    assert sorted(one.status_code for one in answers) == [202] * MOST + [429] * MOST
    refused = next(one for one in answers if one.status_code == 429)
    assert refused.headers["Retry-After"] == "600"
    assert "desk@clinic.example" in refused.json()["detail"]
    assert (await desk.admin.post("/v1/contacts/other/test")).status_code == 202
    await desk.pool.execute("UPDATE notifications SET decided_at = decided_at - interval '11 minutes'")
    assert (await desk.admin.post("/v1/contacts/two/test")).status_code == 202


async def test_an_address_is_the_same_however_it_is_written_and_what_is_refused_does_not_count_for_the_key(
    make_desk, make_services
) -> None:
    gate = Gate(Rates(tests_of_key=Rate(most=MOST + 1, within_s=10_000)))
    desk: Desk = await make_desk(make_services(gate=gate))
    written = [
        "desk@clinic.example",
        "desk@CLINIC.example",
        "Desk@clinic.example",
        "The desk <desk@clinic.Example>",
    ]
    for number, address in enumerate([*written, "other@clinic.example"]):
        await contact(desk, f"c{number}", "acme", [{"channel": "email", "address": address}])
    ops = await desk.caller("ops", organization="acme")
    answers = [await ops.post(f"/v1/contacts/c{number % 4}/test") for number in range(3 * MOST)]
    assert [one.status_code for one in answers] == [202] * MOST + [429] * 2 * MOST
    assert all(one.headers["Retry-After"] == "600" for one in answers[MOST:]), (
        "for the address, not for the key"
    )
    assert (await ops.post("/v1/contacts/none/test")).status_code == 404
    assert (await ops.post("/v1/contacts/c4/test")).status_code == 202
    assert (await ops.post("/v1/contacts/c4/test")).status_code == 429, "and now for the key"


async def test_only_ones_own_contacts(desk: Desk) -> None:
    await contact(desk, "ours", "clinic", WAYS)
    await contact(desk, "theirs", "other", WAYS)
    await contact(desk, "central", None, WAYS)
    ops = await desk.caller("ops", organization="clinic")
    assert (await ops.post("/v1/contacts/ours/test")).status_code == 202
    for id_ in ("theirs", "central", "nobody"):
        assert (await ops.post(f"/v1/contacts/{id_}/test")).status_code == 404
    viewer = await desk.caller("viewer", organization="clinic")
    assert (await viewer.post("/v1/contacts/ours/test")).status_code == 403
    assert await desk.pool.fetchval("SELECT count(*) FROM notifications") == len(WAYS)


async def test_without_a_channel_there_is_nothing_to_test(desk: Desk) -> None:
    await contact(desk, "mute", None, [])
    answer = await desk.admin.post("/v1/contacts/mute/test")
    assert answer.status_code == 409
    assert "no channel" in answer.json()["detail"]


async def test_an_organization_sees_what_became_of_its_tests(desk: Desk) -> None:
    await contact(desk, "desk", "clinic", WAYS)
    await contact(desk, "desk", "other", WAYS[:1])
    ops = await desk.caller("ops", organization="clinic")
    sent = (await ops.post("/v1/contacts/desk/test")).json()["notifications"]
    assert (await desk.admin.post("/v1/contacts/desk/test?organization=other")).status_code == 202
    qa = await desk.caller("qa", organization="clinic")
    await desk.ship("S1", organization="clinic")
    bound = await desk.caller("ops", organization="clinic", shipment_ids=["S1"])
    for client in (ops, qa, bound):
        found = await desk.items("/v1/notifications", client)
        assert {one["id"] for one in found} == {one["id"] for one in sent}
        assert {one["address"] for one in found} == {way["address"] for way in WAYS}
        assert {one["organization"] for one in found} == {"clinic"}
    of_other = await desk.items("/v1/notifications", organization="other")
    assert [one["organization"] for one in of_other] == ["other"]
