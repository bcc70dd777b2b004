"""Who is told of alerts, on the real database: from readings to notifications with their reasons."""

from typing import Any

import asyncpg
import orjson

from alerts.attention.loop import decide_due
from tests.integration.alerts.conftest import Desk, minute

WARM = [(minute(n), -180.0) for n in range(5)] + [(minute(n), -120.0) for n in range(5, 30)]
MAIL = [{"channel": "email", "address": "night@ops.example", "outside_office_hours": True}]


async def decide_all(desk: Desk) -> None:
    while await decide_due(desk.pool):
        pass


async def contact(desk: Desk, contact_id: str, **values: Any) -> None:
    fields = {
        "contact_id": contact_id,
        "name": contact_id.title(),
        "timezone": "UTC",
        "channels": orjson.dumps(values.pop("channels", MAIL)).decode(),
        "updated_by": "key:test",
    } | values
    names = ", ".join(fields)
    places = ", ".join(f"${number + 1}" for number in range(len(fields)))
    await desk.pool.execute(f"INSERT INTO contacts ({names}) VALUES ({places})", *fields.values())


async def policy_without_wait(desk: Desk, **values: Any) -> None:
    steps = values.pop("steps", [{"after_s": 0, "to": ["last_resort"]}])
    fields = {
        "policy_id": "at-once",
        "min_severity": "major",
        "steps": orjson.dumps(steps).decode(),
        "group_wait_s": 0,
        "repeat_s": 900,
        "ack_expires_s": 3600,
        "flood_count": 10,
        "flood_within_s": 600,
        "updated_by": "key:test",
    } | values
    names = ", ".join(fields)
    places = ", ".join(f"${number + 1}" for number in range(len(fields)))
    await desk.pool.execute(f"INSERT INTO policies ({names}) VALUES ({places})", *fields.values())


async def notifications(desk: Desk) -> list[asyncpg.Record]:
    return await desk.pool.fetch("SELECT * FROM notifications ORDER BY decided_at, level, id")


async def test_without_any_contact_it_is_on_record_that_there_is_nobody_to_tell(desk: Desk) -> None:
    await policy_without_wait(desk)
    await desk.ship(budget_s=600)
    await desk.store(WARM)
    await desk.evaluate()
    await decide_all(desk)
    rows = await notifications(desk)
    assert {row["state"] for row in rows} == {"not_sent"}
    assert "nobody_to_tell" in {row["reason"] for row in rows}
    standings = await desk.pool.fetch("SELECT * FROM escalations")
    assert standings
    assert all(one["nobody_to_tell"] and one["next_at"] is not None for one in standings)
    # As soon as there is somebody, they are told.
    await contact(desk, "night", last_resort=True)
    await desk.pool.execute("INSERT INTO attention_marks (scope) VALUES ($1)", rows[0]["scope"])
    await decide_all(desk)
    told = [row for row in await notifications(desk) if row["state"] == "pending"]
    assert {row["incident_id"] for row in told} == {one["incident_id"] for one in standings}
    assert {(row["contact_id"], row["address"]) for row in told} == {("night", "night@ops.example")}
    assert not await desk.pool.fetchval("SELECT count(*) FROM escalations WHERE nobody_to_tell")


async def test_one_incident_is_told_once_with_all_that_belongs_to_it(desk: Desk) -> None:
    await policy_without_wait(desk)
    await contact(desk, "night", last_resort=True)
    await desk.ship(budget_s=600)
    await desk.store(WARM)
    await desk.evaluate()
    await decide_all(desk)
    await decide_all(desk)
    alerts = await desk.alerts()
    [incident] = await desk.pool.fetch("SELECT id FROM incidents WHERE severity = 'critical'")
    [told] = [row for row in await notifications(desk) if row["incident_id"] == incident["id"]]
    assert (told["state"], told["purpose"], told["level"], told["reason"]) == (
        "pending",
        "escalation",
        1,
        "began",
    )
    assert {alerts["excursion"]["id"], alerts["budget_exhausted"]["id"]} <= set(told["alert_ids"])
    assert told["detail"]
    assert told["policy_id"] == "at-once"


async def test_a_flood_becomes_a_digest(desk: Desk) -> None:
    await policy_without_wait(desk, flood_count=1)
    await contact(desk, "night", last_resort=True)
    for number in range(3):
        await desk.ship(f"SH-{number}", f"LOG-{number}", budget_s=600)
        await desk.store(WARM, f"SH-{number}", f"LOG-{number}")
    await desk.evaluate()
    await decide_all(desk)
    rows = await notifications(desk)
    [digest] = [row for row in rows if row["purpose"] == "digest"]
    parts = [row for row in rows if row["state"] == "digested"]
    assert len(parts) >= 2
    assert {row["digest_id"] for row in parts} == {digest["id"]}
    assert (digest["state"], digest["reason"], digest["severity"]) == ("pending", "flood", "critical")
    alone = [row for row in rows if row["state"] == "pending" and row["purpose"] == "escalation"]
    assert len(alone) == 1
