"""Contacts, policies with their dry run, handovers and notifications, over HTTP: what they do, and who sees what."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from alerts.attention.loop import decide_due
from tests.integration.api.conftest import Desk, problem, text

HoursAgo = Callable[[float], datetime]

NIGHT: dict[str, Any] = {
    "contact_id": "ops-night",
    "name": "Night desk",
    "timezone": "Europe/Berlin",
    "channels": [{"channel": "email", "address": "night@ops.example", "outside_office_hours": True}],
    "last_resort": True,
}
AT_ONCE: dict[str, Any] = {
    "policy_id": "at-once",
    "min_severity": "major",
    "steps": [{"after_s": 0, "to": ["holder"]}, {"after_s": 600, "to": ["last_resort"]}],
    "group_wait_s": 0,
}


def mail(contact_id: str, **fields: Any) -> dict[str, Any]:
    way = {"channel": "email", "address": f"{contact_id}@ops.example"}
    return {"contact_id": contact_id, "name": contact_id, "timezone": "UTC", "channels": [way], **fields}


async def made(desk: Desk, url: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = await desk.admin.post(url, json=body)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def excursion(desk: Desk, hours_ago: HoursAgo, **fields: Any) -> None:
    await desk.ship("S1", departed_at=text(hours_ago(2)), organization="acme", **fields)
    start = hours_ago(25 / 60)
    warm = [*[-180.0] * 5, *[-120.0] * 20]
    await desk.store("S1-logger", *((start + timedelta(minutes=n), c) for n, c in enumerate(warm)))
    await desk.evaluate()
    await decide_all(desk)


async def decide_all(desk: Desk) -> None:
    while await decide_due(desk.pool):
        pass


async def test_a_contact_is_registered_changed_and_keeps_its_history(desk: Desk) -> None:
    shown = await made(desk, "/v1/contacts", NIGHT)
    assert (shown["organization"], shown["active"], shown["revision"]) == (None, True, 1)
    assert shown["channels"][0]["min_severity"] == "major"
    change = {"active": False, "phone": "+49 69 1234567", "reason": "On leave"}
    changed = (await desk.admin.patch("/v1/contacts/ops-night", json=change)).json()
    assert (changed["active"], changed["phone"], changed["revision"]) == (False, "+49 69 1234567", 2)
    history = await desk.items("/v1/contacts/ops-night/revisions")
    assert [(one["phone"], one["reason"]) for one in history] == [(None, None), (change["phone"], "On leave")]
    problem(await desk.admin.patch("/v1/contacts/ops-night", json={"phone": "call me"}), 422)
    assert "already" in problem(await desk.admin.post("/v1/contacts", json=NIGHT), 409)["detail"]


async def test_what_leads_nowhere_is_refused(desk: Desk) -> None:
    for address in ("nobody", "a@b.example\nBcc: x@y.example", "a@b.example,c@d.example"):
        body = NIGHT | {"channels": [{"channel": "email", "address": address}]}
        problem(await desk.admin.post("/v1/contacts", json=body), 422)
    inside = NIGHT | {"channels": [{"channel": "chat", "address": "https://127.0.0.1/hook"}]}
    assert "channels[0].address" in problem(await desk.admin.post("/v1/contacts", json=inside), 422)["detail"]
    alone = NIGHT | {"fallback": "ops-day"}
    assert "ops-day" in problem(await desk.admin.post("/v1/contacts", json=alone), 422)["detail"]
    unknown = AT_ONCE | {"steps": [{"after_s": 0, "to": ["contact:ops-day"]}]}
    assert "steps[0].to" in problem(await desk.admin.post("/v1/policies", json=unknown), 422)["detail"]
    role = AT_ONCE | {"steps": [{"after_s": 0, "to": ["holders"]}]}
    assert "did you mean holder" in problem(await desk.admin.post("/v1/policies", json=role), 422)["detail"]
    backwards = AT_ONCE | {"steps": [{"after_s": 60, "to": ["holder"]}, {"after_s": 0, "to": ["origin"]}]}
    problem(await desk.admin.post("/v1/policies", json=backwards), 422)


async def test_a_policy_changes_for_a_reason_only(desk: Desk) -> None:
    await made(desk, "/v1/policies", AT_ONCE)
    problem(await desk.admin.patch("/v1/policies/at-once", json={"repeat_s": 600}), 422)
    change = {"repeat_s": 600, "reason": "Too seldom"}
    assert (await desk.admin.patch("/v1/policies/at-once", json=change)).json()["revision"] == 2
    history = await desk.items("/v1/policies/at-once/revisions")
    assert [(one["repeat_s"], one["reason"]) for one in history] == [(900, None), (600, "Too seldom")]
    never = {"tell_taken": None, "reason": "They see it on the wall"}
    assert (await desk.admin.get("/v1/policies/at-once")).json()["tell_taken"] == "critical"
    assert (await desk.admin.patch("/v1/policies/at-once", json=never)).json()["tell_taken"] is None
    assert (await desk.admin.get("/v1/policies/at-once")).json()["repeat_s"] == 600


async def test_organizations_see_their_own_contacts_and_nobody_elses(desk: Desk) -> None:
    await made(desk, "/v1/contacts", NIGHT)
    acme = await desk.caller("ops", organization="acme")
    other = await desk.caller("ops", organization="other")
    answer = await acme.post("/v1/contacts", json=mail("acme-desk"))
    assert answer.json()["organization"] == "acme"
    assert [one["contact_id"] for one in await desk.items("/v1/contacts", acme)] == ["acme-desk"]
    assert await desk.items("/v1/contacts", other) == []
    problem(await other.get("/v1/contacts/acme-desk"), 404)
    problem(await acme.get("/v1/contacts/ops-night"), 404)
    problem(await (await desk.caller("viewer", organization="acme")).get("/v1/contacts"), 403)


async def test_a_dry_run_tells_who_would_be_told_when_and_stores_nothing(desk: Desk) -> None:
    await made(desk, "/v1/contacts", NIGHT)
    courier = mail("courier", parties=["Rhein Courier"], office_hours={"mon": [["08:00", "17:00"]]})
    await made(desk, "/v1/contacts", courier)
    wanted = {
        "kind": "excursion",
        "at": "2026-11-23T10:00:00Z",
        "holder": "rhein  courier",
        "policy": AT_ONCE,
    }
    shown = (await desk.admin.post("/v1/policies/dry-run", json=wanted)).json()
    assert (shown["policy_id"], shown["nobody_to_tell"]) == ("at-once", False)
    first, second, *_ = shown["decisions"]
    assert (first["after_s"], first["contact_id"], first["reason"]) == (0, "courier", "began")
    assert (second["after_s"], second["contact_id"], second["reason"]) == (
        600,
        "ops-night",
        "not_acknowledged",
    )
    # At night the courier is not there, and the next step is taken at once.
    at_night = wanted | {"at": "2026-11-23T22:00:00Z"}
    shown = (await desk.admin.post("/v1/policies/dry-run", json=at_night)).json()
    kept, told = shown["decisions"][:2]
    assert (kept["sent"], kept["contact_id"], kept["reason"]) == (False, "courier", "outside_office_hours")
    assert (told["sent"], told["after_s"], told["contact_id"]) == (True, 0, "ops-night")
    assert await desk.items("/v1/policies") == []
    assert await desk.items("/v1/notifications") == []


async def test_a_fresh_installation_says_that_there_is_nobody_to_tell(desk: Desk) -> None:
    wanted = {"kind": "excursion", "at": "2026-11-23T10:00:00Z"}
    shown = (await desk.admin.post("/v1/policies/dry-run", json=wanted)).json()
    assert (shown["policy_id"], shown["nobody_to_tell"]) == ("built-in-critical", True)
    assert "nobody_to_tell" in {one["reason"] for one in shown["decisions"]}


async def test_after_a_handover_the_new_holder_is_asked(desk: Desk, hours_ago: HoursAgo) -> None:
    await made(desk, "/v1/policies", AT_ONCE)
    for name, party in (("first", "Rhein Courier"), ("second", "Main Courier")):
        await made(desk, "/v1/contacts", mail(name, parties=[party]))
    await desk.ship("S0")
    await excursion(desk, hours_ago, origin="Depot")
    courier = await desk.caller("courier", shipment_ids=["S1"])
    ops = await desk.caller("ops", organization="acme")
    rows = await desk.items("/v1/shipments/S1/notifications")
    assert {one["reason"] for one in rows} >= {"no_contact", "nobody_to_tell"}
    over = {"at": text(hours_ago(1)), "from_party": "Depot", "to_party": "Rhein Courier", "place": "DEPOT"}
    first = await ops.post("/v1/shipments/S1/handovers", json=over)
    assert first.status_code == 201, first.text
    again = await courier.post("/v1/shipments/S1/handovers", json=over)
    assert (again.status_code, again.json()) == (200, first.json())
    problem(await courier.post("/v1/shipments/S1/handovers", json=over | {"place": "HUB"}), 409)
    await decide_all(desk)
    told = [one for one in await desk.items("/v1/notifications") if one["state"] == "pending"]
    assert {one["contact_id"] for one in told} == {"first"}
    # One that was told late, and was before, changes nothing; a later one does.
    late = over | {"at": text(hours_ago(1.5)), "to_party": "Main Courier", "override_reason": "told too late"}
    assert (await ops.post("/v1/shipments/S1/handovers", json=late)).status_code == 201
    await decide_all(desk)
    assert len([one for one in await desk.items("/v1/notifications") if one["state"] == "pending"]) == len(
        told
    )
    later = over | {"at": text(hours_ago(0.1)), "to_party": "Main Courier", "from_party": "Rhein Courier"}
    assert (await courier.post("/v1/shipments/S1/handovers", json=later)).status_code == 201
    await decide_all(desk)
    new = [
        one for one in await desk.items("/v1/notifications", contact_id="second") if one["state"] == "pending"
    ]
    assert {one["reason"] for one in new} == {"handed_over"}
    at = [one["to_party"] for one in await desk.items("/v1/shipments/S1/handovers", courier)]
    assert at == ["Main Courier", "Rhein Courier", "Main Courier"]
    problem(await courier.post("/v1/shipments/S0/handovers", json=over), 404)
    ahead = over | {"at": text(hours_ago(-2))}
    problem(await courier.post("/v1/shipments/S1/handovers", json=ahead), 422)


async def test_a_handover_passes_the_open_alerts_to_the_new_holder(desk: Desk, hours_ago: HoursAgo) -> None:
    await made(desk, "/v1/policies", AT_ONCE)
    await made(desk, "/v1/contacts", mail("second", parties=["Main Courier"]))
    await excursion(desk, hours_ago)
    ops = await desk.caller("ops", organization="acme")
    url = f"/v1/alerts/{(await desk.items('/v1/alerts', kind='excursion'))[0]['id']}"
    over = {"at": text(hours_ago(1)), "from_party": "Depot", "to_party": "Rhein Courier"}

    async def hand(**fields: Any) -> tuple[str, str]:
        answer = await ops.post("/v1/shipments/S1/handovers", json=over | fields)
        assert answer.status_code in {200, 201}, answer.text
        await decide_all(desk)
        alert = (await desk.admin.get(url)).json()
        return alert["owner"], alert["state"]

    assert await hand() == ("Rhein Courier", "firing")
    assert (await desk.admin.post(f"{url}/acknowledge", json={})).status_code == 200
    # One that was before passes nothing on, nor does the same again; what was acknowledged for the former holder fires.
    before = {"at": text(hours_ago(1.5)), "to_party": "Main Courier", "override_reason": "told too late"}
    assert await hand(**before) == ("Rhein Courier", "acknowledged")
    later = {"at": text(hours_ago(0.1)), "from_party": "Rhein Courier", "to_party": "Main Courier"}
    taken = later | {"to_contact": "second", "note": "At the gate"}
    assert await hand(**taken) == ("second", "firing")
    assert await hand(**taken) == ("second", "firing")
    revisions = (await desk.admin.get(url)).json()["revisions"]
    notes = [one["note"] for one in revisions if one["reason"] == "assigned"]
    assert len(notes) == 2
    assert notes[-1].startswith("Handed over from Rhein Courier to Main Courier at ")
    assert notes[-1].endswith("At the gate")
    # Somebody else's stays theirs, and acknowledged.
    assert (await desk.admin.post(f"{url}/assign", json={"owner": "Kim"})).status_code == 200
    assert (await desk.admin.post(f"{url}/acknowledge", json={})).status_code == 200
    back = {"at": text(hours_ago(0.05)), "from_party": "Main Courier", "to_party": "Rhein Courier"}
    assert await hand(**back) == ("Kim", "acknowledged")


async def test_addresses_are_shown_to_ops_and_what_was_told_to_everybody_on_the_shipment(
    desk: Desk, hours_ago: HoursAgo
) -> None:
    await made(desk, "/v1/policies", AT_ONCE)
    await made(desk, "/v1/contacts", NIGHT)
    await excursion(desk, hours_ago, drill=True)
    told = await desk.items("/v1/shipments/S1/notifications")
    sent = [one for one in told if one["state"] == "pending"]
    assert {one["address"] for one in sent} == {"night@ops.example"}
    assert all(one["drill"] and one["reason"] and one["detail"] for one in told)
    viewer = await desk.caller("viewer", organization="acme")
    assert {one["address"] for one in await desk.items("/v1/shipments/S1/notifications", viewer)} == {None}
    stranger = await desk.caller("viewer", organization="other")
    problem(await stranger.get("/v1/shipments/S1/notifications"), 404)
    assert await desk.items("/v1/notifications", await desk.caller("ops", organization="other")) == []
    assert await desk.items("/v1/notifications", state="failed") == []
    # By incident or alert it is what the shipment has of it; of what is not there, nothing.
    of = {one["id"]: one for one in told}
    for name, its in (
        ("incident_id", lambda one: [one["incident_id"]]),
        ("alert_id", lambda one: one["alert_ids"]),
    ):
        wanted = its(sent[0])[0]
        found = await desk.items("/v1/notifications", **{name: wanted})
        assert {one["id"] for one in found} == {id_ for id_, one in of.items() if wanted in its(one)}
        assert await desk.items("/v1/notifications", **{name: str(uuid4())}) == []
