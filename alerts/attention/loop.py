"""The loop that attends to alerts: claims scopes where something changed or is due, decides, saves; beside any number of its like.

While it is decided nothing is locked that anybody else may want: the claim is an advisory lock, and what became of an alert
meanwhile is seen when it is to be written: its scope is left as it is, and comes again.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import uuid4

import asyncpg
import structlog

from alerts import metrics
from alerts.attention.decide import FLEET, Attended, ScopeView, attend
from alerts.escalation import store
from alerts.evaluation.judge_batch import told
from alerts.events.write import WRITE_EVENTS, Whose
from alerts.model import Instant, to_datetime, to_instant
from alerts.tables import incident_revisions, incidents
from alerts.triage.incidents import IncidentChange
from alerts.triage.payloads import incident_event
from alerts.triage.rows import alert_from_row, incident_from_row, members
from alerts.triage.store import lock_unchanged, save_steps
from alerts.wording import instant_text
from alerts.work.bulk import Connection, Row, execute, write
from alerts.work.pacing import Pace
from alerts.work.wakeup import Wakeup, first_of, outlast
from telemetry.channels import NotifyChannel
from telemetry.locks import LockSpace
from telemetry.slices import can_wait, in_slices

log = structlog.get_logger(__name__)

POLL_S: Final = 1.0
LEAST_WAIT_S: Final = 0.02
BATCH: Final = 50
CYCLE_S: Final = 0.03
"""How long a cycle should take, and so few scopes it has."""
REST_S: Final = 0.1
"""So long a pause is after it: people do not wait for milliseconds, and many scopes at once cost less."""
_LONGEST_BACKOFF_S: Final = 600.0
_REFUSED = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, asyncpg.ProgramLimitExceededError)

# By itself and at once: what is claimed is a row, and two that make it at the same time wait only for one another.
MAKE_ROWS = """
INSERT INTO attention (scope)
SELECT DISTINCT m.scope FROM (SELECT scope FROM attention_marks ORDER BY id LIMIT 10 * $1) AS m
WHERE NOT EXISTS (SELECT FROM attention AS a WHERE a.scope = m.scope) ORDER BY m.scope ON CONFLICT DO NOTHING
"""

CLAIM = """
WITH waiting AS MATERIALIZED (
    SELECT scope FROM (
        (SELECT scope, marked_at AS since FROM attention_marks ORDER BY id LIMIT 10 * $1)
        UNION ALL
        (SELECT scope, attend_at FROM attention WHERE attend_at <= clock_timestamp() ORDER BY attend_at LIMIT $1)
    ) AS due GROUP BY scope ORDER BY min(since)
)
SELECT scope FROM waiting WHERE pg_try_advisory_xact_lock($2, hashtext(scope)) LIMIT $1
"""

# As with evaluation: each statement sees what was committed before it, and so what every mark read here tells of.
READ_MARKS = "SELECT id, scope, marked_at FROM attention_marks WHERE scope = ANY($1::text[])"
TAKE_MARKS = "DELETE FROM attention_marks WHERE id = ANY($1::bigint[])"

LEAVE_NO_MARKS = "SELECT set_config('dewarwatch.attending', 'on', true), clock_timestamp()"

LOAD_SCOPES = """
SELECT a.scope, s.organization, coalesce(s.drill, false) AS drill, s.origin, s.destination, s.departed_at,
    s.delivered_at, s.legs
FROM unnest($1::text[]) AS a(scope) LEFT JOIN shipments AS s ON s.shipment_id = a.scope
"""

LOAD_ALERTS = """
SELECT * FROM alerts WHERE (shipment_id = ANY($1::text[]) OR ($2 AND shipment_id IS NULL))
    AND (state <> 'resolved' OR incident_id IS NULL OR incident_id IN (SELECT id FROM incidents WHERE state = 'open'
        AND (shipment_id = ANY($1::text[]) OR ($2 AND shipment_id IS NULL))))
ORDER BY id
"""

LOAD_INCIDENTS = """
SELECT * FROM incidents WHERE id = ANY($3::uuid[])
    OR ((state = 'open' OR id IN (SELECT incident_id FROM escalations WHERE nobody_to_tell))
        AND (shipment_id = ANY($1::text[]) OR ($2 AND shipment_id IS NULL)))
"""

# The others of an incident that was closed and of which one came back: they are resolved, and stay as they are.
LOAD_OTHERS = "SELECT * FROM alerts WHERE incident_id = ANY($1::uuid[]) AND id <> ALL($2::uuid[])"

WRITE_INCIDENTS = write(incidents, incidents.columns.keys(), ["id"])
WRITE_INCIDENT_REVISIONS = write(incident_revisions, incident_revisions.columns.keys())

MOVE = """
UPDATE alerts SET incident_id = m.incident_id
FROM unnest($1::uuid[], $2::uuid[]) AS m(id, incident_id) WHERE alerts.id = m.id
"""

WRITE_DEADLINES = """
UPDATE attention AS a SET attend_at = d.attend_at, failures = 0, error = NULL
FROM unnest($1::text[], $2::timestamptz[]) AS d(scope, attend_at) WHERE a.scope = d.scope
"""

SET_ASIDE = """
UPDATE attention AS a SET failures = a.failures + 1, error = f.error,
    attend_at = clock_timestamp() + least(power(2, least(a.failures, 30)), $3) * interval '1 second'
FROM unnest($1::text[], $2::text[]) AS f(scope, error) WHERE a.scope = f.scope
"""

NEXT_DEADLINE = "SELECT extract(epoch FROM min(attend_at) - clock_timestamp()) FROM attention"


@dataclass(slots=True)
class Batch:
    """Scopes that are attended to in one transaction; what cannot be read or decided is in `failed`."""

    now: Instant
    marks: Sequence[asyncpg.Record]
    views: list[ScopeView] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    """By scope, the error."""


async def run_attend(pool: asyncpg.Pool, stop: asyncio.Event) -> None:
    """Attend to alerts until `stop` is set; outlasts a database that is away."""
    can_wait.set(True)
    pace = Pace(limit=4, least=4, most=BATCH)

    async def attend_some() -> int:
        return await pace.cycle(lambda limit: attend_due(pool, limit), CYCLE_S)

    async with Wakeup(pool, NotifyChannel.ATTENTION) as wakeup:
        while not stop.is_set():
            wakeup.clear()
            if await outlast(attend_some, stop, "attend"):
                await first_of(stop, patience_s=REST_S)
            else:
                await wakeup.wait(await outlast(lambda: _patience(pool), stop, "attend") or POLL_S, stop)


async def attend_due(pool: asyncpg.Pool, limit: int = BATCH) -> int:
    """Attend to at most `limit` scopes that are due, in one transaction; give how many there were."""
    async with pool.acquire() as connection:
        await connection.execute(MAKE_ROWS, limit)
        async with connection.transaction():
            batch = await _claim(connection, limit)
            if batch is None:
                return 0
            attended = await _attend_to(connection, batch)
    _count(batch, attended)
    return len(batch.views) + len(batch.failed)


async def _claim(connection: Connection, limit: int) -> Batch | None:
    scopes = [row["scope"] for row in await connection.fetch(CLAIM, limit, LockSpace.ATTENTION)]
    if not scopes:
        return None
    marks = await connection.fetch(READ_MARKS, scopes)
    found = await _Loaded.of(connection, scopes)
    # The database's clock is everybody's: what follows from what was loaded was not known before.
    row = await connection.fetchrow(LEAVE_NO_MARKS)
    assert row is not None
    batch = Batch(now=to_instant(row["clock_timestamp"]), marks=marks)
    for scope in found.scopes:
        try:
            batch.views.append(found.view(scope))
        except Exception as error:  # a row that cannot be read must not stop the others
            log.exception("attention_failed", scope=scope["scope"])
            batch.failed[scope["scope"]] = told(error)
    return batch


@dataclass(frozen=True, slots=True)
class _Loaded:
    """Rows of all scopes of a batch."""

    scopes: Sequence[asyncpg.Record]
    alerts: Sequence[asyncpg.Record]
    incidents: Sequence[asyncpg.Record]
    people: store.Loaded

    @classmethod
    async def of(cls, connection: Connection, scopes: Sequence[str]) -> "_Loaded":
        about = await connection.fetch(LOAD_SCOPES, scopes)
        fleet = FLEET in scopes
        alerts = await connection.fetch(LOAD_ALERTS, scopes, fleet)
        theirs = {row["incident_id"] for row in alerts if row["incident_id"] is not None}
        incidents_ = await connection.fetch(LOAD_INCIDENTS, scopes, fleet, list(theirs))
        closed = [row["id"] for row in incidents_ if row["state"] != "open"]
        if closed:
            alerts += await connection.fetch(LOAD_OTHERS, closed, [row["id"] for row in alerts])
        people = await store.load(connection, about, [row["id"] for row in incidents_])
        return cls(about, alerts, incidents_, people)

    def view(self, scope: asyncpg.Record) -> ScopeView:
        """Put together what is known of one scope."""
        shipment_id = scope["scope"] or None
        alerts = tuple(alert_from_row(row) for row in self.alerts if row["shipment_id"] == shipment_id)
        ids = members(alerts)
        whom = self.people.escalating(scope)
        return ScopeView(
            scope=scope["scope"],
            organization=scope["organization"],
            drill=scope["drill"],
            alerts=alerts,
            incidents=tuple(
                incident_from_row(row, ids.get(str(row["id"]), ()))
                for row in self.incidents
                if row["shipment_id"] == shipment_id
            ),
            acknowledged_for=whom.acknowledged_for(scope["organization"]),
            escalating=whom,
        )


async def _attend_to(connection: Connection, batch: Batch) -> list[Attended]:
    """Decide for every scope, letting others run in between, and save; one that fails costs the others nothing."""
    attended: list[Attended] = []

    def decide(view: ScopeView) -> None:
        try:
            attended.append(attend(view, batch.now, _new_id))
        except Exception as error:  # whatever it is, the other scopes must not wait for it
            log.exception("attention_failed", scope=view.scope)
            batch.failed[view.scope] = told(error)

    await in_slices(decide, batch.views)
    saved = await _save(connection, await _unchanged(connection, attended), batch)
    done = {one.view.scope for one in saved} | batch.failed.keys()
    await connection.execute(TAKE_MARKS, [mark["id"] for mark in batch.marks if mark["scope"] in done])
    if batch.failed:
        await connection.execute(
            SET_ASIDE, list(batch.failed), list(batch.failed.values()), _LONGEST_BACKOFF_S
        )
    return saved


async def _unchanged(connection: Connection, attended: Sequence[Attended]) -> list[Attended]:
    """Lock the alerts that are to be written; give the scopes in which none has become another one meanwhile."""
    seen = {alert.id: alert for one in attended for alert in one.view.alerts}
    written = {one.view.scope: _written(one) & seen.keys() for one in attended}
    unchanged = await lock_unchanged(
        connection, [seen[id_] for of_scope in written.values() for id_ in of_scope]
    )
    return [one for one in attended if written[one.view.scope] <= unchanged]


def _written(attended: Attended) -> set[str]:
    return {step.change.alert.id for step in attended.steps} | attended.moved.keys()


async def _save(connection: Connection, attended: Sequence[Attended], batch: Batch) -> list[Attended]:
    """Write all at once; where the database refuses something in it, one by one to find out in which."""
    try:
        async with connection.transaction():  # a savepoint
            await save(connection, attended, batch.now)
    except _REFUSED as error:
        if len(attended) == 1:
            log.exception("attention_refused", scope=attended[0].view.scope)
            batch.failed[attended[0].view.scope] = told(error)
            return []
        return [kept for one in attended for kept in await _save(connection, [one], batch)]
    return list(attended)


async def save(connection: Connection, attended: Sequence[Attended], now: Instant) -> None:
    """Write what came of it and tell of it, in a number of statements that does not grow with the scopes."""
    changes = [(_whose(one.view), change) for one in attended for change in one.incidents]
    latest = {change.incident.id: _incident_row(change) for _, change in changes}
    told_of = [(whose, incident_event(change)) for whose, change in changes]
    await execute(
        connection,
        [
            (WRITE_INCIDENTS, list(latest.values())),
            (WRITE_INCIDENT_REVISIONS, [_revision_row(change, now) for _, change in changes]),
        ],
    )
    steps = [(_whose(one.view), step) for one in attended for step in one.steps]
    await save_steps(connection, steps, now)
    moved = {alert_id: incident_id for one in attended for alert_id, incident_id in one.moved.items()}
    if moved:
        await connection.execute(MOVE, list(moved), list(moved.values()))
    await execute(
        connection, [(WRITE_EVENTS, [whose.event(*event) for whose, event in told_of if event is not None])]
    )
    await connection.execute(
        WRITE_DEADLINES,
        [one.view.scope for one in attended],
        [None if one.attend_at is None else to_datetime(one.attend_at) for one in attended],
    )
    # Last of all: whoever else tells the same people waits until the commit.
    await store.save(
        connection,
        [
            store.Decisions(scope=one.view.scope, whose=_whose(one.view), decided=one.decided)
            for one in attended
        ],
        attended[0].view.escalating.policies if attended else (),
        now,
    )


def _whose(view: ScopeView) -> Whose:
    return Whose(shipment_id=view.shipment_id, organization=view.organization, drill=view.drill)


def _incident_fields(change: IncidentChange) -> dict[str, Any]:
    incident = change.incident
    return {
        "cause_alert_id": incident.cause_alert_id,
        "state": incident.state,
        "kind": incident.kind,
        "severity": incident.severity,
        "headline": incident.headline,
        "next_action": incident.next_action,
        "closed_at": instant_text(incident.closed_at),
        "merged_into": incident.merged_into,
        "revision": incident.revision,
    }


def _incident_row(change: IncidentChange) -> Row:
    incident = change.incident
    return {
        "id": incident.id,
        "shipment_id": incident.shipment_id,
        "organization": incident.organization,
        "opened_at": instant_text(incident.opened_at),
        **_incident_fields(change),
    }


def _revision_row(change: IncidentChange, now: Instant) -> Row:
    return {
        "incident_id": change.incident.id,
        **_incident_fields(change),
        "alert_ids": list(change.incident.alert_ids),
        "reason": change.reason,
        "recorded_at": instant_text(now),
    }


def _new_id() -> str:
    return str(uuid4())


async def _patience(pool: asyncpg.Pool) -> float:
    """Give the seconds until the next deadline, or until the next poll where that is sooner."""
    until = await pool.fetchval(NEXT_DEADLINE)
    return POLL_S if until is None else min(max(float(until), LEAST_WAIT_S), POLL_S)


def _count(batch: Batch, attended: Sequence[Attended]) -> None:
    metrics.ATTENDED.inc(len(attended))
    metrics.ATTENTION_FAILED.inc(len(batch.failed))
    oldest: dict[str, Instant] = {}
    for mark in batch.marks:
        at = to_instant(mark["marked_at"])
        oldest[mark["scope"]] = min(at, oldest.get(mark["scope"], at))
    for at in oldest.values():
        metrics.ATTENTION_LAG_SECONDS.observe(max(0, batch.now - at) / 1e6)
    for one in attended:
        for change in () if one.view.drill else one.incidents:
            metrics.INCIDENT_CHANGES.labels(reason=change.reason).inc()
