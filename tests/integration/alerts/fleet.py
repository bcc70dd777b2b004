"""Shipments on a stage: what happens to them by the service's own code, and what then has to be true."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.evaluation.loop import evaluate_due
from alerts.excursions.figures import Figures
from alerts.excursions.plan import Plan
from alerts.model import SECOND, to_instant
from alerts.triage.alert import AlertState
from alerts.views.figures import summarize
from simulators.truth.oracle import TruePlan, TrueReading, true_excursions, true_summary
from telemetry.ingest.pipeline import Ingest
from telemetry.ingest.validate_reading import MAX_AHEAD
from telemetry.model import RawMessage, Source

from .stage import Program, Stage, SteppedConnection

EPOCH = datetime(2026, 11, 1, tzinfo=UTC)
ONE_US = timedelta(microseconds=1)
TOLD_EVERY = timedelta(seconds=600)
"""A peak that has moved by more than 1 °C is told at the latest so long after what was told before."""
AT_REST_AFTER = 40
"""Rounds of evaluation, far more than it takes until nothing is due."""


@dataclass
class Course:
    """What a test knows of one shipment."""

    shipment_id: str
    plan: Plan
    base: datetime
    """What its slots of time are counted from."""
    unit: timedelta
    loggers: tuple[str, ...]
    starts_at: datetime
    departed_at: datetime | None
    ended_at: datetime | None = None
    known_since: datetime = EPOCH
    put_on: dict[str, datetime] = field(default_factory=dict)
    """Loggers that were put on the shipment later than it began, and when,"""
    taken_off: dict[str, datetime] = field(default_factory=dict)
    """and those that were taken off before it ended."""

    def ends(self, logger: str) -> datetime | None:
        """When a logger's time on the shipment is over."""
        return min((at for at in (self.taken_off.get(logger), self.ended_at) if at is not None), default=None)

    def slot(self, number: int, more_us: int = 0) -> datetime:
        return self.base + number * self.unit + more_us * ONE_US


@dataclass
class Fleet:
    """Shipments, and all that was ever sent by their loggers."""

    stage: Stage
    reader: AsyncConnection
    now: datetime = EPOCH
    courses: list[Course] = field(default_factory=list)
    stored: dict[str, dict[datetime, float | None]] = field(default_factory=dict)
    sent: list[tuple[str, list[dict[str, Any]]]] = field(default_factory=list)

    async def set_clock(self, at: datetime) -> None:
        self.now = at
        await self.stage.set_clock(at)

    async def add(self, courses: Sequence[Course]) -> None:
        """Registers shipments with their loggers, as the registry does."""
        self.courses += courses
        for course in courses:
            course.known_since = self.now
        director = self.stage.director
        on = [(c, logger) for c in courses for logger in c.loggers]
        new = sorted({logger for _, logger in on} - self.stored.keys())
        self.stored |= {logger: {} for logger in new}
        async with director.transaction():
            await director.execute("INSERT INTO devices (device_id) SELECT unnest($1::text[])", new)
            await director.execute("INSERT INTO device_states (device_id) SELECT unnest($1::text[])", new)
            await director.execute(
                "INSERT INTO shipments (shipment_id, band, plan, departed_at, created_at) "
                "SELECT id, 'custom', plan, departed_at, clock_timestamp() "
                "FROM unnest($1::text[], $2::jsonb[], $3::timestamptz[]) AS s(id, plan, departed_at)",
                [c.shipment_id for c in courses],
                [json.dumps(c.plan.to_json()) for c in courses],
                [c.departed_at for c in courses],
            )
            await director.execute(
                "INSERT INTO device_assignments (device_id, shipment_id, starts_at) "
                "SELECT * FROM unnest($1::text[], $2::text[], $3::timestamptz[])",
                [logger for _, logger in on],
                [c.shipment_id for c, _ in on],
                [c.starts_at for c, _ in on],
            )
            ids = [c.shipment_id for c in courses]
            await director.execute("INSERT INTO evaluations (shipment_id) SELECT unnest($1::text[])", ids)
            await director.execute(
                "INSERT INTO evaluation_marks (shipment_id) SELECT unnest($1::text[])", ids
            )

    def receive(self, batches: Sequence[tuple[str, list[dict[str, Any]]]]) -> Program:
        """Messages of loggers, one each, stored in one transaction by ingest itself."""

        async def program(hand: SteppedConnection) -> None:
            messages = [
                RawMessage(
                    Source.MQTT, f"dewar/v1/{logger}/readings", json.dumps(readings).encode(), self.now
                )
                for logger, readings in batches
            ]
            await Ingest(hand).store(messages)  # type: ignore[arg-type]
            for logger, readings in batches:
                for reading in readings:
                    at = datetime.fromisoformat(reading["measured_at"])
                    if at <= self.now + MAX_AHEAD:
                        celsius = reading.get("temperature_c") if reading.get("probe_ok", True) else None
                        self.stored[logger].setdefault(at, celsius)

        self.sent += batches
        return program

    def depart(self, course: Course, at: datetime) -> Program:
        at = max(at, course.starts_at)
        return self._step(course, "departed_at = $2", at, lambda: setattr(course, "departed_at", at))

    def end(self, course: Course, at: datetime, how: str) -> Program:
        """Delivered or cancelled: its loggers are free from then on."""
        ends_at = course.starts_at if course.departed_at is None else at

        async def release(hand: SteppedConnection) -> None:
            await hand.fetch(
                "SELECT FROM device_states WHERE device_id = ANY($1::text[]) ORDER BY device_id FOR NO KEY UPDATE",
                list(course.loggers),
            )
            await hand.execute(
                "UPDATE device_assignments SET ends_at = greatest(starts_at, least(ends_at, $2)) WHERE shipment_id = $1",
                course.shipment_id,
                ends_at,
            )

        return self._step(course, f"{how}_at = $2", at, lambda: setattr(course, "ended_at", at), release)

    def take_back(self, course: Course) -> Program:
        """It was not delivered or cancelled after all: what stayed until its end stays on."""
        stayed = [logger for logger in course.loggers if logger not in course.taken_off]

        async def stay(hand: SteppedConnection) -> None:
            await hand.execute(
                "UPDATE device_assignments SET ends_at = NULL WHERE shipment_id = $1 AND device_id = ANY($2::text[])",
                course.shipment_id,
                stayed,
            )

        change = "delivered_at = $2, cancelled_at = NULL"
        return self._step(course, change, None, lambda: setattr(course, "ended_at", None), stay)

    def undepart(self, course: Course) -> Program:
        return self._step(course, "departed_at = $2", None, lambda: setattr(course, "departed_at", None))

    def carry(self, course: Course, logger: str, at: datetime, *, on: bool) -> Program:
        """A logger was put on no earlier than at an instant, or is taken off then."""
        column, known = ("starts_at", course.put_on) if on else ("ends_at", course.taken_off)

        async def assign(hand: SteppedConnection) -> None:
            await hand.execute(
                f"UPDATE device_assignments SET {column} = $3 WHERE shipment_id = $1 AND device_id = $2",
                course.shipment_id,
                logger,
                at,
            )

        def learn() -> None:
            known[logger] = at

        return self._step(course, "drill = coalesce($2, drill)", None, learn, assign)

    def replan(self, course: Course, plan: Plan) -> Program:
        change = "plan = $2::jsonb, plan_revision = plan_revision + 1"
        return self._step(course, change, json.dumps(plan.to_json()), lambda: setattr(course, "plan", plan))

    def _step(self, course: Course, change: str, value: Any, known: Any, before: Any = None) -> Program:
        async def program(hand: SteppedConnection) -> None:
            async with hand.transaction():
                await hand.fetch(
                    "SELECT FROM shipments WHERE shipment_id = $1 FOR NO KEY UPDATE", course.shipment_id
                )
                if before is not None:
                    await before(hand)
                await hand.execute(
                    f"UPDATE shipments SET {change} WHERE shipment_id = $1", course.shipment_id, value
                )
                await hand.execute(
                    "INSERT INTO evaluation_marks (shipment_id) VALUES ($1)", course.shipment_id
                )
            known()

        return program

    async def come_to_rest(self) -> None:
        """Evaluates until nothing is due, also what was set aside."""
        for _ in range(AT_REST_AFTER):
            [found] = await self.stage.play([(evaluate_due, None)])  # type: ignore[list-item]
            if not found:
                if not await self.stage.director.fetchval(
                    "SELECT count(*) FROM evaluations WHERE failures > 0"
                ):
                    return
                await self.set_clock(self.now + timedelta(minutes=20))
        still = await self.stage.director.fetch(
            "SELECT shipment_id, evaluate_at, error FROM evaluations WHERE evaluate_at <= $1 OR failures > 0",
            self.now,
        )
        pytest.fail(f"evaluation does not come to rest: {still}")

    async def told(self) -> tuple[int, int]:
        """How much has been told."""
        return tuple(  # type: ignore[return-value]
            await self.stage.director.fetchrow(
                "SELECT (SELECT count(*) FROM outbox), (SELECT count(*) FROM excursion_revisions)"
            )
        )

    async def nothing_changes_by_looking_again(self) -> None:
        before = await self.told()
        await self.stage.director.execute(
            "UPDATE evaluations SET evaluate_at = $2 WHERE shipment_id = ANY($1::text[])", self.ids, self.now
        )
        await self.come_to_rest()
        assert await self.told() == before

    def with_readings(self) -> int:
        """How many shipments have at least one."""
        return sum(any(self.readings(course, logger) for logger in course.loggers) for course in self.courses)

    async def leave(self) -> None:
        """Lets nothing of these shipments become due again."""
        await self.reader.rollback()
        await self.stage.director.execute(
            "WITH forgotten AS (DELETE FROM evaluation_marks) UPDATE evaluations SET evaluate_at = NULL, failures = 0 "
            "WHERE shipment_id = ANY($1::text[])",
            self.ids,
        )

    @property
    def ids(self) -> list[str]:
        return [course.shipment_id for course in self.courses]

    def true_plan(self, course: Course, logger: str) -> TruePlan:
        plan, limits = course.plan, course.plan.limits
        assert course.departed_at is not None
        return TruePlan(
            lower_c=limits.lower_c,
            upper_c=limits.upper_c,
            critical_low_c=limits.critical_low_c,
            critical_high_c=limits.critical_high_c,
            deadband_c=plan.deadband_c,
            on_delay_s=plan.on_delay / SECOND,
            budget_s=None if plan.budget is None else plan.budget / SECOND,
            max_gap_s=plan.max_gap / SECOND,
            departed_at=max(course.departed_at, course.put_on.get(logger, course.departed_at)),
            delivered_at=course.ends(logger),
        )

    def is_judged(self, course: Course, logger: str) -> bool:
        """Whether a logger was on the shipment at any time of its way."""
        if course.departed_at is None:
            return False
        ends_at, plan = course.ends(logger), self.true_plan(course, logger)
        return ends_at is None or ends_at > plan.departed_at

    def readings(self, course: Course, logger: str) -> list[TrueReading]:
        """Those of a logger while it was on the shipment."""
        return [
            TrueReading(at, celsius, celsius is not None)
            for at, celsius in self.stored[logger].items()
            if max(course.starts_at, course.put_on.get(logger, course.starts_at)) <= at
            and ((ends_at := course.ends(logger)) is None or at < ends_at)
        ]

    async def record_equals_truth(self) -> None:
        """The excursions that are live are those of the oracle, and every record and alert is whole."""
        await self._readings_are_as_sent()
        rows = await self.stage.director.fetch(_RECORD, self.ids)
        live: dict[tuple[str, str], list[Any]] = {}
        for row in rows:
            numbers = list(range(1, row["revision"] + 1))
            assert row["revisions"] == numbers, f"revisions of {row}"
            # What is told of once more is its turn beside its end; what is not told are peaks that moved.
            assert row["told"] == sorted(row["told"]), f"told of {row}"
            assert set(numbers) - set(row["told"]) <= set(row["moved_peaks"]), f"told of {row}"
            if row["state"] == "open":
                assert row["told_last"] or row["is_near"] or self.now - row["told_at"] < TOLD_EVERY, row
            else:
                assert row["told_last"], f"what came of it was not told: {row}"
            assert row["last_is_current"], f"the last revision is another state: {row}"
            if row["state"] in {"open", "closed"}:
                assert (row["state"] == "open") == (row["end_at"] is None), row
                live.setdefault((row["shipment_id"], row["device_id"]), []).append(
                    tuple(row[name] for name in _DEFINED)
                )
            self._alert_follows(row)
        for course in self.courses:
            for logger in course.loggers:
                expected = []
                if self.is_judged(course, logger):
                    plan = self.true_plan(course, logger)
                    found = true_excursions(plan, self.readings(course, logger), self.now)
                    off = plan.delivered_at is not None and plan.delivered_at != course.ended_at
                    expected = [
                        (
                            *(e.side, e.start, e.end),
                            "removal" if off and e.ended_by == "delivery" else e.ended_by,
                            *(e.peak_c, e.severity, e.has_gap),
                        )
                        for e in found
                    ]
                assert live.get((course.shipment_id, logger), []) == expected, (course, logger)
        await self._alerts_are_whole_and_true()

    def _alert_follows(self, row: Any) -> None:
        assert row["alerts"] == 1, f"{row['alerts']} alerts of {row}"
        over = (
            {AlertState.RESOLVED} if row["state"] != "open" else {AlertState.FIRING, AlertState.ACKNOWLEDGED}
        )
        assert row["alert_state"] in over, row
        assert row["withdrawn"] == (row["state"] in {"withdrawn", "superseded"}), row
        if row["state"] in {"open", "closed"}:
            assert (row["since"], row["until"], row["alert_severity"]) == (
                row["start_at"],
                row["end_at"],
                row["severity"],
            ), row

    async def _readings_are_as_sent(self) -> None:
        assert await self._found() == self.stored

    async def learn(self) -> None:
        """Takes what the database holds for what came first, and for the plan that came last, where writers raced."""
        self.stored = await self._found()
        rows = await self.stage.director.fetch(
            "SELECT shipment_id, plan FROM shipments WHERE shipment_id = ANY($1::text[])", self.ids
        )
        plans = {row["shipment_id"]: Plan.from_json(json.loads(row["plan"])) for row in rows}
        for course in self.courses:
            course.plan = plans[course.shipment_id]

    async def _found(self) -> dict[str, dict[datetime, float | None]]:
        rows = await self.stage.director.fetch(
            "SELECT device_id, measured_at, CASE WHEN probe_ok THEN temperature_c END AS celsius "
            "FROM readings WHERE device_id = ANY($1::text[])",
            list(self.stored),
        )
        found: dict[str, dict[datetime, float | None]] = {logger: {} for logger in self.stored}
        for row in rows:
            found[row["device_id"]][row["measured_at"]] = row["celsius"]
        return found

    async def _alerts_are_whole_and_true(self) -> None:
        rows = await self.stage.director.fetch(_ALERTS, self.ids)
        for row in rows:
            numbers = list(range(1, row["revision"] + 1))
            assert row["revisions"] == numbers, f"revisions of {row}"
            assert row["told"] == row["moves"], f"told {row}"
        found = {
            (row["shipment_id"], row["kind"], row["device_id"]): row for row in rows if not row["withdrawn"]
        }
        refused: dict[tuple[str, str], list[tuple[datetime, datetime]]] = defaultdict(list)
        for row in await self.stage.director.fetch(_REFUSED, self.ids):
            refused[row["shipment_id"], row["device_id"]].append((row["first_at"], row["last_at"]))
        for course in self.courses:
            for logger in course.loggers if course.departed_at is not None else ():
                self._alerts_of_a_logger_are_true(course, logger, found, refused[course.shipment_id, logger])

    def _alerts_of_a_logger_are_true(
        self,
        course: Course,
        logger: str,
        found: Mapping[Any, Any],
        refused: Sequence[tuple[datetime, datetime]],
    ) -> None:
        """Budget and silence, each as one would see it by looking at all readings at once."""
        readings = sorted(self.readings(course, logger), key=lambda reading: reading.measured_at)
        budget = found.get((course.shipment_id, "budget_exhausted", logger))
        silence = found.get((course.shipment_id, "signal_lost", logger))
        is_silent = silence is not None and silence["state"] != AlertState.RESOLVED
        if not self.is_judged(course, logger):
            assert (budget, is_silent) == (None, False), (course, logger)
            return
        plan = self.true_plan(course, logger)
        exhausted_at = true_summary(plan, readings, self.now).budget_exhausted_at
        assert (None if budget is None else budget["since"]) == exhausted_at, (course, budget)

        counted = [reading for reading in readings if reading.measured_at >= plan.departed_at]
        now = max([self.now, *(reading.measured_at for reading in counted)])
        ends_at = course.ends(logger)
        over = ends_at if ends_at is not None and ends_at <= now else None
        max_gap = timedelta(microseconds=course.plan.max_gap)
        watched_from = max(plan.departed_at, course.known_since)
        heard = max(watched_from, counted[-1].measured_at) if counted else watched_from
        # What is refused, as a conflict is, is no silence.
        heard = max([heard, *(min(last, now) for first, last in refused if first <= now)])
        assert is_silent == (over is None and now >= heard + max_gap), (course, silence)
        if silence is not None and is_silent:
            assert silence["since"] == heard + max_gap

    async def figures_equal_truth(self) -> None:
        """The summary is the oracle's, over what is stored now, evaluated or not."""
        found = await self.reader.execute(
            text("SELECT * FROM shipments WHERE shipment_id = ANY(:ids)"), {"ids": self.ids}
        )
        rows = {row["shipment_id"]: row for row in found.mappings()}
        for course in self.courses:
            devices = await summarize(self.reader, rows[course.shipment_id], self.now)
            expected = () if course.departed_at is None else sorted(course.loggers)
            assert [device.device_id for device in devices] == list(expected)
            for device in devices:
                logger = device.device_id
                if self.is_judged(course, logger):
                    plan = self.true_plan(course, logger)
                    truth = true_summary(plan, self.readings(course, logger), self.now)
                    assert_figures(device.figures, truth)
                else:
                    assert (device.figures.readings, device.figures.unobserved) == (0, 0)
        await self.reader.rollback()


def assert_figures(found: Figures, truth: Any) -> None:
    """Durations and instants are equal to the microsecond, means to the rounding of floats."""
    exhausted_at = truth.budget_exhausted_at
    assert (
        found.in_range,
        found.out_of_range,
        found.unobserved,
        found.budget_used,
        found.budget_exhausted_at,
        found.readings,
        found.min_c,
        found.max_c,
    ) == (
        truth.in_range_us,
        truth.out_of_range_us,
        truth.unobserved_us,
        truth.budget_used_us,
        None if exhausted_at is None else to_instant(exhausted_at),
        truth.readings,
        truth.min_c,
        truth.max_c,
    )
    for mine, theirs in ((found.mean_c, truth.mean_c), (found.mkt_c, truth.mkt_c)):
        assert mine == (theirs if theirs is None else pytest.approx(theirs, rel=1e-9, abs=1e-6))


_DEFINED = ("side", "start_at", "end_at", "ended_by", "peak_c", "severity", "has_gap")

_RECORD = """
SELECT e.*, r.revisions, r.moved_peaks, t.told, t.told[cardinality(t.told)] = e.revision AS told_last,
    abs(e.peak_c - e.told_peak_c) <= 1 AS is_near, last.is_current AS last_is_current, a.alerts, a.alert_state, a.withdrawn,
    a.since, a.until, a.alert_severity
FROM excursions AS e
CROSS JOIN LATERAL (SELECT array_agg(revision ORDER BY revision) AS revisions,
        coalesce(array_agg(revision) FILTER (WHERE reason = 'peak_moved'), '{}') AS moved_peaks
    FROM excursion_revisions WHERE excursion_id = e.id) AS r
CROSS JOIN LATERAL (SELECT array_agg((data->>'revision')::int ORDER BY id) AS told
    FROM outbox WHERE shipment_id = e.shipment_id AND type LIKE 'excursion.%' AND data->>'id' = e.id::text) AS t
CROSS JOIN LATERAL (SELECT (side, start_at, end_at, ended_by, peak_c, severity, has_gap, state, superseded_by)
        IS NOT DISTINCT FROM (e.side, e.start_at, e.end_at, e.ended_by, e.peak_c, e.severity, e.has_gap, e.state,
        e.superseded_by) AS is_current
    FROM excursion_revisions WHERE excursion_id = e.id ORDER BY revision DESC LIMIT 1) AS last
CROSS JOIN LATERAL (SELECT count(*) AS alerts, min(state) AS alert_state, bool_or(withdrawn) AS withdrawn,
        min(since) AS since, min(until) AS until, min(severity) AS alert_severity
    FROM alerts WHERE excursion_id = e.id) AS a
WHERE e.shipment_id = ANY($1::text[]) ORDER BY e.shipment_id, e.device_id, e.start_at
"""

_REFUSED = """
SELECT a.shipment_id, a.device_id, r.first_at, r.last_at FROM refused_hours AS r JOIN device_assignments AS a USING (device_id)
WHERE a.shipment_id = ANY($1::text[]) AND r.last_at >= a.starts_at AND (a.ends_at IS NULL OR r.first_at < a.ends_at)
"""
# An alert is told of where its state or its severity moves, and of nothing else.
_ALERTS = """
SELECT a.*, r.revisions, r.moves, coalesce(t.told, '{}') AS told
FROM alerts AS a
CROSS JOIN LATERAL (
    SELECT array_agg(revision ORDER BY revision) AS revisions,
        array_agg(revision ORDER BY revision) FILTER (WHERE moved) AS moves
    FROM (SELECT revision, (state, severity, withdrawn, until IS NULL AND NOT withdrawn) IS DISTINCT FROM
            (lag(state) OVER w, lag(severity) OVER w, lag(withdrawn) OVER w,
                lag(until IS NULL AND NOT withdrawn) OVER w) AS moved
        FROM alert_revisions WHERE alert_id = a.id WINDOW w AS (ORDER BY revision)) AS each
) AS r
CROSS JOIN LATERAL (SELECT array_agg((data->>'revision')::int ORDER BY id) AS told
    FROM outbox WHERE shipment_id = a.shipment_id AND type LIKE 'alert.%' AND data->>'id' = a.id::text) AS t
WHERE a.shipment_id = ANY($1::text[])
"""
