"""A database that went back is noticed by whoever remembers it, told once and to everybody, and never where nothing is lost."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest
from structlog.testing import capture_logs

from alerts.events import outbox
from alerts.events.outbox import Position
from alerts.webhooks.fanout import fan_out
from api.continuity import watch
from api.http.event_hub import Wanted
from api.identity.access import Principal
from api.identity.permissions import KeyRole, Scope
from telemetry.continuity.pulse import Memory, Pulse


async def beats(pool: asyncpg.Pool, memory: Memory, count: int = 1) -> Pulse:
    """Lets so many pulses be added, as time would."""
    for _ in range(count):
        await pool.execute("UPDATE database_pulses SET at = at - interval '10 seconds'")
        await watch(pool, memory)
    assert memory.own is not None
    return memory.own


async def set_back(pool: asyncpg.Pool, number: int) -> None:
    """As a restore does: what came after the pulse of this number is gone."""
    await pool.execute("DELETE FROM database_pulses WHERE number > $1", number)


async def told(pool: asyncpg.Pool) -> list[dict[str, Any]]:
    rows = await pool.fetch("SELECT data FROM outbox WHERE type = 'record.restored' ORDER BY id")
    return [json.loads(row["data"]) for row in rows]


async def test_while_it_goes_on_nothing_is_said(pool: asyncpg.Pool) -> None:
    first, second = Memory(), Memory()
    await watch(pool, first)
    for _ in range(5):
        await beats(pool, first)
        await beats(pool, second)
    assert second.own is not None
    again = Memory(outside=second.own)
    await watch(pool, again)
    assert again.outside is None
    assert await told(pool) == []
    assert await pool.fetchval("SELECT count(*) FROM alerts") == 0


async def test_several_processes_add_no_more_pulses_than_one(pool: asyncpg.Pool) -> None:
    first, second = Memory(), Memory()
    await watch(pool, first)
    await watch(pool, second)
    assert first.own == second.own
    assert await pool.fetchval("SELECT count(*) FROM database_pulses") == 1


async def test_the_pulse_goes_on_after_a_clock_that_was_ahead(pool: asyncpg.Pool) -> None:
    """Else an hour ahead would cost an hour in which nothing shows that the database went back."""
    memory = Memory()
    ahead = await beats(pool, memory)
    await pool.execute("UPDATE database_pulses SET at = at + interval '1 hour'")
    await watch(pool, memory)
    assert memory.own is not None
    assert memory.own.number == ahead.number + 1
    await set_back(pool, ahead.number)
    await watch(pool, memory)
    assert len(await told(pool)) == 1


async def test_it_is_told_once_on_every_channel(pool: asyncpg.Pool) -> None:
    memory, other = Memory(), Memory()
    kept = await beats(pool, memory, 3)
    lost = await beats(pool, memory, 2)
    await watch(pool, other)
    await set_back(pool, kept.number)
    with capture_logs() as said:
        await watch(pool, memory)
        await watch(pool, other)
        await watch(pool, Memory(outside=lost))
        await watch(pool, memory)
    (event,) = await told(pool)
    assert event["evidence"] == "went_back"
    assert event["known_until"] == lost.at.isoformat().replace("+00:00", "Z")
    alert = await pool.fetchrow("SELECT kind, severity, state, shipment_id, message FROM alerts")
    assert alert is not None
    assert tuple(alert)[:4] == ("record_restored", "critical", "firing", None)
    assert "is not in it any more" in alert["message"]
    assert await pool.fetchval("SELECT count(*) FROM attention_marks WHERE scope = ''") == 1
    logged = await pool.fetch("SELECT type, subject FROM security_events")
    assert [tuple(row) for row in logged] == [("record_restored", "database")]
    lines = [(one["event"], one["log_level"]) for one in said if one["event"] == "record_restored"]
    assert sorted(lines) == [("record_restored", "error"), ("record_restored", "info")]


async def test_a_process_that_starts_late_knows_it_from_what_the_broker_kept(pool: asyncpg.Pool) -> None:
    """All stood still meanwhile, or others that remember nothing have counted on, beyond what was lost."""
    memory = Memory()
    kept = await beats(pool, memory, 2)
    lost = await beats(pool, memory, 2)
    await set_back(pool, kept.number)
    await beats(pool, Memory(), 6)
    assert await told(pool) == []
    await watch(pool, Memory(outside=lost))
    assert len(await told(pool)) == 1


async def test_each_time_that_it_goes_back_is_told(pool: asyncpg.Pool) -> None:
    memory = Memory()
    kept = await beats(pool, memory, 2)
    await beats(pool, memory, 2)
    await set_back(pool, kept.number)
    middle = await beats(pool, memory)
    await beats(pool, memory, 3)
    await set_back(pool, middle.number)
    await watch(pool, memory)
    assert len(await told(pool)) == 2
    # Once more, and to before the first time: what was found then is not on record any more either.
    await beats(pool, memory, 2)
    await pool.execute("DELETE FROM database_restorations")
    await set_back(pool, kept.number)
    await watch(pool, memory)
    assert len(await told(pool)) == 3


async def test_an_empty_database_in_its_place_is_one_that_went_back(pool: asyncpg.Pool) -> None:
    memory = Memory()
    await beats(pool, memory, 3)
    await set_back(pool, 0)
    await watch(pool, memory)
    (event,) = await told(pool)
    assert (event["evidence"], event["went_back_to"]) == ("went_back", None)


async def test_a_pulse_that_is_older_than_all_that_are_kept_says_nothing(pool: asyncpg.Pool) -> None:
    memory = Memory()
    old = await beats(pool, memory)
    await beats(pool, memory, 3)
    await pool.execute("DELETE FROM database_pulses WHERE number <= $1", old.number)
    await watch(pool, Memory(outside=old))
    assert await told(pool) == []


async def test_what_dies_before_the_commit_is_told_by_the_next(
    pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = Memory()
    kept = await beats(pool, memory, 2)
    await beats(pool, memory)
    await set_back(pool, kept.number)
    with monkeypatch.context() as patched:
        patched.setattr("api.continuity.beat", dies)
        with pytest.raises(ZeroDivisionError):
            await watch(pool, memory)
    assert await told(pool) == []
    await watch(pool, memory)
    assert len(await told(pool)) == 1


async def dies(*_: object) -> Pulse:
    raise ZeroDivisionError


@pytest.fixture
async def copied(pool: asyncpg.Pool, database_url: str) -> AsyncIterator[asyncpg.Pool]:
    """A copy of the database as it is then, as made of a backup."""
    await beats(pool, Memory(), 2)
    name = f"copy_{uuid4().hex[:12]}"
    await pool.close()
    owner = await asyncpg.connect(urlsplit(database_url)._replace(path="/postgres").geturl())
    source = urlsplit(database_url).path[1:]
    try:
        # Nothing that somebody uses can be copied, and the database has workers of its own that come and go.
        for tries_left in range(20, -1, -1):
            await owner.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = $1", source
            )
            try:
                await owner.execute(f'CREATE DATABASE "{name}" TEMPLATE "{source}"')
                break
            except asyncpg.ObjectInUseError:
                if not tries_left:
                    raise
        url = urlsplit(database_url)._replace(path=f"/{name}").geturl()
        async with asyncpg.create_pool(url, min_size=1, max_size=2) as copy:
            yield copy
        await owner.execute(f'DROP DATABASE "{name}"')
    finally:
        await owner.close()


async def test_a_copy_elsewhere_says_so_once_though_nobody_remembers(copied: asyncpg.Pool) -> None:
    await watch(copied, Memory())
    await beats(copied, Memory(), 2)
    (event,) = await told(copied)
    assert event["evidence"] == "another_server"
    alert = await copied.fetchrow("SELECT kind, severity FROM alerts")
    assert alert is not None
    assert tuple(alert) == ("record_restored", "major")


async def test_every_endpoint_and_every_stream_gets_it_whatever_it_asked_for(pool: asyncpg.Pool) -> None:
    await pool.execute("INSERT INTO organizations (slug) VALUES ('acme')")
    for fields in (
        {},
        {"organization": "acme", "min_severity": "critical"},
        {"organization": "acme", "shipment_ids": ["S1"], "events": ["excursion.opened"]},
        {"organization": "acme", "sees_shipment_ids": ["S1"]},
    ):
        values = {"id": uuid4(), "url": "https://x.example/", "secret": b"s", "created_by": "test", **fields}
        places = ", ".join(f"${place}" for place in range(1, len(values) + 1))
        await pool.execute(f"INSERT INTO webhooks ({', '.join(values)}) VALUES ({places})", *values.values())
    memory = Memory()
    kept = await beats(pool, memory)
    await beats(pool, memory)
    await set_back(pool, kept.number)
    await watch(pool, memory)
    await fan_out(pool)
    sent = "SELECT count(*) FROM webhook_deliveries JOIN webhook_messages AS m ON m.id = message_id WHERE m.type = $1"
    assert await pool.fetchval(sent, "record.restored") == 4
    assert await pool.fetchval(sent, "alert.firing") == 1
    async with pool.acquire() as connection:
        events = {one.type: one for one in await outbox.read(connection, Position(0), 10)}
    principal = Principal(
        name="dw_1f0c93ab", role=KeyRole.PARTNER, organization="acme", scope=Scope.ORGANIZATION
    )
    narrow = Wanted(principal=principal, types={"excursion.opened"}, shipment_ids={"S1"}, kinds={"excursion"})
    assert narrow.takes(events["record.restored"])
    assert not narrow.takes(events["alert.firing"])


def test_what_is_kept_outside_is_read_as_it_was_written_and_nothing_else_is() -> None:
    pulse = Pulse(number=7, incarnation=uuid4(), nonce=uuid4(), at=datetime.now(UTC) - timedelta(hours=1))
    assert Pulse.from_json(pulse.to_json()) == pulse
    for odd in (b"", b"{}", b"[]", b"7", b'{"number": 7}', b"\xff", pulse.to_json()[:-5]):
        assert Pulse.from_json(odd) is None
