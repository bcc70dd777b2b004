"""Pure: resolve a policy's step to contacts and channels at an instant, and record who cannot be told and why."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime

from alerts.escalation.deciding.notification import WORDS, Notification, Purpose, Why
from alerts.escalation.deciding.progress import EscalatedIncident, Recipient
from alerts.escalation.people import Contact, People, Way
from alerts.escalation.policy import CONTACT_PREFIX, Channel, Policy, Role, Step
from alerts.model import Instant, Severity, to_datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageContext:
    """What a message is about, whoever receives it."""

    purpose: Purpose
    why: Why
    level: int
    episode: int
    repeat: int = 0
    detail: str | None = None
    """The reason in words, where there is more to say."""


_ASKS = {Purpose.ESCALATION, Purpose.HANDOVER, Purpose.ASSIGNED}


@dataclass(slots=True, kw_only=True)
class Notifications:
    """Collects the notifications of one instant about one incident; nobody is told twice."""

    incident: EscalatedIncident
    policy: Policy
    people: People
    now: Instant
    notifications: list[Notification] = field(default_factory=list)
    recipients: set[Recipient] = field(default_factory=set)
    asked: set[Recipient] = field(default_factory=set)
    """The recipients who are asked to take it."""

    @property
    def owners(self) -> list[str]:
        """Return the owners of the open alerts."""
        return sorted({one.owner for one in self.incident.open if one.owner is not None})

    def step(self, step: Step, about: MessageContext, *, record_absent: bool) -> bool:
        """Tell everybody a step asks; return whether anybody could be told."""
        reached = False
        for target in step.to:
            meant = self.people.meant(target, self.owners)
            if not meant and record_absent and not (target == Role.OWNER and not self.owners):
                self.skip(about, Why.NO_CONTACT, target=target)
            told = [self.contact(one, about, step.channels, target=target) for one in meant]
            reached = reached or any(told)
        return reached

    def last_resort(self, about: MessageContext, *, record: bool) -> bool:
        """Tell the contacts of last resort; return whether there are any."""
        meant = self.people.meant(Role.LAST_RESORT)
        if not meant and record:
            self.skip(about, Why.NO_CONTACT, target=Role.LAST_RESORT)
        return self.everybody(meant, about, Role.LAST_RESORT)

    def everybody(self, contacts: Iterable[Contact], about: MessageContext, target: str) -> bool:
        """Tell some contacts, each by all its channels; return whether anybody could be told."""
        reached = [self.contact(one, about, None, target=target) for one in contacts]
        return any(reached)

    def inform(self, recipients: Iterable[Recipient], about: MessageContext) -> None:
        """Tell those who were told before, by the same way; nobody stands in for them."""
        for one in sorted(recipients):
            contact = self.people.get(one.contact_id)
            if contact is None:
                self.skip(about, Why.NO_CONTACT, target=f"{CONTACT_PREFIX}{one.contact_id}")
            else:
                way = Way(channel=one.channel, address=one.address)
                self._send(contact, way, about, f"{CONTACT_PREFIX}{one.contact_id}")

    def tell_taken(
        self, recipients: Iterable[Recipient], about: MessageContext, knowing: Collection[str]
    ) -> None:
        """Tell those who were asked who took it, by the same way and within its hours; contacts in `knowing` know already."""
        skipped: set[tuple[str, Why]] = set()
        for one in sorted(recipients):
            contact, target = self.people.get(one.contact_id), f"{CONTACT_PREFIX}{one.contact_id}"
            why = Why.TOOK_IT if one.contact_id in knowing else self._why_not(contact, one)
            if contact is not None and why is None:
                self._send(contact, Way(channel=one.channel, address=one.address), about, target)
            elif why is not None and (one.contact_id, why) not in skipped:
                skipped.add((one.contact_id, why))
                self.skip(about, why, contact=contact, target=target)

    def _why_not(self, contact: Contact | None, to: Recipient) -> Why | None:
        """Return why somebody cannot be told again by the same way; None if they can."""
        if contact is None:
            return Why.NO_CONTACT
        way = next((one for one in contact.ways if (one.channel, one.address) == to[1:]), None)
        if way is None:
            return Why.NO_CHANNEL
        there = way.outside_office_hours or contact.hours.is_open(self._time)
        return None if there else Why.OUTSIDE_OFFICE_HOURS

    def contact(
        self,
        contact: Contact,
        about: MessageContext,
        channels: Collection[Channel] | None,
        *,
        target: str,
        asked: frozenset[str] = frozenset(),
    ) -> bool:
        """Tell a contact, or its stand-in outside its hours; return whether anybody could be told."""
        severity = self.severity
        if ways := contact.ways_at(self._time, severity, channels):
            for way in ways:
                self._send(contact, way, about, target)
            return True
        closed = bool(contact.ways_for(severity, channels))
        asked |= {contact.contact_id}
        stand_in = None if contact.fallback in {None, *asked} else self.people.get(contact.fallback or "")
        self.skip(
            about,
            Why.OUTSIDE_OFFICE_HOURS if closed else Why.NO_CHANNEL,
            contact=contact,
            target=target,
            stand_in=stand_in,
        )
        if stand_in is None:
            return False
        return self.contact(stand_in, about, channels, target=target, asked=asked)

    def skip(
        self,
        about: MessageContext,
        why: Why,
        *,
        contact: Contact | None = None,
        target: str | None = None,
        stand_in: Contact | None = None,
        alert_ids: tuple[str, ...] | None = None,
        detail: str | None = None,
    ) -> None:
        """Record that somebody is not told, and why."""
        if stand_in is not None:
            detail = f"{WORDS[why]} {stand_in.name} is asked instead."
        self.notifications.append(
            self._notice(contact, None, about, target, why=why, alert_ids=alert_ids, detail=detail)
        )

    @property
    def severity(self) -> Severity:
        """The severity now."""
        return self.incident.severity

    @property
    def _time(self) -> datetime:
        return to_datetime(self.now)

    def _send(self, contact: Contact, way: Way, about: MessageContext, target: str) -> None:
        to = Recipient(contact.contact_id, way.channel, way.address)
        same = any(
            one.way is not None and (one.way.channel, one.way.address) == (way.channel, way.address)
            for one in self.notifications
        )
        if same:
            self.notifications.append(self._notice(contact, None, about, target, why=Why.ALREADY_TOLD))
            return
        self.recipients.add(to)
        if about.purpose in _ASKS:
            self.asked.add(to)
        self.notifications.append(
            self._notice(contact, way, about, target, why=about.why, detail=about.detail)
        )

    def _notice(
        self,
        contact: Contact | None,
        way: Way | None,
        about: MessageContext,
        target: str | None,
        *,
        why: Why,
        alert_ids: tuple[str, ...] | None = None,
        detail: str | None = None,
    ) -> Notification:
        return Notification(
            contact=contact,
            way=way,
            target=target,
            purpose=about.purpose,
            level=about.level,
            episode=about.episode,
            repeat=about.repeat,
            why=why,
            severity=self.severity,
            alert_ids=self._alert_ids if alert_ids is None else alert_ids,
            policy_id=self.policy.policy_id,
            policy_revision=self.policy.revision,
            at=self.now,
            detail=detail,
        )

    @property
    def _alert_ids(self) -> tuple[str, ...]:
        return tuple(sorted(one.alert_id for one in self.incident.relevant))
