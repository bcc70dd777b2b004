"""Whatever rules find, people do and time brings: each critical alert has an owner or is scheduled, and nothing is forgotten."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import true
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from alerts.attention.loop import decide_due
from alerts.events.write import EventScope
from alerts.model import SECOND, AlertKind, Condition, Severity, to_instant
from alerts.triage import act, actions
from alerts.triage.actions import ActionRefused
from alerts.triage.alert import follow
from alerts.triage.conditions import withdrawn
from alerts.triage.rows import alert_from_row
from alerts.triage.store import save_steps
from telemetry.actor import Actor, ActorKind
from tests.integration.alerts.stage import CLOCK, SETTINGS

EPOCH = datetime(2026, 11, 1, tzinfo=UTC)
KINDS = list(AlertKind)
SEVERITIES = list(Severity)
OPS = Actor(ActorKind.KEY, "ops")

ACTIONS = st.fixed_dictionaries(
    {
        "which": st.integers(0, 100),
        "what": st.sampled_from(["acknowledge", "assign", "unassign", "snooze", "wake", "resolve"]),
        "all_of_it": st.booleans(),
        "minutes": st.sampled_from([0, 5, 120, 72 * 60, 72 * 60 + 1]),
        "reason": st.sampled_from([None, "because"]),
    }
)

NOBODY_AND_NOTHING = """
SELECT a.id FROM alerts AS a WHERE a.severity = 'critical' AND a.state <> 'resolved' AND a.owner IS NULL
    AND NOT EXISTS (SELECT FROM attention_marks WHERE scope = coalesce(a.shipment_id, ''))
    AND NOT EXISTS (SELECT FROM attention WHERE scope = coalesce(a.shipment_id, '') AND attend_at IS NOT NULL)
"""

RECORDS = """
SELECT a.*, r.numbers, r.is_current FROM alerts AS a CROSS JOIN LATERAL (
    SELECT array_agg(revision ORDER BY revision) AS numbers,
        (array_agg((state, severity, owner, snoozed_until, acknowledged_at, resolved_at)
            IS NOT DISTINCT FROM (a.state, a.severity, a.owner, a.snoozed_until, a.acknowledged_at, a.resolved_at)
            ORDER BY revision DESC))[1] AS is_current,
        bool_and(by <> '' AND reason IS NOT NULL) AS is_explained
    FROM alert_revisions WHERE alert_id = a.id
) AS r
"""

INCIDENTS = """
SELECT i.*, r.numbers, r.alert_ids, m.members, m.unresolved FROM incidents AS i
CROSS JOIN LATERAL (
    SELECT array_agg(revision ORDER BY revision) AS numbers FROM incident_revisions WHERE incident_id = i.id
) AS n
CROSS JOIN LATERAL (
    SELECT n.numbers, alert_ids FROM incident_revisions WHERE incident_id = i.id ORDER BY revision DESC LIMIT 1
) AS r
CROSS JOIN LATERAL (
    SELECT coalesce(array_agg(id ORDER BY raised_at, id), '{}') AS members,
        count(*) FILTER (WHERE state <> 'resolved') AS unresolved
    FROM alerts WHERE incident_id = i.id
) AS m
"""


@dataclass
class World:
    """One database for many courses of events."""

    loop: asyncio.AbstractEventLoop
    pool: asyncpg.Pool
    engine: AsyncEngine
    numbers: Iterator[int]
    happened: Counter[str] = field(default_factory=Counter)


class Owned(RuleBasedStateMachine):
    """Rules, people and time, in any order, on two shipments and the fleet."""

    world: World

    def do(self, work: Any) -> Any:
        return self.world.loop.run_until_complete(work)

    @initialize()
    def begin(self) -> None:
        number = next(self.world.numbers)
        self.scopes: list[str | None] = [f"S{number}a", f"S{number}b", None]
        self.now = EPOCH + timedelta(days=30 * number)
        self.do(self._begin())

    async def _begin(self) -> None:
        await self.world.pool.execute("UPDATE clock.hands SET at = $1", self.now)
        await self.world.pool.executemany(
            "INSERT INTO shipments (shipment_id, band, plan) VALUES ($1, 'cryogenic', '{}')",
            [(scope,) for scope in self.scopes if scope is not None],
        )

    @rule(minutes=st.sampled_from([1, 30, 121, 24 * 60, 72 * 60]))
    def pass_time(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)
        self.world.happened["time"] += 1
        self.do(self.world.pool.execute("UPDATE clock.hands SET at = $1", self.now))

    @rule(
        place=st.integers(0, 2),
        kind=st.sampled_from(KINDS),
        severity=st.sampled_from(SEVERITIES),
        what=st.sampled_from(["holds", "ended", "withdrawn"]),
        ago=st.integers(0, 300),
        wanted=st.none() | ACTIONS,
    )
    def find(
        self,
        place: int,
        kind: AlertKind,
        severity: Severity,
        what: str,
        ago: int,
        wanted: dict[str, Any] | None,
    ) -> None:
        """A rule finds a condition, as evaluation saves it; sometimes a person is there already."""
        self.do(self._find(self.scopes[place], kind, severity, what, ago))
        if wanted is not None:
            self.do(self._act(**wanted))

    async def _find(
        self, scope: str | None, kind: AlertKind, severity: Severity, what: str, ago: int
    ) -> None:
        now = to_instant(self.now)
        self.world.happened["found"] += 1
        found = Condition(
            subject=f"{kind}:D",
            kind=kind,
            severity=severity,
            device_id="D",
            message=f"{kind} {severity}",
            since=now - ago * 60 * SECOND,
        )
        found = replace(found, until=now) if what == "ended" else found
        found = withdrawn(found) if what == "withdrawn" else found
        async with self.world.pool.acquire() as connection, connection.transaction():
            row = await connection.fetchrow(
                "SELECT * FROM alerts WHERE shipment_id IS NOT DISTINCT FROM $1 AND subject = $2 FOR UPDATE",
                scope,
                found.subject,
            )
            before = None if row is None else alert_from_row(row)
            steps = follow(before, scope, found, now, lambda: str(uuid4()))
            await save_steps(connection, [(EventScope(shipment_id=scope), step) for step in steps], now)

    @rule(wanted=ACTIONS)
    def act(self, wanted: dict[str, Any]) -> None:
        """A person does something to an alert, or to all of its incident."""
        self.do(self._act(**wanted))

    async def _act(self, *, which: int, what: str, all_of_it: bool, minutes: int, reason: str | None) -> None:
        until = to_instant(self.now + timedelta(minutes=minutes))
        action: Any = {
            "acknowledge": actions.acknowledge,
            "assign": partial(actions.assign, owner="Kim"),
            "unassign": partial(actions.assign, owner=None),
            "snooze": partial(actions.snooze, until=until),
            "wake": partial(actions.snooze, until=None),
            "resolve": actions.resolve,
        }[what]
        rows = await self.world.pool.fetch("SELECT * FROM alerts ORDER BY raised_at DESC, id LIMIT 12")
        if not rows:
            return
        row = rows[which % len(rows)]
        id_: UUID | None = row["incident_id"] if all_of_it else row["id"]
        if id_ is None:
            return
        act_on = act.act_on_incident if all_of_it else act.act
        async with self.world.engine.begin() as connection:
            done = await act_on(connection, id_, action, visible=true(), actor=OPS, reason=reason)
        if isinstance(done, ActionRefused):
            after = await self.world.pool.fetchrow("SELECT * FROM alerts WHERE id = $1", row["id"])
            assert after == row
        if isinstance(action, partial) and action.keywords.get("until") is not None:
            after = await self.world.pool.fetchrow("SELECT * FROM alerts WHERE id = $1", row["id"])
            assert after is not None
            assert (after["state"] == "snoozed" and after["snoozed_until"] != row["snoozed_until"]) <= bool(
                reason
            ), "a snooze without a reason"
        self.world.happened["refused" if isinstance(done, ActionRefused) else "done"] += 1

    @rule(which=st.integers(0, 100))
    def comment(self, which: int) -> None:
        self.do(self._comment(which))

    async def _comment(self, which: int) -> None:
        ids = await self.world.pool.fetch("SELECT id FROM alerts ORDER BY raised_at DESC, id LIMIT 12")
        if ids:
            id_ = ids[which % len(ids)]["id"]
            async with self.world.engine.begin() as connection:
                assert await act.comment(connection, id_, visible=true(), actor=OPS, text="seen")

    @rule(both=st.booleans())
    def decide(self, both: bool) -> None:
        """One process or two decide about all that is due; then incidents are what they have to be."""
        self.world.happened["decided"] += 1
        self.do(self._decide(2 if both else 1))
        self.do(self._incidents_are_right())

    async def _decide(self, processes: int) -> None:
        while any(await asyncio.gather(*(decide_due(self.world.pool, 2) for _ in range(processes)))):
            pass

    async def _incidents_are_right(self) -> None:
        pool = self.world.pool
        assert await pool.fetchval("SELECT count(*) FROM attention WHERE error IS NOT NULL") == 0
        late = "SELECT count(*) FROM alerts WHERE snoozed_until <= $1"
        assert await pool.fetchval(late, self.now) == 0, "a snooze that did not end"
        homes = await pool.fetch(
            "SELECT i.state, i.shipment_id IS NOT DISTINCT FROM a.shipment_id AS own FROM alerts AS a "
            "LEFT JOIN incidents AS i ON i.id = a.incident_id WHERE a.state <> 'resolved'"
        )
        assert {(row["state"], row["own"]) for row in homes} <= {("open", True)}
        for row in await pool.fetch(INCIDENTS):
            assert row["numbers"] == list(range(1, row["revision"] + 1))
            assert row["members"] == row["alert_ids"]
            assert (row["state"] == "open") == (row["unresolved"] > 0)
            assert (row["merged_into"] is not None) == (not row["members"])
        before = await self._history()
        await pool.execute("INSERT INTO attention_marks (scope) SELECT scope FROM attention")
        await self._decide(1)
        assert await self._history() == before, "deciding again changed something"

    async def _history(self) -> tuple[int, int, int]:
        tables = ("alert_revisions", "incident_revisions", "outbox")
        counts = [await self.world.pool.fetchval(f"SELECT count(*) FROM {table}") for table in tables]
        return counts[0], counts[1], counts[2]

    @invariant()
    def each_critical_alert_has_an_owner_or_is_scheduled(self) -> None:
        assert self.do(self.world.pool.fetch(NOBODY_AND_NOTHING)) == []

    @invariant()
    def records_are_whole(self) -> None:
        for row in self.do(self.world.pool.fetch(RECORDS)):
            assert row["numbers"] == list(range(1, row["revision"] + 1))
            assert row["is_current"]
            assert (row["state"] == "snoozed") == (row["snoozed_until"] is not None)
            assert (row["state"] == "snoozed") <= bool(row["snooze_reason"])
            assert (row["state"] == "acknowledged") <= (row["owner"] is not None)
            assert (row["state"] == "resolved") == (row["resolved_at"] is not None)

    @invariant()
    def events_of_a_shipment_are_numbered_without_a_gap(self) -> None:
        rows = self.do(
            self.world.pool.fetch(
                "SELECT array_agg((data->>'sequence')::int ORDER BY id) AS told FROM outbox "
                "WHERE shipment_id IS NOT NULL GROUP BY shipment_id"
            )
        )
        assert all(row["told"] == list(range(1, len(row["told"]) + 1)) for row in rows)

    def teardown(self) -> None:
        """The next course begins with nothing; what refuses to be deleted is about this one only."""
        self.do(self._clear())

    async def _clear(self) -> None:
        async with self.world.pool.acquire() as connection, connection.transaction():
            await connection.execute("SET LOCAL session_replication_role = replica")
            await connection.execute(
                "TRUNCATE alert_comments, alert_revisions, incident_revisions, incidents, alerts, attention, "
                "attention_marks, outbox, event_sequences CASCADE"
            )


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    loop = asyncio.new_event_loop()

    async def begin() -> World:
        connection = await asyncpg.connect(database_url)
        await connection.execute(CLOCK)
        await connection.close()
        pool = await asyncpg.create_pool(database_url, min_size=1, max_size=4, server_settings=SETTINGS)
        engine = create_async_engine(
            database_url.replace("postgresql://", "postgresql+asyncpg://"),
            poolclass=NullPool,
            connect_args={"server_settings": SETTINGS},
        )
        return World(loop, pool, engine, count(1))

    made = loop.run_until_complete(begin())
    yield made
    loop.run_until_complete(made.pool.close())
    loop.run_until_complete(made.engine.dispose())
    loop.close()


@pytest.mark.timeout(300)
def test_whatever_happens_critical_alerts_have_an_owner_or_are_scheduled(world: World, run_seed: int) -> None:
    machine = seed(run_seed)(type("Seeded", (Owned,), {"world": world}))
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=25,
            stateful_step_count=30,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    print(f"{dict(world.happened)}")  # noqa: T201 -- shown when the test fails
    assert world.happened["done"] > 5


def test_what_is_withdrawn_after_it_had_ended_is_no_longer_the_cause(world: World) -> None:
    """Nothing of it changes but that it never was, and its incident is described anew."""
    course = type("Course", (Owned,), {"world": world})()
    course.begin()
    excursion = {"kind": AlertKind.EXCURSION, "severity": Severity.MAJOR, "place": 0, "wanted": None}
    forecast = {"kind": AlertKind.HOLD_TIME_SHORT, "severity": Severity.CRITICAL, "place": 0, "wanted": None}
    course.find(what="holds", ago=0, **excursion)
    course.find(what="ended", ago=101, **forecast)
    course.decide(both=False)
    headline = "SELECT headline FROM incidents WHERE shipment_id = $1"
    assert (
        course.do(world.pool.fetchval(headline, course.scopes[0]))
        == "hold_time_short critical → excursion major"
    )
    course.find(what="withdrawn", ago=0, **forecast)
    course.decide(both=False)
    assert course.do(world.pool.fetchval(headline, course.scopes[0])) == "excursion major"
