"""Pure: an incident as escalation sees it, and where it stands on its way to people."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from alerts.escalation.notification import Why
from alerts.escalation.policy import RANK, Channel
from alerts.model import AlertKind, Instant, Severity
from alerts.triage.alert import AlertState


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """What counts of one alert of an incident."""

    alert_id: str
    kind: AlertKind
    severity: Severity
    state: AlertState
    owner: str | None = None
    acknowledged: bool = False
    """Somebody has taken it, also where it has ended since."""
    taken_at: Instant | None = None
    """When whoever has it came to have it."""
    taken_by: str | None = None
    """Who saw to that: they themselves, or whoever assigned it to them."""
    took_it: bool = False
    """The owner acknowledged it, and so need not be told whose it is."""
    snoozed_until: Instant | None = None
    withdrawn: bool = False

    @property
    def is_open(self) -> bool:
        """Return whether its condition holds, as far as people have not said otherwise."""
        return self.state is not AlertState.RESOLVED

    @property
    def is_taken(self) -> bool:
        """Return whether somebody sees to it."""
        return self.state is AlertState.ACKNOWLEDGED and self.owner is not None

    @property
    def is_untaken(self) -> bool:
        """Return whether somebody has to be found for it."""
        return self.is_open and self.state is not AlertState.SNOOZED and not self.is_taken


@dataclass(frozen=True, slots=True, kw_only=True)
class EscalatedIncident:
    """Alerts of one probable cause."""

    incident_id: str
    organization: str | None
    members: tuple[Member, ...]
    merged: bool = False
    """It turned out to be of one cause with another one, which has its alerts now."""

    @property
    def open(self) -> tuple[Member, ...]:
        """Return the members that are not resolved."""
        return tuple(one for one in self.members if one.is_open)

    @property
    def active(self) -> tuple[Member, ...]:
        """Return the members of which somebody has to be told until somebody takes them.

        What is not critical is seen to by whoever has taken another member.
        """
        taken = bool(self.taken)
        return tuple(
            one
            for one in self.members
            if one.is_untaken and not (taken and one.severity is not Severity.CRITICAL)
        )

    @property
    def taken(self) -> tuple[Member, ...]:
        """Return the members that somebody sees to."""
        return tuple(one for one in self.open if one.is_taken)

    @property
    def relevant(self) -> tuple[Member, ...]:
        """Return the members by which it is judged how bad it is: what is active, or else open, or else all."""
        return self.active or self.open or self.members

    @property
    def severity(self) -> Severity:
        """Return how bad it is now."""
        return worst(self.relevant)


def worst(members: Iterable[Member]) -> Severity:
    """Return the worst severity of some members; the least where there are none."""
    return max((one.severity for one in members), key=RANK.__getitem__, default=Severity.MAJOR)


class Phase(StrEnum):
    """What happens with an incident."""

    CLIMBING = "climbing"
    """Somebody is told next, until somebody takes it."""
    QUIET = "quiet"
    """Somebody has taken it, or it is snoozed."""
    OVER = "over"


class LevelTold(NamedTuple):
    """A level that was told, when last, and how many reminders there were."""

    level: int
    at: Instant
    repeats: int


class Recipient(NamedTuple):
    """Who was told, and how."""

    contact_id: str
    channel: Channel
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EscalationProgress:
    """How far an incident has climbed; a firing after a rest is a new episode."""

    phase: Phase
    episode: int = 1
    why: Why = Why.BEGAN
    """Of the episode."""
    base: Instant
    """When a step with `after_s` 0 is due."""
    severity: Severity
    level: int = 0
    """The last step that was done."""
    unreached: bool = False
    """That step reached nobody: the next one is due at once."""
    deferred: int = 0
    """The step of which it is on record that it waits for office hours."""
    told: tuple[LevelTold, ...] = ()
    """Of this episode."""
    known: frozenset[str] = frozenset()
    """The alerts that it was decided of, in this episode."""
    recipients: frozenset[Recipient] = frozenset()
    """All who were told since the incident last was over."""
    holders: frozenset[str] = frozenset()
    owners: frozenset[str] = frozenset()
    also_told: int = 0
    """Counts handovers, assignments and takings that somebody was told of."""
    takers: frozenset[str] = frozenset()
    """Who is on it, so that nobody is asked any more; empty while somebody is."""
    asked: frozenset[Recipient] = frozenset()
    """Who was asked to see to it and has not heard that somebody is on it."""
    heard: frozenset[Recipient] = frozenset()
    """Who was asked, and has heard of those in `takers`."""
    destination_from: Instant | None = None
    destination_told: bool = False
    nobody: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return it as it is stored."""
        return {
            "phase": self.phase,
            "episode": self.episode,
            "why": self.why,
            "base": self.base,
            "severity": self.severity,
            "level": self.level,
            "unreached": self.unreached,
            "deferred": self.deferred,
            "told": [list(one) for one in self.told],
            "known": sorted(self.known),
            "recipients": sorted(list(one) for one in self.recipients),
            "holders": sorted(self.holders),
            "owners": sorted(self.owners),
            "asides": self.also_told,
            "takers": sorted(self.takers),
            "asked": sorted(list(one) for one in self.asked),
            "heard": sorted(list(one) for one in self.heard),
            "destination_from": self.destination_from,
            "destination_told": self.destination_told,
            "nobody": self.nobody,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "EscalationProgress":
        """Read what `to_json` gave."""
        return cls(
            **{
                **{name: one for name, one in value.items() if name != "asides"},
                "also_told": value["asides"],
                "phase": Phase(value["phase"]),
                "why": Why(value["why"]),
                "severity": Severity(value["severity"]),
                "told": tuple(LevelTold(*one) for one in value["told"]),
                "known": frozenset(value["known"]),
                "recipients": _recipients(value["recipients"]),
                "holders": frozenset(value["holders"]),
                "owners": frozenset(value["owners"]),
                # What was stored before people were told who is on it has none of these.
                "takers": frozenset(value.get("takers", ())),
                "asked": _recipients(value.get("asked", ())),
                "heard": _recipients(value.get("heard", ())),
            }
        )


def _recipients(stored: Iterable[Any]) -> frozenset[Recipient]:
    """Read recipients as they are stored: contact, channel, address."""
    return frozenset(
        Recipient(contact_id, Channel(channel), address) for contact_id, channel, address in stored
    )
