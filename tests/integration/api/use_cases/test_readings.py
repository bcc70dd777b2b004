"""Readings handed in, without HTTP: stored, refused one by one, or refused as a whole and kept."""

from datetime import timedelta

import asyncpg
import orjson
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from api.refusals import Invalid, TooLarge, Unreadable
from api.transactions import begin
from api.use_cases import readings
from telemetry import refusals
from telemetry.ingest.pipeline import Ingest, MessageOutcome
from telemetry.model import RefusalReason
from tests.integration.api.use_cases.conftest import BEFORE, NOW, SHELL, of_acme, operator, planned


async def send(
    engine: AsyncEngine, pool: asyncpg.Pool, payload: bytes, *, acme: bool = False
) -> MessageOutcome:
    caller = of_acme("readings.send") if acme else operator("readings.send")
    stored, _ = await readings.send(
        engine, Ingest(pool), caller, payload, actor=SHELL, now=NOW, late=timedelta(days=30)
    )
    return stored


def body(*device_ids: str) -> bytes:
    at = (BEFORE + timedelta(hours=1)).isoformat()
    return orjson.dumps(
        {"readings": [{"device_id": id_, "measured_at": at, "temperature_c": -180.0} for id_ in device_ids]}
    )


@pytest.fixture(autouse=True)
async def _shipments(engine: AsyncEngine) -> None:
    async with begin(engine) as connection:
        await planned(connection, "S1", organization="acme", departed_at=BEFORE)
        await planned(connection, "S2", organization="bcell", departed_at=BEFORE)


async def test_a_bad_one_costs_only_itself(engine: AsyncEngine, pool: asyncpg.Pool) -> None:
    stored = await send(engine, pool, body("S1-logger", "none"))
    assert (stored.accepted, [one.reason for one in stored.refusals]) == (1, [RefusalReason.UNKNOWN_DEVICE])
    assert (await send(engine, pool, body("S1-logger"))).duplicates == 1


async def test_others_send_for_the_loggers_on_their_shipments(
    engine: AsyncEngine, pool: asyncpg.Pool
) -> None:
    stored = await send(engine, pool, body("S1-logger", "S2-logger"), acme=True)
    assert stored.accepted == 1
    assert [one.index for one in stored.refusals] == [1]


async def test_what_cannot_be_read_is_refused_as_a_whole_and_kept(
    engine: AsyncEngine, pool: asyncpg.Pool
) -> None:
    with pytest.raises(Unreadable, match="The readings were not stored: the message is not JSON"):
        await send(engine, pool, b"picnic")
    with pytest.raises(TooLarge):
        await send(engine, pool, orjson.dumps({"readings": [{"note": "x" * 70_000}]}))
    async with engine.connect() as connection:
        kept = await refusals.page(
            connection, reason=None, device_id=None, payload_bytes=10, after=None, limit=10
        )
    assert sorted(row["reason"] for row in kept.rows) == ["not_json", "too_large"]


@pytest.mark.parametrize(
    ("payload", "field"),
    [(b"[]", "body"), (b'{"readings": [], "x": 1}', "x"), (b'{"readings": []}', "readings")],
)
async def test_what_is_no_list_of_readings_is_refused(
    engine: AsyncEngine, pool: asyncpg.Pool, payload: bytes, field: str
) -> None:
    with pytest.raises(Invalid) as refused:
        await send(engine, pool, payload)
    assert list(refused.value.fields) == [field]
