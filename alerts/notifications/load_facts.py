"""Loads what messages are made from: incidents with their alerts, shipments as they are now, holders, and who else was told."""

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
from alerts.escalation.people import folded
from alerts.evaluation.airports_file import airport_index
from alerts.model import AlertKind, Severity
from alerts.notifications.facts import (
    Cargo,
    Event,
    Happening,
    LastPosition,
    LoggerNow,
    MessageFacts,
    Occasion,
)
from alerts.notifications.queue import Claimed
from alerts.notifications.words import limits
from alerts.rules.geodesy import distance_m, unit_vector
from alerts.triage.alert import AlertReason, AlertState
from alerts.work.bulk import Connection
from telemetry.registry.ids import id_of, meant
from telemetry.registry.places import site_named

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
            AND r.revision > coalesce((
                SELECT max(o.revision) FROM alert_revisions AS o WHERE o.alert_id = alerts.id AND o.state <> 'resolved'), 0)
        ORDER BY r.reason <> 'condition_withdrawn', r.revision LIMIT 1
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
SELECT s.shipment_id, s.organization, s.band, s.plan, s.dewar_id, s.product_id, p.name AS product_name, s.planned_arrival,
    s.delivered_at, s.origin AS origin_id, s.destination AS destination_id,
    coalesce(s.use_by, s.packed_out_at + s.use_within_h * interval '1 hour') AS use_by,
    coalesce(own_o.name, o.name, s.origin) AS origin, coalesce(own_d.name, d.name, s.destination) AS destination,
    h.to_party AS holder, h.at AS holder_since, h.to_contact,
    CASE WHEN s.departed_at IS NOT NULL THEN s.legs->0->>'carrier' END AS carrier,
    EXISTS (SELECT FROM excursions AS x WHERE x.shipment_id = s.shipment_id AND x.state IN ('open', 'closed')) AS was_out
FROM shipments AS s
LEFT JOIN products AS p ON p.product_id = s.product_id
LEFT JOIN sites AS own_o ON own_o.site_id = s.organization || '/' || s.origin
LEFT JOIN sites AS o ON o.site_id = s.origin AND o.organization IS NULL
LEFT JOIN sites AS own_d ON own_d.site_id = s.organization || '/' || s.destination
LEFT JOIN sites AS d ON d.site_id = s.destination AND d.organization IS NULL
LEFT JOIN LATERAL (
    SELECT to_party, at, to_contact FROM handovers WHERE shipment_id = s.shipment_id
    ORDER BY at DESC, recorded_at DESC LIMIT 1
) AS h ON true
WHERE s.shipment_id = ANY ($1)
"""

# Of loggers that are on a shipment now, and of shipments that are under way: nobody is told of what is over as of now.
LOGGERS = """
SELECT a.shipment_id, d.device_id, d.measured_at, CASE WHEN d.probe_ok THEN d.temperature_c END AS celsius,
    d.position_at, d.lat, d.lon
FROM device_assignments AS a JOIN device_states AS d USING (device_id) JOIN shipments AS s USING (shipment_id)
WHERE a.shipment_id = ANY ($1) AND s.status = 'in_transit' AND a.ends_at IS NULL AND a.starts_at <= d.measured_at
ORDER BY a.shipment_id, d.device_id
"""

SITES = """
SELECT site_id, organization, name, lat, lon, radius_m, contacts::text AS contacts FROM sites WHERE site_id = ANY ($1)
"""

PHONES = """
SELECT contact_id, organization, name, phone, parties, places FROM contacts WHERE active AND phone IS NOT NULL
    AND (organization IS NULL OR organization = ANY ($1)) ORDER BY organization IS NULL, name
"""

TOLD = """
SELECT incident_id, contact_id, contact_name, min(decided_at) FILTER (WHERE state IN ('sent', 'digested')) AS reached_by
FROM notifications WHERE incident_id = ANY ($1) AND state IN ('sent', 'pending', 'digested') AND contact_name IS NOT NULL
GROUP BY incident_id, contact_id, contact_name ORDER BY contact_name
"""

log = structlog.get_logger(__name__)

_MOST_TOLD: Final = 8
_AT_AIRPORT_M: Final = 10_000.0
"""Freight is handled next to an airfield, and the largest ones are ten kilometres across."""


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
                occasion=found.occasion(one, as_of, public_url),
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


@dataclass(frozen=True, slots=True)
class _Found:
    """The loaded rows, by their keys."""

    alerts: Mapping[UUID, asyncpg.Record]
    of_incident: Mapping[UUID, Sequence[asyncpg.Record]]
    incidents: Mapping[UUID, asyncpg.Record]
    cargoes: Mapping[str, Cargo]
    told: Mapping[UUID, Sequence[asyncpg.Record]]

    @classmethod
    async def of(cls, connection: Connection, about: Sequence[_About]) -> "_Found":
        incident_ids = list({one.incident_id for one in about if one.incident_id is not None})
        alert_ids = list({id_ for one in about for id_ in one.alert_ids})
        alerts = await connection.fetch(ALERTS, alert_ids, incident_ids)
        incidents = await connection.fetch(INCIDENTS, incident_ids)
        cargoes = await _cargoes(connection, list({one.scope for one in about if one.scope}))
        told = await connection.fetch(TOLD, incident_ids)
        return cls(
            {row["id"]: row for row in alerts},
            _grouped(alerts),
            {row["id"]: row for row in incidents},
            cargoes,
            _grouped(told),
        )

    def event(self, about: _About) -> Event:
        """Put together what is known of one incident."""
        id_ = about.incident_id
        incident = None if id_ is None else self.incidents.get(id_)
        mine = {row["id"]: row for row in (() if id_ is None else self.of_incident.get(id_, ()))}
        mine |= {alert_id: self.alerts[alert_id] for alert_id in about.alert_ids if alert_id in self.alerts}
        return Event(
            severity=Severity(about.severity),
            happenings=tuple(_happening(row) for row in sorted(mine.values(), key=lambda row: row["since"])),
            cargo=self.cargoes.get(about.scope),
            drill=about.drill,
            incident_id=None if id_ is None else str(id_),
            next_action=None if incident is None else incident["next_action"],
            next_told_at=None if incident is None else incident["next_at"],
        )

    def occasion(self, one: Claimed, as_of: datetime, public_url: str | None) -> Occasion:
        """Put together who is told and why, and who else was told of the same incident."""
        told = () if one.incident_id is None else self.told.get(one.incident_id, ())
        others = {row["contact_name"]: row for row in told if row["contact_id"] != one.contact_id}
        before = tuple(name for name, row in others.items() if _is_before(row["reached_by"], one.decided_at))
        mine = (row["reached_by"] for row in told if row["contact_id"] == one.contact_id)
        is_first = not any(_is_before(at, one.decided_at) for at in mine)
        why = one.detail or one.reason.replace("_", " ")
        if one.reason == Why.NOT_ACKNOWLEDGED and is_first and not before:
            why = "No message has reached anybody before."
        return Occasion(
            notification_id=str(one.id),
            purpose=one.purpose,
            why=why,
            reason=Why(one.reason),
            level=one.level,
            repeat=one.repeat,
            contact_name=one.contact_name,
            timezone=one.timezone,
            as_of=as_of,
            also_told=tuple(others)[:_MOST_TOLD],
            told_before=before[:_MOST_TOLD],
            is_first=is_first,
            public_url=public_url,
        )


def _is_before(at: datetime | None, decided_at: datetime) -> bool:
    return at is not None and at < decided_at


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


async def _cargoes(connection: Connection, shipment_ids: Sequence[str]) -> dict[str, Cargo]:
    """Load shipments as they are now, by id."""
    rows = await connection.fetch(SHIPMENTS, shipment_ids)
    loggers = defaultdict(list)
    for row in await connection.fetch(LOGGERS, shipment_ids) if rows else []:
        loggers[row["shipment_id"]].append(row)
    named = {key for row in rows for place in _places(row) for key in meant(place, row["organization"])}
    sites = {row["site_id"]: row for row in await connection.fetch(SITES, list(named))} if named else {}
    organizations = [row["organization"] for row in rows if row["organization"] is not None]
    contacts = await connection.fetch(PHONES, organizations) if rows else []
    return {row["shipment_id"]: _cargo(row, loggers[row["shipment_id"]], sites, contacts) for row in rows}


def _places(row: asyncpg.Record) -> list[str]:
    return [name for name in (row["origin_id"], row["destination_id"], row["holder"]) if name is not None]


def _cargo(
    row: asyncpg.Record,
    loggers: Sequence[asyncpg.Record],
    sites: Mapping[str, asyncpg.Record],
    contacts: Sequence[asyncpg.Record],
) -> Cargo:
    plan = orjson.loads(row["plan"])
    same = ("band", "origin", "destination", "dewar_id", "holder_since", "planned_arrival", "use_by")
    delivered_at, since = row["delivered_at"], row["holder_since"]
    is_delivered = delivered_at is not None and (since is None or since <= delivered_at)
    product_id = row["product_id"]
    site = None if row["holder"] is None else site_named(row["holder"], row["organization"], sites)
    cargo = Cargo(
        **{name: row[name] for name in same},
        shipment_id=id_of(row["shipment_id"]),
        product=None if product_id is None else row["product_name"] or id_of(product_id),
        limits=limits(plan["lower_c"], plan["upper_c"]),
        holder=row["holder"] if site is None else site["name"],
        phones=_phones(row, sites, contacts, is_delivered=is_delivered),
        loggers=tuple(
            LoggerNow(device_id=one["device_id"], measured_at=one["measured_at"], celsius=one["celsius"])
            for one in loggers
        ),
        position=_position(row, loggers, sites),
        was_out_of_range=row["was_out"],
    )
    return (
        replace(cargo, holder=None, holder_since=None, delivered_at=delivered_at) if is_delivered else cargo
    )


def _position(
    row: asyncpg.Record, loggers: Sequence[asyncpg.Record], sites: Mapping[str, asyncpg.Record]
) -> LastPosition | None:
    """Return the newest position of its loggers, with the site of its way or the airport that it lies in."""
    seen = [one for one in loggers if one["position_at"] is not None and one["lat"] is not None]
    if not seen:
        return None
    newest = max(seen, key=lambda one: one["position_at"])
    lat, lon = newest["lat"], newest["lon"]
    here = unit_vector(lat, lon)
    on_its_way = [site_named(place, row["organization"], sites) for place in _places(row)]
    near = next(
        (
            site["name"]
            for site in on_its_way
            if site is not None
            and distance_m(unit_vector(site["lat"], site["lon"]), here) <= site["radius_m"]
        ),
        None,
    )
    airport = airport_index().nearest(lat, lon, _AT_AIRPORT_M) if near is None else None
    return LastPosition(at=newest["position_at"], lat=lat, lon=lon, near=near or airport)


def _phones(
    row: asyncpg.Record,
    sites: Mapping[str, asyncpg.Record],
    contacts: Sequence[asyncpg.Record],
    *,
    is_delivered: bool,
) -> tuple[tuple[str, str], ...]:
    """Return who can be rung where a shipment is now: of its holder, as `alerts.escalation.people` knows it."""
    if is_delivered:
        places = [row["destination_id"]]
    elif row["holder"] is not None:
        places = [row["holder"]]
    else:
        places = [row["carrier"], row["origin_id"]]
    to_contact = None if is_delivered else row["to_contact"]
    each = (
        _phones_at(place, to_contact, row["organization"], sites, contacts)
        for place in places
        if place is not None
    )
    return next((found for found in each if found), ())


def _phones_at(
    place: str,
    to_contact: str | None,
    organization: str | None,
    sites: Mapping[str, asyncpg.Record],
    contacts: Sequence[asyncpg.Record],
) -> tuple[tuple[str, str], ...]:
    """Return the numbers of a party's or a place's contacts, each with a name; of one of them where it is named."""
    here = [
        one
        for one in contacts
        if one["organization"] in {None, organization}
        and (
            one["contact_id"] == to_contact
            or place in one["places"]
            or folded(place) in map(folded, one["parties"])
        )
    ]
    named = [one for one in here if one["contact_id"] == to_contact] or here
    found = {one["phone"]: one["name"] for one in named}
    site = site_named(place, organization, sites)
    if site is not None:
        for person in orjson.loads(site["contacts"]):
            if person.get("phone"):
                found.setdefault(person["phone"], f"{person['name']} ({site['name']})")
    return tuple((name, number) for number, name in found.items())
