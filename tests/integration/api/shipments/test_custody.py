"""Handovers make a chain: who gives a shipment is who has it, within the time of its journey; and how long couriers may call."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from api.identity import authenticator
from api.use_cases.shipments import handovers
from tests.integration.api.conftest import ADMIN_KEY, Desk, problem, text

HoursAgo = Callable[[float], datetime]
WHY = "the driver swapped at the ramp"


async def hand(client: httpx.AsyncClient, at: datetime | None, giver: str, taker: str, **more: Any) -> Any:
    body = {"from_party": giver, "to_party": taker, **more} | ({} if at is None else {"at": text(at)})
    return await client.post("/v1/shipments/S1/handovers", json=body)


async def test_who_gives_it_is_who_has_it(desk: Desk, hours_ago: HoursAgo) -> None:
    await desk.admin.post(
        "/v1/sites", json={"site_id": "PLANT", "name": "The Plant", "lat": 1, "lon": 1, "timezone": "UTC"}
    )
    await desk.ship("S1", origin="PLANT", departed_at=text(hours_ago(6)))
    courier = await desk.caller("courier", shipment_ids=["S1"])
    refused = problem(await hand(courier, None, "Rhein Courier", "Main Courier"), 409)
    assert "S1 is held by PLANT at" in refused["detail"]
    assert (await hand(courier, None, " the  plant", "Rhein Courier")).status_code == 201
    assert "held by Rhein Courier" in problem(await hand(courier, None, "PLANT", "Clinic"), 409)["detail"]
    assert (await hand(courier, None, "RHEIN  courier", "Clinic")).status_code == 201
    told = await desk.items("/v1/shipments/S1/handovers")
    assert [(one["to_party"], one["override_reason"]) for one in told] == [
        ("Rhein Courier", None),
        ("Clinic", None),
    ]


async def test_it_lies_within_the_journey(desk: Desk, hours_ago: HoursAgo) -> None:
    await desk.ship("S1", origin="Plant", departed_at=text(hours_ago(6)))
    ops = await desk.caller("ops")
    for at, says in (
        (datetime(1990, 1, 1, tzinfo=UTC), "is before S1 was planned"),
        (hours_ago(7), "is before S1 was planned"),
        (hours_ago(-0.05), "ahead"),
    ):
        refused = problem(await hand(ops, at, "Plant", "Rhein Courier"), 422)
        assert refused["errors"][0]["field"] == "at"
        assert says in refused["detail"]
    problem(await hand(ops, hours_ago(-0.05), "Plant", "Rhein Courier", override_reason=WHY), 422)
    assert (await hand(ops, hours_ago(3), "Plant", "Rhein Courier")).status_code == 201
    # Nor may the delivery be set to before it.
    refused = problem(await ops.post("/v1/shipments/S1/deliver", json={"at": text(hours_ago(4))}), 422)
    assert "is before the handover to Rhein Courier" in refused["detail"]
    assert (await ops.post("/v1/shipments/S1/deliver", json={"at": text(hours_ago(1))})).status_code == 200
    refused = problem(await hand(ops, None, "Rhein Courier", "Clinic"), 422)
    assert "is after S1 was delivered" in refused["detail"]
    assert (await hand(ops, hours_ago(1), "Rhein Courier", "Clinic")).status_code == 201


async def test_the_one_after_it_still_fits(desk: Desk, hours_ago: HoursAgo) -> None:
    await desk.ship("S1", origin="Plant", departed_at=text(hours_ago(6)))
    ops = await desk.caller("ops")
    assert (await hand(ops, hours_ago(5), "Plant", "A")).status_code == 201
    assert (await hand(ops, hours_ago(3), "A", "B")).status_code == 201
    refused = problem(await hand(ops, hours_ago(4), "A", "C"), 409)
    assert "S1 went from A to B at" in refused["detail"]
    assert [one["to_party"] for one in await desk.items("/v1/shipments/S1/handovers")] == ["A", "B"]


async def test_operations_may_record_what_does_not_fit_with_the_reason(
    desk: Desk, hours_ago: HoursAgo
) -> None:
    await desk.ship("S1", departed_at=text(hours_ago(6)))
    courier, ops = await desk.caller("courier", shipment_ids=["S1"]), await desk.caller("ops")
    refused = problem(await hand(courier, None, "Plant", "A"), 409)
    assert "a key of the role ops records the first handover" in refused["detail"]
    assert (await hand(ops, hours_ago(5), "Plant", "A")).status_code == 201
    problem(await hand(ops, hours_ago(4), "C", "D"), 409)
    problem(await hand(ops, hours_ago(4), "C", "D", override_reason="x"), 422)
    problem(await hand(courier, None, "C", "D", override_reason=WHY), 403)
    made = await hand(ops, hours_ago(4), "C", "D", override_reason=WHY)
    assert (made.status_code, made.json()["override_reason"]) == (201, WHY)
    again = await hand(ops, hours_ago(4), "C", "D")
    assert (again.status_code, again.json()) == (200, made.json())
    # Where it fits, there was nothing to override.
    assert (await hand(courier, None, "d", "E")).json()["override_reason"] is None
    told = await desk.pool.fetch(
        "SELECT data->>'override_reason' FROM outbox WHERE type = 'shipment.handed_over'"
    )
    assert [row[0] for row in told] == [None, WHY, None]


async def test_nobody_hands_over_without_end(
    desk: Desk, hours_ago: HoursAgo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each handover is a revision of each open alert, and whoever reads an alert gets all of them."""
    monkeypatch.setattr(handovers, "MOST", 2)
    await desk.ship("S1", organization="acme", origin="A", departed_at=text(hours_ago(6)))
    courier = await desk.caller("courier", shipment_ids=["S1"])
    at = datetime.now(UTC)
    for giver, taker in (("A", "B"), ("B", "A")):
        assert (await hand(courier, at, giver, taker)).status_code == 201
    assert (await hand(courier, at, "B", "A")).status_code == 200  # told again
    assert "2 handovers on record" in problem(await hand(courier, None, "A", "B"), 409)["detail"]
    assert (await hand(desk.admin, None, "A", "B")).status_code == 201


async def test_the_first_carrier_has_it_on_its_way(desk: Desk, hours_ago: HoursAgo) -> None:
    legs = [{"from": "Plant", "to": "Clinic", "carrier": "Rhein Courier"}]
    await desk.ship("S1", legs=legs, departed_at=text(hours_ago(6)))
    courier = await desk.caller("courier", shipment_ids=["S1"])
    assert (await hand(courier, None, "rhein courier", "Clinic")).status_code == 201


async def test_a_couriers_key_stays_in_one_organization(desk: Desk) -> None:
    for shipment_id, organization in (("A1", "acme"), ("A2", "acme"), ("B1", "bcell"), ("N1", None)):
        await desk.ship(shipment_id, organization=organization)

    async def make(*shipment_ids: str, **fields: Any) -> Any:
        body = {"role": "courier", "shipment_ids": shipment_ids, **fields}
        return await desk.admin.post("/v1/keys", json=body)

    for wrong in (
        await make("A1", "B1"),
        await make("A1", "N1"),
        await make("A1", "none"),
        await make("A1", organization="bcell"),
        await make("N1", organization="acme"),
    ):
        assert problem(wrong, 422)["errors"][0]["field"] == "shipment_ids"
    for shipment_ids, organization in ((["A1", "A2"], "acme"), (["N1"], None)):
        made = await make(*shipment_ids)
        shown = (await desk.admin.get(f"/v1/keys/{made.json()['id']}")).json()
        assert (shown["organization"], shown["ends_at"]) == (organization, None)
        client = await desk.client(made.json()["key"])
        listed = {one["shipment_id"] for one in await desk.items("/v1/shipments", client)}
        assert listed == set(shipment_ids)


async def test_a_couriers_key_ends_days_after_its_shipments(
    desk: Desk, make_services: Any, make_desk: Any, monkeypatch: Any, hours_ago: HoursAgo
) -> None:
    ahead = timedelta()

    def clock() -> datetime:
        return datetime.now(UTC) + ahead

    admitting = authenticator.Authenticator(
        desk.services.engine, admin_key=ADMIN_KEY, clock=clock, courier_key_lasts=timedelta(days=2)
    )
    lasts = {"courier_key_lasts": timedelta(days=2)}
    desk = await make_desk(make_services(authenticator=admitting, clock=clock, **lasts))
    # Each call asks the database: what was remembered for seconds is another test's.
    monkeypatch.setattr(authenticator, "REMEMBERED_S", -1.0)
    for shipment_id in ("S1", "S2"):
        await desk.ship(shipment_id, departed_at=text(hours_ago(6)))
    client = await desk.caller("courier", shipment_ids=["S1", "S2"])
    given = await desk.caller(
        "courier", shipment_ids=["S1"], expires_at=text(hours_ago(-24 * 30)), organization=None
    )
    ahead = timedelta(days=20)
    assert (await client.get("/v1/shipments")).status_code == 200
    ahead = timedelta()
    await desk.admin.post("/v1/shipments/S1/deliver", json={})
    await desk.admin.post("/v1/shipments/S2/cancel", json={"reason": "it is not needed"})
    listed = {one["expires_at"]: one["ends_at"] for one in await desk.items("/v1/keys")}
    assert listed[None] is not None
    assert abs(datetime.fromisoformat(listed[None]) - clock() - timedelta(days=2)) < timedelta(minutes=1)
    ahead = timedelta(days=1, hours=23)
    late = {"device_id": "S1-logger", "measured_at": text(hours_ago(1)), "temperature_c": -190}
    stored = await client.post("/v1/readings", json={"readings": [late]})
    assert stored.json()["accepted"] == 1
    ahead = timedelta(days=2, minutes=1)
    unknown = problem(await client.get("/v1/shipments"), 401)
    stranger = await desk.client("dw_00000000_" + "a" * 43)
    assert unknown["detail"] == problem(await stranger.get("/v1/shipments"), 401)["detail"]
    assert (await given.get("/v1/shipments")).status_code == 200
    # A delivery that is corrected moves the end.
    await desk.pool.execute("UPDATE shipments SET delivered_at = delivered_at + interval '1 day'")
    assert (await client.get("/v1/shipments")).status_code == 200


@pytest.mark.parametrize(
    ("handed_over_s", "delivered_s"), [(100, 50), (-60, -120), (-60, -61)], ids=lambda seconds: f"{seconds} s"
)
async def test_a_courier_delivers_nothing_before_its_last_handover(
    desk: Desk, handed_over_s: float, delivered_s: float
) -> None:
    """Not by seconds either: both times are of our own record. Without a time it is delivered then, or now."""
    now = datetime.now(UTC)
    handed_over = now + timedelta(seconds=handed_over_s)
    await desk.ship("S1", origin="Plant", departed_at=text(now - timedelta(hours=6)))
    courier = await desk.caller("courier", shipment_ids=["S1"])
    assert (await hand(courier, handed_over, "Plant", "Clinic")).status_code == 201
    at = {"at": text(now + timedelta(seconds=delivered_s))}
    refused = problem(await courier.post("/v1/shipments/S1/deliver", json=at), 422)
    assert "is before the handover to Clinic" in refused["detail"]
    delivered = await courier.post("/v1/shipments/S1/deliver", json={})
    assert delivered.status_code == 200, delivered.text
    told = datetime.fromisoformat(delivered.json()["delivered_at"])
    assert told >= max(now, handed_over) - timedelta(milliseconds=1)
