"""Sites: registered, described anew with who and why, seen by whom they concern, and shown with shipments."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any

from tests.integration.api.conftest import Desk, problem, text

HoursAgo = Callable[[float], datetime]

CLINIC: dict[str, Any] = {
    "site_id": "CLINIC-BOS",
    "name": "Back Bay Clinic",
    "kind": "site_of_care",
    "lat": 42.3467,
    "lon": -71.0722,
    "timezone": "America/New_York",
    "stores": ["cryogenic", "refrigerated"],
    "receiving_hours": {"mon": [["08:00", "17:00"]], "sat": [["22:00", "06:00"]], "closed_dates": ["2026-12-25"]},
    "contacts": [
        {"name": "Pharmacy", "email": "pharmacy@clinic.example", "phone": "+1 (617) 555-0100"},
        {"name": "Hook", "webhook": "https://clinic.example:8443/hooks?dewars=1", "note": "nights"},
    ],
    "note": "Ring at gate 3",
}  # fmt: skip


async def site(desk: Desk, site_id: str = "FRA", **fields: Any) -> dict[str, Any]:
    body = {"site_id": site_id, "name": site_id, "lat": 50, "lon": 8.5, "timezone": "Europe/Berlin", **fields}
    made = await desk.admin.post("/v1/sites", json=body)
    assert made.status_code == 201, made.text
    return dict(made.json())


async def test_all_fields_come_back(desk: Desk) -> None:
    made = await desk.admin.post("/v1/sites", json=CLINIC)
    assert made.status_code == 201, made.text
    assert made.headers["location"] == "/v1/sites/CLINIC-BOS?organization="
    shown = made.json()
    nothing = dict.fromkeys(("email", "phone", "webhook", "note"))
    assert shown["contacts"] == [{**nothing, **contact} for contact in CLINIC["contacts"]]
    assert {**shown, **CLINIC, "contacts": shown["contacts"]} == shown
    assert (shown["organization"], shown["radius_m"], shown["revision"]) == (None, 1000, 1)
    assert shown["updated_by"] == "key:admin-key-setting"
    assert (await desk.admin.get("/v1/sites/CLINIC-BOS")).json() == shown
    assert await desk.items("/v1/sites") == [shown]
    assert "already" in problem(await desk.admin.post("/v1/sites", json=CLINIC), 409)["detail"]
    problem(await desk.admin.get("/v1/sites/CLINIC"), 404)


async def test_what_is_absent_has_its_default(desk: Desk) -> None:
    shown = await site(desk)
    for name in ("organization", "kind", "stores", "receiving_hours", "note"):
        assert shown[name] is None
    assert (shown["contacts"], shown["radius_m"]) == ([], 1000)
    assert (await site(desk, "JFK", kind="airport"))["radius_m"] == 5000
    assert (await site(desk, "LHR", kind="airport", radius_m=300))["radius_m"] == 300
    assert (await site(desk, "BER", stores=[]))["stores"] == []


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"site_id": "a b"}, "site_id", "letters"),
    ({"name": ""}, "name", "must not be empty"),
    ({"name": None}, "name", "must be a text"),
    ({"lat": 90.1}, "lat", "must be at most 90"),
    ({"lon": "8"}, "lon", "must be a number"),
    ({"radius_m": 0}, "radius_m", "must be at least 1"),
    ({"timezone": "Europe/Berlim"}, "timezone", "did you mean Europe/Berlin?"),
    ({"timezone": "CEST+2"}, "timezone", "not an IANA time zone such as Europe/Berlin"),
    ({"timezone": "../etc/passwd"}, "timezone", "not an IANA time zone"),
    ({"timezone": "Europe"}, "timezone", "not an IANA time zone"),
    ({"timezone": ""}, "timezone", "not an IANA time zone"),
    ({"stores": ["lukewarm"]}, "stores", "'lukewarm'; bands are cryogenic, ultra_low"),
    ({"stores": "cryogenic"}, "stores", "must be a list"),
    ({"stores": [7]}, "stores", "bands are"),
    ({"kind": "moon"}, "kind", "'site_of_care'"),
    ({"receiving_hours": {}}, "receiving_hours", "leave it out"),
    ({"receiving_hours": {"mon": [["8", "17"]]}}, "receiving_hours", "mon: write times as HH:MM"),
    ({"receiving_hours": {"mon": [["08:00"]]}}, "receiving_hours", "mon: a span is a pair"),
    ({"receiving_hours": {"mon": ["08:00", "17:00"]}}, "receiving_hours.mon[0]", "must be a list"),
    ({"receiving_hours": {"wen": []}}, "receiving_hours.wen", "did you mean wed?"),
    ({"receiving_hours": {"closed_dates": ["25.12.2026"]}}, "receiving_hours.closed_dates[0]", "2026-12-25"),
    ({"receiving_hours": {"closed_dates": ["2026-02-30"]}}, "receiving_hours.closed_dates[0]", "there is"),
    ({"contacts": [{"email": "a@b.example"}]}, "contacts[0].name", "required"),
    ({"contacts": [{"name": "A", "mail": "a@b.example"}]}, "contacts[0].mail", "did you mean email?"),
    ({"contacts": [{"name": "A", "email": "nobody"}]}, "contacts[0].email", "pharmacy@clinic.example"),
    ({"contacts": [{"name": "A", "phone": "call me"}]}, "contacts[0].phone", "+49"),
    ({"contacts": [{"name": "A", "webhook": "ftp://x"}]}, "contacts[0].webhook", "https://"),
    ({"contacts": [{"name": "A", "webhook": "https://x:99999"}]}, "contacts[0].webhook", "https://"),
    ({"organization": "Acme Inc"}, "organization", "slug"),
    ({"latitude": 50}, "latitude", "not known"),
]


async def test_wrong_fields_are_named(desk: Desk) -> None:
    base = {"site_id": "S", "name": "S", "lat": 50, "lon": 8.5, "timezone": "Europe/Berlin"}
    for change, field, says in WRONG:
        found = problem(await desk.admin.post("/v1/sites", json={**base, **change}), 422)
        assert found["errors"][0]["field"] == field, change
        assert says in found["errors"][0]["detail"], (change, found)
    assert await desk.items("/v1/sites") == []


async def test_a_change_keeps_what_is_absent_and_who_and_why(desk: Desk) -> None:
    await desk.admin.post("/v1/sites", json=CLINIC)
    first = (await desk.admin.get("/v1/sites/CLINIC-BOS")).json()
    ops = await desk.caller("ops")
    change = {
        "reason": "it is summer so",
        "receiving_hours": {"tue": [["09:00", "12:00"]]},
        "stores": None,
        "revision": 1,
    }
    changed = (await ops.patch("/v1/sites/CLINIC-BOS", json=change)).json()
    assert changed["updated_by"].startswith("key:dw_")
    assert datetime.fromisoformat(changed["updated_at"]) > datetime.fromisoformat(first["updated_at"])
    differs = {"receiving_hours": {"tue": [["09:00", "12:00"]]}, "stores": None, "revision": 2}
    bookkeeping = {name: changed[name] for name in ("updated_at", "updated_by")}
    assert changed == {**first, **differs, **bookkeeping}
    assert (await ops.patch("/v1/sites/CLINIC-BOS", json=change)).json() == changed  # the same again
    stale = {"name": "Clinic", "revision": 1}
    assert "at revision 2" in problem(await ops.patch("/v1/sites/CLINIC-BOS", json=stale), 409)["detail"]
    one, two = await desk.items("/v1/sites/CLINIC-BOS/revisions")
    assert one == {**first, "reason": None}
    assert two == {**changed, "reason": "it is summer so"}
    for name in ("name", "lat", "lon", "radius_m", "timezone", "contacts"):
        refused = problem(await ops.patch("/v1/sites/CLINIC-BOS", json={name: None}), 422)
        assert "leave it out" in refused["errors"][0]["detail"]
    problem(await ops.patch("/v1/sites/nowhere", json={"name": "x"}), 404)
    problem(await desk.admin.get("/v1/sites/nowhere/revisions"), 404)


async def test_changes_at_once_each_leave_a_revision(desk: Desk) -> None:
    await site(desk)
    notes = [f"note {number}" for number in range(8)]
    calls = [desk.admin.patch("/v1/sites/FRA", json={"note": note}) for note in notes]
    assert {answer.status_code for answer in await asyncio.gather(*calls)} == {200}
    history = await desk.items("/v1/sites/FRA/revisions")
    assert [one["revision"] for one in history] == list(range(1, 10))
    assert sorted(one["note"] for one in history[1:]) == notes


async def test_a_text_finds_them(desk: Desk) -> None:
    await site(desk, "FRA", name="Frankfurt 100%")
    await site(desk, "JFK", name="Kennedy", organization="frank-labs")
    for q, ids in (("frank", ["FRA", "JFK"]), ("%", ["FRA"]), ("jf", ["JFK"]), ("x", [])):
        assert [item["site_id"] for item in await desk.items("/v1/sites", q=q)] == ids


async def test_sites_are_everybodys_or_of_one_organization(desk: Desk) -> None:
    await site(desk, "FRA")
    await site(desk, "ACME", organization="acme")
    await site(desk, "BCELL", organization="bcell")
    ops = await desk.caller("ops", organization="acme")
    assert [item["site_id"] for item in await desk.items("/v1/sites", ops)] == ["ACME", "FRA"]
    for path in ("/v1/sites/BCELL", "/v1/sites/BCELL/revisions"):
        problem(await ops.get(path), 404)
    problem(await ops.patch("/v1/sites/BCELL", json={"name": "x"}), 404)
    assert "everybody's" in problem(await ops.patch("/v1/sites/FRA", json={"name": "x"}), 403)["detail"]
    assert (await ops.patch("/v1/sites/ACME", json={"name": "x"})).status_code == 200
    body = {"site_id": "NEW", "name": "New", "lat": 0, "lon": 0, "timezone": "UTC"}
    problem(await ops.post("/v1/sites", json={**body, "organization": "bcell"}), 403)
    assert (await ops.post("/v1/sites", json=body)).json()["organization"] == "acme"
    bound = await desk.caller("ops", shipment_ids=["S1"])
    assert [item["site_id"] for item in await desk.items("/v1/sites", bound)] == ["FRA"]
    problem(await bound.post("/v1/sites", json={**body, "site_id": "NEWER"}), 403)
    problem(await bound.patch("/v1/sites/FRA", json={"name": "x"}), 403)
    qa = await desk.caller("qa")
    assert len(await desk.items("/v1/sites", qa)) == 4
    problem(await qa.patch("/v1/sites/FRA", json={"name": "x"}), 403)


async def test_places_that_are_sites_are_shown_as_such(desk: Desk) -> None:
    legs = [{"from": "FRA", "to": "Customs, gate 4"}, {"from": "Customs, gate 4", "to": "CLINIC-BOS"}]
    made = await desk.ship("S1", organization="acme", origin="Lab 7", destination="CLINIC-BOS", legs=legs)
    assert made["sites"] == {}
    await desk.admin.post("/v1/sites", json=CLINIC)
    await site(desk, "FRA", organization="acme")
    await site(desk, "Lab", organization="bcell")
    shown = (await desk.admin.get("/v1/shipments/S1")).json()
    assert shown["sites"] == {
        "CLINIC-BOS": {
            "site_id": "CLINIC-BOS",
            "name": "Back Bay Clinic",
            "lat": 42.3467,
            "lon": -71.0722,
            "timezone": "America/New_York",
            "radius_m": 1000,
        },
        "FRA": {"site_id": "FRA", "name": "FRA", "lat": 50, "lon": 8.5, "timezone": "Europe/Berlin", "radius_m": 1000},
    }  # fmt: skip
    assert (shown["origin"], shown["destination"]) == ("Lab 7", "CLINIC-BOS")
    await desk.ship("S2", organization="bcell", origin="FRA", destination="Lab")
    listed = {item["shipment_id"]: set(item["sites"]) for item in await desk.items("/v1/shipments")}
    assert listed == {"S1": {"FRA", "CLINIC-BOS"}, "S2": {"Lab"}}  # FRA is acme's
    viewer = await desk.caller("viewer", organization="acme")
    assert (await viewer.get("/v1/shipments/S1")).json()["sites"] == shown["sites"]


async def test_what_concerns_a_shipment_under_way_makes_it_due(desk: Desk, hours_ago: HoursAgo) -> None:
    await desk.ship("S1", destination="FRA", departed_at=text(hours_ago(1)))
    await desk.ship("S2", origin="FRA")
    await desk.ship("S3", legs=[{"from": "MUC", "to": "FRA"}])
    await desk.ship("S4", legs=[{"from": "FRA", "to": "MUC"}])
    await desk.ship("S5", destination="FRA 2", legs=[{"from": "MUC", "to": "CDG", "carrier": "FRA"}])
    await desk.ship("S6", destination="FRA")
    await desk.admin.post("/v1/shipments/S6/cancel", json={"reason": "it is not needed"})

    async def marked() -> list[str]:
        rows = await desk.pool.fetch("DELETE FROM evaluation_marks RETURNING shipment_id, dirty_from, late")
        assert {row["shipment_id"] for row in rows if row["late"]} <= {
            "S1"
        }  # it has departed: that is judged anew
        assert all(row["dirty_from"] is not None for row in rows)
        return sorted(row["shipment_id"] for row in rows)

    await desk.pool.execute("DELETE FROM evaluation_marks")
    await site(desk)
    assert await marked() == ["S1", "S2", "S3", "S4"]
    await desk.admin.patch("/v1/sites/FRA", json={"stores": ["room"]})
    assert await marked() == ["S1", "S2", "S3", "S4"]
    await desk.admin.patch("/v1/sites/FRA", json={"stores": ["room"]})
    assert await marked() == []
    await desk.admin.patch("/v1/sites/FRA", json={"note": "Ring twice."})  # which nobody judges by
    assert await marked() == []
