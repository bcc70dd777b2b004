"""A newer version's migration adds columns while this version runs: nothing of it fails."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from alerts.attention.loop import decide_due
from alerts.evaluation.fleet_outage import hear_fleet
from alerts.evaluation.loop import evaluate_due
from alerts.work.errors import TRY_AGAIN
from api.http.problems import is_passing
from tests.integration.api.conftest import Desk

REPOSITORY = Path(__file__).parents[3]
STAR = re.compile(
    r"(?:select|returning)\s+\*(?!\s+from unnest)|(?<!\\)\b[a-z]\w*\.\*(?=[,\s])", re.IGNORECASE
)
# Of what a function or a subquery of the same statement returns, which the schema does not change.
FIXED = {"sent.*", "last.*", "r.*", "s.*", "p.*"}
"""Of arrays, whose columns the statement names, and of the row type of the table that a row is put back into."""
TABLES = "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace"
LISTS = (
    "alerts", "contacts", "devices", "dewars", "incidents", "policies", "products", "rejected", "security-events",
    "shipments", "sites", "webhooks",
)  # fmt: skip


def test_no_statement_selects_whatever_columns_there_are() -> None:
    found = [
        f"{path.relative_to(REPOSITORY)}: {match[0]}"
        for package in ("telemetry", "alerts", "api")
        for path in (REPOSITORY / package).rglob("*.py")
        for match in STAR.finditer(path.read_text())
        if match[0] not in FIXED
    ]
    assert found == []


async def _work(desk: Desk, name: str) -> None:
    """Everything that a shipment goes through: stored, judged, attended to, shown."""
    now = datetime.now(UTC)
    minutes = [now - timedelta(minutes=minute) for minute in range(30, 0, -1)]
    made = await desk.admin.post("/v1/dewars", json={"dewar_id": f"{name}-dewar", "model": "CX500"})
    assert made.status_code == 201, made.text
    await desk.ship(name, dewar_id=f"{name}-dewar")
    departed = await desk.admin.post(
        f"/v1/shipments/{name}/depart", json={"at": (now - timedelta(hours=1)).isoformat()}
    )
    assert departed.status_code == 200, departed.text
    for some, celsius in ((minutes[:15], -190.0), (minutes[15:], -80.0)):
        await desk.store(f"{name}-logger", *((at, celsius) for at in some))
        while await evaluate_due(desk.pool):
            pass
    while await decide_due(desk.pool):
        pass
    await hear_fleet(desk.pool)
    found = await desk.items("/v1/alerts", shipment_id=name)
    assert "excursion" in {alert["kind"] for alert in found}
    for noun in LISTS:
        answer = await desk.admin.get(f"/v1/{noun}")
        assert answer.status_code == 200, (noun, answer.text)
    for view in ("", "/excursions", "/forecast", "/summary", "/readings"):
        answer = await desk.admin.get(f"/v1/shipments/{name}{view}")
        assert answer.status_code in {200, 404}, (view, answer.text)


async def test_old_code_runs_on_against_the_next_schema(desk: Desk) -> None:
    await _work(desk, "BEFORE")
    for row in await desk.pool.fetch(TABLES):
        await desk.pool.execute(
            f"ALTER TABLE \"{row['relname']}\" ADD COLUMN of_the_next_version text DEFAULT 'new'"
        )
    await _work(desk, "AFTER")


async def test_a_changed_type_costs_a_loop_one_attempt(desk: Desk) -> None:
    async with desk.pool.acquire() as connection:
        await connection.execute("CREATE TABLE t (x int)")
        async with connection.transaction():
            await connection.fetch("SELECT x FROM t")
        await desk.pool.execute("ALTER TABLE t ALTER x TYPE text")
        with pytest.raises(TRY_AGAIN) as caught:
            async with connection.transaction():
                await connection.fetch("SELECT x FROM t")
        assert isinstance(caught.value, asyncpg.InvalidCachedStatementError)
        async with connection.transaction():
            assert await connection.fetch("SELECT x FROM t") == []


async def test_a_changed_type_costs_a_call_one_attempt(desk: Desk) -> None:
    await desk.pool.execute("CREATE TABLE t (x int); GRANT SELECT ON t TO PUBLIC")
    engine = desk.services.engine
    async with engine.connect() as connection:
        await connection.execute(text("SELECT x FROM t"))
        await connection.rollback()
        await desk.pool.execute("ALTER TABLE t ALTER x TYPE text")
        with pytest.raises(DBAPIError) as caught:
            await connection.execute(text("SELECT x FROM t"))
        assert is_passing(caught.value)
        await connection.rollback()
        assert (await connection.execute(text("SELECT x FROM t"))).all() == []
