"""Rules in the evaluation: their inputs, how their states are stored, and that a failing rule harms no other."""

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar

import numpy as np
import pytest

from alerts.evaluation.loop import evaluate_due
from alerts.excursions.trace import Channel
from alerts.model import SECOND, AlertKind, Severity, to_instant
from alerts.rules import registry
from alerts.rules.rule import NOTHING, DeviceRule, Finding, Look, ShipmentRule, Tuning
from tests.integration.alerts.conftest import DEPARTED, Desk, minute
from tests.integration.alerts.ruling import install


@dataclass(frozen=True, slots=True, kw_only=True)
class LidTuning(Tuning):
    most_openings: float = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Openings:
    open_readings: int = 0
    first_at: int | None = None


class LidOften(DeviceRule[LidTuning, Openings]):
    """Fires for good from the first opening on, once there were more than so many readings with an open lid."""

    kind = AlertKind.LID_OPEN
    tuning = LidTuning
    state = Openings
    reads = frozenset({Channel.LID_OPEN})
    ranges: ClassVar = {"most_openings": (0, 100)}
    fails = False

    def fold(self, tuning, facts, state, trace):
        if self.fails:
            raise ZeroDivisionError("lid")
        open_ = trace.channels[Channel.LID_OPEN] > 0.5
        first = state.first_at
        if first is None and open_.any():
            first = int(trace.at[open_.argmax()])
        return Openings(open_readings=state.open_readings + int(np.count_nonzero(open_)), first_at=first)

    def look(self, tuning, facts, state, look_time):
        if state.open_readings <= tuning.most_openings:
            return NOTHING
        assert state.first_at is not None
        details = {"readings": state.open_readings, "dewar": facts.dewar and facts.dewar.dewar_id}
        found = Finding(severity=Severity.MAJOR, message="Lid", since=state.first_at, details=details)
        return Look(found=found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    readings: int = 0


class Overdue(ShipmentRule[Tuning, Count]):
    """Fires from the planned arrival on, by the clock, and fails in its look where it is told to."""

    kind = AlertKind.LATE
    tuning = Tuning
    state = Count
    fails = False

    def fold(self, tuning, facts, state, trace):
        return Count(readings=state.readings + len(trace))

    def look(self, tuning, facts, states, look_time):
        if self.fails:
            raise KeyError("late")
        if facts.planned_arrival is None:
            return NOTHING
        if look_time.through < facts.planned_arrival:
            return Look(again_at=facts.planned_arrival)
        return Look(
            found=Finding(
                severity=Severity.CRITICAL,
                message=f"Overdue, {facts.origin and facts.origin.name} to {facts.destination and facts.destination.name}",
                since=facts.planned_arrival,
                details={"loggers": len(states)},
            )
        )


@pytest.fixture
def lid(monkeypatch: pytest.MonkeyPatch) -> LidOften:
    return rules_are(monkeypatch, LidOften())


@pytest.fixture
def overdue(monkeypatch: pytest.MonkeyPatch) -> Overdue:
    return rules_are(monkeypatch, Overdue())


def rules_are(monkeypatch: pytest.MonkeyPatch, rule):
    install(monkeypatch, (*without(rule.kind), rule))
    return rule


def without(kind: AlertKind):
    return tuple(one for one in registry.RULES if one.kind != kind)


async def lid_is_open(desk: Desk, *minutes: float) -> None:
    await desk.pool.execute(
        "UPDATE readings SET lid_open = measured_at = ANY($1::timestamptz[])",
        [minute(one) for one in minutes],
    )


async def stored(desk: Desk) -> dict[str, list[object]]:
    texts = json.loads(await desk.pool.fetchval("SELECT state->'rules' FROM evaluation_states"))
    return {kind: json.loads(text) for kind, text in texts.items()}


async def test_a_rule_reads_its_channel_and_what_is_planned(desk: Desk, lid: LidOften) -> None:
    await desk.ship()
    await desk.pool.execute("INSERT INTO dewars (dewar_id, hold_time_h) VALUES ('W1', 240)")
    await desk.pool.execute("UPDATE shipments SET dewar_id = 'W1'")
    await desk.store([(minute(n), -190.0) for n in range(6)])
    await lid_is_open(desk, 1, 2)
    await desk.evaluate()
    assert "lid_open" not in await desk.alerts()
    assert (await stored(desk))["lid_open"] == [1, 2, to_instant(minute(1))]
    await desk.store([(minute(9), -190.0)])
    await lid_is_open(desk, 1, 2, 9)
    await desk.evaluate()
    alert = (await desk.alerts())["lid_open"]
    assert (alert["state"], alert["since"], alert["device_id"]) == ("firing", minute(1), "D1")
    assert json.loads(alert["details"]) == {"readings": 3, "dewar": "W1"}
    [told] = [data for type_, data in await desk.told() if data.get("kind") == "lid_open"]
    assert told["details"] == {"readings": 3, "dewar": "W1"}


async def test_a_rule_about_the_shipment_looks_by_the_clock_and_ends_with_it(
    desk: Desk, overdue: Overdue
) -> None:
    await desk.ship()
    await desk.pool.execute(
        "UPDATE shipments SET planned_arrival = $1, origin = 'FRA', destination = 'JFK'", minute(30)
    )
    await desk.store([(minute(1), -190.0)])
    await desk.evaluate()
    alert = (await desk.alerts())["late"]
    assert (alert["state"], alert["since"], alert["device_id"]) == ("firing", minute(30), None)
    assert (alert["subject"], alert["message"]) == ("late", "Overdue, FRA to JFK")
    await desk.deliver(minute(60))
    await desk.evaluate()
    alert = (await desk.alerts())["late"]
    assert (alert["state"], alert["until"], alert["withdrawn"]) == ("resolved", minute(60), False)
    assert await desk.pool.fetchval("SELECT evaluate_at FROM evaluations") is None


async def test_a_shipment_that_is_over_when_it_is_first_looked_at_raises_nothing(
    desk: Desk, overdue: Overdue
) -> None:
    await desk.ship()
    await desk.pool.execute("UPDATE shipments SET planned_arrival = $1", minute(30))
    await desk.deliver(minute(60))
    await desk.evaluate()
    assert await desk.alerts() == {}


async def test_states_stored_before_a_rule_was_there_are_folded_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, without(AlertKind.LID_OPEN))
    await desk.ship()
    await desk.store([(minute(n), -190.0) for n in range(6)])
    await lid_is_open(desk, 1, 2, 3)
    await desk.evaluate()
    assert "lid_open" not in await stored(desk)
    rule = rules_are(monkeypatch, LidOften())
    await desk.store([(minute(6), -190.0)])
    await desk.evaluate()
    assert (await desk.alerts())["lid_open"]["state"] == "firing"
    # And likewise where its states have come to mean something else.
    rule.version = 2
    await desk.store([(minute(7), -190.0)])
    await lid_is_open(desk, 5)
    await desk.evaluate()
    assert (await stored(desk))["lid_open"] == [2, 1, to_instant(minute(5))]


async def test_late_data_resumes_a_rule_from_a_safe_point(
    desk: Desk, lid: LidOften, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alerts.excursions.fold_trace.SAFE_POINT_EVERY", 4)
    await desk.ship()
    for n in range(0, 20, 2):
        await desk.store([(minute(n), -190.0)])
        await lid_is_open(desk, *range(0, 20, 2))
        await desk.evaluate()
    assert (await stored(desk))["lid_open"][1] == 10
    await desk.store([(minute(13), -190.0)])
    # What lies before the safe point is not read again.
    await desk.pool.execute("UPDATE readings SET lid_open = measured_at > $1", minute(7))
    await desk.evaluate()
    assert (await stored(desk))["lid_open"][1] == 8 - 4 + 4 + 3


async def test_a_rule_that_fails_to_fold_harms_nothing_is_told_and_catches_up(
    desk: Desk, lid: LidOften, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alerts.excursions.fold_trace.SAFE_POINT_EVERY", 4)
    await desk.ship()
    await desk.store([(minute(n), -190.0) for n in range(9)])
    await lid_is_open(desk, 1, 2)
    await desk.evaluate()

    lid.fails = True
    await desk.store([(minute(10), -140.0)])
    await lid_is_open(desk, 1, 2, 10)
    await evaluate_due(desk.pool)
    assert [e["state"] for e in await desk.excursions()] == ["open"]
    alert = (await desk.alerts())["evaluation_failed"]
    assert (alert["state"], alert["severity"], alert["subject"]) == (
        "firing",
        "major",
        "evaluation_failed:lid_open",
    )
    assert "lid_open could not be judged" in alert["message"]
    assert alert["message"].endswith("ZeroDivisionError: lid")
    assert "lid_open" not in await stored(desk)
    row = await desk.pool.fetchrow("SELECT failures, evaluate_at FROM evaluations")
    assert row["failures"] == 0
    revision = alert["revision"]
    await desk.store([(minute(11), -140.0)])
    await evaluate_due(desk.pool)
    assert (await desk.alerts())["evaluation_failed"]["revision"] == revision

    lid.fails = False
    await desk.store([(minute(12), -190.0)])
    await desk.evaluate()
    assert (await stored(desk))["lid_open"] == [1, 3, to_instant(minute(1))]
    found = await desk.alerts()
    assert (found["lid_open"]["state"], found["evaluation_failed"]["state"]) == ("firing", "resolved")


async def test_a_rule_that_failed_is_left_alone_for_a_while(
    desk: Desk, lid: LidOften, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alerts.evaluation.judging.judgement.RETRY_AFTER", 600 * SECOND)
    await desk.ship()
    lid.fails = True
    await desk.store([(minute(n), -190.0) for n in range(5)])
    await lid_is_open(desk, 1, 2, 3)
    await desk.evaluate()
    away = await desk.pool.fetchval("SELECT evaluate_at - now() FROM evaluations")
    assert timedelta(minutes=9) < away <= timedelta(minutes=10)
    lid.fails = False
    await desk.store([(minute(6), -190.0)])
    await desk.evaluate()
    assert "lid_open" not in await stored(desk)  # not folded again with each reading
    assert (await desk.alerts())["evaluation_failed"]["state"] == "firing"
    await desk.pool.execute(
        "UPDATE evaluation_states SET state = jsonb_set(state, '{failed,lid_open}', $1::text::jsonb)",
        str(to_instant(DEPARTED)),
    )
    await desk.pool.execute("UPDATE evaluations SET evaluate_at = now()")
    await desk.evaluate()
    assert (await stored(desk))["lid_open"][1] == 3
    found = await desk.alerts()
    assert (found["lid_open"]["state"], found["evaluation_failed"]["state"]) == ("firing", "resolved")


async def test_a_rule_that_fails_to_look_harms_nothing_and_its_alert_stays(
    desk: Desk, overdue: Overdue
) -> None:
    await desk.ship()
    await desk.pool.execute("UPDATE shipments SET planned_arrival = $1", minute(30))
    await desk.store([(minute(1), -190.0)])
    await desk.evaluate()
    overdue.fails = True
    await desk.store([(minute(2), -140.0)])
    await evaluate_due(desk.pool)
    found = await desk.alerts()
    assert (found["late"]["state"], found["excursion"]["state"]) == ("firing", "firing")
    assert "KeyError: 'late'" in found["evaluation_failed"]["message"]
    overdue.fails = False
    await desk.store([(minute(3), -140.0)])
    await desk.evaluate()
    assert (await desk.alerts())["evaluation_failed"]["state"] == "resolved"


async def test_the_second_probe_is_read_from_what_a_logger_sent_beside_the_known_fields(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Second(LidOften):
        reads = frozenset({Channel.SECOND_C})

        def fold(self, tuning, facts, state, trace):
            seen.append(trace.channels[Channel.SECOND_C].tolist())
            return state

    seen: list[list[float]] = []
    rules_are(monkeypatch, Second())
    await desk.ship()
    await desk.store([(minute(n), -190.0) for n in range(6)])
    for n, value in enumerate(["-188.5", '"cold"', "1e400", "[]", "null"]):
        await desk.pool.execute(
            "UPDATE readings SET extra = jsonb_build_object('temperature_2_c', $2::text::jsonb) WHERE measured_at = $1",
            minute(n),
            value,
        )
    await desk.evaluate()
    nan = float("nan")
    assert np.array_equal(seen, [[-188.5, nan, 1e9, nan, nan, nan]], equal_nan=True)
