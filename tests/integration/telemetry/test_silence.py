"""Freshness and silence agree between SQL and Python: thousands of samples, limits to the microsecond."""

import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import product
from math import inf

import asyncpg
import pytest

from telemetry.freshness import fresh_for, fresh_for_sql
from telemetry.silence import announced_until, announced_until_sql, heard_until, heard_until_sql

SAMPLES = 1000
START, DAY_US = datetime(2026, 11, 21, tzinfo=UTC), 86_400_000_000
SPANS_US = (0, 1, 2, 999_999, 1_800_000_000, 3_600_000_000, DAY_US, DAY_US + 1, 30 * DAY_US)
BOUNDS = (None, timedelta(0), timedelta(microseconds=1), timedelta(hours=1), timedelta(hours=24))


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


def literal(span: timedelta | None) -> str | None:
    return None if span is None else f"interval '{span // timedelta(microseconds=1)} microseconds'"


async def test_silence(connection: asyncpg.Connection, run_seed: int) -> None:
    chance = random.Random(run_seed)
    for longest, landing in product(BOUNDS, BOUNDS):
        await check_silence(connection, chance, longest, landing)


async def check_silence(
    connection: asyncpg.Connection,
    chance: random.Random,
    longest: timedelta | None,
    landing: timedelta | None,
) -> None:

    def span() -> timedelta:
        return timedelta(microseconds=chance.choice(SPANS_US) + chance.choice((0, 0, 1)))

    seen = [START + span() for _ in range(SAMPLES)]
    fresh = [span() for _ in seen]
    announced = [chance.choice((None, at + span(), at - span(), START + span())) for at in seen]
    bounds = {"longest": literal(longest), "landing": literal(landing)}
    rows = await connection.fetch(
        f"SELECT {announced_until_sql('seen', 'announced', **bounds)} AS excused, "
        f"{heard_until_sql('seen', 'fresh', 'announced', **bounds)} AS heard "
        "FROM unnest($1::timestamptz[], $2::interval[], $3::timestamptz[]) AS sample (seen, fresh, announced)",
        seen,
        fresh,
        announced,
    )
    expected = [
        (
            announced_until(at, until, longest=longest, landing=landing),
            heard_until(at, valid, until, longest=longest, landing=landing),
        )
        for at, valid, until in zip(seen, fresh, announced, strict=True)
    ]
    assert [tuple(row) for row in rows] == expected


async def test_of_what_was_never_seen_sql_knows_nothing(connection: asyncpg.Connection) -> None:
    until = heard_until_sql("NULL::timestamptz", "interval '1 h'", "now()")
    assert await connection.fetchval(f"SELECT {until}") is None


async def test_freshness(connection: asyncpg.Connection, run_seed: int) -> None:
    chance = random.Random(run_seed)
    for intervals in (0, 1, 3, 2.5):
        await check_freshness(connection, chance, intervals)


async def check_freshness(connection: asyncpg.Connection, chance: random.Random, intervals: float) -> None:
    interval = [chance.choice((None, 0.0, 1e-9, 0.1, 60.0, 900.0, 86_400.0)) for _ in range(SAMPLES)]
    bounds = [[chance.choice((0.0, 1.0, 900.0, 1800.0, 1e9)) for _ in interval] for _ in range(3)]
    both = fresh_for_sql(
        "interval_s", intervals, otherwise="otherwise", at_least="at_least", at_most="at_most"
    )
    rows = await connection.fetch(
        f"SELECT {both} AS bounded, {fresh_for_sql('interval_s', intervals, otherwise='otherwise')} AS free "
        "FROM unnest($1::float8[], $2::float8[], $3::float8[], $4::float8[]) "
        "AS sample (interval_s, otherwise, at_least, at_most)",
        interval,
        *bounds,
    )
    expected = [
        (
            fresh_for(every, intervals, otherwise=otherwise, at_least=at_least, at_most=at_most),
            fresh_for(every, intervals, otherwise=otherwise, at_most=inf),
        )
        for every, otherwise, at_least, at_most in zip(interval, *bounds, strict=True)
    ]
    assert [tuple(row) for row in rows] == expected
