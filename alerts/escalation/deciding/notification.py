"""Pure: the decision to tell somebody or not, with its reason."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from alerts.escalation.people import Contact, Way
from alerts.model import Instant, Severity


class Purpose(StrEnum):
    """What a message is for."""

    ESCALATION = "escalation"
    HANDOVER = "handover"
    ASSIGNED = "assigned"
    DESTINATION = "destination"
    TAKEN = "taken"
    """Tells those who were asked that somebody has taken it."""
    RESOLVED = "resolved"
    WITHDRAWN = "withdrawn"
    """Tells those who were asked that what somebody did has taken an alert off the record, while others go on."""
    DIGEST = "digest"
    TEST = "test"

    @property
    def floods(self) -> bool:
        """Whether messages like it count as a flood: those that want something of whoever gets them."""
        return self not in _NEWS


_NEWS = frozenset({Purpose.TAKEN, Purpose.RESOLVED, Purpose.WITHDRAWN, Purpose.DIGEST, Purpose.TEST})


class Why(StrEnum):
    """Why somebody is told, or is not."""

    BEGAN = "began"
    CAME_BACK = "came_back"
    SEVERITY_ROSE = "severity_rose"
    WORSENED = "worsened"
    """It has come further for the product than what people were told."""
    CRITICAL_JOINED = "critical_joined"
    ACKNOWLEDGEMENT_EXPIRED = "acknowledgement_expired"
    SNOOZE_ENDED = "snooze_ended"
    UNTAKEN = "untaken"
    """Whoever had it has it no more."""
    NOT_ACKNOWLEDGED = "not_acknowledged"
    """Nobody at the levels below took it in time."""
    REPEATED = "repeated"
    NOBODY_ELSE = "nobody_else"
    """Nobody named by the policy could be told."""
    NOBODY_BEFORE = "nobody_before"
    """There was nobody to tell while it was new."""
    OVER_WHEN_FOUND = "over_when_found"
    HANDED_OVER = "handed_over"
    ASSIGNED = "assigned"
    DESTINATION_CONCERNED = "destination_concerned"
    TAKEN = "taken"
    RESOLVED = "resolved"
    WITHDRAWN = "withdrawn"
    WITHDRAWN_BY_ACT = "withdrawn_by_act"
    """What somebody did to the shipment took it off the record, and nobody had acknowledged it."""
    FLOOD = "flood"
    TESTED = "tested"

    ACKNOWLEDGED = "acknowledged"
    TOOK_IT = "took_it"
    SNOOZED = "snoozed"
    GOES_ON_AND_OFF = "goes_on_and_off"
    GROUPED = "grouped"
    """People hear of it with its incident."""
    TAKEN_WITH_INCIDENT = "taken_with_incident"
    MERGED = "merged"
    RESOLVED_BEFORE_TOLD = "resolved_before_told"
    OUTSIDE_OFFICE_HOURS = "outside_office_hours"
    WAITS_FOR_OFFICE_HOURS = "waits_for_office_hours"
    NO_CHANNEL = "no_channel"
    NO_CONTACT = "no_contact"
    ALREADY_TOLD = "already_told"
    NOBODY_TO_TELL = "nobody_to_tell"


WORDS: Mapping[Why, str] = {
    Why.BEGAN: "It began.",
    Why.CAME_BACK: "It had ended, and came back.",
    Why.SEVERITY_ROSE: "It has become worse.",
    Why.WORSENED: "It has come further than what was told before: from a forecast to an excursion, or beyond.",
    Why.CRITICAL_JOINED: "Something critical came to an incident that somebody had taken.",
    Why.ACKNOWLEDGEMENT_EXPIRED: "It was acknowledged, and then nothing was done about it.",
    Why.SNOOZE_ENDED: "Its snooze has ended, and it still holds.",
    Why.UNTAKEN: "Nobody has it any more.",
    Why.NOT_ACKNOWLEDGED: "Nobody who was told before has taken it.",
    Why.REPEATED: "Nobody has taken it since the last message.",
    Why.NOBODY_ELSE: "Nobody named by the policy could be told.",
    Why.NOBODY_BEFORE: "It is told late: until now there was nobody to tell.",
    Why.OVER_WHEN_FOUND: "It was over before the service learned of it.",
    Why.HANDED_OVER: "The shipment was handed over.",
    Why.ASSIGNED: "It was assigned to this contact.",
    Why.DESTINATION_CONCERNED: "The policy says that the destination is told of this.",
    Why.TAKEN: "Somebody is on it.",
    Why.RESOLVED: "It has ended.",
    Why.WITHDRAWN: "It turned out to be a false alarm.",
    Why.WITHDRAWN_BY_ACT: "What somebody did took it off the record.",
    Why.FLOOD: "There were too many messages to tell them one by one.",
    Why.TESTED: "Somebody asked for a test.",
    Why.ACKNOWLEDGED: "Somebody has taken it.",
    Why.TOOK_IT: "This contact is on it, or has seen to it that somebody is.",
    Why.SNOOZED: "It is snoozed.",
    Why.GOES_ON_AND_OFF: "It goes on and off. People know of it, and hear of its end once it stays over.",
    Why.GROUPED: "It belongs to an incident of which people were told already, or are about to be.",
    Why.TAKEN_WITH_INCIDENT: "It belongs to an incident that somebody has taken, and is not critical.",
    Why.MERGED: "It turned out to be of one cause with another incident, which is told instead.",
    Why.RESOLVED_BEFORE_TOLD: "It had ended before the first message was due.",
    Why.OUTSIDE_OFFICE_HOURS: "It is outside the contact's office hours, and no channel of it is for then.",
    Why.WAITS_FOR_OFFICE_HOURS: "This step of the policy waits for the office hours of those whom it asks.",
    Why.NO_CHANNEL: "The contact has no channel for this.",
    Why.NO_CONTACT: "No contact is registered for it.",
    Why.ALREADY_TOLD: "The contact is told this at the same moment already.",
    Why.NOBODY_TO_TELL: "No contact could be found at all: register one, with last_resort set.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """One decision: sent if it has a way, otherwise only on record."""

    contact: Contact | None
    way: Way | None
    target: str | None = None
    """The policy's target, such as `holder` or `contact:ID`."""
    purpose: Purpose
    level: int
    episode: int
    repeat: int
    why: Why
    severity: Severity
    alert_ids: tuple[str, ...]
    policy_id: str
    policy_revision: int
    at: Instant
    detail: str | None = None
    """The reason in words, where `WORDS` does not say enough."""

    @property
    def is_sent(self) -> bool:
        """Whether somebody is told."""
        return self.way is not None

    @property
    def words(self) -> str:
        """The reason in words."""
        return self.detail or WORDS[self.why]
