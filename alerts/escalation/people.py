"""Pure: contacts, custody of a shipment, and which contacts a policy's target means."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from alerts.escalation.policy import CONTACT_PREFIX, RANK, Channel, Role
from alerts.model import Instant, Severity, to_datetime, to_instant
from telemetry.actor import Actor
from telemetry.registry.ids import id_of
from telemetry.registry.receiving_hours import ReceivingHours


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to tell a contact."""

    channel: Channel
    address: str
    min_severity: Severity = Severity.MAJOR
    outside_office_hours: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """Somebody who can be told: a person, a desk, a team on call."""

    contact_id: str
    name: str
    organization: str | None = None
    parties: frozenset[str] = frozenset()
    """The party it belongs to, as handovers and carriers name it, normalized by `folded`."""
    places: frozenset[str] = frozenset()
    timezone: str = "UTC"
    hours: ReceivingHours
    ways: tuple[Way, ...]
    fallback: str | None = None
    last_resort: bool = False

    def ways_at(
        self, at: datetime, severity: Severity, channels: Collection[Channel] | None
    ) -> tuple[Way, ...]:
        """Return the ways to reach it at an instant, for a message of a severity."""
        there = self.hours.is_open(at)
        return tuple(way for way in self.ways_for(severity, channels) if there or way.outside_office_hours)

    def ways_for(self, severity: Severity, channels: Collection[Channel] | None) -> tuple[Way, ...]:
        """Return the ways for a message of a severity, at any time of day."""
        return tuple(
            way
            for way in self.ways
            if RANK[severity] >= RANK[way.min_severity] and (channels is None or way.channel in channels)
        )

    def next_there(self, now: Instant) -> Instant | None:
        """Return the first instant from `now` on within its office hours; None if there is none."""
        opens = self.hours.opens(to_datetime(now))
        return None if opens is None else max(now, to_instant(opens))


@dataclass(frozen=True, slots=True, kw_only=True)
class Handover:
    """Who took a shipment over from whom."""

    at: Instant
    recorded_at: Instant
    to_party: str
    to_contact: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Custody:
    """The custody of a shipment: where it comes from, where it goes, who has had it."""

    origin: str | None = None
    destination: str | None = None
    departed: bool = False
    delivered_at: Instant | None = None
    is_over: bool = False
    """Whether it was delivered or called off: nothing comes back."""
    carrier: str | None = None
    """The carrier of the first leg, taken to hold it until a handover says otherwise."""
    handovers: tuple[Handover, ...] = ()

    @property
    def latest(self) -> Handover | None:
        """Return the last handover by its own time; of two at one instant, the one recorded later."""
        return max(self.handovers, key=lambda one: (one.at, one.recorded_at), default=None)

    @property
    def at_destination(self) -> bool:
        """Whether it was delivered and not handed on since."""
        latest = self.latest
        return self.delivered_at is not None and (latest is None or latest.at <= self.delivered_at)


class People:
    """Finds the contacts that policies mean, for one shipment or for the fleet; the organization's own come first."""

    def __init__(
        self, contacts: Iterable[Contact], *, organization: str | None = None, custody: Custody | None = None
    ) -> None:
        self.custody = custody or Custody()
        self._organization = organization
        self._contacts: Mapping[str, Contact] = {
            one.contact_id: one for one in contacts if one.organization in {None, organization}
        }

    def get(self, contact_id: str) -> Contact | None:
        """Return a contact by its id, if it may hear of this."""
        return self._contacts.get(contact_id)

    def meant(self, target: str, owners: Iterable[str] = ()) -> tuple[Contact, ...]:
        """Return the contacts that a step's target means now, ordered by id; `owners` are the alerts' owners."""
        if target.startswith(CONTACT_PREFIX):
            return self._by_ids([target.removeprefix(CONTACT_PREFIX)])
        by_role: Mapping[Role, Callable[[], tuple[Contact, ...]]] = {
            Role.HOLDER: self.holders,
            Role.OWNER: lambda: self.owners(owners),
            Role.ORIGIN: lambda: self._at(self.custody.origin),
            Role.DESTINATION: lambda: self._at(self.custody.destination),
            Role.ORGANIZATION: self._desk,
            Role.LAST_RESORT: lambda: tuple(one for one in self._sorted() if one.last_resort),
        }
        return by_role[Role(target)]()

    def holders(self) -> tuple[Contact, ...]:
        """Return the contacts of the current holder."""
        custody = self.custody
        if custody.at_destination:
            return self._at(custody.destination)
        if (latest := custody.latest) is not None:
            named = self._by_ids([latest.to_contact] if latest.to_contact else [])
            return named or self._of_party(latest.to_party) or self._at(latest.to_party)
        carrier = self._of_party(custody.carrier) if custody.departed and custody.carrier else ()
        return carrier or self._at(custody.origin)

    def owners(self, names: Iterable[str]) -> tuple[Contact, ...]:
        """Return the contacts that are owners of alerts; an owner is noted by a contact's id or name, or by its party."""
        wanted = {folded(name) for name in names}
        if not wanted:
            return ()
        return tuple(
            one
            for one in self._sorted()
            if {folded(id_of(one.contact_id)), folded(one.name), *one.parties} & wanted
        )

    def called(self, owner: str) -> str:
        """Return the name of an owner: a contact's, where it is noted by the contact's id."""
        own = [one for one in self.owners([owner]) if folded(id_of(one.contact_id)) == folded(owner)]
        return self._own_first(own)[0].name if own else owner

    def _desk(self) -> tuple[Contact, ...]:
        return tuple(
            one
            for one in self._sorted()
            if one.organization == self._organization and not (one.parties or one.places or one.last_resort)
        )

    def _at(self, place: str | None) -> tuple[Contact, ...]:
        return self._own_first([one for one in self._sorted() if place is not None and place in one.places])

    def _of_party(self, party: str) -> tuple[Contact, ...]:
        return self._own_first([one for one in self._sorted() if folded(party) in one.parties])

    def _own_first(self, found: Sequence[Contact]) -> tuple[Contact, ...]:
        own = tuple(one for one in found if one.organization is not None)
        return own or tuple(found)

    def _by_ids(self, ids: Iterable[str]) -> tuple[Contact, ...]:
        return tuple(self._contacts[id_] for id_ in ids if id_ in self._contacts)

    def _sorted(self) -> list[Contact]:
        return [self._contacts[id_] for id_ in sorted(self._contacts)]


def name_of(who: Actor | str) -> str:
    """Return the name by which contacts know somebody: of a user or a key without the kind, `key:night` as `night`."""
    actor = who if isinstance(who, Actor) else Actor.parse(who)
    return actor.name if actor is not None and actor.is_person else str(who)


def folded(name: str) -> str:
    """Return a party's name as names are compared: case and spaces do not count."""
    return " ".join(name.split()).casefold()
