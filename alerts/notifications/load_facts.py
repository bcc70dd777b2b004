"""Loads what messages are made from: incidents with their alerts, shipments, holders, and who else was told."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg
import orjson
import structlog

from alerts import wording
from alerts.escalation.deciding.notification import Why
from alerts.model import AlertKind, Severity
from alerts.notifications.facts import Cargo, Event, Happening, MessageFacts, Occasion
from alerts.notifications.queue import Claimed
from alerts.notifications.words import limits
from alerts.triage.alert import AlertReason, AlertState
from alerts.work.bulk import Connection
from telemetry.registry.ids import id_of

PARTS = "SELECT digest_id, incident_id, scope, alert_ids, severity, drill FROM notifications WHERE digest_id = ANY ($1)"

ALERTS = """
SELECT id, incident_id, kind, severity, state, message, since, until, withdrawn, device_id,
    coalesce((
        SELECT c.name FROM contacts AS c
        WHERE owner NOT LIKE '%/%' AND (c.contact_id = owner OR (
            shipment_id LIKE '%/%' AND c.contact_id = split_part(shipment_id, '/', 1) || '/' || owner))
        ORDER BY c.organization IS NULL LIMIT 1
    ), owner) AS owner, acknowledged_at IS NOT NULL AS seen,
    CASE WHEN state = 'acknowledged' THEN greatest(acknowledged_at, assigned_at) END AS taken_at,
    CASE WHEN state = 'resolved' THEN (
        SELECT jsonb_build_object('by', r.by, 'reason', r.reason, 'note', r.note)::text FROM alert_revisions AS r
        WHERE r.alert_id = alerts.id AND r.reason IN ('resolved_by_hand', 'condition_ended', 'condition_withdrawn')
        ORDER BY r.revision DESC LIMIT 1
    ) END AS ended,
    coalesce((SELECT x.ended_by = 'delivery' FROM excursions AS x WHERE x.id = alerts.excursion_id), false)
        AS ended_with_journey
FROM alerts WHERE id = ANY ($1) OR incident_id = ANY ($2)
ORDER BY since, id
"""

INCIDENTS = """
SELECT i.id, i.severity, i.next_action, e.next_at
FROM incidents AS i LEFT JOIN escalations AS e ON e.incident_id = i.id
WHERE i.id = ANY ($1)
"""

# A place is the id of a site or free text; its organization's own site comes first, then everybody's (`registry.places`).
SHIPMENTS = """
SELECT s.shipment_id, s.band, s.plan, s.dewar_id, s.product_id, s.planned_arrival, s.delivered_at,
    coalesce(s.use_by, s.packed_out_at + s.use_within_h * interval '1 hour') AS use_by,
    coalesce(own_o.name, o.name, s.origin) AS origin, coalesce(own_d.name, d.name, s.destination) AS destination,
    h.to_party AS holder, h.at AS holder_since
FROM shipments AS s
LEFT JOIN sites AS own_o ON own_o.site_id = s.organization || '/' || s.origin
LEFT JOIN sites AS o ON o.site_id = s.origin AND o.organization IS NULL
LEFT JOIN sites AS own_d ON own_d.site_id = s.organization || '/' || s.destination
LEFT JOIN sites AS d ON d.site_id = s.destination AND d.organization IS NULL
LEFT JOIN LATERAL (
    SELECT to_party, at FROM handovers WHERE shipment_id = s.shipment_id ORDER BY at DESC, recorded_at DESC LIMIT 1
) AS h ON true
WHERE s.shipment_id = ANY ($1)
"""

TOLD = """
SELECT DISTINCT incident_id, contact_id, contact_name FROM notifications
WHERE incident_id = ANY ($1) AND state IN ('sent', 'pending', 'digested') AND contact_name IS NOT NULL
ORDER BY contact_name
"""

log = structlog.get_logger(__name__)

_MOST_TOLD: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class _About:
    """What one event is about: an incident, or the alerts of a scope."""

    incident_id: UUID | None
    scope: str
    alert_ids: Sequence[UUID]
    severity: str
    drill: bool


async def load(
    connection: Connection, claimed: Iterable[Claimed], as_of: datetime, public_url: str | None
) -> dict[Claimed, MessageFacts]:
    """Load the facts of all claimed notifications, one query for each kind of row; those that fail are left out."""
    about = {one: [_about(one)] if one.incident_id or one.alert_ids else [] for one in claimed}
    digests = {one.id: one for one in about if one.purpose == "digest"}
    if digests:
        for part in await connection.fetch(PARTS, list(digests)):
            about[digests[part["digest_id"]]].append(
                _About(**{name: part[name] for name in _About.__dataclass_fields__})
            )
    found = await _Found.of(connection, [each for events in about.values() for each in events])
    notices: dict[Claimed, MessageFacts] = {}
    for one, events in about.items():
        try:
            notices[one] = MessageFacts(
                occasion=_occasion(one, found.also_told(one), as_of, public_url),
                events=tuple(found.event(each) for each in _each_once(events)),
                parts=len(events),
            )
        except Exception:  # what is odd about one must not spoil the others
            log.exception("notice_not_put_together", notification=str(one.id))
    return notices


def _about(one: Claimed) -> _About:
    return _About(
        incident_id=one.incident_id,
        scope=one.scope,
        alert_ids=one.alert_ids,
        severity=one.severity,
        drill=one.drill,
    )


def _each_once(events: Sequence[_About]) -> list[_About]:
    """Return each incident once, at its worst severity told: a digest may stand for several messages about one."""
    by_incident: dict[Any, _About] = {}
    for event in sorted(events, key=lambda one: one.severity == Severity.CRITICAL):
        by_incident[event.incident_id or (event.scope, *event.alert_ids)] = event
    return list(by_incident.values())


def _occasion(one: Claimed, also_told: tuple[str, ...], as_of: datetime, public_url: str | None) -> Occasion:
    return Occasion(
        notification_id=str(one.id),
        purpose=one.purpose,
        why=one.detail or one.reason.replace("_", " "),
        reason=Why(one.reason),
        level=one.level,
        repeat=one.repeat,
        contact_name=one.contact_name,
        timezone=one.timezone,
        as_of=as_of,
        also_told=also_told,
        public_url=public_url,
    )


@dataclass(frozen=True, slots=True)
class _Found:
    """The loaded rows, by their keys."""

    alerts: Mapping[UUID, asyncpg.Record]
    of_incident: Mapping[UUID, Sequence[asyncpg.Record]]
    incidents: Mapping[UUID, asyncpg.Record]
    shipments: Mapping[str, asyncpg.Record]
    told: Mapping[UUID, Sequence[asyncpg.Record]]

    @classmethod
    async def of(cls, connection: Connection, about: Sequence[_About]) -> "_Found":
        incident_ids = list({one.incident_id for one in about if one.incident_id is not None})
        alert_ids = list({id_ for one in about for id_ in one.alert_ids})
        alerts = await connection.fetch(ALERTS, alert_ids, incident_ids)
        incidents = await connection.fetch(INCIDENTS, incident_ids)
        shipments = await connection.fetch(SHIPMENTS, list({one.scope for one in about if one.scope}))
        told = await connection.fetch(TOLD, incident_ids)
        return cls(
            {row["id"]: row for row in alerts},
            _grouped(alerts),
            {row["id"]: row for row in incidents},
            {row["shipment_id"]: row for row in shipments},
            _grouped(told),
        )

    def event(self, about: _About) -> Event:
        """Put together what is known of one incident."""
        id_ = about.incident_id
        incident = None if id_ is None else self.incidents.get(id_)
        mine = {row["id"]: row for row in (() if id_ is None else self.of_incident.get(id_, ()))}
        mine |= {alert_id: self.alerts[alert_id] for alert_id in about.alert_ids if alert_id in self.alerts}
        shipment = self.shipments.get(about.scope)
        return Event(
            severity=Severity(about.severity),
            happenings=tuple(_happening(row) for row in sorted(mine.values(), key=lambda row: row["since"])),
            cargo=None if shipment is None else _cargo(shipment),
            drill=about.drill,
            incident_id=None if id_ is None else str(id_),
            next_action=None if incident is None else incident["next_action"],
            next_told_at=None if incident is None else incident["next_at"],
        )

    def also_told(self, one: Claimed) -> tuple[str, ...]:
        """Return the names of others who were told of the same incident."""
        others = () if one.incident_id is None else self.told.get(one.incident_id, ())
        names = {row["contact_name"]: None for row in others if row["contact_id"] != one.contact_id}
        return tuple(names)[:_MOST_TOLD]


def _grouped(rows: Iterable[asyncpg.Record]) -> dict[UUID, list[asyncpg.Record]]:
    groups: dict[UUID, list[asyncpg.Record]] = defaultdict(list)
    for row in rows:
        if row["incident_id"] is not None:
            groups[row["incident_id"]].append(row)
    return groups


def _happening(row: asyncpg.Record) -> Happening:
    return Happening(
        kind=AlertKind(row["kind"]),
        severity=Severity(row["severity"]),
        state=AlertState(row["state"]),
        message=row["message"],
        since=row["since"],
        until=row["until"],
        withdrawn=row["withdrawn"],
        ended_by=None if row["ended"] is None else _ended_by(orjson.loads(row["ended"])),
        ended_with_journey=row["ended_with_journey"],
        device_id=row["device_id"],
        owner=row["owner"],
        taken_at=row["taken_at"],
        seen=row["seen"],
    )


def _ended_by(ended: Mapping[str, Any]) -> str | None:
    """Return who ended an alert, and why, from the revision that ended it; None where it ended by itself."""
    if ended["reason"] == AlertReason.RESOLVED_BY_HAND:
        return f"Resolved by hand by {wording.person(ended['by'])}: “{ended['note']}”"
    note: str | None = ended["note"]
    return note


def _cargo(row: asyncpg.Record) -> Cargo:
    plan = orjson.loads(row["plan"])
    same = (
        *("band", "origin", "destination", "dewar_id", "holder", "holder_since", "planned_arrival", "use_by"),
    )
    cargo = Cargo(
        **{name: row[name] for name in same},
        shipment_id=id_of(row["shipment_id"]),
        product_id=None if row["product_id"] is None else id_of(row["product_id"]),
        limits=limits(plan["lower_c"], plan["upper_c"]),
    )
    delivered_at, since = row["delivered_at"], cargo.holder_since
    if delivered_at is None or (since is not None and since > delivered_at):
        return cargo
    return replace(cargo, holder=None, holder_since=None, delivered_at=delivered_at)
