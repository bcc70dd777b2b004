"""The life of a shipment, without HTTP: each step on record with who took it, and each that makes no sense refused."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import orjson
import pytest
from sqlalchemy import true
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from alerts.excursions.plan import Band
from api.refusals import Conflict, Forbidden, Invalid, NotFound, Refusal
from api.transactions import begin
from api.use_cases.registry import products
from api.use_cases.registry.products import NewProduct
from api.use_cases.shipments import lifecycle as shipments
from api.use_cases.shipments.lifecycle import Leg, NewShipment
from telemetry.registry import shipments as registry
from tests.integration.api.use_cases.conftest import BEFORE, NOW, SHELL, of_acme, operator, planned, told

HOUR = timedelta(hours=1)
Step = Callable[..., Awaitable[None]]


async def take(
    connection: AsyncConnection, name: str, shipment_id: str, at: datetime | None = BEFORE
) -> None:
    step: Step = getattr(shipments, name)
    caller = operator(f"shipments.{name}")
    why = {"reason": "it is not needed"} if name == "cancel" else {}
    await step(connection, caller, shipment_id, at=at, actor=SHELL, now=NOW, **why)


async def replan(connection: AsyncConnection, changes: dict[str, Any], seen: int) -> None:
    caller = operator("shipments.change_plan")
    await shipments.change_plan(
        connection, caller, "S1", changes, seen=seen, actor=SHELL, reason="Data of lot 7"
    )


async def reschedule(connection: AsyncConnection, changes: dict[str, Any], seen: int) -> None:
    caller = operator("shipments.change_schedule")
    await shipments.change_schedule(
        connection, caller, "S1", changes, seen=seen, actor=SHELL, now=NOW, reason="Rebooked"
    )


async def row(connection: AsyncConnection, shipment_id: str) -> dict[str, Any]:
    found = await registry.get(connection, shipment_id, true())
    assert found is not None
    return dict(found)


async def test_it_is_made_departs_and_is_delivered(engine: AsyncEngine, pool: asyncpg.Pool) -> None:
    legs = [Leg(from_="FRA", to="JFK", planned_departure=BEFORE, planned_arrival=NOW)]
    async with begin(engine) as connection:
        await planned(connection, "S1", organization="acme", legs=legs, plan={"budget_s": 7200})
        await take(connection, "depart", "acme/S1")
        await take(connection, "deliver", "acme/S1", None)
        await take(connection, "deliver", "acme/S1", None)  # the same again
        now = await row(connection, "acme/S1")
    assert (now["status"], now["departed_at"], now["delivered_at"]) == ("delivered", BEFORE, NOW)
    assert now["plan"]["budget_s"] == 7200
    revisions = await pool.fetch('SELECT step, "by" FROM shipment_revisions ORDER BY revision')
    assert [tuple(one) for one in revisions] == [
        (step, "command:command line") for step in ("created", "departed", "delivered")
    ]
    events = await told(pool, "acme/S1")
    assert [event["type"] for event in events] == [
        f"shipment.{step}" for step in ("created", "departed", "delivered")
    ]
    data = orjson.loads(events[-1]["data"])
    assert (data["shipment_id"], data["status"], data["device_ids"], data["delivered_at"]) == (
        *("S1", "delivered", ["S1-logger"], "2026-11-21T12:00:00Z"),
    )
    assert data["legs"][0]["planned_arrival"] == "2026-11-21T12:00:00Z"


async def test_what_is_cancelled_frees_its_loggers(connection: AsyncConnection) -> None:
    await planned(connection, "S1")
    await take(connection, "cancel", "S1")
    assert (await row(connection, "S1"))["status"] == "cancelled"
    again = NewShipment(shipment_id="S2", device_ids=["S1-logger"], band=Band.ROOM)
    await shipments.create(connection, operator("shipments.create"), again, actor=SHELL, now=NOW)


async def test_one_that_has_departed_can_be_made_late(connection: AsyncConnection) -> None:
    await planned(connection, "S1", departed_at=BEFORE)
    assert (await row(connection, "S1"))["status"] == "in_transit"


async def test_its_product_brings_what_is_not_given(connection: AsyncConnection) -> None:
    new = NewProduct(product_id="P1", band=Band.REFRIGERATED, plan={"budget_s": 60}, use_within_h=48)
    await products.register(connection, operator("products.register"), new, actor=SHELL)
    await planned(connection, "S1", band=None, product_id="P1", packed_out_at=BEFORE)
    made = await row(connection, "S1")
    assert (made["band"], made["plan"]["budget_s"]) == ("refrigerated", 60)
    assert made["use_by"] == BEFORE + 48 * HOUR


async def test_its_plan_and_schedule_change_for_a_reason(engine: AsyncEngine, pool: asyncpg.Pool) -> None:
    async with begin(engine) as connection:
        await planned(connection, "S1")
        for _ in range(2):  # the second time it changes nothing
            await replan(connection, {"budget_s": 60}, 1)
            await reschedule(connection, {"destination": "B", "legs": [Leg(from_="A", to="B")]}, 1)
        now = await row(connection, "S1")
    assert (now["plan"]["budget_s"], now["plan_revision"]) == (60, 2)
    assert (now["destination"], now["schedule_revision"]) == ("B", 2)
    _, *events = await told(pool, "S1")
    assert [(event["type"], orjson.loads(event["data"])["reason"]) for event in events] == [
        ("shipment.plan_changed", "Data of lot 7"),
        ("shipment.schedule_changed", "Rebooked"),
    ]


STEPS: dict[str, tuple[type[Refusal], str, str, str, datetime | None]] = {
    "no shipment": (NotFound, "There is no shipment none.", "depart", "none", BEFORE),
    "in the future": (Invalid, "at lies more than 5 minutes ahead", "depart", "planned", NOW + HOUR),
    "departed before": (Conflict, "under-way cannot depart: it departed at", "depart", "under-way", NOW),
    "not departed": (Conflict, "planned cannot be delivered", "deliver", "planned", NOW),
    "before it departs": (Invalid, "at is before the departure at", "deliver", "under-way", BEFORE - HOUR),
    "cancelled too early": (Invalid, "at is before the departure at", "cancel", "under-way", BEFORE - HOUR),
    "delivered": (
        Conflict,
        "delivered cannot be cancelled: it was delivered",
        "cancel",
        "delivered",
        NOW - HOUR,
    ),
}


@pytest.mark.parametrize(("refusal", "says", "step", "shipment_id", "at"), STEPS.values(), ids=STEPS)
async def test_a_step_that_makes_no_sense_is_refused(
    connection: AsyncConnection,
    refusal: type[Refusal],
    says: str,
    step: str,
    shipment_id: str,
    at: datetime | None,
) -> None:
    await planned(connection, "planned")
    await planned(connection, "under-way", departed_at=BEFORE)
    await planned(connection, "delivered", departed_at=BEFORE)
    await take(connection, "deliver", "delivered", NOW)
    with pytest.raises(refusal) as refused:
        await take(connection, step, shipment_id, at)
    assert refused.value.text.startswith(says)


NEW: dict[str, tuple[type[Refusal], str, dict[str, Any]]] = {
    "taken": (Conflict, "The shipment id S1 is taken.", {"shipment_id": "S1"}),
    "no logger": (Invalid, "device_ids names loggers that are not registered: L9.", {"device_ids": ["L9"]}),
    "no free logger": (
        Conflict,
        "Logger S1-logger is on shipment S1 at that time",
        {"device_ids": ["S1-logger"]},
    ),
    "no dewar": (Invalid, "dewar_id names no dewar", {"dewar_id": "D9"}),
    "no product": (Invalid, "product_id names no product", {"product_id": "P9"}),
    "no band": (Invalid, "band is required", {"band": None}),
    "no rule": (Invalid, "rules.picnic is not a rule", {"plan": {"rules": {"picnic": None}}}),
    "no plan": (Invalid, "budget_s must be a number", {"plan": {"budget_s": -1}}),
    "not yet": (Invalid, "packed_out_at lies more than", {"packed_out_at": NOW + HOUR}),
    "backwards": (
        Invalid,
        "planned_arrival is before",
        {"planned_departure": NOW, "planned_arrival": BEFORE},
    ),
}


@pytest.mark.parametrize(("refusal", "says", "fields"), NEW.values(), ids=NEW)
async def test_one_that_makes_no_sense_is_not_made(
    connection: AsyncConnection, refusal: type[Refusal], says: str, fields: dict[str, Any]
) -> None:
    await planned(connection, "S1")
    await planned(connection, "S2")
    await take(connection, "cancel", "S2")
    new = NewShipment(**{"shipment_id": "S3", "device_ids": ["S2-logger"], "band": Band.CRYOGENIC, **fields})
    with pytest.raises(refusal) as refused:
        await shipments.create(connection, operator("shipments.create"), new, actor=SHELL, now=NOW)
    assert refused.value.text.startswith(says)


async def test_others_make_shipments_of_their_own_and_see_no_others(connection: AsyncConnection) -> None:
    await planned(connection, "S1", organization="bcell")
    named = NewShipment(shipment_id="S2", device_ids=["S1-logger"], organization="bcell", band=Band.ROOM)
    with pytest.raises(Forbidden, match="This key makes shipments of acme only"):
        await shipments.create(connection, of_acme("shipments.create"), named, actor=SHELL, now=NOW)
    own = NewShipment(shipment_id="S2", device_ids=["S1-logger"], band=Band.ROOM)
    with pytest.raises(Conflict, match="Logger S1-logger is not available to you for that time"):
        await shipments.create(connection, of_acme("shipments.create"), own, actor=SHELL, now=NOW)
    with pytest.raises(NotFound):
        await shipments.depart(connection, of_acme("shipments.depart"), "S1", actor=SHELL, now=NOW)


async def test_a_change_of_what_was_seen_before_it_changed_is_refused(connection: AsyncConnection) -> None:
    await planned(connection, "S1")
    with pytest.raises(Conflict, match="its plan is at revision 1, and this change was made to revision 7"):
        await replan(connection, {"budget_s": 60}, 7)
    with pytest.raises(Conflict, match="its schedule is at revision 1, and"):
        await reschedule(connection, {"destination": "B"}, 7)
