"""Each reading is judged by its own instant: a logger's past belongs to whoever had it then, and to nobody else."""

import asyncio
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from telemetry.model import RawMessage, Source
from tests.integration.api.conftest import Desk, text

HoursAgo = Callable[[float], datetime]


def reading(at: datetime, device_id: str = "L", **fields: Any) -> dict[str, Any]:
    return {"device_id": device_id, "measured_at": text(at), "temperature_c": -180.0, **fields}


async def outcomes(client: httpx.AsyncClient, *readings: dict[str, Any]) -> list[str]:
    """What became of each reading: `stored`, or the reason why it was refused."""
    answer = await client.post("/v1/readings", json={"readings": readings})
    assert answer.status_code == 200, answer.text
    refused = {one["index"]: one["reason"] for one in answer.json()["rejected"]}
    assert answer.json()["accepted"] == len(readings) - len(refused)
    return [refused.get(index, "stored") for index in range(len(readings))]


async def relay(desk: Desk, hours_ago: HoursAgo) -> None:
    """Logger L travels with A1 of acme from 10 to 6 hours ago, and with B1 of bcell since 4 hours ago."""
    await desk.device("L")
    await desk.ship("A1", "L", organization="acme", departed_at=text(hours_ago(10)))
    delivered = await desk.admin.post("/v1/shipments/A1/deliver", json={"at": text(hours_ago(6))})
    assert delivered.status_code == 200, delivered.text
    await desk.ship("B1", "L", organization="bcell", departed_at=text(hours_ago(4)))


KEYS: dict[str, dict[str, dict[str, Any]]] = {
    "courier": {"acme": {"shipment_ids": ["A1"]}, "bcell": {"shipment_ids": ["B1"]}},
    "ops": {"acme": {"organization": "acme"}, "bcell": {"organization": "bcell"}},
    "device": {
        "acme": {"organization": "acme", "device_ids": ["L"]},
        "bcell": {"organization": "bcell", "device_ids": ["L"]},
    },
    "device of a shipment": {"acme": {"shipment_ids": ["A1"]}, "bcell": {"shipment_ids": ["B1"]}},
}


@pytest.mark.parametrize("who", KEYS)
async def test_everybody_sends_what_was_measured_on_their_own_shipment(
    desk: Desk, hours_ago: HoursAgo, who: str
) -> None:
    await relay(desk, hours_ago)
    role = who.split(maxsplit=1)[0]
    acme = await desk.caller(role, **KEYS[who]["acme"])
    bcell = await desk.caller(role, **KEYS[who]["bcell"])
    ahead = datetime.now(UTC) + timedelta(minutes=4)
    at = [hours_ago(11), hours_ago(10), hours_ago(7), hours_ago(6), hours_ago(5), hours_ago(3), ahead]
    no, yes, early = "not_yours", "stored", "clock_ahead"
    assert await outcomes(acme, *map(reading, at)) == [no, yes, yes, no, no, no, early]
    assert await outcomes(bcell, *map(reading, at)) == [no, no, no, no, no, yes, early]


async def test_nobody_but_the_logger_speaks_of_a_time_of_which_nobody_knows_who_will_have_it(
    desk: Desk, hours_ago: HoursAgo
) -> None:
    """Sent while it is theirs, of minutes in which it is another's: forged there, and true ones would be conflicts."""
    await desk.device("L")
    await desk.ship("A1", "L", organization="acme", departed_at=text(hours_ago(2)))
    now = datetime.now(UTC)
    at = [now + timedelta(seconds=seconds) for seconds in (10, 60, 240)]
    for number, (who, bounds) in enumerate(KEYS.items()):
        acme = await desk.caller(who.split(maxsplit=1)[0], **bounds["acme"])
        sent = [reading(one + timedelta(milliseconds=number)) for one in at]
        assert await outcomes(acme, *sent) == ["stored", "clock_ahead", "clock_ahead"]
    delivered = await desk.admin.post("/v1/shipments/A1/deliver", json={"at": text(datetime.now(UTC))})
    assert delivered.status_code == 200, delivered.text
    await desk.ship("B1", "L", organization="bcell", departed_at=text(datetime.now(UTC)))
    logger = await desk.caller("device", device_ids=["L"])
    assert await outcomes(logger, *(reading(one) for one in at[1:])) == ["stored", "stored"]


async def test_the_logger_itself_sends_whatever_it_measured(desk: Desk, hours_ago: HoursAgo) -> None:
    await relay(desk, hours_ago)
    logger = await desk.caller("device", device_ids=["L"])
    assert await outcomes(logger, *(reading(hours_ago(hours)) for hours in (11, 7, 5, 3))) == ["stored"] * 4


async def test_what_is_refused_says_nothing_of_whose_it_is(desk: Desk, hours_ago: HoursAgo) -> None:
    await relay(desk, hours_ago)
    await desk.device("FREE", "N")
    await desk.ship("B2", "N", organization="bcell")
    acme = await desk.caller("ops", organization="acme")
    told = []
    for device_id in ("L", "FREE", "N", "NONE"):
        sent = [
            reading(hours_ago(3), device_id, seq=4),
            reading(hours_ago(-2), device_id),
            {"device_id": device_id, "measured_at": text(hours_ago(3)), "temperature_c": "warm"},
            {"device_id": device_id, "temperature_c": -180.0},
        ]
        answer = await acme.post("/v1/readings", json={"readings": sent})
        rejected = json.dumps(answer.json()["rejected"]).replace(f"{device_id} was", "ID was")
        told.append(re.sub(r"\d+:\d\d:\d\d\.\d+ after", "… after", rejected))
    assert "not_yours" in told[0]
    assert len(set(told)) == 1


async def test_a_shipment_that_ended_long_ago_takes_no_more_readings(desk: Desk, hours_ago: HoursAgo) -> None:
    for days in (29, 31):
        await desk.ship(f"S{days}", organization="acme", departed_at=text(hours_ago(24 * days + 5)))
        delivered = await desk.admin.post(
            f"/v1/shipments/S{days}/deliver", json={"at": text(hours_ago(24 * days))}
        )
        assert delivered.status_code == 200, delivered.text
    ops = await desk.caller("ops", organization="acme")
    sent = [reading(hours_ago(24 * days + 1), f"S{days}-logger") for days in (29, 31)]
    assert await outcomes(ops, *sent) == ["stored", "not_yours"]
    assert await outcomes(desk.admin, sent[1]) == ["stored"]


async def test_what_others_send_neither_deletes_the_loggers_memory_nor_makes_it_heard(
    desk: Desk, hours_ago: HoursAgo
) -> None:
    await relay(desk, hours_ago)
    courier = await desk.caller("courier", shipment_ids=["A1"])
    sent = [
        reading(hours_ago(8), seq=0),
        reading(hours_ago(7), seq=1),
        reading(hours_ago(3), seq=2),
        {"device_id": "L", "measured_at": text(hours_ago(7)), "temperature_c": "warm", "seq": 3},
    ]
    assert (await outcomes(courier, *sent))[:2] == ["stored", "stored"]
    device = (await desk.admin.get("/v1/devices/L")).json()
    assert datetime.fromisoformat(device["last_seen"]) == hours_ago(7)
    own = {"measured_at": text(hours_ago(2)), "temperature_c": -180.0, "seq": 4}
    message = RawMessage(
        source=Source.MQTT,
        origin="dewar/v1/L/readings",
        payload=json.dumps(own).encode(),
        received_at=datetime.now(UTC),
    )
    (ack,) = (await desk.services.ingest.store([message])).acknowledgements
    assert ack.content() == {"boot": 0, "through": -1, "missing": [(0, 3)], "highest": 4}


@pytest.mark.parametrize("count", [1, 600], ids=["by INSERT", "by COPY"])
async def test_a_delivery_between_the_look_at_the_rights_and_the_commit_counts(
    desk: Desk, hours_ago: HoursAgo, count: int
) -> None:
    await desk.device("L")
    await desk.ship("A1", "L", organization="acme", departed_at=text(hours_ago(10)))
    courier = await desk.caller("courier", shipment_ids=["A1"])
    at = [hours_ago(3) + timedelta(seconds=second) for second in range(count)]
    async with desk.pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("SELECT FROM device_states WHERE device_id = 'L' FOR UPDATE")
        sending = asyncio.create_task(outcomes(courier, *map(reading, at)))
        while not await desk.pool.fetchval("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"):
            await asyncio.sleep(0.01)
        await connection.execute("UPDATE device_assignments SET ends_at = $1", hours_ago(4))
        await transaction.commit()
    assert set(await asyncio.wait_for(sending, 20)) == {"not_yours"}
    assert await desk.pool.fetchval("SELECT count(*) FROM readings") == 0
