"""Endpoints that fail: their owner is warned, then they are switched off, never while something critical is open for them."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from structlog.testing import capture_logs

from alerts.outbound.post import Answer
from alerts.webhooks import queue
from alerts.webhooks.dispatch import judge
from alerts.webhooks.fanout import fan_out
from alerts.webhooks.queue import Claimed, Room
from alerts.webhooks.schedule import SCHEDULE, TRIPS_AT
from alerts.webhooks.upkeep import maintain
from tests.described import problems
from tests.receivers import FAIL, OK, Reply, receiver

from .conftest import HURRY, Hooks

NOWHERE = "http://127.0.0.1:9/"
MONTH = timedelta(days=30)


def ago(**length: float) -> datetime:
    return datetime.now(UTC) - timedelta(**length)


async def critical(hooks: Hooks, shipment_id: str = "S1", organization: str | None = None) -> None:
    """An open critical excursion, of a shipment of an organization."""
    if organization is not None:
        await hooks.pool.execute("INSERT INTO organizations VALUES ($1) ON CONFLICT DO NOTHING", organization)
    await hooks.pool.execute(
        "INSERT INTO shipments (shipment_id, organization, band, plan) VALUES ($1, $2, 'cryogenic', '{}')",
        shipment_id,
        organization,
    )
    await hooks.pool.execute(
        "INSERT INTO excursions (id, shipment_id, device_id, revision, opened_at, side, start_at, peak_c, severity, "
        "has_gap, state, reason, recorded_at) VALUES ($1, $2, 'D1', 1, now(), 'high', now(), -120, 'critical', false, "
        "'open', 'opened', now())",
        uuid4(),
        shipment_id,
    )


async def told(hooks: Hooks) -> list[tuple[str, str]]:
    rows = await hooks.pool.fetch("SELECT type, data FROM outbox ORDER BY id")
    return [(row["type"], json.loads(row["data"])["webhook_id"]) for row in rows]


async def test_the_owner_is_warned_once_after_a_day(hooks: Hooks) -> None:
    await hooks.endpoint(NOWHERE, failing_since=ago(hours=23))
    failing = await hooks.endpoint(NOWHERE, failing_since=ago(hours=25), organization="acme")
    for _ in range(3):
        await maintain(hooks.pool, MONTH)
    assert await told(hooks) == [("webhook.failing", str(failing))]
    assert (await hooks.row(failing))["state"] == "active"
    assert await hooks.pool.fetchval("SELECT organization FROM outbox") == "acme"


async def test_the_warning_reaches_the_owners_other_endpoints_only(hooks: Hooks) -> None:
    async with receiver() as partner:
        failing = await hooks.endpoint(
            f"{partner.url}/failing", failing_since=ago(hours=25), organization="acme"
        )
        await hooks.endpoint(f"{partner.url}/well", organization="acme")
        await hooks.endpoint(f"{partner.url}/other", organization="other")
        hooks.run()
        await partner.until(lambda: len(partner.got) == 1)
        await hooks.stop()
    assert [(got.path, got.message["data"]["webhook_id"]) for got in partner.got] == [
        ("/hook/well", str(failing))
    ]


@pytest.mark.parametrize(
    ("failing_since", "warned_at", "off"),
    [
        (ago(days=6), ago(days=3), True),
        (ago(days=6), ago(days=1), False),  # it was not warned for long enough
        (ago(days=6), None, False),
        (ago(days=4), ago(days=3), False),
    ],
)
async def test_it_is_switched_off_after_days_and_a_warning(
    hooks: Hooks, failing_since: datetime, warned_at: datetime | None, off: bool
) -> None:
    id_ = await hooks.endpoint(NOWHERE, failing_since=failing_since, warned_at=warned_at)
    await maintain(hooks.pool, MONTH)
    row = await hooks.row(id_)
    assert (row["state"], row["disabled_reason"]) == (("disabled", "failing") if off else ("active", None))


@pytest.mark.parametrize(
    ("bounds", "off"),
    [
        ({"organization": "acme"}, False),
        ({}, False),
        ({"organization": "acme", "shipment_ids": ["S1"]}, False),
        ({"organization": "acme", "shipment_ids": ["S2"]}, True),
        ({"organization": "acme", "sees_shipment_ids": ["S2"]}, True),
        ({"organization": "other"}, True),
    ],
)
async def test_never_while_a_critical_excursion_of_its_shipments_is_open(
    hooks: Hooks, bounds: dict[str, Any], off: bool
) -> None:
    await critical(hooks, organization="acme")
    id_ = await hooks.endpoint(NOWHERE, failing_since=ago(days=9), warned_at=ago(days=8), **bounds)
    await maintain(hooks.pool, MONTH)
    assert (await hooks.row(id_))["state"] == ("disabled" if off else "active")
    await hooks.pool.execute("UPDATE excursions SET state = 'closed'")
    await maintain(hooks.pool, MONTH)
    assert (await hooks.row(id_))["state"] == "disabled"


async def test_410_warns_while_something_critical_is_open_and_goes_on(hooks: Hooks) -> None:
    await critical(hooks)
    answers = [Reply(410)]
    async with receiver(lambda _: answers[0]) as partner:
        id_ = await hooks.endpoint(partner.url, events=["alert.firing"])
        hooks.run()
        await hooks.tell()
        await hooks.until("SELECT warned_at IS NOT NULL FROM webhooks")
        assert (await hooks.row(id_))["state"] == "active"
        answers[0] = OK
        await hooks.all_are("delivered", id_, 1)
        row = await hooks.row(id_)
    assert (row["gone_at"], row["warned_at"], row["failures"], row["failing_since"]) == (None, None, 0, None)
    assert ("webhook.failing", str(id_)) in await told_of_webhooks(hooks)


async def told_of_webhooks(hooks: Hooks) -> list[tuple[str, str]]:
    rows = await hooks.pool.fetch("SELECT type, data FROM outbox WHERE type LIKE 'webhook.%'")
    return [(row["type"], json.loads(row["data"])["webhook_id"]) for row in rows]


async def test_one_that_fails_gets_one_message_at_a_time(hooks: Hooks) -> None:
    async with receiver(FAIL) as partner:
        id_ = await hooks.endpoint(partner.url, failures=TRIPS_AT, failing_since=ago(minutes=10))
        hooks.run()
        await hooks.tell(20)
        await hooks.until(
            "SELECT hold_until > now() + interval '50 seconds' FROM webhooks WHERE id = $1", id_
        )
        await hooks.stop()
    assert len(partner.got) == 1


def room() -> Room:
    return Room(
        held={}, of_each=10, at_most=10, after=UUID(int=0), trips_at=TRIPS_AT, lease=timedelta(seconds=0)
    )


def tried(claimed: Claimed, status: int) -> queue.Tried:
    return judge(claimed, datetime.now(UTC), Answer(seconds=0.1, status=status), SCHEDULE, 0.5)


async def test_a_result_that_comes_after_its_lease_is_on_record_and_changes_nothing(hooks: Hooks) -> None:
    id_ = await hooks.endpoint(NOWHERE)
    hooks.run()
    await hooks.pool.execute("UPDATE webhooks SET state = 'paused'")
    await hooks.tell()
    await hooks.until("SELECT count(*) = 1 FROM webhook_deliveries")
    await hooks.stop()
    await hooks.pool.execute("UPDATE webhooks SET state = 'active'")
    (slow,) = await queue.claim(hooks.pool, room())
    (other,) = await queue.claim(hooks.pool, room())  # the lease of the first one has ended
    assert (slow.token, other.token, slow.event_id) == (1, 2, other.event_id)
    assert await queue.record(hooks.pool, [tried(slow, 500)], [id_]) == 1
    (delivery,) = await hooks.deliveries(id_)
    assert (delivery["state"], delivery["tries"]) == ("waiting", 0)
    assert await queue.record(hooks.pool, [tried(other, 200)], [id_]) == 0
    assert (
        await queue.record(hooks.pool, [tried(other, 200)], [id_]) == 0
    )  # once more, after a commit whose answer was lost
    (delivery,) = await hooks.deliveries(id_)
    assert (delivery["state"], delivery["tries"]) == ("delivered", 1)
    assert [(one["lease"], one["status"], one["counted"]) for one in await hooks.attempts(id_)] == [
        (1, 500, False),
        (2, 200, True),
    ]


async def test_what_is_past_its_retention_goes_but_what_a_pause_holds_back(hooks: Hooks) -> None:
    async with receiver() as partner:
        active = await hooks.endpoint(partner.url)
        paused = await hooks.endpoint(partner.url, state="paused")
        disabled = await hooks.endpoint(partner.url, state="disabled")
        hooks.run(HURRY)
        await hooks.tell(3)
        await hooks.all_are("delivered", active, 3)
        await hooks.until("SELECT count(*) = 9 FROM webhook_deliveries")
        await hooks.stop()
    await maintain(hooks.pool, MONTH)
    assert await hooks.pool.fetchval("SELECT count(*) FROM webhook_deliveries") == 9
    await maintain(hooks.pool, timedelta(0))
    left = await hooks.pool.fetch("SELECT webhook_id FROM webhook_deliveries")
    assert [row["webhook_id"] for row in left] == [paused] * 3
    assert await hooks.attempts(active) == []
    assert await hooks.pool.fetchval("SELECT count(*) FROM webhook_attempts") == 0
    assert await hooks.pool.fetchval("SELECT count(*) FROM webhook_messages") == 3
    await hooks.pool.execute("UPDATE webhooks SET deleted_at = now() WHERE id = $1", paused)
    await maintain(hooks.pool, timedelta(0))
    assert await hooks.pool.fetchval("SELECT count(*) FROM webhook_messages") == 0
    assert await hooks.deliveries(disabled) == []


async def test_what_an_endpoint_loses_is_said_and_told_to_it_once_it_is_back(hooks: Hooks) -> None:
    async with receiver() as partner:
        disabled = await hooks.endpoint(partner.url, state="disabled")
        exhausted = await hooks.endpoint(NOWHERE)
        await hooks.tell(3)
        await fan_out(hooks.pool)
        await hooks.pool.execute(
            "UPDATE webhook_deliveries SET state = 'exhausted' WHERE webhook_id = $1", exhausted
        )
        with capture_logs() as said:
            await maintain(hooks.pool, timedelta(0))
        lost = [(one["webhook"], one["events"]) for one in said if one["event"] == "webhook_events_dropped"]
        assert sorted(lost) == sorted([(str(disabled), 3), (str(exhausted), 3)])
        assert await hooks.deliveries(disabled) == []
        await hooks.pool.execute("UPDATE webhooks SET state = 'active' WHERE id = $1", disabled)
        await maintain(hooks.pool, MONTH)
        await maintain(hooks.pool, MONTH)
        hooks.run(HURRY)
        await hooks.all_are("delivered", disabled, 1)
        await hooks.stop()
    (told,) = [json.loads(one.body) for one in partner.got]
    assert told["type"] == "webhook.events_dropped"
    assert (told["data"]["webhook_id"], told["data"]["events"]) == (str(disabled), 3)
    assert problems("to-webhook.webhook.events_dropped", told) == []


async def test_the_events_of_what_was_not_over_when_it_was_made_come_too(hooks: Hooks) -> None:
    """And those that were told before do not."""
    async with receiver() as partner:
        await hooks.tell(shipment_id="before")
        async with hooks.pool.acquire() as connection, connection.transaction():
            await connection.execute(
                "INSERT INTO outbox (type, shipment_id, data) VALUES ('alert.firing', 'meanwhile', '{}')"
            )
            await hooks.endpoint(partner.url)
        await hooks.tell(shipment_id="after")
        hooks.run()
        await hooks.until("SELECT count(*) >= 2 FROM webhook_deliveries")
        await hooks.stop()
    rows = await hooks.pool.fetch("SELECT shipment_id FROM webhook_messages ORDER BY 1")
    assert [row["shipment_id"] for row in rows] == ["after", "meanwhile"]
