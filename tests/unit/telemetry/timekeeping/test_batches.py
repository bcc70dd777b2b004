"""Readings whose time cannot be, in batches: each costs only itself, however the batch is stored."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from telemetry.ingest.build_batch import build_copy_batch, build_insert_batch, parse_messages
from telemetry.ingest.copy_batch import CopyBatch
from telemetry.model import RawMessage, RefusalReason, Source
from telemetry.timekeeping.possible_times import LoggerHistory

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
AGO = NOW - timedelta(days=3000)


def message(*instants: datetime, is_sure: bool = True) -> RawMessage:
    body = [{"measured_at": at.isoformat(), "temperature_c": 4.0} for at in instants]
    return RawMessage(Source.MQTT, "dewar/v1/D1/readings", json.dumps(body).encode(), NOW, is_sure)


async def looked_up(device_ids):
    assert device_ids == {"D1"}
    return {"D1": LoggerHistory(NOW, [(AGO, AGO + timedelta(days=1))])}


async def nobody(device_ids):
    raise AssertionError(f"nobody needs to know of {device_ids}")


@pytest.mark.parametrize("build", [build_copy_batch, build_insert_batch])
async def test_one_impossible_time_costs_only_itself(build):
    recent = [NOW - timedelta(seconds=second) for second in range(40)]
    old, impossible = AGO + timedelta(hours=1), AGO - timedelta(days=30)
    parsed = await parse_messages([message(*recent), message(*recent[:3], old, impossible)], {"D1"})
    batch = await build(parsed, looked_up)
    assert isinstance(batch, CopyBatch) is (build is build_copy_batch)
    assert batch.size == 40 + 4
    ((refusal,),) = [one.refusals for one in batch.messages if one.refusals]
    assert (refusal.reason, refusal.index, refusal.sent_at) == (RefusalReason.CLOCK_BEHIND, 4, impossible)


@pytest.mark.parametrize("build", [build_copy_batch, build_insert_batch])
async def test_nothing_is_looked_up_for_recent_readings_nor_while_our_clock_is_not_sure(build):
    recent = [NOW - timedelta(seconds=second) for second in range(40)]
    parsed = await parse_messages([message(*recent), message(*recent[:2], AGO, is_sure=False)], {"D1"})
    batch = await build(parsed, nobody)
    assert batch.size == 43
