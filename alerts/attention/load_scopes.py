"""Claims scopes that are due, and loads everything that their decisions depend on, for all scopes at once."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import asyncpg
import structlog

from alerts.attention.decide import FLEET, ScopeView
from alerts.attention.queue import ATTENTION
from alerts.escalation import store
from alerts.model import Instant, to_instant
from alerts.tables import alerts, incidents
from alerts.triage.incidents import COMES_ANEW, COMES_BACK
from alerts.triage.rows import alert_from_row, incident_from_row, members
from alerts.work.bulk import Connection, columns_of
from alerts.work.due_queue import Claimed
from alerts.work.errors import describe_error
from alerts.work.savepoints import LOCK_PATIENCE

log = structlog.get_logger(__name__)

LEAVE_NO_MARKS = f"""
SELECT set_config('dewarwatch.attending', 'on', true), set_config('lock_timeout', '{LOCK_PATIENCE}', true),
    clock_timestamp()
"""

LOAD_SCOPES = """
SELECT a.scope, s.organization, coalesce(s.drill, false) AS drill, s.origin, s.destination, s.departed_at,
    s.delivered_at, s.cancelled_at, s.legs
FROM unnest($1::text[]) AS a(scope) LEFT JOIN shipments AS s ON s.shipment_id = a.scope
"""

LOAD_ALERTS = f"""
SELECT {columns_of(alerts)} FROM alerts WHERE (shipment_id = ANY($1::text[]) OR ($2 AND shipment_id IS NULL))
    AND (state <> 'resolved' OR incident_id IS NULL OR incident_id IN (SELECT id FROM incidents WHERE state = 'open'
        AND (shipment_id = ANY($1::text[]) OR ($2 AND shipment_id IS NULL))))
ORDER BY id
"""  # noqa: S608 -- our own words

LOAD_INCIDENTS = f"""
SELECT {columns_of(incidents)} FROM incidents WHERE id = ANY($3::uuid[])
    OR ((state = 'open' OR id IN (SELECT incident_id FROM escalations WHERE nobody_to_tell))
        AND (shipment_id = ANY($1::text[]) OR ($2 AND shipment_id IS NULL)))
    OR (state <> 'open' AND shipment_id = ANY($1::text[])
        AND (SELECT e.phase <> 'over' FROM escalations AS e WHERE e.incident_id = incidents.id))
"""  # noqa: S608 -- our own words
"""With those that are over, and of which that is not told yet."""

# Those of alerts that come back soon after they had ended; `goes_on_and_off` says the same.
LOAD_TO_REOPEN = """
SELECT DISTINCT b.incident_id FROM alerts AS a JOIN alerts AS b
    ON b.shipment_id = a.shipment_id AND b.kind = a.kind AND b.device_id = a.device_id AND b.id <> a.id
WHERE a.id = ANY($1::uuid[]) AND a.kind = ANY($3::text[]) AND b.incident_id IS NOT NULL AND NOT a.withdrawn AND NOT b.withdrawn
    AND (a.since BETWEEN b.until AND b.until + $2::interval OR b.since BETWEEN a.until AND a.until + $2::interval)
"""

# The other alerts of a closed incident, as one whose one alert came back: they are resolved and stay so.
LOAD_OTHERS = f"""
SELECT {columns_of(alerts)} FROM alerts WHERE incident_id = ANY($1::uuid[]) AND id <> ALL($2::uuid[])
"""  # noqa: S608 -- our own words


@dataclass(slots=True)
class DueScopes:
    """Claimed scopes with what was loaded for each; those that cannot be read or decided are in `failed`."""

    now: Instant
    claimed: Claimed
    views: list[ScopeView] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    """The error, by scope."""


async def claim(connection: Connection, limit: int) -> DueScopes | None:
    """Claim and load at most `limit` due scopes that nobody else has claimed; None if there are none.

    From then on the transaction's changes mark no scope: a decision covers all alerts of its scope anyway.
    """
    claimed = await ATTENTION.claim(connection, limit)
    if not claimed.keys:
        return None
    found = await _Loaded.of(connection, claimed.keys)
    # The clock that all processes share, read after loading: a decision is never older than its facts.
    row = await connection.fetchrow(LEAVE_NO_MARKS)
    assert row is not None
    due = DueScopes(now=to_instant(row["clock_timestamp"]), claimed=claimed)
    for scope in found.scopes:
        try:
            due.views.append(found.view(scope))
        except Exception as error:  # a row that cannot be read must not stop the others
            log.exception("attention_failed", scope=scope["scope"])
            due.failed[scope["scope"]] = describe_error(error)
    return due


@dataclass(frozen=True, slots=True)
class _Loaded:
    """The rows of all claimed scopes."""

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
        if new := [row["id"] for row in alerts if row["incident_id"] is None]:
            within = timedelta(microseconds=COMES_BACK)
            found = await connection.fetch(LOAD_TO_REOPEN, new, within, [kind.value for kind in COMES_ANEW])
            theirs |= {row["incident_id"] for row in found}
        incidents = await connection.fetch(LOAD_INCIDENTS, scopes, fleet, list(theirs))
        closed = [row["id"] for row in incidents if row["state"] != "open"]
        if closed:
            alerts += await connection.fetch(LOAD_OTHERS, closed, [row["id"] for row in alerts])
        people = await store.load(connection, about, [row["id"] for row in incidents])
        return cls(about, alerts, incidents, people)

    def view(self, scope: asyncpg.Record) -> ScopeView:
        """Return the view of one scope."""
        shipment_id = scope["scope"] or None
        alerts = tuple(alert_from_row(row) for row in self.alerts if row["shipment_id"] == shipment_id)
        ids = members(alerts)
        whom = self.people.escalation(scope)
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
            escalation=whom,
        )
