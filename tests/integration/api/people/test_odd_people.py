"""Contacts, policies, handovers and notifications: what nobody would write, and who sees addresses."""

from uuid import uuid4

import pytest

from tests.integration.api.conftest import Desk, problem, text
from tests.integration.api.people.test_escalation import AT_ONCE, NIGHT, HoursAgo, excursion, made, mail

SAID = "the recipient was refused: 550 <night@ops.example>: unknown"


@pytest.mark.parametrize("target", ["contact:\0", "contact:", "contact:a b", "contact:" + "x" * 65])
async def test_a_step_names_a_contact_by_its_id(desk: Desk, target: str) -> None:
    body = {**AT_ONCE, "steps": [{"after_s": 0, "to": [target]}]}
    (error,) = problem(await desk.admin.post("/v1/policies", json=body), 422)["errors"]
    assert error["field"] == "steps[0].to[0]"


@pytest.mark.parametrize("odd", ["a\r\nBcc: b@x.example", "a\tb", "a\x1b[2J", "a\u2028b", "a\x85b"])
async def test_a_name_is_one_line(desk: Desk, odd: str) -> None:
    """Names go into the headers and subjects of mails."""
    (error,) = problem(await desk.admin.post("/v1/contacts", json={**NIGHT, "name": odd}), 422)["errors"]
    assert (error["field"], error["detail"]) == ("name", "must be one line, without control characters")
    (error,) = problem(await desk.admin.post("/v1/contacts", json={**NIGHT, "parties": [odd]}), 422)["errors"]
    assert error["field"] == "parties[0]"
    site = {"site_id": "S", "name": odd, "lat": 1, "lon": 1, "timezone": "UTC"}
    problem(await desk.admin.post("/v1/sites", json=site), 422)


async def test_what_is_asked_for_with_a_nul_is_refused(desk: Desk) -> None:
    problem(await desk.admin.get("/v1/notifications", params={"contact_id": "ops\0night"}), 422)


async def test_answers_of_mail_servers_name_addresses_and_are_shown_as_these_are(
    desk: Desk, hours_ago: HoursAgo
) -> None:
    await made(desk, "/v1/policies", AT_ONCE)
    await made(desk, "/v1/contacts", NIGHT)
    await excursion(desk, hours_ago)
    await desk.pool.execute(
        "UPDATE notifications SET state = 'failed', error = $1 WHERE state = 'pending'", SAID
    )
    await desk.pool.execute(
        "INSERT INTO notification_attempts (notification_id, number, at, took_s, outcome, detail) "
        "SELECT id, 1, now(), 0.1, 'refused', $1 FROM notifications WHERE state = 'failed'",
        SAID,
    )
    for one in await desk.items("/v1/alerts"):
        of_it = await desk.items("/v1/notifications", incident_id=one["incident_id"])
        assert {told["incident_id"] for told in of_it} == {one["incident_id"]}
        assert await desk.items("/v1/notifications", alert_id=one["id"])
    assert await desk.items("/v1/notifications", alert_id=str(uuid4())) == []
    url = "/v1/shipments/S1/notifications"
    assert SAID in str(await desk.items("/v1/notifications", state="failed"))
    for role, bounds in (
        ("viewer", {"organization": "acme"}),
        ("courier", {"shipment_ids": ["S1"]}),
        ("ops", {"shipment_ids": ["S1"]}),
        ("ops", {"organization": "acme"}),  # it is not told how to reach the operating organization's desk
    ):
        told = await desk.items(url, await desk.caller(role, **bounds))
        assert [one["state"] for one in told].count("failed") == 1
        assert "night@ops.example" not in str(told), role


async def test_an_organization_sees_the_addresses_of_its_own_contacts(
    desk: Desk, hours_ago: HoursAgo
) -> None:
    await made(desk, "/v1/policies", AT_ONCE)
    await made(desk, "/v1/contacts", mail("acme-desk", organization="acme", last_resort=True))
    await excursion(desk, hours_ago)
    ops = await desk.caller("ops", organization="acme")
    sent = [one for one in await desk.items("/v1/notifications", ops) if one["state"] == "pending"]
    assert {one["address"] for one in sent} == {"acme-desk@ops.example"}
    tried = {"kind": "excursion", "at": text(hours_ago(0))}
    for client, address in ((ops, None), (desk.admin, "ops-night@ops.example")):
        await desk.admin.post("/v1/contacts", json=mail("ops-night", parties=["Courier"]))
        body = tried | {"organization": "acme", "holder": "Courier"}
        answer = (await client.post("/v1/policies/dry-run", json=body)).json()
        (first, *_) = [one for one in answer["decisions"] if one["sent"]]
        assert (first["contact_id"], first["address"]) == ("ops-night", address)


async def test_a_key_of_certain_shipments_sees_and_tests_no_contacts(desk: Desk) -> None:
    await desk.ship("S1")
    await made(desk, "/v1/contacts", NIGHT)
    bound = await desk.caller("ops", shipment_ids=["S1"])
    assert await desk.items("/v1/contacts", bound) == []
    problem(await bound.get("/v1/contacts/ops-night"), 404)
    problem(await bound.post("/v1/contacts/ops-night/test"), 404)


async def test_of_two_handovers_at_one_instant_the_later_recorded_is_last(
    desk: Desk, hours_ago: HoursAgo
) -> None:
    await desk.ship("S1", departed_at=text(hours_ago(2)))
    at = text(hours_ago(1))
    parties = [f"Courier {number}" for number in range(6)]
    for giver, party in zip(["Depot", *parties], parties, strict=False):
        body = {"at": at, "from_party": giver, "to_party": party}
        assert (await desk.admin.post("/v1/shipments/S1/handovers", json=body)).status_code == 201
    listed: list[str] = []
    cursor = None
    while cursor or not listed:
        params = {"limit": 4} | ({"cursor": cursor} if cursor else {})
        page = (await desk.admin.get("/v1/shipments/S1/handovers", params=params)).json()
        listed += [one["to_party"] for one in page["items"]]
        cursor = page["next_cursor"]
    assert listed == parties
