"""What others do to alerts between the moment they are read and the moment they are written is not undone."""

from collections.abc import Awaitable, Callable

import pytest
from sqlalchemy import true
from sqlalchemy.ext.asyncio import create_async_engine

from alerts.attention import loop as attention
from alerts.attention.loop import decide_due
from alerts.evaluation import loop as evaluating
from alerts.evaluation.claim import DueShipments
from alerts.evaluation.judge_batch import Judging
from alerts.evaluation.loop import judge_batch
from alerts.triage.act import comment
from telemetry.actor import Actor, ActorKind
from tests.integration.alerts.conftest import Desk, minute

KIM = Actor(ActorKind.USER, "kim")
FROST = [(minute(n), -180.0) for n in range(5)]
WARM = [(minute(n), -135.0 + n / 2) for n in range(5, 20)]
WARMER = [(minute(n), -120.0 + n / 2) for n in range(20, 25)]


def after_loading(monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[], Awaitable[object]]) -> None:
    """Have something happen once, after the next evaluation has read the alerts and before it decides."""

    async def judge_later(due: DueShipments, judging: Judging) -> object:
        monkeypatch.setattr(evaluating, "judge_batch", judge_batch)
        await meanwhile()
        return await judge_batch(due, judging)

    monkeypatch.setattr(evaluating, "judge_batch", judge_later)


async def decide_all(desk: Desk) -> None:
    while await decide_due(desk.pool):
        pass


async def test_an_alert_that_finds_its_incident_during_an_evaluation_stays_in_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await desk.ship()
    await desk.store(FROST + WARM)
    await desk.evaluate()
    await desk.store(WARMER)
    after_loading(monkeypatch, lambda: decide_all(desk))
    await desk.evaluate()
    assert await desk.pool.fetchval("SELECT count(*) FROM alerts WHERE incident_id IS NULL") == 0
    await decide_all(desk)
    assert (
        await desk.pool.fetchval("SELECT count(*) FROM incident_revisions WHERE reason = 'all_resolved'") == 0
    )


async def test_a_comment_during_an_evaluation_counts_as_a_deed(
    desk: Desk, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await desk.ship()
    await desk.store(FROST + WARM)
    await desk.evaluate()
    alert_id = (await desk.alerts())["excursion"]["id"]
    engine = create_async_engine(database_url.replace("postgresql://", "postgresql+asyncpg://"))

    async def say_something() -> None:
        async with engine.begin() as connection:
            await comment(connection, alert_id, visible=true(), actor=KIM, text="On my way.")

    await desk.store(WARMER)
    after_loading(monkeypatch, say_something)
    await desk.evaluate()
    await engine.dispose()
    alert = (await desk.alerts())["excursion"]
    assert alert["last_action_at"] is not None
    assert alert["revision"] > 1


async def test_a_comment_while_an_acknowledgement_runs_out_keeps_it(
    desk: Desk, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await desk.ship()
    await desk.store(FROST + WARM)
    await desk.evaluate()
    await decide_all(desk)
    await desk.pool.execute(
        "UPDATE alerts SET state = 'acknowledged', owner = 'Kim', acknowledged_by = 'Kim', "
        "acknowledged_at = now() - interval '2 days', last_action_at = now() - interval '2 days'"
    )
    alert_id = (await desk.alerts())["excursion"]["id"]
    engine = create_async_engine(database_url.replace("postgresql://", "postgresql+asyncpg://"))
    load = attention.claim

    async def say_something_then(*args: object) -> object:
        claimed = await load(*args)  # type: ignore[arg-type]
        monkeypatch.setattr(attention, "claim", load)
        async with engine.begin() as connection:
            await comment(connection, alert_id, visible=true(), actor=KIM, text="On my way.")
        return claimed

    monkeypatch.setattr(attention, "claim", say_something_then)
    await decide_all(desk)
    await engine.dispose()
    assert (await desk.alerts())["excursion"]["state"] == "acknowledged"
