"""What is kept of refused messages, in a real database: quotas that hold across processes, and an end to it."""

import asyncio
from dataclasses import replace
from datetime import timedelta

from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from telemetry import refusals
from telemetry.ingest.evidence import EvidenceLimits
from telemetry.ingest.pipeline import Ingest
from tests.integration.telemetry.conftest import RECEIVED_AT, message, reading

LIMITS = EvidenceLimits(per_hour=5, per_day=8)
HOUR = timedelta(hours=1)


def garbage(content=b"{", device_id="LOG-1", at=RECEIVED_AT):
    return message(content, device_id, received_at=at)


def count(name, **labels):
    return REGISTRY.get_sample_value(name, labels) or 0


async def test_quotas_are_of_an_hour_and_a_day_and_what_is_over_is_counted(store):
    store.ingest = Ingest(store.pool, LIMITS)
    before = count("dewarwatch_refused_not_kept_total", reason="not_json")
    with capture_logs() as logs:
        for hour in range(3):
            outcome = await store.store(*[garbage(at=RECEIVED_AT + hour * HOUR)] * 7)
            assert [len(one.refusals) for one in outcome.messages] == [1] * 7  # the sender is told as ever
    assert await store.pool.fetchval("SELECT count(*) FROM refused_messages") == 8
    (quota,) = await store.pool.fetch("SELECT * FROM refusal_quotas")
    assert (quota["origin"], quota["reason"], quota["refused"]) == ("LOG-1", "not_json", 21)
    assert (quota["kept"], quota["not_kept"], quota["not_kept_bytes"]) == (8, 13, 13)
    assert (quota["first_not_kept_at"], quota["last_not_kept_at"]) == (RECEIVED_AT, RECEIVED_AT + 2 * HOUR)
    (row,) = await store.pool.fetch("SELECT * FROM refusals WHERE message_id IS NULL")
    assert (row["quota_id"], row["device_id"]) == (quota["id"], "LOG-1")
    assert [line["event"] for line in logs] == ["refused_not_kept"]
    assert count("dewarwatch_refused_not_kept_total", reason="not_json") == before + 13
    await store.store(garbage(at=RECEIVED_AT + timedelta(days=1)))
    assert await store.pool.fetchval("SELECT count(*) FROM refused_messages") == 9


async def test_conflicts_of_an_honest_logger_outlive_the_garbage_of_others_and_its_own(store):
    store.ingest = Ingest(store.pool, LIMITS)
    await store.store(message(reading(1)))
    await store.store(*[garbage(b"x" * 9000, "LOG-2"), garbage(b"x" * 9000), garbage(b"[]", "made-up")] * 20)
    await store.store(message(reading(1, -20.0)))
    (conflict,) = await store.pool.fetch("SELECT * FROM refusals WHERE reason = 'conflict'")
    assert "-20.0 but -178.25 is stored" in conflict["detail"]
    assert conflict["message_id"] is not None


async def test_two_processes_never_spend_the_same(store):
    ingests = [Ingest(store.pool, replace(LIMITS, per_hour=40, per_day=40)) for _ in range(8)]
    batches = [ingest.store([garbage()] * 3) for ingest in ingests for _ in range(5)]
    await asyncio.gather(*batches)
    (quota,) = await store.pool.fetch("SELECT * FROM refusal_quotas")
    assert (quota["refused"], quota["kept"], quota["not_kept"]) == (120, 40, 80)
    assert await store.pool.fetchval("SELECT count(*) FROM refused_messages") == 40


async def test_topics_that_nobody_has_share_one_quota(store):
    store.ingest = Ingest(store.pool, LIMITS)
    await store.store(*[garbage(b"{}", f"made-up-{number}") for number in range(100)])
    (quota,) = await store.pool.fetch("SELECT * FROM refusal_quotas")
    assert (quota["origin"], quota["kept"], quota["not_kept"]) == ("*", 5, 95)
    assert await store.pool.fetchval("SELECT max(length(origin)) FROM refused_messages") < 100


async def test_it_is_removed_after_its_retention_and_not_before(store):
    store.ingest = Ingest(store.pool, LIMITS)
    await store.store(*[garbage()] * 20)
    age = await store.pool.fetchval("SELECT now() - min(received_at) FROM refused_messages")
    async with store.pool.acquire() as connection:
        await refusals.prune(connection, age + timedelta(days=3), 1000)
        assert await connection.fetchval("SELECT count(*) FROM refusals") == 6
        await connection.execute("UPDATE refused_messages SET received_at = received_at - interval '1 year'")
        await connection.execute("UPDATE refusal_quotas SET day = day - 365")
        while await refusals.prune(connection, age + timedelta(days=3), 2):
            pass
        for table in ("refusals", "refused_messages", "refusal_quotas"):
            assert await connection.fetchval(f"SELECT count(*) FROM {table}") == 0


async def test_the_smallest_quota_has_room_for_the_longest_message(store):
    store.ingest = Ingest(store.pool, replace(LIMITS, bytes_per_hour=100 * 1024, bytes_of_each=65_536))
    await store.store(garbage(b"x" * 1_000_000))
    assert await store.pool.fetchval("SELECT octet_length(payload) FROM refused_messages") == 65_536
