"""Dewars, their charges and handovers of what is in them, without HTTP."""

from dataclasses import replace
from typing import Any

import asyncpg
import orjson
import pytest
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from api.identity.access import Principal, permitted
from api.identity.permissions import KeyRole
from api.refusals import Conflict, Invalid, NotFound
from api.transactions import begin
from api.use_cases.registry import dewars
from api.use_cases.registry.dewars import NewDewar
from api.use_cases.shipments import handovers
from api.use_cases.shipments.handovers import NewHandover
from tests.integration.api.use_cases.conftest import (
    BEFORE,
    NOW,
    SHELL,
    of_acme,
    operator,
    planned,
    told,
)


def courier(action: str, *shipment_ids: str) -> Principal:
    bound = Principal(name="dw_courier", role=KeyRole.COURIER, shipment_ids=frozenset(shipment_ids))
    return permitted(bound, action)


async def charge(connection: AsyncConnection, caller: Principal, **fields: Any) -> tuple[Any, bool]:
    return await dewars.charge(connection, caller, "S1-dewar", actor=SHELL, now=NOW, **fields)


async def correct(connection: AsyncConnection, dewar_id: str = "S1-dewar", **changes: Any) -> Any:
    return await dewars.correct_charge(
        connection, dewar_id, charged_at=BEFORE, changes=changes, actor=SHELL, reason="The scale's tare"
    )


async def test_a_charge_is_recorded_once_and_by_whom(connection: AsyncConnection) -> None:
    await planned(connection, "S1")
    caller = operator("dewars.charge")
    recorded, is_new = await charge(connection, caller, at=BEFORE, ln2_kg=3.4)
    assert is_new
    assert (recorded["ln2_kg"], recorded["by"]) == (3.4, "command:command line")
    assert not (await charge(connection, caller, at=BEFORE))[1]
    assert (await dewars.get(connection, caller, "S1-dewar", now=NOW))["last_charged_at"] == BEFORE
    corrected = await correct(connection, ln2_kg=2.9)
    assert corrected["ln2_kg"] == 2.9
    assert corrected["corrections"][0]["by"] == "command:command line"


async def test_a_charge_that_makes_no_sense_is_refused(connection: AsyncConnection) -> None:
    await planned(connection, "S1")
    caller = operator("dewars.charge")
    with pytest.raises(Invalid, match=r"ln2_kg is more than the dewar holds, which is 3\.5 kg"):
        await charge(connection, caller, ln2_kg=3400.0)
    with pytest.raises(NotFound, match="There is no charge of S1-dewar at"):
        await correct(connection, ln2_kg=1.0)
    await charge(connection, caller, at=BEFORE, ln2_kg=3.4)
    with pytest.raises(Conflict, match=r"is recorded with 3\.4 kg"):
        await charge(connection, caller, at=BEFORE, ln2_kg=3.0)
    with pytest.raises(Invalid, match="ln2_kg is more than"):
        await correct(connection, ln2_kg=3400.0)
    await correct(connection, withdrawn=True)
    with pytest.raises(Conflict, match="was withdrawn: correct it"):
        await charge(connection, caller, at=BEFORE)
    with pytest.raises(NotFound, match="There is no dewar none"):
        await correct(connection, "none", ln2_kg=1.0)


async def test_a_courier_charges_what_it_carries(connection: AsyncConnection) -> None:
    await planned(connection, "S1")
    assert (await charge(connection, courier("dewars.charge", "S1")))[1]
    with pytest.raises(NotFound, match="There is no dewar S1-dewar"):
        await charge(connection, courier("dewars.charge", "S2"))


async def test_a_dewar_is_described_anew_by_whoever_has_seen_it_last(connection: AsyncConnection) -> None:
    await planned(connection, "S1")
    with pytest.raises(Conflict, match="There is a dewar S1-dewar already"):
        await dewars.register(connection, NewDewar(dewar_id="S1-dewar"), actor=SHELL, now=NOW)
    for revision in (2, 2):  # the second time it changes nothing
        changed = await dewars.change(
            connection,
            operator("dewars.change"),
            "S1-dewar",
            {"hold_time_h": 216.0},
            seen=1,
            actor=SHELL,
            now=NOW,
            reason="Requalified",
        )
        assert (changed["hold_time_h"], changed["revision"]) == (216.0, revision)
    with pytest.raises(Conflict, match="The dewar S1-dewar is at revision 2 by now"):
        await dewars.change(
            connection,
            operator("dewars.change"),
            "S1-dewar",
            {"hold_time_h": 240.0},
            seen=1,
            actor=SHELL,
            now=NOW,
            reason=None,
        )


HANDOVER = NewHandover(at=BEFORE, from_party="Depot", to_party="Rhein Courier", place="FRA")


async def hand_over(
    connection: AsyncConnection, new: NewHandover, caller: Principal | None = None, shipment_id: str = "S1"
) -> tuple[Any, bool]:
    caller = caller or operator("shipments.hand_over")
    return await handovers.hand_over(connection, caller, shipment_id, new, actor=SHELL, now=NOW)


async def test_a_handover_is_recorded_once_and_told(engine: AsyncEngine, pool: asyncpg.Pool) -> None:
    async with begin(engine) as connection:
        await planned(connection, "S1", organization="acme", departed_at=BEFORE)
        row, is_new = await hand_over(connection, HANDOVER, shipment_id="acme/S1")
        carrier = replace(courier("shipments.hand_over", "acme/S1"), organization="acme")
        again, is_new_again = await hand_over(connection, HANDOVER, carrier, "acme/S1")
    assert (is_new, is_new_again, row["id"]) == (True, False, again["id"])
    assert row["by"] == "command:command line"
    events = [event for event in await told(pool, "acme/S1") if event["type"] == "shipment.handed_over"]
    data = orjson.loads(events[0]["data"])
    assert len(events) == 1
    assert (data["shipment_id"], data["to_party"], data["at"], data["organization"]) == (
        *("S1", "Rhein Courier", "2026-11-21T04:00:00Z", "acme"),
    )


async def test_a_handover_that_makes_no_sense_is_refused(connection: AsyncConnection) -> None:
    await planned(connection, "S1", packed_out_at=BEFORE)
    await hand_over(connection, HANDOVER)
    elsewhere = NewHandover(at=BEFORE, from_party="Depot", to_party="Rhein Courier", place="JFK", note="Rain")
    with pytest.raises(Conflict, match="is on record already, with another place, note;"):
        await hand_over(connection, elsewhere)
    unknown = NewHandover(from_party="Depot", to_party="X", to_contact="none")
    with pytest.raises(Invalid, match="to_contact names no contact"):
        await hand_over(connection, unknown)
    with pytest.raises(NotFound, match="There is no shipment none"):
        await hand_over(connection, HANDOVER, shipment_id="none")
    with pytest.raises(NotFound, match="There is no shipment S1"):
        await hand_over(connection, HANDOVER, of_acme("shipments.hand_over"))
