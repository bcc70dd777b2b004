"""The schema's history: repeatable, safe for two at once, equal to the tables, and refused where data would be lost."""

import asyncio

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from migrations.metadata import metadata
from migrations.upgrade import engine_for, pending, upgrade
from telemetry.server import Level, UnfitServerError
from tests.conftest import missing


async def test_two_at_once_and_once_more(empty_database_url: str) -> None:
    assert "nothing" in str(await pending(empty_database_url))
    first, second = await asyncio.gather(upgrade(empty_database_url), upgrade(empty_database_url))
    third = await upgrade(empty_database_url)
    assert first == second == third
    assert await pending(empty_database_url) is None


async def test_the_migrated_schema_is_that_of_the_tables(database_url: str) -> None:
    engine = engine_for(database_url)
    try:
        async with engine.connect() as connection:
            difference = await connection.run_sync(
                lambda sync: compare_metadata(MigrationContext.configure(sync), metadata)
            )
    finally:
        await engine.dispose()
    assert difference == []


async def test_readings_are_a_hypertable_on_timescaledb(database_url: str) -> None:
    server = await upgrade(database_url)
    if server.level is Level.PLAIN:
        missing("TimescaleDB")
    connection = await asyncpg.connect(database_url)
    tables = await connection.fetch("SELECT hypertable_name FROM timescaledb_information.hypertables")
    await connection.close()
    assert [row["hypertable_name"] for row in tables] == ["readings"]


async def test_a_server_that_would_lose_data_is_refused_with_the_setting_to_change(
    empty_database_url: str,
) -> None:
    connection = await asyncpg.connect(empty_database_url)
    name = await connection.fetchval("SELECT current_database()")
    await connection.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
    await connection.close()
    with pytest.raises(UnfitServerError, match="synchronous_commit = off"):
        await upgrade(empty_database_url)
    assert "nothing" in str(await pending(empty_database_url))
