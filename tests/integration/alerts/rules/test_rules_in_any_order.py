"""All rules on the real database: however readings and changes arrive, the alerts are those of one look at all of them."""

import asyncio
import json
import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import BytesIO
from itertools import count
from typing import Any

import asyncpg
import pytest

from alerts.evaluation.claim import look_at
from alerts.evaluation.judge_batch import Judged, judge_here
from alerts.evaluation.judging.checkpoint import Checkpoint, fold_forward
from alerts.evaluation.judging.departure import SUBJECT as DEPARTURE_LATE
from alerts.evaluation.judging.judgement import DueShipment, judge
from alerts.evaluation.loop import evaluate_due
from alerts.evaluation.resume import checkpoint_of
from alerts.evaluation.worker_process import frame, read_answer, serve
from alerts.excursions import fold_trace
from alerts.excursions.plan import Plan, make_plan
from alerts.model import Condition, Instant, to_datetime, to_instant
from alerts.rules.registry import RULES, tuned_rules
from alerts.triage.alert import AlertState
from tests.integration.alerts.conftest import Desk

READINGS = 90
LOGGERS = ("D1", "D2")

_STORE = """
WITH new AS (
    INSERT INTO readings (device_id, measured_at, received_at, source, temperature_c, probe_ok, seq, boot, lat, lon,
        accuracy_m, ambient_c, battery_pct, tilt_deg, shock_g, lid_open, ln2_kg, flight_mode_until, extra)
    SELECT device_id, measured_at, received_at, 'mqtt', temperature_c, temperature_c IS NOT NULL, seq, boot, lat, lon,
        accuracy_m, ambient_c, battery_pct, tilt_deg, shock_g, lid_open, ln2_kg, flight_mode_until, extra
    FROM jsonb_populate_recordset(NULL::readings, $1) ON CONFLICT DO NOTHING RETURNING device_id, measured_at
)
INSERT INTO evaluation_marks (shipment_id, device_id, dirty_from)
SELECT 'S1', device_id, min(measured_at) FROM new GROUP BY device_id
"""
_LOSSES = (
    "DELETE FROM evaluation_states",
    "DELETE FROM evaluation_safe_points",
    "UPDATE evaluation_states SET state = '{}'",
    "UPDATE evaluation_states SET state = state - 'rules'",
    "UPDATE evaluation_states SET state = state #- '{rules,signal_lost}'",
    "UPDATE evaluation_safe_points SET state = state #- '{rules,signal_lost}' WHERE random() < 0.5",
)


def readings(chance: random.Random, device_id: str, ends_at: datetime) -> list[dict[str, Any]]:
    """A journey in which each channel stays at a level for a while, is gone for a while, and goes on elsewhere."""
    levels: dict[str, Sequence[Any]] = {
        "temperature_c": [-190.0, -189.0, -149.0, -120.0, None],
        "ambient_c": [21.0, 45.0, None],
        "battery_pct": [80.0, 19.0, 4.0, None],
        "tilt_deg": [1.0, 50.0, 100.0, None],
        "shock_g": [0.2, 9.0, 30.0, None],
        "lid_open": [False, False, True, None],
        "ln2_kg": [12.0, 5.0, 0.5, None],
        "lat": [50.03, 46.0, 40.64, None],
        "accuracy_m": [5.0, 900.0, None],
        "extra": [{"temperature_2_c": -188.0}, {"temperature_2_c": "cold"}, None],
    }
    now = {name: of[0] for name, of in levels.items()}
    steps = [chance.choice([60, 300, 300, 900, 2400, 15_000]) for _ in range(READINGS)]
    at, seq, found = ends_at - timedelta(seconds=sum(steps)), 0, []
    for step in steps:
        at, seq = at + timedelta(seconds=step), seq + chance.choice([1, 1, 1, 1, 5])
        for name, of in levels.items():
            if chance.random() < 0.15:
                now[name] = chance.choice(of)
        flight = at + timedelta(hours=6) if chance.random() < 0.04 else None
        delay = timedelta(seconds=chance.choice([1, 1, 200, 20_000]))
        found.append(
            {
                **now,
                "device_id": device_id,
                "measured_at": at.isoformat(),
                "received_at": (at + delay).isoformat(),
                "lon": None if now["lat"] is None else 8.57 - (50.03 - now["lat"]) * 8,
                "flight_mode_until": None if flight is None else flight.isoformat(),
                "seq": seq,
                "boot": 1,
            }
        )
    return found


async def ship(desk: Desk, chance: random.Random, departed_at: datetime, ends_at: datetime) -> None:
    await desk.ship("S1", "D1", max_gap_s=1800, on_delay_s=chance.choice([0, 600]))
    await desk.pool.execute("INSERT INTO devices (device_id, interval_s) VALUES ('D2', 300)")
    await desk.pool.execute(
        "INSERT INTO device_assignments (device_id, shipment_id, starts_at) VALUES ('D2', 'S1', $1)",
        departed_at,
    )
    await desk.pool.execute(
        "INSERT INTO dewars (dewar_id, hold_time_h, ln2_capacity_kg, last_charged_at) "
        "VALUES ('W1', 100, 12, $1), ('W2', 200, 12, $1)",
        departed_at - timedelta(hours=4),
    )
    arrival = ends_at + timedelta(hours=chance.choice([-20, 5, 60]))
    legs = [
        {
            "from": "FRA",
            "to": "JFK",
            "planned_departure": departed_at.isoformat(),
            "planned_arrival": arrival.isoformat(),
        }
    ]
    await desk.pool.execute(
        "UPDATE shipments SET departed_at = $1, created_at = $1, dewar_id = 'W1', origin = 'FRA', destination = 'JFK', "
        "legs = $2, planned_departure = $1, planned_arrival = $3, packed_out_at = $4, use_by = $5",
        departed_at,
        json.dumps(legs),
        arrival,
        departed_at - timedelta(hours=3),
        arrival + timedelta(hours=chance.choice([-5, 100])),
    )
    await desk.pool.execute("UPDATE device_assignments SET starts_at = $1", departed_at)


async def change_something(desk: Desk, chance: random.Random, departed_at: datetime) -> None:
    """Changes what the shipment is judged by, as people do: each change with the mark that is made for it."""
    seldom, often = [replan, change_dewar], [reschedule, move_place, charge, describe_dewar, move_logger]
    change = chance.choice([*seldom, *often, *often, *often])
    since = await change(desk, chance, departed_at)
    # A mark that only wakes: another process may have judged by what was there before, and marks nothing.
    await desk.pool.execute("INSERT INTO evaluation_marks (shipment_id, dirty_from) VALUES ('S1', $1)", since)


async def reschedule(desk: Desk, chance: random.Random, departed_at: datetime) -> datetime | None:
    arrival = departed_at + timedelta(hours=chance.choice([5, 30, 90]))
    middle = departed_at + (arrival - departed_at) / 2
    stops = chance.choice([("FRA", "JFK"), ("FRA", "MUC", "JFK"), ("JFK", "FRA")])
    times = [departed_at, middle, arrival] if len(stops) == 3 else [departed_at, arrival]
    legs = [
        {"from": a, "to": b, "planned_departure": out.isoformat(), "planned_arrival": by.isoformat()}
        for a, b, out, by in zip(stops, stops[1:], times, times[1:], strict=False)
    ]
    await desk.pool.execute(
        "UPDATE shipments SET legs = $1, destination = $2, planned_arrival = $3, use_by = $4, packed_out_at = $5",
        json.dumps(chance.choice([legs, legs, []])),
        stops[-1],
        chance.choice([arrival, arrival, None]),
        chance.choice([arrival + timedelta(hours=20), None]),
        departed_at - timedelta(hours=chance.choice([1, 3])),
    )
    return datetime.now(UTC)


async def move_place(desk: Desk, chance: random.Random, _: datetime) -> datetime | None:
    hours = chance.choice([None, {"mon": [["08:00", "09:00"]]}])
    await desk.pool.execute(
        "INSERT INTO sites (site_id, name, lat, lon, radius_m, timezone, receiving_hours, updated_by) "
        "VALUES ('JFK', $1, $2, -73.78, $3, 'UTC', $4, 'key:k') ON CONFLICT (site_id) DO UPDATE SET name = EXCLUDED.name, "
        "lat = EXCLUDED.lat, radius_m = EXCLUDED.radius_m, receiving_hours = EXCLUDED.receiving_hours",
        chance.choice(["Clinic", "Depot"]),
        chance.choice([40.64, 46.0]),
        chance.choice([1000.0, 50_000.0]),
        None if hours is None else json.dumps(hours),
    )
    return datetime.now(UTC)


async def charge(desk: Desk, chance: random.Random, departed_at: datetime) -> datetime | None:
    at = departed_at + (datetime.now(UTC) - departed_at) * chance.random()
    known = await desk.pool.fetch("SELECT charged_at FROM dewar_charges")
    if known and chance.random() < 0.4:
        at = chance.choice(known)["charged_at"]
        await desk.pool.execute(
            "UPDATE dewar_charges SET withdrawn = NOT withdrawn WHERE charged_at = $1", at
        )
        return at
    await desk.pool.execute(
        "INSERT INTO dewar_charges (dewar_id, charged_at, ln2_kg, by) VALUES ($1, $2, $3, 'key:k')",
        chance.choice(["W1", "W2"]),
        at,
        chance.choice([12.0, 2.0, None]),
    )
    return at


async def describe_dewar(desk: Desk, chance: random.Random, _: datetime) -> datetime | None:
    await desk.pool.execute(
        "UPDATE dewars SET hold_time_h = $1, ln2_capacity_kg = $2 WHERE dewar_id = $3",
        chance.choice([20.0, 100.0, 240.0, None]),
        chance.choice([12.0, 4.0]),
        chance.choice(["W1", "W2"]),
    )
    return datetime.now(UTC)


async def change_dewar(desk: Desk, chance: random.Random, _: datetime) -> datetime | None:
    await desk.pool.execute("UPDATE shipments SET dewar_id = $1", chance.choice(["W1", "W2", None]))
    return datetime.now(UTC)


async def replan(desk: Desk, chance: random.Random, _: datetime) -> datetime | None:
    rules = chance.choice([{}, {"tilted": {"enabled": False}}, {"late": {"tolerance_s": 60.0}}])
    changed = {"on_delay_s": chance.choice([0, 600]), "max_gap_s": 1800, "rules": rules}
    plan = make_plan("cryogenic", changed)
    assert isinstance(plan, Plan)
    await desk.pool.execute(
        "UPDATE shipments SET plan = $1, plan_revision = plan_revision + 1", json.dumps(plan.to_json())
    )
    return None


async def move_logger(desk: Desk, chance: random.Random, departed_at: datetime) -> datetime | None:
    """The second logger is on the shipment from an instant on, or has been since before that; it may be taken off."""
    at = departed_at + (datetime.now(UTC) - departed_at) * chance.random()
    was = await desk.pool.fetchrow("SELECT starts_at, ends_at FROM device_assignments WHERE device_id = 'D2'")
    assert was is not None
    if chance.random() < 0.5:
        starts = min(at, was["starts_at"])
        await desk.pool.execute("UPDATE device_assignments SET starts_at = $1 WHERE device_id = 'D2'", starts)
        return starts
    ends = chance.choice([None, max(at, was["starts_at"])])
    await desk.pool.execute("UPDATE device_assignments SET ends_at = $1 WHERE device_id = 'D2'", ends)
    return min((one for one in (ends, was["ends_at"]) if one is not None), default=at)


async def stands_as_folded_anew(pool: asyncpg.Pool) -> DueShipment:
    """The stored states are those of a fold of all readings in order by what is known now."""
    async with pool.acquire() as connection, connection.transaction():
        batch = await look_at(connection, ["S1"])
    assert batch is not None
    [due] = batch.shipments
    assert due.facts is not None
    rows = await pool.fetch("SELECT device_id, state FROM evaluation_states")
    stored = {row["device_id"]: checkpoint_of(row["state"]) for row in rows}
    for device in due.devices:
        watching = tuned_rules(due.facts.plan)
        anew = fold_forward(due.facts, watching, Checkpoint(), device.trace, 0, device.window)
        assert anew.errors == {}
        found, wanted = stored[device.device_id], anew.checkpoint
        assert found is not None
        assert (found.rules, found.facts_key, found.failed) == (wanted.rules, wanted.facts_key, {})
        assert replace(found.state, exp_sum=0.0) == replace(wanted.state, exp_sum=0.0)
    return due


async def one_look(due: DueShipment, now: Instant) -> dict[str, Condition]:
    """What one judgement of all readings in order finds by the rules, with nothing on record."""
    blank = replace(
        due,
        identity=replace(due.identity, alerts={}),
        devices=tuple(replace(device, excursions=()) for device in due.devices),
    )
    numbers = count()
    verdict = judge(blank, now, lambda: f"00000000-0000-4000-8000-{next(numbers):012}")
    assert verdict.errors == {}
    found = [step.change.alert.condition for step in verdict.alerts]
    kinds = {rule.kind for rule in RULES}
    return {one.subject: one for one in found if one.kind in kinds and one.subject != DEPARTURE_LATE}


async def as_if_apart(shipments: Sequence[DueShipment], now: Instant) -> Sequence[Judged]:
    """Judge as the process for the past does, here, where it has the fewer readings between safe points."""
    judged = []
    for shipment in shipments:
        answers = BytesIO()
        serve(BytesIO(b"".join(frame((shipment, now)))), answers)
        judged.append(read_answer(answers.getvalue()[8:], shipment))
    return judged


@pytest.mark.parametrize(("seed", "changing"), [(seed, seed >= 4) for seed in range(10)])
async def test_alerts_are_those_of_one_look_at_all_readings(
    desk: Desk, seed: int, monkeypatch: pytest.MonkeyPatch, *, changing: bool
) -> None:
    monkeypatch.setattr(fold_trace, "SAFE_POINT_EVERY", 6)
    monkeypatch.setattr(fold_trace, "COLUMNS_FROM", 8)
    chance = random.Random(seed)
    ends_at = datetime.now(UTC) - chance.choice([timedelta(minutes=1), timedelta(hours=3)])
    sent = [one for logger in LOGGERS for one in readings(chance, logger, ends_at)]
    departed_at = min(datetime.fromisoformat(one["measured_at"]) for one in sent) - timedelta(minutes=5)
    await ship(desk, chance, departed_at, ends_at)
    if chance.random() < 0.5:
        chance.shuffle(sent)
    while sent:
        size = chance.choice([1, 3, 20])
        some, sent = sent[:size], sent[size:]
        await desk.pool.execute(_STORE, json.dumps(some))
        if chance.random() < 0.2:  # sent again
            await desk.pool.execute(_STORE, json.dumps(some))
        if chance.random() < 0.1:
            await desk.pool.execute(chance.choice(_LOSSES))
        if changing and chance.random() < 0.15:
            await change_something(desk, chance, departed_at)
        if chance.random() < 0.6:
            several = chance.choices([judge_here, as_if_apart], k=chance.choice([1, 2]))
            await asyncio.gather(*(evaluate_due(desk.pool, judging=judging) for judging in several))
    await desk.evaluate()

    evaluated_at = await desk.pool.fetchval("SELECT evaluated_at FROM evaluations")
    assert await desk.pool.fetchval("SELECT failures FROM evaluations") == 0
    expected = await one_look(await stands_as_folded_anew(desk.pool), to_instant(evaluated_at))
    kinds = [rule.kind for rule in RULES]
    rows = {
        row["subject"]: row
        for row in await desk.pool.fetch("SELECT * FROM alerts WHERE kind = ANY($1::text[])", kinds)
    }
    taken_off = await desk.pool.fetchval("SELECT ends_at FROM device_assignments WHERE device_id = 'D2'")
    if taken_off is not None:  # what began and held until then depends on what was on record
        expected = {subject: found for subject, found in expected.items() if not subject.endswith(":D2")}
        rows = {subject: row for subject, row in rows.items() if not subject.endswith(":D2")}
    for subject, found in expected.items():
        row = rows.pop(subject)
        assert (row["since"], row["severity"], row["message"]) == (
            to_datetime(found.since),
            found.severity,
            found.message,
        )
        assert row["until"] == (None if found.until is None else to_datetime(found.until))
        assert (row["state"] == AlertState.RESOLVED) == (found.until is not None)
        assert (json.loads(row["details"]), row["withdrawn"]) == (found.details, False)
    only_ongoing = {rule.kind for rule in RULES if rule.only_ongoing}
    for row in rows.values():
        assert row["state"] == AlertState.RESOLVED
        assert row["withdrawn"] or row["kind"] in only_ongoing, row
    assert not await desk.pool.fetchval("SELECT count(*) FROM alerts WHERE kind = 'evaluation_failed'")

    ended_at = datetime.now(UTC) - timedelta(seconds=1)
    await desk.deliver(ended_at)
    await desk.evaluate()
    await stands_as_folded_anew(desk.pool)
    left = await desk.pool.fetch("SELECT * FROM alerts WHERE kind = ANY($1::text[])", kinds)
    assert {row["state"] for row in left} <= {AlertState.RESOLVED}
