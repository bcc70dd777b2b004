"""Suspensions as the database has them: when they end."""

from datetime import timedelta

import asyncpg
import pytest

from telemetry.mqtt.guard import Guard

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


@pytest.mark.parametrize(
    ("since", "lasts"),
    [(-MINUTE / 2, True), (-2 * MINUTE, False), (HOUR, False)],
    ids=["on", "over", "ahead"],
)
async def test_a_suspension_lasts_no_longer_for_a_clock_that_was_ahead(
    database_url: str, since: timedelta, lasts: bool
) -> None:
    async with asyncpg.create_pool(database_url, min_size=1, max_size=2) as pool:
        await pool.execute("INSERT INTO devices (device_id) VALUES ('D1')")
        await pool.execute(
            "INSERT INTO device_suspensions (device_id, since, until, reason, times) "
            "VALUES ('D1', now() + $1::interval, now() + $1::interval + $2::interval, 'volume', 1)",
            since,
            MINUTE,
        )
        guard = Guard(pool, accounts=None)
        await guard._reconcile()
        assert bool(guard.unwanted) == lasts
        assert await pool.fetchval("SELECT lifted_at IS NULL FROM device_suspensions") == lasts
