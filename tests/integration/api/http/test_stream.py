"""The event stream: nothing skipped, nothing twice, nothing that is somebody else's; over a real server."""

import asyncio

import asyncpg
import pytest

from api.http import event_hub
from api.http.event_hub import EventHub, Wanted
from api.identity.access import Principal
from api.identity.permissions import KeyRole
from tests.integration.api.conftest import Desk, Served, problem, until
from tests.integration.api.listening import reading, tell

pytestmark = pytest.mark.made_up_events


async def test_what_happens_is_told_as_it_happens(desk: Desk, served: Served) -> None:
    async with reading(served) as reader:
        await desk.ship("S1", organization="acme", departed_at="2026-01-01T00:00:00Z")
        made, event = await reader.event(), await reader.event()
    assert made["type"] == "shipment.created"
    assert event["type"] == "shipment.departed"
    assert event["data"]["departed_at"] == "2026-01-01T00:00:00Z"
    assert event["timestamp"].endswith("Z")


async def test_goes_on_after_the_last_event(desk: Desk, served: Served) -> None:
    async with reading(served) as reader:
        await tell(desk, "S1")
        assert await reader.ids(1) == ["S1"]
        last = reader.last_event_id
    for number in range(2, 5):
        await tell(desk, f"S{number}")
    async with reading(served, after=last) as reader:
        assert await reader.ids(3) == ["S2", "S3", "S4"]
        await tell(desk, "S5")
        assert await reader.ids(1) == ["S5"]


async def test_a_reader_of_nothing_can_go_on_too(desk: Desk, served: Served) -> None:
    async with reading(served) as reader:
        here = reader.last_event_id
    assert here
    await tell(desk, "S1")
    async with reading(served, after=here) as reader:
        assert await reader.ids(1) == ["S1"]


async def test_goes_on_over_more_than_a_page(
    desk: Desk, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_hub, "_PAGE", 3)
    async with reading(served) as reader:
        here = reader.last_event_id
    for number in range(10):
        await tell(desk, f"S{number}")
    async with reading(served, after=here) as reader:
        assert await reader.ids(10) == [f"S{number}" for number in range(10)]


async def test_events_that_commit_out_of_order_are_not_skipped(desk: Desk, served: Served) -> None:
    insert = "INSERT INTO outbox (type, shipment_id, data) VALUES ('shipment.departed', $1, $2)"
    async with reading(served) as reader, desk.pool.acquire() as early:
        transaction = early.transaction()
        await transaction.start()
        await early.execute(insert, "early", '{"shipment_id": "early"}')
        await tell(desk, "late")  # committed first, and told first
        assert await asyncio.wait_for(reader.ids(1), 3) == ["late"]
        await transaction.commit()
        assert await asyncio.wait_for(reader.ids(1), 3) == ["early"]


async def test_only_what_one_may_see_and_wants(desk: Desk, served: Served) -> None:
    viewer = await desk.key("viewer", organization="acme")
    for shipment_id in ("S2", "S5"):
        await desk.ship(shipment_id, organization="bcell")
    courier = await desk.key("courier", shipment_ids=["S2", "S5"])
    async with (
        reading(served, key=viewer) as acme,
        reading(served, key=courier) as on_the_way,
        reading(served, shipment_id="S3") as third,
        reading(served, types=["excursion.opened"]) as excursions,
    ):
        for shipment_id, organization in (
            ("S1", "acme"),
            ("S2", "bcell"),
            ("S3", None),
            ("S4", "acme"),
            ("S5", "bcell"),
        ):
            await tell(desk, shipment_id, organization)
        await desk.pool.execute(
            "INSERT INTO outbox (type, data) VALUES ('excursion.opened', '{\"shipment_id\": \"-\"}')"
        )
        assert await acme.ids(2) == ["S1", "S4"]
        assert await on_the_way.ids(2) == ["S2", "S5"]
        assert await third.ids(1) == ["S3"]
        assert await excursions.ids(1) == ["-"]
    async with reading(served, key=viewer, after="0-0") as acme:
        assert await acme.ids(2) == ["S1", "S4"]


async def test_silence_is_filled_and_moves_the_position(
    desk: Desk, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_hub, "HEARTBEAT_S", 0.05)
    viewer = await desk.key("viewer", organization="acme")
    async with reading(served, key=viewer) as acme, reading(served) as all_:
        await tell(desk, "S1", "bcell")
        await all_.event()
        theirs = all_.last_event_id

        async def has_moved() -> bool:
            await acme.frame()
            return acme.last_event_id == theirs

        await until(has_moved)


async def test_wrong_last_event_ids_and_types(desk: Desk) -> None:
    for wrong in ("x", "1", "1-", "-1-1", "1-1-1", f"{2**64}-1", f"1-{2**63}", "1" * 30 + "-1"):
        problem(await desk.admin.get("/v1/stream", headers={"Last-Event-ID": wrong}), 422)
    problem(await desk.admin.get("/v1/stream", params={"types": "excursion.openned"}), 422)
    device = await desk.caller("device", device_ids=["D1"])
    problem(await device.get("/v1/stream"), 403)


async def test_the_end_of_the_service_ends_all_streams_at_once(served: Served) -> None:
    async with reading(served) as first, reading(served) as second:
        ending = asyncio.create_task(served.end())
        for reader in (first, second):
            with pytest.raises(EOFError):
                await asyncio.wait_for(reader.forever(), 3)
    await asyncio.wait_for(ending, 3)


async def test_a_client_that_leaves_is_forgotten(desk: Desk, served: Served) -> None:
    hub = desk.services.hub
    async with reading(served):
        assert len(hub._listeners) == 1

    async def forgotten() -> bool:
        return not hub._listeners

    await until(forgotten)


async def test_the_database_may_go_and_come_back(desk: Desk, served: Served) -> None:
    async with reading(served) as reader:
        await desk.pool.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        await tell(desk, "S1")
        assert await reader.ids(1) == ["S1"]


async def test_a_hub_that_never_saw_the_database_still_ends(pool: asyncpg.Pool) -> None:
    hub = EventHub(pool)
    waiting = asyncio.create_task(
        anext(hub.listen(Wanted(principal=Principal(name="x", role=KeyRole.ADMIN)), None), None)
    )
    await asyncio.sleep(0)
    hub.close()
    assert await asyncio.wait_for(waiting, 1) is None
