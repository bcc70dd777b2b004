"""The attention loop on the real database: incidents, marks, and what goes wrong for one scope."""

import asyncio
from datetime import timedelta

import asyncpg
import pytest

from alerts.attention import loop
from alerts.attention.decide import ScopeDecision, ScopeView, decide
from alerts.attention.loop import decide_due, run_attention
from alerts.model import Instant
from tests.integration.alerts.conftest import Desk, minute

WARM = [(minute(n), -180.0) for n in range(5)] + [(minute(n), -135.0 + n / 2) for n in range(5, 30)]
COLD = [(minute(n), -180.0) for n in range(30, 60)]


async def decide_all(desk: Desk) -> None:
    while await decide_due(desk.pool):
        pass


async def row(desk: Desk, query: str, *args: object) -> asyncpg.Record:
    found = await desk.pool.fetchrow(query, *args)
    assert found is not None
    return found


async def marks(desk: Desk) -> int:
    return int(await desk.pool.fetchval("SELECT count(*) FROM attention_marks"))


async def test_alerts_of_one_cause_are_one_incident_which_closes_with_them(desk: Desk) -> None:
    await desk.ship(budget_s=600)
    await desk.store(WARM)
    await desk.evaluate()
    await decide_all(desk)
    alerts = await desk.alerts()
    incident_id = alerts["excursion"]["incident_id"]
    assert alerts["budget_exhausted"]["incident_id"] == incident_id
    assert alerts["signal_lost"]["incident_id"] != incident_id
    incident = await row(desk, "SELECT * FROM incidents WHERE id = $1", incident_id)
    # The probe jumped, so that it is the first to be suspected.
    assert (incident["state"], incident["severity"], incident["kind"]) == ("open", "critical", "probe_fault")
    assert incident["headline"].startswith(alerts["probe_fault"]["message"])
    assert " → Stability budget" in incident["headline"]
    await desk.pool.execute("UPDATE alerts SET state = 'resolved', resolved_at = now(), until = now()")
    await decide_all(desk)
    assert await desk.pool.fetchval("SELECT count(*) FROM incidents WHERE state = 'open'") == 0
    told = [type_ for type_, data in await desk.told() if data["id"] == str(incident_id)]
    assert told == ["incident.opened", "incident.closed"]


async def test_what_people_need_not_hear_of_leaves_no_mark(desk: Desk) -> None:
    await desk.ship()
    await desk.store(WARM)
    await desk.evaluate()
    await decide_all(desk)
    assert await marks(desk) == 0
    await desk.pool.execute("UPDATE alerts SET message = 'colder', details = '{\"x\": 1}'")
    assert await marks(desk) == 0
    await desk.pool.execute("UPDATE alerts SET owner = 'Kim'")
    assert await marks(desk) == 1  # one for all alerts of the shipment
    await desk.pool.execute("UPDATE alerts SET owner = 'Kim'")
    assert await marks(desk) == 1


async def test_a_scope_that_fails_is_set_aside_and_the_others_are_decided_about(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("S1", "S2"):
        await desk.ship(name, f"D-{name}")
        await desk.store(WARM, name, f"D-{name}")
    await desk.evaluate()
    right = decide

    def wrong(view: ScopeView, now: Instant, new_id: object) -> ScopeDecision:
        if view.scope == "S1":
            raise ValueError("no sense in it")
        return right(view, now, new_id)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "decide", wrong)
    await decide_all(desk)
    bad, good = await desk.pool.fetch("SELECT * FROM attention ORDER BY scope")
    assert (bad["failures"], bad["error"]) == (1, "ValueError: no sense in it")
    assert bad["attend_at"] is not None
    assert (good["failures"], good["error"]) == (0, None)
    assert {one["shipment_id"] for one in await desk.pool.fetch("SELECT * FROM incidents")} == {"S2"}
    monkeypatch.setattr(loop, "decide", right)
    await desk.pool.execute("UPDATE attention SET attend_at = now() - interval '1 second' WHERE scope = 'S1'")
    await decide_all(desk)
    again = await row(desk, "SELECT * FROM attention WHERE scope = 'S1'")
    assert (again["failures"], again["error"]) == (0, None)


async def test_a_row_that_cannot_be_read_costs_only_its_scope(desk: Desk) -> None:
    for name in ("S1", "S2"):
        await desk.ship(name, f"D-{name}")
        await desk.store(WARM, name, f"D-{name}")
    await desk.evaluate()
    await desk.pool.execute("UPDATE alerts SET kind = 'unheard_of' WHERE shipment_id = 'S1'")
    await decide_all(desk)
    errors = await desk.pool.fetch("SELECT scope, error FROM attention ORDER BY scope")
    assert "unheard_of" in errors[0]["error"]
    assert errors[1]["error"] is None


async def test_several_processes_at_once_make_one_incident_of_one_cause(desk: Desk) -> None:
    names = [f"S{n}" for n in range(20)]
    for name in names:
        await desk.ship(name, f"D-{name}", budget_s=600)
        await desk.store(WARM, name, f"D-{name}")
    await desk.evaluate()
    stop = asyncio.Event()
    others = [asyncio.create_task(run_attention(desk.pool, stop)) for _ in range(3)]
    for name in names:
        await desk.store(COLD, name, f"D-{name}")
    await desk.evaluate()

    async def done() -> bool:
        left = "SELECT count(*) FROM alerts WHERE incident_id IS NULL"
        return await marks(desk) == 0 and await desk.pool.fetchval(left) == 0

    async with asyncio.timeout(30):
        while not await done():
            await decide_due(desk.pool, 3)
    stop.set()
    await asyncio.gather(*others)
    per = await desk.pool.fetch(
        "SELECT shipment_id, count(DISTINCT incident_id) AS incidents FROM alerts "
        "WHERE kind IN ('excursion', 'budget_exhausted') GROUP BY shipment_id"
    )
    assert {one["incidents"] for one in per} == {1}
    assert len(per) == len(names)
    gaps = "SELECT count(*) FROM incidents AS i WHERE revision <> (SELECT count(*) FROM incident_revisions WHERE incident_id = i.id)"
    assert await desk.pool.fetchval(gaps) == 0


async def test_evaluation_keeps_what_people_did(desk: Desk) -> None:
    await desk.ship()
    await desk.store(WARM)
    await desk.evaluate()
    await decide_all(desk)
    before = (await desk.alerts())["excursion"]
    await desk.pool.execute(
        "UPDATE alerts SET state = 'snoozed', owner = 'Kim', snoozed_until = now() + interval '1 hour', "
        "snooze_reason = 'x', last_action_at = now() WHERE id = $1",
        before["id"],
    )
    asleep = (await desk.alerts())["excursion"]
    await desk.store([(minute(29.5), -119.0)])
    await desk.evaluate()
    after = (await desk.alerts())["excursion"]
    assert after["revision"] == before["revision"] + 1
    for name in ("state", "owner", "snoozed_until", "snooze_reason", "last_action_at", "incident_id"):
        assert after[name] == asleep[name]


async def test_the_loop_wakes_and_ends_a_snooze_without_being_told(desk: Desk) -> None:
    await desk.ship()
    await desk.store(WARM)
    await desk.evaluate()
    await decide_all(desk)
    until = await desk.pool.fetchval("SELECT clock_timestamp() + $1::interval", timedelta(seconds=0.3))
    await desk.pool.execute(
        "UPDATE alerts SET state = 'snoozed', snoozed_until = $1, snooze_reason = 'x' WHERE kind = 'excursion'",
        until,
    )
    stop = asyncio.Event()
    running = asyncio.create_task(run_attention(desk.pool, stop))
    async with asyncio.timeout(10):
        while (await desk.alerts())["excursion"]["state"] != "firing":
            await asyncio.sleep(0)
    stop.set()
    await running
    last = await row(
        desk,
        "SELECT r.* FROM alert_revisions AS r JOIN alerts AS a ON a.id = r.alert_id AND a.revision = r.revision "
        "WHERE a.kind = 'excursion'",
    )
    assert (last["by"], last["reason"]) == ("timer:snooze", "snooze_ended")
    assert last["recorded_at"] >= until


async def test_what_is_refused_by_the_database_is_found_out_and_set_aside(desk: Desk) -> None:
    for name in ("S1", "S2"):
        await desk.ship(name, f"D-{name}")
        await desk.store(WARM, name, f"D-{name}")
    await desk.evaluate()
    await desk.pool.execute("ALTER TABLE incidents ADD CONSTRAINT not_this_one CHECK (shipment_id <> 'S1')")
    await decide_all(desk)
    errors = await desk.pool.fetch("SELECT scope, error FROM attention ORDER BY scope")
    assert "not_this_one" in errors[0]["error"]
    assert errors[1]["error"] is None
    with pytest.raises(asyncpg.CheckViolationError):
        await desk.pool.execute("UPDATE incidents SET shipment_id = 'S1'")
