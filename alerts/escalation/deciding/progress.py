"""Pure: an incident as escalation sees it, and its progress."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, NamedTuple

from alerts.alert_kinds import KINDS, Stage
from alerts.escalation.deciding.notification import Why
from alerts.escalation.policy import RANK, Channel
from alerts.model import AlertKind, Duration, Instant, Severity
from alerts.triage.alert import AlertState
from telemetry.actor import Actor


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """What escalation needs to know of one alert of an incident."""

    alert_id: str
    kind: AlertKind
    severity: Severity
    state: AlertState
    owner: str | None = None
    acknowledged: bool = False
    """Somebody has taken it, even if it has ended since."""
    taken_at: Instant | None = None
    """When its owner came to have it."""
    taken_by: Actor | str | None = None
    """Who made them the owner: they themselves, or whoever assigned it."""
    took_it: bool = False
    """The owner acknowledged it, and so need not be told that it is theirs."""
    snoozed_until: Instant | None = None
    by_hand: bool = False
    """Somebody has resolved it, whether it holds still or has ended since."""
    withdrawn: bool = False
    withdrawn_by: str | None = None
    """In words, the act of a person for which it was withdrawn; None: readings have shown that it never was."""

    @property
    def stage(self) -> Stage:
        """How far it says that matters have come for the product."""
        return KINDS[self.kind].stage_at(self.severity)

    @property
    def is_open(self) -> bool:
        """Whether it is not resolved."""
        return self.state is not AlertState.RESOLVED

    @property
    def is_taken(self) -> bool:
        """Whether it has an owner who acknowledged it."""
        return self.state is AlertState.ACKNOWLEDGED and self.owner is not None

    @property
    def is_untaken(self) -> bool:
        """Whether an owner has to be found for it."""
        return self.is_open and self.state is not AlertState.SNOOZED and not self.is_taken


@dataclass(frozen=True, slots=True, kw_only=True)
class EscalatedIncident:
    """One incident: alerts of one probable cause."""

    incident_id: str
    organization: str | None
    members: tuple[Member, ...]
    merged: bool = False
    """It was merged into another incident, which has its alerts now."""

    @property
    def open(self) -> tuple[Member, ...]:
        """Return the members that are not resolved."""
        return tuple(one for one in self.members if one.is_open)

    @property
    def active(self) -> tuple[Member, ...]:
        """Return the members that still need an owner.

        What is not critical is seen to by whoever has taken another member that has come as far.
        """
        seen_to = max((one.stage for one in self.taken), default=None)
        return tuple(
            one
            for one in self.members
            if one.is_untaken
            and (seen_to is None or one.severity is Severity.CRITICAL or one.stage > seen_to)
        )

    @property
    def taken(self) -> tuple[Member, ...]:
        """Return the members that somebody sees to."""
        return tuple(one for one in self.open if one.is_taken)

    @property
    def relevant(self) -> tuple[Member, ...]:
        """Return the members that decide the severity: the active ones, else the open ones, else all."""
        return self.active or self.open or self.members

    @property
    def severity(self) -> Severity:
        """The severity now."""
        return worst(self.relevant)

    @property
    def stage(self) -> Stage:
        """How far it has come, taken or not: what goes on decides, or all of it once that is over."""
        return furthest(self.open or self.members)


def worst(members: Iterable[Member]) -> Severity:
    """Return the worst severity of some members; the least if there are none."""
    return max((one.severity for one in members), key=RANK.__getitem__, default=Severity.MAJOR)


def furthest(members: Iterable[Member]) -> Stage:
    """Return how far the furthest of some members has come; the least if there are none."""
    return max((one.stage for one in members), default=Stage.SIGN)


class Phase(StrEnum):
    """Where an incident is between firing and over."""

    CLIMBING = "climbing"
    """Steps are taken until somebody takes it."""
    QUIET = "quiet"
    """Somebody has taken it, or it is snoozed."""
    OVER = "over"


class LevelTold(NamedTuple):
    """A level that was told: when last, and after how many reminders."""

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
    """How far an incident has come on its way to people; firing again after a quiet phase is a new episode."""

    phase: Phase
    episode: int = 1
    why: Why = Why.BEGAN
    """Of the episode."""
    base: Instant
    """The instant from which the steps' `after_s` count."""
    severity: Severity
    stage: Stage = Stage.SIGN
    """How far it had come when it was last decided about."""
    furthest: Stage = Stage.SIGN
    """The furthest that it has come since it was last over."""
    level: int = 0
    """The last step that was done."""
    unreached: bool = False
    """The last step reached nobody, so the next one is due at once."""
    deferred: int = 0
    """The step already recorded as waiting for office hours."""
    told: tuple[LevelTold, ...] = ()
    """Of this episode."""
    known: frozenset[str] = frozenset()
    """The alerts already decided about in this episode."""
    recipients: frozenset[Recipient] = frozenset()
    """Everybody told since the incident was last over."""
    holders: frozenset[str] = frozenset()
    owners: frozenset[str] = frozenset()
    also_told: int = 0
    """Counts the messages about handovers, assignments and who took it."""
    takers: frozenset[str] = frozenset()
    """The owners who have taken it; empty while somebody is still being asked."""
    asked: frozenset[Recipient] = frozenset()
    """Who was asked and has not yet heard who took it."""
    heard: frozenset[Recipient] = frozenset()
    """Who was asked and has heard of the current takers."""
    destination_from: Instant | None = None
    destination_told: bool = False
    nobody: bool = False
    withdrawn: frozenset[str] = frozenset()
    """The alerts that somebody's act has withdrawn, and of which that was told."""
    on_since: Instant | None = None
    """When it began, or came back the last time. None: a version began it that did not write that down."""
    over_since: Instant | None = None
    """When it was last found to be over; None while it goes on."""
    returns: int = 0
    """How often it has come back, each time soon after it had ended."""
    silent_returns: int = 0
    """How often of these nobody was told."""

    def by_the_clock(self, now: Instant, longest_wait: Duration) -> "EscalationProgress":
        """Return it without instants from the future, which a clock has set that was ahead.

        The first step waits for `longest_wait` at most: if it would wait for longer, it is due now.
        """
        since = [at for at in (self.on_since, self.over_since) if at is not None]
        if self.base <= now + longest_wait and all(
            at <= now for at in (*since, *(one.at for one in self.told))
        ):
            return self
        return replace(
            self,
            on_since=None if self.on_since is None else min(self.on_since, now),
            over_since=None if self.over_since is None else min(self.over_since, now),
            base=self.base if self.base <= now + longest_wait else now,
            told=tuple(one._replace(at=min(one.at, now)) for one in self.told),
        )

    def to_json(self) -> dict[str, Any]:
        """Return the stored form."""
        return {
            "phase": self.phase,
            "episode": self.episode,
            "why": self.why,
            "base": self.base,
            "severity": self.severity,
            "stage": self.stage,
            "furthest": self.furthest,
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
            "withdrawn": sorted(self.withdrawn),
            "on_since": self.on_since,
            "over_since": self.over_since,
            "returns": self.returns,
            "silent_returns": self.silent_returns,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "EscalationProgress":
        """Read what `to_json` gave."""
        return cls(
            **{
                **{name: one for name, one in value.items() if name != "asides"},
                "also_told": value.get("asides", 0),
                "phase": Phase(value["phase"]),
                "why": Why(value["why"]),
                "severity": Severity(value["severity"]),
                # What was stored before stages were told apart is told as far as it had come.
                "stage": Stage(value.get("stage", Stage.LOST)),
                "furthest": Stage(value.get("furthest", Stage.LOST)),
                "told": tuple(LevelTold(*one) for one in value["told"]),
                "known": frozenset(value["known"]),
                "recipients": _recipients(value["recipients"]),
                "holders": frozenset(value["holders"]),
                "owners": frozenset(value["owners"]),
                # What was stored before people were told who is on it has none of these.
                "takers": frozenset(value.get("takers", ())),
                "asked": _recipients(value.get("asked", ())),
                "heard": _recipients(value.get("heard", ())),
                "withdrawn": frozenset(value.get("withdrawn", ())),
            }
        )


def _recipients(stored: Iterable[Any]) -> frozenset[Recipient]:
    """Read recipients as they are stored: contact, channel, address."""
    return frozenset(
        Recipient(contact_id, Channel(channel), address) for contact_id, channel, address in stored
    )
