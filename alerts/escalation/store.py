"""Loads what decisions about people depend on, and saves them, in the transaction of the attention loop."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import orjson
import structlog

from alerts.escalation.deciding.decision import Decided
from alerts.escalation.deciding.flood import DIGEST_AFTER, is_flood
from alerts.escalation.deciding.notification import Notification, Purpose, Why
from alerts.escalation.deciding.progress import EscalationProgress
from alerts.escalation.deciding.scope import Escalation
from alerts.escalation.people import Contact, Custody, Handover, People
from alerts.escalation.policy import BUILT_IN, Flood, Policy
from alerts.escalation.rows import contact_from_row, policy_from_row, site_contacts
from alerts.escalation.tables import contacts, escalations, notifications, policies
from alerts.events.write import EventScope
from alerts.model import Instant, Severity, to_datetime, to_instant
from alerts.wording import instant_text
from alerts.work.bulk import Connection, Row, columns_of, write
from telemetry.channels import NotifyChannel
from telemetry.locks import LockSpace
from telemetry.registry.ids import meant
from telemetry.registry.places import site_named

LOAD_CONTACTS = f"SELECT {columns_of(contacts)} FROM contacts WHERE active"  # noqa: S608 -- our own words
LOAD_POLICIES = f"SELECT {columns_of(policies)} FROM policies WHERE active"  # noqa: S608 -- our own words
LOAD_SITES = """
SELECT site_id, name, timezone, receiving_hours, contacts FROM sites
WHERE site_id = ANY($1::text[]) AND contacts <> '[]'
"""
LOAD_HANDOVERS = """
SELECT shipment_id, at, recorded_at, to_party, to_contact FROM handovers WHERE shipment_id = ANY($1::text[])
"""
LOAD_PROGRESS = "SELECT incident_id, state FROM escalations WHERE incident_id = ANY($1::uuid[])"

WRITE_ESCALATIONS = write(escalations, escalations.columns.keys(), ["incident_id"])

_WRITTEN = [
    name
    for name in notifications.columns.keys()  # noqa: SIM118 -- a collection of columns, not a mapping
    if name not in {"message", "attempts", "lease_until", "lease_token", "sent_at", "error"}
]
WRITE_NOTIFICATIONS = write(notifications, _WRITTEN) + " ON CONFLICT DO NOTHING"

# Another process that tells the same recipient waits, so that nothing is counted twice or missed.
LOCK_RECIPIENTS = f"""
SELECT pg_advisory_xact_lock(hashtextextended(r, {LockSpace.RECIPIENTS})) FROM unnest($1::text[]) AS r
"""  # noqa: S608 -- a number of our own
# What is decided in the future was decided by a clock that was ahead, and is no flood of now. Who sends a digest has
# locked it, or raised its token: to one that is locked here, parts can be added until the commit.
COUNT_TOLD = """
SELECT r.contact_id, r.channel, r.address, r.drill, r.within_s, (
    SELECT count(*) FROM notifications AS n
    WHERE n.contact_id = r.contact_id AND n.channel = r.channel AND n.address = r.address AND n.drill = r.drill
        AND n.state <> 'not_sent' AND n.purpose = ANY($7::text[])
        AND n.decided_at > $5::timestamptz - r.within_s * interval '1 second'
        AND n.decided_at < $5::timestamptz + interval '1 minute'
) AS told, (
    SELECT n.id FROM notifications AS n
    WHERE n.contact_id = r.contact_id AND n.channel = r.channel AND n.address = r.address AND n.drill = r.drill
        AND n.state = 'pending' AND n.purpose = 'digest' AND n.attempts = 0 AND n.lease_token = 0
    ORDER BY n.send_at LIMIT 1 FOR UPDATE SKIP LOCKED
) AS digest_id
FROM unnest($1::text[], $2::text[], $3::text[], $4::bool[], $6::int[])
    AS r(contact_id, channel, address, drill, within_s)
"""
HASTEN = """
UPDATE notifications SET severity = 'critical', send_at = least(send_at, $2::timestamptz) WHERE id = ANY($1::uuid[])
"""

log = structlog.get_logger(__name__)

_FLOODS = [purpose.value for purpose in Purpose if purpose.floods]

_To = tuple[str, str, str, bool]
_Window = tuple[_To, int]
"""A recipient, and for how many seconds back what they were told is counted: that differs between policies."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """The rows that decisions about some scopes depend on."""

    contacts: Sequence[asyncpg.Record]
    policies: tuple[Policy, ...]
    sites: Mapping[str, asyncpg.Record]
    handovers: Mapping[str, Sequence[asyncpg.Record]]
    progress: Mapping[str, EscalationProgress]
    _read: dict[str, Contact] = field(default_factory=dict)
    """Contacts parsed so far, by id: each is parsed once."""

    def escalation(self, scope: asyncpg.Record) -> Escalation:
        """Return what decisions about one scope need; `scope` is a row with its shipment's places and times."""
        organization = scope["organization"]
        own = [self._contact(row) for row in self.contacts if row["organization"] in {None, organization}]
        custody = _custody(scope, self.handovers.get(scope["scope"], ()))
        for place in {custody.origin, custody.destination} - {None}:
            site = site_named(str(place), organization, self.sites)
            if site is not None and not any(place in one.places for one in own):
                own += site_contacts(site)
        return Escalation(
            people=People(own, organization=organization, custody=custody),
            policies=self.policies,
            progress=self.progress,
        )

    def _contact(self, row: asyncpg.Record) -> Contact:
        """Parse a contact; one that cannot be parsed fails only the scopes it is for."""
        contact = self._read.get(row["contact_id"])
        if contact is None:
            contact = self._read[row["contact_id"]] = contact_from_row(row)
        return contact


async def load(connection: Connection, scopes: Sequence[asyncpg.Record], incidents: Iterable[UUID]) -> Loaded:
    """Load contacts, policies, handovers and the incidents' progress."""
    ids = [row["scope"] for row in scopes if row["scope"]]
    keys = {
        key
        for row in scopes
        for end in ("origin", "destination")
        if row[end] is not None
        for key in meant(row[end], row["organization"])
    }
    sites = await connection.fetch(LOAD_SITES, list(keys)) if keys else []
    handovers: dict[str, list[asyncpg.Record]] = defaultdict(list)
    for row in await connection.fetch(LOAD_HANDOVERS, ids):
        handovers[row["shipment_id"]].append(row)
    progress = await connection.fetch(LOAD_PROGRESS, list(incidents))
    return Loaded(
        contacts=await connection.fetch(LOAD_CONTACTS),
        policies=tuple(policy_from_row(row) for row in await connection.fetch(LOAD_POLICIES)),
        sites={row["site_id"]: row for row in sites},
        handovers=handovers,
        progress={
            str(row["incident_id"]): EscalationProgress.from_json(orjson.loads(row["state"]))
            for row in progress
        },
    )


def _custody(scope: asyncpg.Record, handovers: Iterable[asyncpg.Record]) -> Custody:
    delivered_at: datetime | None = scope["delivered_at"]
    legs = [] if scope["legs"] is None else orjson.loads(scope["legs"])
    return Custody(
        origin=scope["origin"],
        destination=scope["destination"],
        departed=scope["departed_at"] is not None,
        delivered_at=None if delivered_at is None else to_instant(delivered_at),
        is_over=delivered_at is not None or scope["cancelled_at"] is not None,
        carrier=legs[0].get("carrier") if legs else None,
        handovers=tuple(
            Handover(
                at=to_instant(row["at"]),
                recorded_at=to_instant(row["recorded_at"]),
                to_party=row["to_party"],
                to_contact=row["to_contact"],
            )
            for row in handovers
        ),
    )


@dataclass(slots=True, kw_only=True)
class Decisions:
    """The decisions about one scope's incidents."""

    scope: str
    event_scope: EventScope
    decided: Mapping[str, Decided]


async def save(
    connection: Connection, decisions: Sequence[Decisions], policies: Iterable[Policy], now: Instant
) -> list[tuple[str, str]]:
    """Write the incidents' progress, and every decision to tell somebody or not.

    Returns the state and the reason of each of the latter, to be counted once they are committed.
    """
    progress = [
        _standing_row(incident_id, one) for each in decisions for incident_id, one in each.decided.items()
    ]
    if progress:
        await connection.execute(WRITE_ESCALATIONS, orjson.dumps(progress).decode())
    told = [
        (_row(each, incident_id, notification), notification)
        for each in decisions
        for incident_id, one in each.decided.items()
        for notification in one.notifications
    ]
    if not told:
        return []
    floods = {one.policy_id: one.flood for one in (*BUILT_IN, *policies)}
    rows = await _limit(connection, told, floods, now)
    await connection.execute(WRITE_NOTIFICATIONS, orjson.dumps(rows).decode())
    if any(row["state"] == "pending" for row in rows):
        await connection.execute("SELECT pg_notify($1, '')", NotifyChannel.NOTIFICATIONS)
    return [(row["state"], row["reason"]) for row in rows]


@dataclass(slots=True)
class _Digests:
    """How much recipients were told lately, and the digests still waiting."""

    now: Instant
    told: dict[_Window, int]
    open: dict[_To, UUID]
    made: dict[UUID, Row] = field(default_factory=dict)
    hastened: list[UUID] = field(default_factory=list)

    def count(self, to: _To) -> None:
        """Count a message to a recipient, in the windows of all policies."""
        for window in self.told:
            if window[0] == to:
                self.told[window] += 1

    def take(self, to: _To, row: Row) -> None:
        """Make a message part of a digest."""
        id_ = self.open.get(to)
        if id_ is None:
            id_ = self.open[to] = uuid4()
            self.made[id_] = _digest_row(id_, row, self.now)
        elif row["severity"] == Severity.CRITICAL:
            if id_ in self.made:
                self.made[id_] |= _critical(self.now)
            else:
                self.hastened.append(id_)
        row |= {"state": "digested", "digest_id": str(id_), "send_at": None, "detail": _digested(row)}


async def _limit(
    connection: Connection,
    told: Sequence[tuple[Row, Notification]],
    floods: Mapping[str, Flood],
    now: Instant,
) -> list[Row]:
    """Turn messages that are too many for a recipient into digests."""
    rows = [row for row, _ in told]
    sent = [(row, one) for row, one in told if one.is_sent]
    if not sent:
        return rows
    lately = await _lately(
        connection, {(_to(row), floods[row["policy_id"]].within_s) for row, _ in sent}, now
    )
    for row, notification in sent:
        to, flood = _to(row), floods[row["policy_id"]]
        if is_flood(flood, lately.told[to, flood.within_s]):
            lately.take(to, row)
        if notification.purpose.floods:
            lately.count(to)
    if lately.hastened:
        soon = to_datetime(now + DIGEST_AFTER[Severity.CRITICAL])
        await connection.execute(HASTEN, lately.hastened, soon)
    return [*lately.made.values(), *rows]


async def _lately(connection: Connection, windows: Collection[_Window], now: Instant) -> _Digests:
    await _lock(connection, sorted({"\n".join(to[:3]) for to, _ in windows}))
    columns = [list(column) for column in zip(*(to for to, _ in windows), strict=True)]
    within_s = [seconds for _, seconds in windows]
    found = await connection.fetch(COUNT_TOLD, *columns, to_datetime(now), within_s, _FLOODS)
    return _Digests(
        now,
        told={(_to(row), row["within_s"]): row["told"] for row in found},
        open={_to(row): row["digest_id"] for row in found if row["digest_id"] is not None},
    )


async def _lock(connection: Connection, recipients: Sequence[str]) -> None:
    """Lock recipients; go on without if another process stands still with one: to tell counts more than to count."""
    try:
        async with connection.transaction():
            await connection.execute(LOCK_RECIPIENTS, recipients)
    except asyncpg.LockNotAvailableError:
        log.warning("recipients_not_locked", count=len(recipients))


def _to(row: Row | asyncpg.Record) -> _To:
    return row["contact_id"], row["channel"], row["address"], row["drill"]


def _digested(row: Row) -> str:
    return f"{row['detail']} There were too many messages for this contact: it is part of a digest."


def _critical(now: Instant) -> Row:
    soon = now + DIGEST_AFTER[Severity.CRITICAL]
    return {"severity": Severity.CRITICAL, "send_at": instant_text(soon)}


def _digest_row(id_: UUID, row: Row, now: Instant) -> Row:
    return row | {
        "id": str(id_),
        "incident_id": None,
        "alert_ids": [],
        "scope": "",
        "purpose": Purpose.DIGEST,
        "level": 0,
        "episode": 1,
        "repeat": 0,
        "reason": Why.FLOOD,
        "detail": "There were too many messages for this contact to tell them one by one.",
        "state": "pending",
        "send_at": instant_text(now + DIGEST_AFTER[Severity(row["severity"])]),
        "digest_id": None,
    }


def _row(decisions: Decisions, incident_id: str, notification: Notification) -> Row:
    contact, way = notification.contact, notification.way
    facts: dict[str, Any] = {"target": notification.target}
    return {
        "id": str(uuid4()),
        "scope": decisions.scope,
        "incident_id": incident_id,
        "alert_ids": list(notification.alert_ids),
        "organization": decisions.event_scope.organization,
        "drill": decisions.event_scope.drill,
        "contact_id": None if contact is None else contact.contact_id,
        "contact_name": None if contact is None else contact.name,
        "channel": None if way is None else way.channel,
        "address": None if way is None else way.address,
        "timezone": None if contact is None else contact.timezone,
        "policy_id": notification.policy_id,
        "policy_revision": notification.policy_revision,
        "purpose": notification.purpose,
        "level": notification.level,
        "episode": notification.episode,
        "repeat": notification.repeat,
        "reason": notification.why,
        "detail": notification.words,
        "severity": notification.severity,
        "state": "pending" if notification.is_sent else "not_sent",
        "decided_at": instant_text(notification.at),
        "send_at": instant_text(notification.at) if notification.is_sent else None,
        "set_at": instant_text(notification.at),
        "digest_id": None,
        "facts": facts,
    }


def _standing_row(incident_id: str, decided: Decided) -> Row:
    progress = decided.progress
    return {
        "incident_id": incident_id,
        "phase": progress.phase,
        "nobody_to_tell": progress.nobody,
        "next_at": instant_text(decided.next_at),
        "state": progress.to_json(),
    }
