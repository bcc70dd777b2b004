"""Messages reach endpoints that answer in every way there is, and each attempt is on record."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy import true
from sqlalchemy.ext.asyncio import AsyncConnection
from standardwebhooks import Webhook

from alerts.events.outbox import Position
from alerts.model import to_instant
from alerts.outbound.connection import LARGEST_ANSWER
from alerts.webhooks import endpoints
from alerts.webhooks.dispatch import Dispatcher
from alerts.webhooks.fanout import fan_out
from alerts.webhooks.message import LARGEST_BODY
from telemetry.database.connections import engine_for
from tests.integration.alerts.flaky import FlakyConnection, FlakyPool, Run
from tests.receivers import ENDLESS, FAIL, HANG, HUGE, OK, RESET, Reply, in_turn, receiver

from .conftest import HURRY, LOOPBACK, SECRET, Hooks


async def test_an_event_reaches_its_endpoint_signed_with_all_of_its_state(hooks: Hooks) -> None:
    async with receiver() as partner:
        webhook_id = await hooks.endpoint(partner.url)
        hooks.run()
        await hooks.tell(severity="critical")
        await hooks.all_are("delivered", webhook_id, 1)
    (got,) = partner.got
    message = Webhook(SECRET).verify(got.body, got.headers)
    told = await hooks.pool.fetchrow("SELECT * FROM outbox")
    assert message["type"] == "alert.firing"
    assert datetime.fromisoformat(message["timestamp"]) == told["created_at"]
    assert message["data"] == {"shipment_id": "S1", "number": 0, "severity": "critical", "sequence": 1}
    assert got.id == str(Position(told["position"], to_instant(told["created_at"])))
    assert got.headers["content-type"] == "application/json"
    (attempt,) = await hooks.attempts(webhook_id)
    assert (attempt["status"], attempt["error"], attempt["answer"]) == (200, None, b"ok")
    assert attempt["counted"]


@pytest.mark.parametrize(
    "bad", [FAIL, HANG, RESET, Reply(302, headers=(("Location", "/elsewhere"),)), Reply(304)]
)
async def test_what_is_not_2xx_is_tried_again_with_the_same_id(hooks: Hooks, bad: Reply) -> None:
    async with receiver(in_turn(bad, bad, OK)) as partner:
        webhook_id = await hooks.endpoint(partner.url)
        hooks.run()
        await hooks.tell()
        await hooks.all_are("delivered", webhook_id, 1)
    assert len(partner.got) == 3
    assert len(set(partner.ids)) == 1
    assert {got.path for got in partner.got} == {"/hook"}  # no redirect is followed
    assert len({got.body for got in partner.got}) == 1
    attempts = await hooks.attempts(webhook_id)
    assert [one["status"] for one in attempts][-1] == 200
    assert all(one["error"] or one["status"] for one in attempts)


@pytest.mark.parametrize("reply", [HUGE, ENDLESS])
async def test_of_an_answer_20_kb_are_read_and_no_more(hooks: Hooks, reply: Reply) -> None:
    async with receiver(reply) as partner:
        webhook_id = await hooks.endpoint(partner.url)
        hooks.run()
        await hooks.tell()
        await hooks.all_are("delivered", webhook_id, 1)
        (attempt,) = await hooks.attempts(webhook_id)
        assert len(attempt["answer"]) == LARGEST_ANSWER
        assert attempt["seconds"] < 0.5
        assert partner.sent < 30_000_000  # the rest found nobody to take it


async def test_what_is_tried_for_the_last_time_is_kept(hooks: Hooks) -> None:
    async with receiver(FAIL) as partner:
        webhook_id = await hooks.endpoint(partner.url)
        hooks.run()
        await hooks.tell()
        await hooks.all_are("exhausted", webhook_id, 1)
        assert len(partner.got) == len(HURRY.schedule.delays_s)
    row = await hooks.row(webhook_id)
    assert row["failures"] == 8
    assert row["failing_since"] is not None
    assert row["state"] == "active"


async def test_an_answer_that_cannot_be_stored_costs_the_others_nothing(hooks: Hooks) -> None:
    """It is not what ends the whole role, and the attempt counts all the same."""
    await hooks.pool.execute("ALTER TABLE webhook_attempts ADD CHECK (answer <> 'poison')")
    async with receiver(
        lambda got: Reply(body=b"poison" if got.message["data"]["number"] == 1 else b"ok")
    ) as partner:
        webhook_id = await hooks.endpoint(partner.url)
        await hooks.tell(4)
        hooks.run()
        await hooks.all_are("delivered", webhook_id, 4)
        assert len(partner.got) == 4
        assert sorted((one["error"] or "", one["answer"]) for one in await hooks.attempts(webhook_id)) == [
            *[("", b"ok")] * 3,
            ("what was answered cannot be stored: CheckViolationError", b""),
        ]
        await hooks.tell()
        await hooks.all_are("delivered", webhook_id, 5)


async def test_retry_after_is_honoured_for_all_that_waits(hooks: Hooks) -> None:
    busy = Reply(429, headers=(("Retry-After", "2"),))
    async with receiver(in_turn(busy, OK)) as partner:
        webhook_id = await hooks.endpoint(partner.url)
        hooks.run()
        await hooks.tell()
        await partner.until(lambda: len(partner.got) == 1)
        await hooks.until("SELECT hold_until > now() + interval '1 second' FROM webhooks")
        began = datetime.now(UTC)
        await hooks.tell()
        await hooks.all_are("delivered", webhook_id, 2)
        assert datetime.now(UTC) - began > timedelta(seconds=1)


async def test_410_switches_off_and_tells_the_owner(hooks: Hooks) -> None:
    async with receiver(Reply(410)) as partner:
        webhook_id = await hooks.endpoint(partner.url, organization="acme")
        hooks.run()
        await hooks.tell(organization="acme")
        await hooks.until("SELECT state = 'disabled' AND disabled_reason = 'gone' FROM webhooks")
        await hooks.tell(organization="acme")
        await hooks.until("SELECT count(*) = 2 FROM webhook_deliveries")
    assert len(partner.got) == 1
    assert [one["state"] for one in await hooks.deliveries(webhook_id)] == ["waiting"] * 2
    told = await hooks.pool.fetchrow("SELECT * FROM outbox WHERE type = 'webhook.disabled'")
    assert told["organization"] == "acme"


async def test_a_dead_endpoint_delays_nobody(hooks: Hooks) -> None:
    async with receiver(HANG) as dead, receiver() as alive:
        dead_id = await hooks.endpoint(dead.url)
        alive_id = await hooks.endpoint(alive.url)
        hooks.run(
            replace(HURRY, time_limit_s=15.0, lease=timedelta(seconds=60), in_flight=8, slow_in_flight=4)
        )
        await hooks.tell(100)
        await dead.until(lambda: len(dead.got) > 0)
        await hooks.all_are("delivered", alive_id, 100)
        assert len(dead.got) <= 4
        assert all(one["state"] == "waiting" for one in await hooks.deliveries(dead_id))


async def test_several_senders_send_each_message_once(hooks: Hooks) -> None:
    async with receiver() as partner:
        ids = [await hooks.endpoint(f"{partner.url}/{number}") for number in range(5)]
        for _ in range(3):
            hooks.run(replace(HURRY, time_limit_s=10.0, lease=timedelta(seconds=60)))
        await asyncio.gather(*[hooks.tell(40, shipment_id=f"S{number}") for number in range(5)])
        for webhook_id in ids:
            await hooks.all_are("delivered", webhook_id, 200)
    assert len(partner.got) == 1000
    assert len({(got.path, got.id) for got in partner.got}) == 1000


async def test_the_sequence_of_a_shipment_has_no_gap_whoever_tells(hooks: Hooks) -> None:
    await asyncio.gather(*[hooks.tell(3) for _ in range(20)])
    rows = await hooks.pool.fetch("SELECT (data->>'sequence')::int AS sequence FROM outbox ORDER BY 1")
    assert [row["sequence"] for row in rows] == list(range(1, 61))


async def test_a_body_too_large_leaves_out_what_makes_it_so(hooks: Hooks) -> None:
    async with receiver() as partner:
        webhook_id = await hooks.endpoint(partner.url)
        hooks.run()
        await hooks.tell(legs=["x" * 30_000], note="short")
        await hooks.all_are("delivered", webhook_id, 1)
    (got,) = partner.got
    assert len(got.body) < LARGEST_BODY
    assert got.message["data"]["left_out"] == ["legs"]
    assert got.message["data"]["note"] == "short"


async def test_what_was_claimed_and_not_sent_is_given_back_at_the_end(hooks: Hooks) -> None:
    async with receiver(HANG) as partner:
        webhook_id = await hooks.endpoint(partner.url)
        hooks.run(replace(HURRY, time_limit_s=15.0, lease=timedelta(seconds=60), end_within_s=0.1))
        await hooks.tell(30)
        await partner.until(lambda: len(partner.got) == 2)
        await hooks.stop()
    assert await hooks.pool.fetchval("SELECT count(*) FROM webhook_deliveries WHERE next_at <= now()") == 30
    assert await hooks.attempts(webhook_id) == []


async def test_who_is_told_to_stop_while_the_database_is_away_stops(hooks: Hooks) -> None:
    """It waits with a record that it cannot write, and has been waiting before it was told."""
    recording = asyncio.Event()

    async def away(_: FlakyConnection, run: Run) -> Any:
        recording.set()
        raise asyncpg.CannotConnectNowError("the database is starting")

    async with receiver() as partner:
        await hooks.endpoint(partner.url)
        await hooks.tell()
        await fan_out(hooks.pool)
        pool, stop = FlakyPool(hooks.pool, away, range(4, 10_000)), asyncio.Event()  # after the claim
        running = asyncio.create_task(Dispatcher(pool, LOOPBACK, HURRY).run(stop))  # type: ignore[arg-type]
        await asyncio.wait_for(recording.wait(), 10)
        await partner.until(lambda: bool(partner.got))
        stop.set()
        await asyncio.wait_for(running, 10)


async def test_what_an_endpoint_asks_for_holds_for_all_that_was_claimed_for_it(hooks: Hooks) -> None:
    busy = Reply(429, headers=(("Retry-After", "3"),))
    async with receiver() as partner:
        webhook_id = await hooks.endpoint(partner.url)
        hooks.run(replace(HURRY, time_limit_s=5.0, lease=timedelta(seconds=60)))
        await hooks.tell(5)
        await hooks.all_are("delivered", webhook_id, 5)  # it counts as fast from now on
        partner.answers, partner.got = lambda _: busy, []
        await hooks.tell(60)
        await hooks.until("SELECT hold_until > now() + interval '1 second' FROM webhooks")
        await asyncio.sleep(1.0)
        assert 1 <= len(partner.got) <= HURRY.of_each
        partner.answers = lambda _: OK
        await hooks.all_are("delivered", webhook_id, 65)


Change = Callable[[AsyncConnection, UUID, str], Awaitable[Any]]


@pytest.mark.parametrize(
    ("change", "state"),
    [
        (lambda on, id_, url: endpoints.change(on, id_, true(), {"url": url}), "delivered"),
        (lambda on, id_, _: endpoints.pause(on, id_, true()), "waiting"),
        (lambda on, id_, _: endpoints.remove(on, id_, true()), "waiting"),
        (lambda on, id_, _: endpoints.rotate(on, id_, true()), "delivered"),
    ],
    ids=["another URL", "paused", "removed", "another secret"],
)
async def test_a_change_counts_at_once_for_all_that_was_claimed(
    hooks: Hooks, database_url: str, change: Change, state: str
) -> None:
    async with receiver(HANG) as before, receiver() as after:
        webhook_id = await hooks.endpoint(before.url)
        hooks.run(replace(HURRY, time_limit_s=2.0, lease=timedelta(seconds=60)))
        await hooks.tell(10)
        await before.until(lambda: len(before.got) == 2)
        before.answers = lambda _: OK
        engine = engine_for(database_url)
        async with engine.begin() as connection:
            await change(connection, webhook_id, after.url)
        await engine.dispose()
        if state == "waiting":
            await hooks.until("SELECT count(*) = 8 FROM webhook_deliveries WHERE next_at <= now()")
            await asyncio.sleep(0.5)
            assert len(before.got) == 2
            return
        await hooks.all_are(state, webhook_id, 10)
        if after.got:
            assert (len(before.got), len(after.got)) == (2, 10)
        else:
            assert all(len(one.headers["webhook-signature"].split()) == 2 for one in before.got[2:])
