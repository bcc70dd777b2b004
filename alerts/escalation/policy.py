"""Pure: policies: who is told after how long and how often, and which policy applies to an incident."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from alerts.alert_kinds import kinds_that
from alerts.model import AlertKind, Severity

RANK = {severity: rank for rank, severity in enumerate(Severity)}
"""How bad each severity is, the least first."""

CONTACT_PREFIX = "contact:"


class Channel(StrEnum):
    """How a contact is told."""

    EMAIL = "email"
    CHAT = "chat"
    WEBHOOK = "webhook"


class Role(StrEnum):
    """The roles that a step can ask; single contacts are named `contact:ID`."""

    HOLDER = "holder"
    """The current holder, by the handovers on record."""
    OWNER = "owner"
    """Whoever the alert is assigned to."""
    ORIGIN = "origin"
    DESTINATION = "destination"
    ORGANIZATION = "organization"
    """The contacts of the shipment's organization that belong to no party and no place."""
    LAST_RESORT = "last_resort"
    """The contacts that are told when nobody else can be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a policy."""

    after_s: int
    """After the incident began to fire; `group_wait_s` comes on top."""
    to: tuple[str, ...]
    channels: frozenset[Channel] | None = None
    """None: all that a contact has."""
    repeat_s: int | None = None
    """None: as the policy says."""
    office_hours_only: bool = False
    """Waits for the office hours of somebody it asks, instead of asking their stand-in."""

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Step":
        """Read what `to_json` gave."""
        channels = value.get("channels")
        return cls(
            after_s=value["after_s"],
            to=tuple(value["to"]),
            channels=None if channels is None else frozenset(map(Channel, channels)),
            repeat_s=value.get("repeat_s"),
            office_hours_only=value.get("office_hours_only", False),
        )

    def to_json(self) -> dict[str, Any]:
        """Return the stored form."""
        return {
            "after_s": self.after_s,
            "to": list(self.to),
            "channels": None if self.channels is None else sorted(self.channels),
            "repeat_s": self.repeat_s,
            "office_hours_only": self.office_hours_only,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Flood:
    """More than `count` messages to one recipient within `within_s` seconds become a digest."""

    count: int = 10
    within_s: int = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class TellDestination:
    """When the destination is told, whoever has taken the alert."""

    after_s: int
    kinds: frozenset[AlertKind]
    min_severity: Severity = Severity.CRITICAL

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "TellDestination":
        """Read what `to_json` gave."""
        return cls(
            after_s=value["after_s"],
            kinds=frozenset(map(AlertKind, value["kinds"])),
            min_severity=Severity(value["min_severity"]),
        )

    def to_json(self) -> dict[str, Any]:
        """Return the stored form."""
        return {
            "after_s": self.after_s,
            "kinds": sorted(self.kinds),
            "min_severity": self.min_severity,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How alerts of an organization, on a lane, from a severity up, reach people."""

    policy_id: str
    revision: int = 0
    """0 for the built-in policy."""
    organization: str | None = None
    origin: str | None = None
    destination: str | None = None
    min_severity: Severity = Severity.MAJOR
    steps: tuple[Step, ...]
    group_wait_s: int = 30
    """Wait before the first message, so that alerts of one cause are told together."""
    repeat_s: int
    ack_expires_s: int
    flood: Flood = field(default_factory=Flood)
    tell_destination: TellDestination | None = None
    tell_taken: Severity | None = Severity.CRITICAL
    """The least severity at which those who were asked hear who took it; None: never."""

    def tells_taken(self, severity: Severity) -> bool:
        """Return whether those who were asked hear who took it, at this severity."""
        return self.tell_taken is not None and RANK[severity] >= RANK[self.tell_taken]

    def holds_for(
        self, organization: str | None, origin: str | None, destination: str | None, severity: Severity
    ) -> bool:
        """Return whether the policy covers incidents of this severity."""
        return (
            self.organization in {None, organization}
            and self.origin in {None, origin}
            and self.destination in {None, destination}
            and RANK[severity] >= RANK[self.min_severity]
        )

    @property
    def specificity(self) -> tuple[bool, int, int, int, str]:
        """Return the sort key for precedence: organization, then lane, then severity, then not built in."""
        lane = (self.origin is not None) + (self.destination is not None)
        built_in = self.revision == 0
        return (self.organization is not None, lane, not built_in, RANK[self.min_severity], self.policy_id)


BUILT_IN = (
    Policy(
        policy_id="built-in-critical",
        min_severity=Severity.CRITICAL,
        steps=(
            Step(after_s=0, to=(Role.HOLDER, Role.OWNER)),
            Step(after_s=600, to=(Role.ORGANIZATION, Role.ORIGIN)),
            Step(after_s=1800, to=(Role.LAST_RESORT,)),
        ),
        group_wait_s=30,
        repeat_s=900,
        ack_expires_s=3600,
        tell_destination=TellDestination(after_s=900, kinds=kinds_that(lambda row: row.told.destination)),
    ),
    Policy(
        policy_id="built-in-major",
        min_severity=Severity.MAJOR,
        steps=(
            Step(after_s=0, to=(Role.HOLDER, Role.OWNER)),
            Step(after_s=7200, to=(Role.ORGANIZATION,), office_hours_only=True),
        ),
        group_wait_s=60,
        repeat_s=14400,
        ack_expires_s=28800,
    ),
)
"""The built-in policy: a fresh installation needs one contact and no policy of its own."""


def choose(
    policies: Iterable[Policy],
    *,
    organization: str | None,
    origin: str | None,
    destination: str | None,
    severity: Severity,
) -> Policy:
    """Return the most specific policy that applies: organization before lane, and the one for the worse severity."""
    fitting = [p for p in (*policies, *BUILT_IN) if p.holds_for(organization, origin, destination, severity)]
    return max(fitting, key=lambda policy: policy.specificity)
