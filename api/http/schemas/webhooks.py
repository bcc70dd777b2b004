"""Request and response bodies for webhooks."""

from enum import StrEnum
from typing import Annotated, Any, Literal, Self
from uuid import UUID

import orjson
from pydantic import AfterValidator, Field, field_validator, model_validator

from alerts.model import Severity
from alerts.webhooks.deliveries import Which
from api.http.problems import hint
from api.http.schemas.events import EVENTS as TOLD
from api.http.schemas.fields import (
    Given,
    Id,
    OrganizationSlug,
    Shown,
    ShownId,
    Time,
    Words,
    example,
    no_nul,
    owners,
)
from api.use_cases.webhooks import NewWebhook
from telemetry.actor import Actor, ActorKind

EVENTS = (*TOLD, "shipment.disposition")
"""The events that an endpoint can subscribe to; `webhook.test` is sent on request, whatever is chosen."""


class WebhookState(StrEnum):
    """Whether messages are sent to a webhook."""

    ACTIVE = "active"
    PAUSED = "paused"
    DISABLED = "disabled"


class DeliveryState(StrEnum):
    """The state of a delivery."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    EXHAUSTED = "exhausted"


_UNASKED = {
    "alert.notification": "it comes where a contact of yours names the webhook, whatever the filters",
    "webhook.events_dropped": "it comes where events were lost, whatever the filters",
    "webhook.test": "it comes when you ask for a test, whatever the filters",
}


def _event(name: str) -> str:
    if name in _UNASKED:
        raise ValueError(f"need not name {name}: {_UNASKED[name]}")
    if name not in EVENTS:
        raise ValueError(f"names no event: {name[:100]!r}{hint(name[:100], EVENTS)}")
    return name


def _each_once(names: list[str]) -> list[str]:
    return list(dict.fromkeys(names))


Url = Annotated[str, Field(max_length=2000, examples=["https://partner.example/hooks/dewars"])]
Events = Annotated[
    list[Annotated[str, AfterValidator(_event)]],
    Field(min_length=1, max_length=100, description=f"One or more of {', '.join(EVENTS)}. Null: all."),
    AfterValidator(_each_once),
]
MinSeverity = Annotated[
    Severity,
    Field(
        strict=False,
        description="For excursions, alerts and incidents, by the worst that they have been; events without a severity are "
        "always sent. With `critical`, the `excursion.opened` that was hidden is sent when it becomes critical.",
    ),
]
ShipmentIds = Annotated[
    list[Id],
    Field(min_length=1, max_length=1000, description="Null: all that the organization may see."),
    AfterValidator(_each_once),
]
IncidentIds = Annotated[
    list[Annotated[UUID, Field(strict=False)]],
    Field(
        min_length=1,
        max_length=1000,
        description="Only incidents with these ids, their alerts and excursions. Null: whatever it is about.",
    ),
]
Peaks = Annotated[
    bool,
    Field(
        description="False: without `excursion.amended` whose `reason` is `peak_moved`. The last peak is in "
        "`excursion.closed`."
    ),
]


class WebhookIn(Given):
    model_config = example(
        url="https://partner.example/hooks/dewars", events=["excursion.opened", "excursion.closed"]
    )

    url: Url
    events: Events | None = None
    min_severity: MinSeverity | None = None
    shipment_ids: ShipmentIds | None = None
    incident_ids: IncidentIds | None = None
    peaks: Peaks = True
    organization: OrganizationSlug | None = Field(
        None, description="Its owner, whose shipments it is sent events of. By default that of the key."
    )
    description: Words | None = None

    def value(self) -> NewWebhook:
        """Return the input of the use case."""
        return NewWebhook(**self.model_dump())


class WebhookChangeIn(Given):
    """What to change about a webhook: absent fields stay as they are."""

    model_config = example(min_severity="critical")

    url: Url | None = None
    events: Events | None = None
    min_severity: MinSeverity | None = None
    shipment_ids: ShipmentIds | None = None
    incident_ids: IncidentIds | None = None
    peaks: Peaks | None = None
    description: Words | None = None

    @field_validator("url", "peaks")
    @classmethod
    def _stays(cls, value: Any) -> Any:
        if value is None:
            raise ValueError("cannot be null: leave it out to keep it as it is")
        return value

    def changes(self) -> dict[str, Any]:
        """Return the fields to change, as they are stored."""
        return self.model_dump(include=self.model_fields_set)


class WebhookOut(Shown):
    id: UUID
    organization: str | None
    owned_by: str = Field(
        description="`organization:acme`: it lives on when the key that made it ends. `operator`: so does one of the "
        "operating organization. `key:dw_1f0c93ab`: made by a key without an organization, and disabled when that "
        "key expires or is revoked."
    )
    url: str
    description: str | None
    events: list[str] | None
    min_severity: Severity | None
    shipment_ids: list[ShownId] | None
    shipment_organizations: list[str | None] | None = Field(
        description="Whose each of `shipment_ids` is, in their order; null: nobody's."
    )
    incident_ids: list[UUID] | None
    peaks: bool
    state: WebhookState
    state_changed_at: Time
    disabled_reason: Literal["gone", "failing", "key_ended"] | None = Field(
        description="`gone`: it answered 410. `failing`: it accepted nothing for days. `key_ended`: the key that owns "
        "it has expired or was revoked; it cannot be resumed."
    )
    failures: int = Field(description="Failed attempts since the last success.")
    failing_since: Time | None
    warned_at: Time | None = Field(description="When `webhook.failing` was sent. Null: it works.")
    last_success_at: Time | None = Field(description="Accurate to a minute.")
    waiting: int = Field(description="Messages still to be sent.")
    exhausted: int = Field(description="Messages that are not tried any more; `replay` sends them again.")
    previous_secret_until: Time | None = Field(
        description="Messages are also signed with the previous secret until then."
    )
    created_at: Time
    created_by: str

    @classmethod
    def of(cls, row: Any) -> Self:
        """Build it from a row."""
        made = {"owned_by": _owner(row), "shipment_organizations": owners(row["shipment_ids"])}
        return cls(**{name: row[name] for name in WebhookOut.model_fields if name not in made}, **made)


def _owner(row: Any) -> str:
    if row["key_prefix"] is not None:
        return str(Actor(ActorKind.KEY, row["key_prefix"]))
    return "operator" if row["organization"] is None else f"organization:{row['organization']}"


class WebhookCreated(WebhookOut):
    secret: str = Field(description="Shown only once.", examples=["whsec_…"])


class SecretRotated(Shown):
    secret: str = Field(description="Shown only once.", examples=["whsec_…"])
    previous_secret_until: Time = Field(description="Messages are signed with both secrets until then.")


class TestSent(Shown):
    event_id: str = Field(description="Its id in the deliveries, and the `webhook-id` at the endpoint.")


class ReplayIn(Given):
    """What to send again: one event, a period, or everything that is exhausted."""

    model_config = example(failed=True)

    event_id: Annotated[str, Field(min_length=1, max_length=100), AfterValidator(no_nul)] | None = None
    from_: Time | None = Field(
        None, alias="from", description="The first `timestamp` of the events, inclusive."
    )
    to: Time | None = Field(None, description="Exclusive; by default, now.")
    failed: Literal[True] | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        given = [self.event_id is not None, self.from_ is not None, self.failed is not None]
        if sum(given) != 1:
            raise ValueError("must have one of event_id, from and failed")
        if self.to is not None and (self.from_ is None or self.to <= self.from_):
            raise ValueError("must have from before to")
        return self

    def which(self) -> Which:
        """Return the selection of deliveries."""
        return Which(event_id=self.event_id, since=self.from_, until=self.to, failed=self.failed is not None)


class Replayed(Shown):
    replayed: int = Field(description="The number of messages that are sent again, with their old ids.")


class AttemptOut(Shown):
    number: int = Field(description="A missing number is an attempt that a crash interrupted.")
    at: Time
    seconds: float
    status: int | None = Field(description="Null: no answer.")
    error: str | None
    answer: str | None = Field(
        description="Its first 20 kB, as UTF-8. Lists have only the last attempt's; the others are null."
    )

    @classmethod
    def of(cls, row: Any, *, answered: bool) -> Self:
        """Build it from a row."""
        return cls(
            number=row["lease"],
            at=row["started_at"],
            seconds=round(row["seconds"], 6),
            status=row["status"],
            error=row["error"],
            answer=bytes(row["answer"]).decode(errors="replace") if answered else None,
        )


class DeliveryOut(Shown):
    event_id: str = Field(description="The `webhook-id`; of events of the stream, their `id` there.")
    type: str
    shipment_id: ShownId | None
    state: DeliveryState
    created_at: Time = Field(description="The event's `timestamp`.")
    finished_at: Time | None
    next_attempt_at: Time | None = Field(
        description="Null if none is due. During an attempt, a minute ahead."
    )
    attempts: list[AttemptOut]

    @classmethod
    def of(cls, row: Any, attempts: list[Any]) -> Self:
        """Build it from rows, as in a list."""
        return cls(**_delivery(row), attempts=_shown(attempts, all_answers=False))


class DeliveryWithBody(DeliveryOut):
    body: dict[str, Any] = Field(description="The message that is sent.")

    @classmethod
    def of(cls, row: Any, attempts: list[Any]) -> Self:
        """Build it from rows, with the body and all answers."""
        body = orjson.loads(row["body"])
        return cls(**_delivery(row), attempts=_shown(attempts, all_answers=True), body=body)


def _shown(attempts: list[Any], *, all_answers: bool) -> list[AttemptOut]:
    return [AttemptOut.of(row, answered=all_answers or row is attempts[-1]) for row in attempts]


def _delivery(row: Any) -> dict[str, Any]:
    waiting = row["state"] == DeliveryState.WAITING
    return {
        "event_id": row["message_id"],
        "type": row["type"],
        "shipment_id": row["shipment_id"],
        "state": row["state"],
        "created_at": row["created_at"],
        "finished_at": row["finished_at"],
        "next_attempt_at": row["next_at"] if waiting else None,
    }
