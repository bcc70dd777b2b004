"""Pure: what a message is made from: the decision to tell somebody, and what is known of the incident when it is sent."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from alerts.alert_kinds import KINDS, PLACE, Stage
from alerts.escalation.deciding.notification import Why
from alerts.model import AlertKind, Severity
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
    ended_by: str | None = None
    """Who ended or withdrew it, and why, in words; None where it ended by itself."""
    ended_with_journey: bool = False
    """It did not recover: it held when the shipment was delivered or called off, and only its record ended."""
    device_id: str | None = None
    owner: str | None = None
    taken_at: datetime | None = None
    """When it was acknowledged; None if nobody has."""
    seen: bool = False
    """Somebody has acknowledged it, be it after its end."""

    @property
    def is_open(self) -> bool:
        """Whether it still goes on, as far as is known."""
        return self.state is not AlertState.RESOLVED


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggerNow:
    """The newest reading of a logger on the shipment."""

    device_id: str
    measured_at: datetime
    celsius: float | None
    """None: its probe does not show a temperature."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LastPosition:
    """Where a shipment was last seen, in degrees of WGS 84."""

    at: datetime
    lat: float
    lon: float
    near: str | None = None
    """The site of its own that it is at, or the airport; None where it is at none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cargo:
    """What people need to know of a shipment in order to act."""

    shipment_id: str
    band: str
    limits: str
    origin: str | None = None
    """Its name where it is a site, like `destination`."""
    destination: str | None = None
    dewar_id: str | None = None
    product: str | None = None
    """Its name, or its id where it has none."""
    holder: str | None = None
    """The current holder, by the last handover; None once delivered."""
    holder_since: datetime | None = None
    phones: tuple[tuple[str, str], ...] = ()
    """Who can be rung where it is now, each a name and a number."""
    loggers: tuple[LoggerNow, ...] = ()
    """Those that are on it now."""
    position: LastPosition | None = None
    was_out_of_range: bool = False
    """An excursion of it stands on record, be it of another incident."""
    delivered_at: datetime | None = None
    """None too if it was handed on after that."""
    planned_arrival: datetime | None = None
    use_by: datetime | None = None

    @property
    def lane(self) -> str | None:
        """Where it goes, as far as is known."""
        if self.origin is None and self.destination is None:
            return None
        return f"{self.origin or 'unknown'} → {self.destination or 'unknown'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One incident, or what is left to say of one."""

    severity: Severity
    happenings: tuple[Happening, ...]
    cargo: Cargo | None = None
    """None for the whole fleet."""
    drill: bool = False
    incident_id: str | None = None
    next_action: str | None = None
    next_told_at: datetime | None = None
    """When the next people are told unless somebody takes it first."""

    @property
    def cause(self) -> Happening | None:
        """Return the alert furthest from the product: the probable cause."""
        return min(self._counting, key=lambda one: (PLACE[one.kind], one.since), default=None)

    @property
    def worst(self) -> Happening | None:
        """Return the worst alert: critical first, then nearest to the product."""
        going_on = [one for one in self._counting if one.is_open] or self._counting
        return max(
            going_on, key=lambda one: (one.severity is Severity.CRITICAL, PLACE[one.kind]), default=None
        )

    @property
    def is_over(self) -> bool:
        """Whether nothing of it goes on any more."""
        return bool(self.happenings) and not any(one.is_open for one in self.happenings)

    @property
    def delivered_out_of_range(self) -> bool:
        """Whether the product was outside its limits to the end, so that somebody has got it as it was."""
        return self.is_over and any(one.ended_with_journey for one in self._counting)

    @property
    def harmed(self) -> bool:
        """Whether the product was outside its limits, so that it may be harmed."""
        return (self.cargo is not None and self.cargo.was_out_of_range) or any(
            KINDS[one.kind].stage_at(one.severity) >= Stage.HAPPENING and not one.withdrawn
            for one in self.happenings
        )

    @property
    def is_seen(self) -> bool:
        """Whether somebody has acknowledged all of it."""
        return all(one.seen for one in self.happenings)

    @property
    def takers(self) -> Mapping[str, datetime]:
        """Return the owners by name, and since when."""
        since: dict[str, datetime] = {}
        for one in self._owned:
            if one.owner is not None and one.taken_at is not None:
                since[one.owner] = min(one.taken_at, since.get(one.owner, one.taken_at))
        return {name: since[name] for name in sorted(since)}

    @property
    def assigned(self) -> tuple[str, ...]:
        """Return the owners who have not acknowledged it yet."""
        return tuple(sorted({str(one.owner) for one in self._owned} - self.takers.keys()))

    @property
    def _owned(self) -> tuple[Happening, ...]:
        return tuple(one for one in self.happenings if one.owner is not None and one.is_open)

    @property
    def _counting(self) -> tuple[Happening, ...]:
        """Those that were, as far as readings show: what somebody took off the record is among them."""
        return (
            tuple(one for one in self.happenings if not one.withdrawn or one.ended_by is not None)
            or self.happenings
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Occasion:
    """Who is told now, and why."""

    notification_id: str
    purpose: str
    """The purpose, as in the column `notifications.purpose`."""
    why: str
    """The reason, in a sentence."""
    reason: Why = Why.BEGAN
    """The same as a value."""
    level: int = 0
    repeat: int = 0
    contact_name: str | None = None
    timezone: str | None = None
    as_of: datetime
    also_told: tuple[str, ...] = ()
    """Who else was told."""
    told_before: tuple[str, ...] = ()
    """Who of them got a message before this one was decided."""
    is_first: bool = True
    """Whether the recipient got none before this one."""
    public_url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageFacts:
    """Everything a message is made from; a digest has several events, a test none."""

    occasion: Occasion
    events: tuple[Event, ...] = field(default_factory=tuple)
    parts: int = 0
    """How many messages a digest stands for."""
