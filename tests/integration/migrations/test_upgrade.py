"""The schema's history: repeatable, safe for two at once, equal to the tables, and refused where data would be lost."""

import asyncio
import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, true
from sqlalchemy.pool import NullPool
from structlog.testing import capture_logs

from alerts.views import alerts, excursions, figures_as_of
from alerts.views.as_of import FindingFilter
from api import schema_upgrade
from api.schema_upgrade import SchemaBusyError, alembic_config, pending, upgrade
from migrations.metadata import metadata
from telemetry import refusals, shipment_readings
from telemetry.database.connections import OF_MIGRATIONS, engine_for
from telemetry.database.server import ServerLevel, UnfitServerError
from tests.conftest import missing

FIRST_VERSION = (Path(__file__).parent / "first_version.sql").read_text()
OWNED = (Path(__file__).parent / "owned.sql").read_text()
NOT_LENT = (Path(__file__).parent / "not_lent.sql").read_text()
SECOND_VERSION = (Path(__file__).parent / "second_version.sql").read_text()


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
    if server.level is ServerLevel.PLAIN:
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


async def test_who_holds_a_table_delays_a_migration_and_not_the_service(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits for moments only, over and over, and says in the end who is in its way."""
    monkeypatch.setattr(schema_upgrade, "OF_MIGRATIONS", replace(OF_MIGRATIONS, lock_s=1))
    monkeypatch.setattr(schema_upgrade, "_AGAIN_AFTER_S", 0.05)
    engine = engine_for(database_url, poolclass=NullPool)
    async with engine.begin() as connection:
        await connection.run_sync(lambda sync: _downgrade_to(sync, "-1"))
    holder = await asyncpg.connect(database_url, server_settings={"application_name": "somebody's psql"})
    await holder.execute("BEGIN")
    await holder.execute("SELECT FROM alembic_version FOR UPDATE")
    with pytest.raises(
        SchemaBusyError, match=rf"somebody's psql, PID {holder.get_server_pid()}, idle in trans"
    ):
        await upgrade(database_url, busy_for_s=0)
    with capture_logs() as said:
        upgrading = asyncio.create_task(upgrade(database_url))
        async with asyncio.timeout(20):
            while not any(one["event"] == "migration_waits" for one in said):
                await asyncio.sleep(0.01)
    await holder.execute("ROLLBACK")
    await asyncio.wait_for(upgrading, 20)
    assert await pending(database_url) is None
    await holder.close()
    await engine.dispose()


def day(number: float) -> datetime:
    return datetime(2026, 3, 1, tzinfo=UTC) + timedelta(days=number)


def _upgrade_to(connection: Connection, revision: str) -> None:
    config = alembic_config()
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def _downgrade_to(connection: Connection, revision: str) -> None:
    config = alembic_config()
    config.attributes["connection"] = connection
    command.downgrade(config, revision)


async def test_what_the_first_version_kept_is_known_as_of_then(empty_database_url: str) -> None:
    engine = engine_for(empty_database_url)
    async with engine.begin() as connection:
        await connection.run_sync(_upgrade_to, "0001")
    filling = await asyncpg.connect(empty_database_url)
    await filling.execute(FIRST_VERSION)
    await filling.close()
    await upgrade(empty_database_url)
    async with engine.connect() as connection:
        revisions = (
            await connection.exec_driver_sql("SELECT * FROM shipment_revisions ORDER BY 1")
        ).mappings()
        first, second = revisions.all()
        assert (first["shipment_id"], first["revision"], first["step"]) == ("S1", 1, "created")
        assert (first["recorded_at"], first["departed_at"], first["delivered_at"]) == (day(0), day(1), day(4))
        assert [device["device_id"] for device in first["devices"]] == ["D1"]
        assert second["devices"] == []

        wanted = FindingFilter(visible=true(), as_of=day(2.5))
        (excursion,) = (await excursions.excursion_page(connection, wanted, after=None, limit=9)).rows
        assert (excursion["state"], excursion["end_at"], excursion["revision"]) == ("open", None, 1)
        (alert,) = (await alerts.alert_page(connection, wanted, after=None, limit=9)).rows
        assert (alert["state"], alert["message"], alert["revision"]) == ("acknowledged", "it began", 2)
        assert (alert["acknowledged_by"], alert["since"]) == ("key:dw_1", day(2))
        assert alert["until"] is alert["resolved_at"] is None
        which = shipment_readings.ReadingFilter(shipment_id="S1", as_of=day(2.5))
        trace = (await shipment_readings.page(connection, which, after=None, limit=9)).rows
        assert [reading["temperature_c"] for reading in trace] == [-180, -140]
        (device,) = await figures_as_of.summarize(connection, "S1", day(2.5))
        assert (device.figures.readings, device.figures.max_c) == (2, -140)
    await engine.dispose()


async def test_schedules_and_charges_from_before_are_on_record(empty_database_url: str) -> None:
    engine = engine_for(empty_database_url)
    async with engine.begin() as connection:
        await connection.run_sync(_upgrade_to, "0002")
    filling = await asyncpg.connect(empty_database_url)
    await filling.execute(SECOND_VERSION)
    await filling.close()
    await upgrade(empty_database_url)
    async with engine.connect() as connection:
        rows = (await connection.exec_driver_sql("SELECT * FROM shipment_revisions ORDER BY 1, 2")).mappings()
        first, second, other = rows.all()
        for row in (first, second):
            assert (row["dewar_id"], row["origin"], row["destination"]) == ("W1", "FRA", "JFK")
            assert row["legs"] == [{"from": "FRA", "to": "JFK"}]
            assert (row["planned_departure"], row["planned_arrival"]) == (day(1), day(2))
            assert (row["packed_out_at"], row["use_by"]) == (day(0), day(9))
        assert (other["legs"], other["dewar_id"], other["use_by"]) == ([], None, None)
        (charge,) = (await connection.exec_driver_sql("SELECT * FROM dewar_charges")).mappings().all()
        assert (charge["dewar_id"], charge["charged_at"], charge["ln2_kg"]) == ("W1", day(0), None)
        assert (charge["recorded_at"], charge["by"]) == (day(0.5), "migration")
        dewars = (await connection.exec_driver_sql("SELECT * FROM dewar_revisions ORDER BY 1")).mappings()
        kept = [(row["dewar_id"], row["revision"], row["recorded_at"], row["by"]) for row in dewars]
        assert kept == [(name, 1, day(0.5), "migration") for name in ("W1", "W2")]
    await engine.dispose()


async def test_down_and_up_again_gives_the_same_schema(database_url: str) -> None:
    engine = engine_for(database_url)
    async with engine.begin() as connection:
        await connection.run_sync(_downgrade_to, "0002")
    await upgrade(database_url)
    async with engine.connect() as connection:
        difference = await connection.run_sync(
            lambda sync: compare_metadata(MigrationContext.configure(sync), metadata)
        )
    await engine.dispose()
    assert difference == []


_READABLE_THEN = "SELECT shipment_id FROM outbox ORDER BY transaction_id, id"
_READABLE_NOW = "SELECT shipment_id FROM outbox ORDER BY position"


async def test_events_keep_their_order_and_who_has_read_them_goes_on_where_he_was(
    empty_database_url: str,
) -> None:
    """Whether the schema goes forward or back: of what was told and handed on before, and what is told later."""
    engine = engine_for(empty_database_url)

    async def tell(connection: asyncpg.Connection, *shipment_ids: str) -> None:
        for id_ in shipment_ids:
            await connection.execute(
                "INSERT INTO outbox (type, shipment_id, data) VALUES ('x', $1, '{}')", id_
            )

    async with engine.begin() as connection:
        await connection.run_sync(_upgrade_to, "0010")
    first = await asyncpg.connect(empty_database_url)
    second = await asyncpg.connect(empty_database_url)
    try:
        await tell(first, "handed on")
        await first.execute(
            "UPDATE webhook_fanout SET (transaction_id, outbox_id) = (SELECT transaction_id, id FROM outbox)"
        )
        async with first.transaction():
            await tell(first, "early 1")
            async with second.transaction():
                await tell(second, "late 1")
                await tell(first, "early 2")
                await tell(second, "late 2")
        await first.execute(
            "INSERT INTO webhooks (id, url, secret, created_by) VALUES (gen_random_uuid(), 'u', 's', 'k')"
        )
        before = [row[0] for row in await first.fetch(_READABLE_THEN)]
        assert before == ["handed on", "early 1", "early 2", "late 1", "late 2"]
        await upgrade(empty_database_url)
        assert [row[0] for row in await first.fetch(_READABLE_NOW)] == before
        assert await first.fetchval("SELECT position FROM webhook_fanout") == 1
        assert await first.fetchval("SELECT since_position FROM webhooks") == 5
        await tell(first, "after")
        assert [row[0] for row in await first.fetch(_READABLE_NOW)] == [*before, "after"]
        assert await first.fetchval("SELECT max(position) FROM outbox") == 6
    finally:
        await second.close()
        await first.close()
    async with engine.begin() as connection:
        await connection.run_sync(_downgrade_to, "0010")
        assert (await connection.exec_driver_sql(_READABLE_THEN)).scalars().all() == [*before, "after"]
        waiting = await connection.exec_driver_sql(
            "SELECT shipment_id FROM outbox WHERE (transaction_id, id) > "
            "(SELECT transaction_id, outbox_id FROM webhook_fanout) ORDER BY transaction_id, id"
        )
        assert waiting.scalars().all() == [*before[1:], "after"]
        wanted = await connection.exec_driver_sql(
            "SELECT shipment_id FROM outbox, webhooks WHERE transaction_id >= since_transaction"
        )
        assert wanted.scalars().all() == ["after"]
    await engine.dispose()


async def test_going_back_behind_ownership_leaves_alerts_that_can_be_acknowledged(database_url: str) -> None:
    filling = await asyncpg.connect(database_url)
    await filling.execute(OWNED)
    await filling.close()
    engine = engine_for(database_url)
    async with engine.begin() as connection:
        await connection.run_sync(_downgrade_to, "0005")
    async with engine.connect() as connection:
        found = await connection.exec_driver_sql(
            "SELECT state, acknowledged_at IS NULL AS unseen, acknowledged_by FROM alerts ORDER BY id"
        )
        taken, asleep, over = found.mappings().all()
    assert (taken["state"], taken["unseen"]) == ("acknowledged", False)
    assert (asleep["state"], asleep["unseen"], asleep["acknowledged_by"]) == ("firing", True, None)
    assert (over["state"], over["unseen"]) == ("resolved", False)
    await upgrade(database_url)
    async with engine.connect() as connection:
        owners = await connection.exec_driver_sql("SELECT owner FROM alerts ORDER BY id")
        assert owners.scalars().all() == ["key:kim", None, None]
        marks = await connection.exec_driver_sql("SELECT scope FROM attention_marks")
        assert marks.scalars().all() == ["acme/S1"]
    await engine.dispose()


async def test_what_each_has_is_lent_to_it_and_forged_charges_are_told_apart(empty_database_url: str) -> None:
    engine = engine_for(empty_database_url)
    async with engine.begin() as connection:
        await connection.run_sync(_upgrade_to, "0012")
    filling = await asyncpg.connect(empty_database_url)
    await filling.execute(NOT_LENT)
    await filling.close()
    await upgrade(empty_database_url)
    async with engine.connect() as connection:
        run = connection.exec_driver_sql
        assigned = await run(
            "SELECT shipment_id, dewar_id, starts_at, ends_at FROM dewar_assignments ORDER BY 1"
        )
        assert [tuple(row) for row in assigned] == [
            ("acme/B3", "W2", day(4), day(6)),  # from when the one before was over
            # Not A1, which is planned and named it first, nor A2, which came later.
            ("bcell/B1", "W1", day(3), None),
            ("bcell/B2", "W2", day(1), day(4)),
        ]
        lent = await run(
            'SELECT device_id, organization, starts_at, ends_at, "by" FROM device_loans ORDER BY device_id'
        )
        assert [tuple(row) for row in lent] == [
            ("L1", "bcell", day(3), None, "migration"),
            ("L2", "acme", day(4), None, "migration"),
        ]
        lent = await run(
            "SELECT dewar_id, organization, starts_at, ends_at FROM dewar_loans ORDER BY dewar_id"
        )
        assert [tuple(row) for row in lent] == [
            ("W1", "bcell", day(3), None),
            ("W2", "acme", day(4), None),
        ]
        charges = await run('SELECT "by", organization FROM dewar_charges ORDER BY charged_at')
        assert [tuple(row) for row in charges] == [
            ("key:dw_b", "bcell"),
            ("key:dw_a", "acme"),
            ("key:dw_courier", "bcell"),
            ("key:dw_ops", None),
        ]
        marks = await run("SELECT shipment_id FROM evaluation_marks ORDER BY 1")
        assert marks.scalars().all() == ["acme/A2", "bcell/B1"]
    await engine.dispose()


COURIER_KEYS = """
INSERT INTO organizations (slug) VALUES ('acme'), ('bcell');
INSERT INTO shipments (shipment_id, organization, band, plan)
    VALUES ('A1', 'acme', 'room', '{}'), ('A2', 'acme', 'room', '{}'), ('B1', 'bcell', 'room', '{}'), ('N1', NULL, 'room', '{}');
INSERT INTO evaluations (shipment_id) VALUES ('A1'), ('B1');
INSERT INTO shipment_revisions (shipment_id, revision, recorded_at, step, "by", plan, plan_revision, schedule_revision, devices)
    SELECT 'A1', n, now(), 'created', 'key:k', '{}', 1, 1, '[]' FROM generate_series(1, 3) AS n;
INSERT INTO api_keys (id, prefix, hash, role, organization, shipment_ids, created_by)
    SELECT gen_random_uuid(), prefix, '', role, organization, ids, 'k' FROM (VALUES
        ('one', 'courier', NULL, ARRAY['A1', 'A2']), ('several', 'courier', NULL, ARRAY['A1', 'B1']),
        ('nobodys', 'courier', NULL, ARRAY['N1']), ('with-nobodys', 'courier', NULL, ARRAY['A1', 'N1']),
        ('bound', 'courier', 'acme', ARRAY['A1', 'B1']), ('unknown', 'courier', NULL, ARRAY['none']),
        ('ops', 'ops', NULL, ARRAY['A1', 'B1'])
    ) AS k(prefix, role, organization, ids);
"""


async def test_keys_of_couriers_are_bound_to_one_organization(empty_database_url: str) -> None:
    engine = engine_for(empty_database_url)
    async with engine.begin() as connection:
        await connection.run_sync(_upgrade_to, "0012")
    filling = await asyncpg.connect(empty_database_url)
    await filling.execute(COURIER_KEYS)
    await upgrade(empty_database_url)
    rows = await filling.fetch("SELECT prefix, organization, revoked_at IS NOT NULL FROM api_keys ORDER BY 1")
    assert [tuple(row) for row in rows] == [
        ("bound", "acme", False),
        ("nobodys", None, False),
        ("one", "acme", False),
        ("ops", None, False),
        ("several", None, True),
        ("unknown", None, False),
        ("with-nobodys", None, True),
    ]
    judged = await filling.fetch("SELECT shipment_id, judged_revision FROM evaluations ORDER BY 1")
    assert [tuple(row) for row in judged] == [("acme/A1", 3), ("bcell/B1", 0)]
    async with engine.begin() as connection:
        await connection.run_sync(_downgrade_to, "0012")
    await filling.close()
    await engine.dispose()


async def test_refusals_that_are_stored_whole_are_shown_whole_and_webhooks_get_their_owners(
    empty_database_url: str,
) -> None:
    engine = engine_for(empty_database_url)
    async with engine.begin() as connection:
        await connection.run_sync(_upgrade_to, "0012")
    filling = await asyncpg.connect(empty_database_url)
    await filling.execute(
        """
        INSERT INTO refused_messages (received_at, source, origin, payload)
        SELECT now(), 'http', 'dw_1', convert_to(repeat('x', size), 'UTF8') FROM unnest(ARRAY[10, 100000]) AS size;
        INSERT INTO refusals (message_id, reason, detail) SELECT id, 'not_json', 'x' FROM refused_messages;
        INSERT INTO organizations (slug) VALUES ('acme');
        INSERT INTO api_keys (id, prefix, hash, role, organization, shipment_ids, created_by, revoked_at)
        SELECT gen_random_uuid(), prefix, '', 'ops', organization, shipment_ids::text[], 'x', revoked_at::timestamptz
        FROM (VALUES ('dw_1', NULL, '{S1}', NULL), ('dw_2', NULL, '{S1}', '2026-01-01'), ('dw_3', 'acme', '{S1}', NULL),
            ('dw_4', NULL, NULL, NULL)) AS k(prefix, organization, shipment_ids, revoked_at);
        INSERT INTO webhooks (id, url, secret, created_by) SELECT gen_random_uuid(), 'x', '', 'key:' || prefix FROM api_keys;
        """
    )
    files = "SELECT pg_relation_filenode('refused_messages'), pg_relation_filenode('refusals')"
    before = await filling.fetchrow(files)
    await upgrade(empty_database_url)
    assert await filling.fetchrow(files) == before  # not rewritten
    owners = await filling.fetch(
        "SELECT created_by, key_prefix, ends_at::date::text FROM webhooks ORDER BY 1"
    )
    assert [tuple(row) for row in owners] == [
        ("key:dw_1", "dw_1", None),
        ("key:dw_2", "dw_2", "2026-01-01"),
        ("key:dw_3", None, None),
        ("key:dw_4", None, None),
    ]
    await filling.close()
    async with engine.connect() as connection:
        asked: Any = {"reason": None, "device_id": None, "payload_bytes": 4096, "after": None, "limit": 9}
        long, short = (await refusals.page(connection, **asked)).rows
        assert (long["size"], len(long["payload"]), long["sha256"]) == (100_000, 4096, None)
        assert (short["size"], short["sha256"]) == (10, hashlib.sha256(b"x" * 10).digest())
        whole = await refusals.get(connection, long["id"])
        assert whole is not None
        assert (len(whole["payload"]), whole["sha256"]) == (100_000, hashlib.sha256(b"x" * 100_000).digest())
    await engine.dispose()
