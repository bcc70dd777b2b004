"""Request and response bodies for contacts, policies, handovers and notifications."""

import re
from collections.abc import Callable
from itertools import pairwise
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from alerts.escalation.deciding.notification import Notification, Purpose
from alerts.escalation.people import Contact
from alerts.escalation.policy import CONTACT_PREFIX, Channel, Policy, Role
from alerts.model import AlertKind, Severity
from alerts.notifications import mail
from alerts.wording import instant_text
from api.http.problems import hint
from api.http.schemas.fields import (
    ID,
    Given,
    Id,
    Name,
    OrganizationSlug,
    Reason,
    Shown,
    ShownId,
    Time,
    Words,
    example,
)
from api.http.schemas.registry.sites import Lat, Lon, ReceivingHours, Zone
from api.use_cases.registry.contacts import NewContact
from api.use_cases.registry.policies import NewPolicy, PolicyTrial
from api.use_cases.shipments.handovers import NewHandover

Seconds = Annotated[int, Field(ge=0, le=7 * 86400)]
Interval = Annotated[int, Field(ge=60, le=7 * 86400)]
AnySeverity = Annotated[Severity, Field(strict=False)]
AnyKind = Annotated[AlertKind, Field(strict=False)]
AnyChannel = Annotated[Channel, Field(strict=False)]

_MAIL = re.compile(r"[^@\s,;<>\"]+@[^@\s,;<>\"]+\.[^@\s,;<>\"]+")


class WayIn(Given):
    """One way to tell a contact."""

    channel: AnyChannel
    address: Words | Annotated[str, Field(max_length=2000)] = Field(
        description="`email`: a mail address. `chat`: the https URL that posts into a room. `webhook`: the "
        "id or URL of one of your webhooks.",
    )
    min_severity: AnySeverity = Field(
        Severity.MAJOR, description="Only for alerts of at least this severity."
    )
    outside_office_hours: bool = Field(default=False, description="Also outside the contact's office hours.")

    @field_validator("address")
    @classmethod
    def _leads_somewhere(cls, address: str, info: ValidationInfo) -> str:
        if re.search(r"[\0\s]", address):
            raise ValueError("must have no spaces, line breaks or NUL characters")
        channel = info.data.get("channel")  # absent where it is wrong itself
        if channel is Channel.EMAIL and (
            not _MAIL.fullmatch(address) or isinstance(mail.address(address), str)
        ):
            raise ValueError("must be a mail address such as night@ops.example")
        if channel is Channel.CHAT and not re.match(r"https?://", address):
            raise ValueError("must be a URL such as https://chat.example/hooks/abc")
        return address


Ways = Annotated[list[WayIn], Field(min_length=1, max_length=10)]
Names = Annotated[list[Name], Field(max_length=50)]


class ContactIn(Given):
    model_config = example(
        contact_id="ops-night",
        name="Night desk",
        timezone="Europe/Berlin",
        office_hours={"mon": [["18:00", "06:00"]], "tue": [["18:00", "06:00"]]},
        channels=[{"channel": "email", "address": "night@ops.example", "outside_office_hours": True}],
        last_resort=True,
    )

    contact_id: Id
    organization: OrganizationSlug | None = Field(
        None,
        description="Whose contact it is; told only about its shipments. Null: the operating organization's.",
    )
    name: Name
    parties: Names = Field(
        default=[], description="Names of its party as in handovers and legs; case and spaces do not matter."
    )
    places: Names = Field(default=[], description="Site ids, or places as shipments name them.")
    timezone: Zone
    office_hours: ReceivingHours | None = Field(None, description="Null: always available.")
    channels: Ways
    fallback: Id | None = Field(None, description="The contact to ask if this one is not available.")
    last_resort: bool = Field(default=False, description="It is told if nobody else can be told.")
    active: bool = True
    note: Words | None = None

    def value(self) -> NewContact:
        """Return it as use cases take it."""
        return NewContact(**_contact_values(self, set(ContactIn.model_fields)))


class ContactChangeIn(Given):
    """What to change about a contact: absent fields stay as they are."""

    model_config = example(reason="New number of the night desk", active=True, revision=1)

    reason: Reason | None = Field(None, description="Why, for the record.")
    revision: int | None = Field(
        None, ge=1, description="The revision you saw; if there is a newer one, nothing is changed."
    )
    name: Name | None = None
    parties: Names | None = None
    places: Names | None = None
    timezone: Zone | None = None
    office_hours: ReceivingHours | None = None
    channels: Ways | None = None
    fallback: Id | None = None
    last_resort: bool | None = None
    active: bool | None = None
    note: Words | None = None

    @field_validator("name", "parties", "places", "timezone", "channels", "last_resort", "active")
    @classmethod
    def _stays(cls, value: Any) -> Any:
        return _not_null(value)

    def changes(self) -> dict[str, Any]:
        """Return the fields to change, as they are stored."""
        return _contact_values(self, self.model_fields_set - {"reason", "revision"})


def _contact_values(body: ContactIn | ContactChangeIn, names: set[str]) -> dict[str, Any]:
    values = body.model_dump(include=names)
    if body.office_hours is not None:
        values["office_hours"] = body.office_hours.as_given()
    return values


def _not_null(value: Any) -> Any:
    if value is None:
        raise ValueError("cannot be null: leave it out to keep it as it is")
    return value


class WayOut(Shown):
    channel: Channel
    address: str
    min_severity: Severity
    outside_office_hours: bool


class ContactOut(Shown):
    contact_id: ShownId
    organization: str | None
    name: str
    parties: list[str]
    places: list[str]
    timezone: str
    office_hours: dict[str, Any] | None
    channels: list[WayOut]
    fallback: ShownId | None
    last_resort: bool
    active: bool
    note: str | None
    revision: int
    created_at: Time
    updated_at: Time
    updated_by: str = Field(description="`key:PREFIX` of the key that changed it last.")


class ContactRevision(ContactOut):
    reason: str | None = Field(description="Why it was changed.")

    @classmethod
    def of(cls, row: Any) -> Self:
        """Build it from a row of the register's history."""
        return cls(**row["content"], reason=row["reason"])


def _target(text: str) -> str:
    if text in set(Role) or (
        text.startswith(CONTACT_PREFIX) and ID.fullmatch(text.removeprefix(CONTACT_PREFIX))
    ):
        return text
    raise ValueError(f"must be one of {', '.join(Role)}, or contact:ID{hint(text[:100], list(Role))}")


Targets = Annotated[
    list[Annotated[str, Field(max_length=80), AfterValidator(_target)]], Field(min_length=1, max_length=20)
]


class StepIn(Given):
    """One step of an escalation policy."""

    after_s: Seconds = Field(description="Seconds after the incident began to fire.")
    to: Targets
    channels: list[AnyChannel] | None = Field(
        None, min_length=1, description="Null: all channels of a contact."
    )
    repeat_s: Interval | None = Field(None, description="Null: as the policy's.")
    office_hours_only: bool = Field(
        default=False, description="The step waits until one of its contacts is in office hours."
    )


class TellDestinationIn(Given):
    """When the destination of the shipment is told, whether or not somebody has taken the alert."""

    after_s: Seconds
    kinds: list[AnyKind] = Field(min_length=1, max_length=30)
    min_severity: AnySeverity = Severity.CRITICAL


def _climbs(steps: list[StepIn]) -> list[StepIn]:
    if any(later.after_s < sooner.after_s for sooner, later in pairwise(steps)):
        raise ValueError("must be in the order of after_s")
    return steps


Steps = Annotated[list[StepIn], Field(min_length=1, max_length=20), AfterValidator(_climbs)]


class PolicyIn(Given):
    model_config = example(
        policy_id="acme-critical",
        organization="acme-cell-therapy",
        min_severity="critical",
        steps=[
            {"after_s": 0, "to": ["holder", "owner"]},
            {"after_s": 600, "to": ["organization", "contact:ops-night"], "repeat_s": 900},
        ],
        tell_destination={"after_s": 900, "kinds": ["excursion", "hold_time_short"]},
    )

    policy_id: Id
    organization: OrganizationSlug | None = Field(
        None, description="Whose shipments it is for. Null: everybody's. By default that of the key."
    )
    origin: Words | None = Field(None, description="The lane's origin, as in shipments. Null: any.")
    destination: Words | None = Field(None, description="The lane's destination, as in shipments. Null: any.")
    min_severity: AnySeverity = Field(Severity.MAJOR, description="For alerts of at least this severity.")
    steps: Steps
    group_wait_s: Annotated[int, Field(ge=0, le=3600)] = Field(
        30, description="How long the first message waits for further alerts with the same cause."
    )
    repeat_s: Interval = Field(900, description="How often people who were told are reminded.")
    ack_expires_s: Interval = Field(
        3600,
        description="An acknowledgement ends after this time without action, and escalation starts again.",
    )
    flood_count: Annotated[int, Field(ge=1, le=1000)] = Field(
        10, description="More messages than this to one recipient within `flood_within_s` become a digest."
    )
    flood_within_s: Interval = 600
    tell_destination: TellDestinationIn | None = None
    tell_taken: AnySeverity | None = Field(
        Severity.CRITICAL,
        description="For alerts of at least this severity, people who were asked are told when somebody "
        "takes it. Null: never.",
    )
    active: bool = True
    note: Words | None = None

    def value(self) -> NewPolicy:
        """Return it as use cases take it."""
        return NewPolicy(**self.model_dump(mode="json"))


class PolicyChangeIn(Given):
    """What to change about a policy: absent fields stay as they are. A reason is required."""

    model_config = example(reason="Ten minutes were too long", repeat_s=600, revision=1)

    reason: Reason = Field(description="Why, for the record.")
    revision: int | None = Field(
        None, ge=1, description="The revision you saw; if there is a newer one, nothing is changed."
    )
    origin: Words | None = None
    destination: Words | None = None
    min_severity: AnySeverity | None = None
    steps: Steps | None = None
    group_wait_s: Annotated[int, Field(ge=0, le=3600)] | None = None
    repeat_s: Interval | None = None
    ack_expires_s: Interval | None = None
    flood_count: Annotated[int, Field(ge=1, le=1000)] | None = None
    flood_within_s: Interval | None = None
    tell_destination: TellDestinationIn | None = None
    tell_taken: AnySeverity | None = Field(None, description="Null: never. Absent: unchanged.")
    active: bool | None = None
    note: Words | None = None

    @field_validator(
        *("min_severity", "steps", "group_wait_s", "repeat_s", "ack_expires_s"),
        *("flood_count", "flood_within_s", "active"),
    )
    @classmethod
    def _stays(cls, value: Any) -> Any:
        return _not_null(value)

    def changes(self) -> dict[str, Any]:
        """Return the fields to change, as they are stored."""
        return self.model_dump(mode="json", include=self.model_fields_set - {"reason", "revision"})


class StepOut(Shown):
    after_s: int
    to: list[ShownId]
    channels: list[Channel] | None
    repeat_s: int | None
    office_hours_only: bool


class TellDestinationOut(Shown):
    after_s: int
    kinds: list[AlertKind]
    min_severity: Severity


class PolicyOut(Shown):
    policy_id: ShownId
    organization: str | None
    origin: str | None
    destination: str | None
    min_severity: Severity
    steps: list[StepOut]
    group_wait_s: int
    repeat_s: int
    ack_expires_s: int
    flood_count: int
    flood_within_s: int
    tell_destination: TellDestinationOut | None
    tell_taken: Severity | None
    active: bool
    note: str | None
    revision: int
    created_at: Time
    updated_at: Time
    updated_by: str


class PolicyRevision(PolicyOut):
    tell_taken: Severity | None = Field(None, description="Null also in revisions older than this field.")
    reason: str | None = Field(description="Why it was changed.")

    @classmethod
    def of(cls, row: Any) -> Self:
        """Build it from a row of the register's history."""
        return cls(**row["content"], reason=row["reason"])


class DryRunIn(Given):
    model_config = example(
        organization="acme-cell-therapy",
        origin="DEPOT-FRA",
        destination="CLINIC-BOS",
        kind="excursion",
        severity="critical",
        at="2026-11-21T22:00:00Z",
    )

    organization: OrganizationSlug | None = Field(
        None, description="Whose shipment it is; by default the key's organization."
    )
    origin: Words | None = None
    destination: Words | None = None
    holder: Words | None = Field(None, description="Who holds it. Null: as before the first handover.")
    kind: AnyKind
    severity: AnySeverity = Severity.CRITICAL
    at: Time = Field(description="When the alert begins.")
    policy: PolicyIn | None = Field(
        None, description="A policy to try with the existing ones; it replaces one with the same id."
    )

    def value(self) -> PolicyTrial:
        """Return it as use cases take it."""
        own = {name: getattr(self, name) for name in DryRunIn.model_fields.keys() - {"policy"}}
        return PolicyTrial(**own, policy=None if self.policy is None else self.policy.value())


class Trial(Shown):
    """One decision of a dry run."""

    after_s: int = Field(description="Seconds since the alert began.")
    at: Time
    sent: bool
    contact_id: ShownId | None
    contact_name: str | None
    target: ShownId | None = Field(description="The entry of the policy's `to` that named the contact.")
    channel: Channel | None
    address: str | None = Field(description="Null if the contact is another organization's.")
    purpose: Purpose
    level: int
    repeat: int
    reason: str
    detail: str

    @classmethod
    def of(cls, notice: Notification, began: int, *, with_address: bool) -> Self:
        """Build it from a decision."""
        at = instant_text(notice.at)
        return cls(
            after_s=(notice.at - began) // 1_000_000,
            at=at,
            sent=notice.is_sent,
            contact_id=None if notice.contact is None else notice.contact.contact_id,
            contact_name=None if notice.contact is None else notice.contact.name,
            target=notice.target,
            channel=None if notice.way is None else notice.way.channel,
            address=notice.way.address if notice.way is not None and with_address else None,
            purpose=notice.purpose,
            level=notice.level,
            repeat=notice.repeat,
            reason=notice.why,
            detail=notice.words,
        )


class DryRunOut(Shown):
    policy_id: ShownId = Field(description="The policy that applies; `built-in-…` if none is registered.")
    policy_revision: int = Field(description="0: built in, or not stored.")
    nobody_to_tell: bool = Field(description="Nobody at all would be told.")
    decisions: list[Trial] = Field(description="What would be decided within 24 hours if nobody takes it.")

    @classmethod
    def of(
        cls, policy: Policy, notices: tuple[Notification, ...], began: int, shows: Callable[[Contact], bool]
    ) -> Self:
        """Build the response; `shows` says whether the caller may see a contact's address."""
        return cls(
            policy_id=policy.policy_id,
            policy_revision=policy.revision,
            nobody_to_tell=not any(one.is_sent for one in notices),
            decisions=[
                Trial.of(one, began, with_address=one.contact is not None and shows(one.contact))
                for one in notices
            ],
        )


class HandoverIn(Given):
    model_config = example(
        at="2026-11-21T07:40:00Z",
        from_party="Depot Frankfurt",
        to_party="Rhein Courier",
        place="DEPOT-FRA",
        note="Seal 4711 intact",
    )

    at: Time | None = Field(
        None,
        description="When it happened, within the journey: from planning, pack-out or departure to delivery. Absent: "
        "now. It may be reported late and out of order, by a courier up to 15 minutes late (a setting).",
    )
    from_party: Words = Field(
        description="Who holds it until then: who took it over last, or at first its origin. Case and spaces do "
        "not count."
    )
    to_party: Words = Field(description="Who holds it from then on, and is told about its alerts.")
    to_contact: Id | None = Field(
        None,
        description="The contact to tell. Absent: the contact of the party, or of the place of that name.",
    )
    place: Words | None = None
    lat: Lat | None = None
    lon: Lon | None = None
    note: Words | None = None
    override_reason: Reason | None = Field(
        None,
        description="For ops: why it is recorded although it does not fit into the chain of holders, or into the "
        "time of the journey. Kept only where it does not fit.",
    )

    @model_validator(mode="after")
    def _whole_position(self) -> Self:
        if (self.lat is None) != (self.lon is None):
            raise ValueError("must have lat and lon together: give both, or neither")
        return self

    def value(self) -> NewHandover:
        """Return it as use cases take it."""
        return NewHandover(**self.model_dump())


class HandoverOut(Shown):
    id: UUID
    shipment_id: ShownId
    at: Time
    from_party: str
    to_party: str
    to_contact: ShownId | None
    place: str | None
    lat: float | None
    lon: float | None
    note: str | None
    override_reason: str | None = Field(description="Why it is on record although it does not fit.")
    held_by: str | None = Field(
        description="Who held it by the record, where that is somebody else than `from_party`. Null: it fits."
    )
    recorded_at: Time
    by: str


class NotificationAttempt(Shown):
    number: int
    at: Time
    took_s: float
    outcome: str
    detail: str | None


NotificationState = Literal["pending", "sent", "failed", "not_sent", "digested"]


class NotificationOut(Shown):
    id: UUID
    shipment_id: ShownId | None = Field(
        description="Null if it is about the whole fleet, a digest or a test."
    )
    incident_id: UUID | None
    alert_ids: list[UUID]
    organization: str | None
    drill: bool
    purpose: Purpose
    state: NotificationState = Field(description="`not_sent`: it was decided not to send it; see `reason`.")
    reason: str = Field(description="Why somebody is or is not told.")
    detail: str | None = Field(description="The reason in words.")
    severity: Severity
    contact_id: ShownId | None
    contact_name: str | None
    channel: Channel | None
    address: str | None = Field(
        description="Shown only to ops and QA of the operating organization or of the contact's own."
    )
    level: int = Field(description="The step of the policy, from 1.")
    episode: int = Field(description="How often the incident has fired anew.")
    repeat: int = Field(description="Counts reminders.")
    policy_id: ShownId | None
    policy_revision: int | None
    decided_at: Time
    send_at: Time | None
    sent_at: Time | None
    digest_id: UUID | None
    error: str | None = Field(
        description="The last error. Like an attempt's `detail` it may contain the address, and is shown to "
        "the same roles."
    )
    attempts: list[NotificationAttempt]

    @classmethod
    def of(cls, row: Any, attempts: Any, *, with_address: bool) -> Self:
        """Build it from a row and its attempts; without `with_address`, hide what may contain the address."""
        hidden = set() if with_address else {"address", "error"}
        names = cls.model_fields.keys() - {"attempts", *hidden}
        return cls(
            **{name: row[name] for name in names},
            **dict.fromkeys(hidden),
            attempts=[
                NotificationAttempt(**{**one, "detail": one["detail"] if with_address else None})
                for one in attempts
            ],
        )
