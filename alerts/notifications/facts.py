"""Pure: what a notice is made from: the decision to tell somebody, and what is known of the incident when it is sent."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from alerts.model import AlertKind, Severity
from alerts.notifications.meaning import RANK
from alerts.triage.alert import AlertState


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """One alert of an incident."""

    kind: AlertKind
    severity: Severity
    state: AlertState
    message: str
    since: datetime
    until: datetime | None = None
    withdrawn: bool = False
    device_id: str | None = None
    owner: str | None = None
    taken_at: datetime | None = None
    """Since when the owner sees to it; None: nobody has acknowledged it."""

    @property
    def is_open(self) -> bool:
        """Return whether it goes on, as far as anybody knows."""
        return self.state is not AlertState.RESOLVED


@dataclass(frozen=True, slots=True, kw_only=True)
class Cargo:
    """What of a shipment people need in order to act."""

    shipment_id: str
    band: str
    limits: str
    origin: str | None = None
    destination: str | None = None
    dewar_id: str | None = None
    product_id: str | None = None
    holder: str | None = None
    """Who has it in hand, by the last handover; None once it was delivered."""
    holder_since: datetime | None = None
    delivered_at: datetime | None = None
    """None also where it was handed on after that."""
    planned_arrival: datetime | None = None
    use_by: datetime | None = None

    @property
    def lane(self) -> str | None:
        """Return where it goes, as far as that is known."""
        if self.origin is None and self.destination is None:
            return None
        return f"{self.origin or 'unknown'} → {self.destination or 'unknown'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An incident, or what is left to say of one."""

    severity: Severity
    happenings: tuple[Happening, ...]
    cargo: Cargo | None = None
    """None where it is about the whole fleet."""
    drill: bool = False
    incident_id: str | None = None
    next_action: str | None = None
    next_told_at: datetime | None = None
    """When somebody else is told, unless somebody takes it before."""

    @property
    def cause(self) -> Happening | None:
        """Return what is furthest from the product: the probable cause."""
        return min(self._counting, key=lambda one: (RANK[one.kind], one.since), default=None)

    @property
    def worst(self) -> Happening | None:
        """Return what is worst of it: critical before the rest, then what is nearest to the product."""
        going_on = [one for one in self._counting if one.is_open] or self._counting
        return max(
            going_on, key=lambda one: (one.severity is Severity.CRITICAL, RANK[one.kind]), default=None
        )

    @property
    def is_over(self) -> bool:
        """Return whether nothing of it goes on any more."""
        return bool(self.happenings) and not any(one.is_open for one in self.happenings)

    @property
    def takers(self) -> Mapping[str, datetime]:
        """Return who sees to it, by name, and since when."""
        since: dict[str, datetime] = {}
        for one in self._owned:
            if one.owner is not None and one.taken_at is not None:
                since[one.owner] = min(one.taken_at, since.get(one.owner, one.taken_at))
        return {name: since[name] for name in sorted(since)}

    @property
    def assigned(self) -> tuple[str, ...]:
        """Return who is to see to it and has not said yet that they do."""
        return tuple(sorted({str(one.owner) for one in self._owned} - self.takers.keys()))

    @property
    def _owned(self) -> tuple[Happening, ...]:
        return tuple(one for one in self.happenings if one.owner is not None and one.is_open)

    @property
    def _counting(self) -> tuple[Happening, ...]:
        return tuple(one for one in self.happenings if not one.withdrawn) or self.happenings


@dataclass(frozen=True, slots=True, kw_only=True)
class Occasion:
    """Why somebody is told now, and who."""

    notification_id: str
    purpose: str
    """As `notifications.purpose` has it."""
    why: str
    """The reason, in a sentence."""
    level: int = 0
    repeat: int = 0
    contact_name: str | None = None
    timezone: str | None = None
    as_of: datetime
    also_told: tuple[str, ...] = ()
    """Who else was told of it."""
    public_url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageFacts:
    """All that a message is made from; a digest has several events, a test none."""

    occasion: Occasion
    events: tuple[Event, ...] = field(default_factory=tuple)
    parts: int = 0
    """How many messages a digest stands for."""
