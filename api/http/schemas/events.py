"""The events that are told, by the stream and by webhooks: each with what it holds. A new one is a line of `EVENTS`."""

from collections.abc import Container, Mapping
from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

from pydantic import AfterValidator, BaseModel, Field, create_model

from api.http.problems import hint
from api.http.schemas.alerts import AlertOut, IncidentOut
from api.http.schemas.fields import Shown, Time
from api.http.schemas.findings import ExcursionOut
from api.http.schemas.shipments import ShipmentState


def _absent(schema: dict[str, Any]) -> None:
    """Remove the default from the schema of a field that may be absent: nobody fills it in."""
    schema.pop("default", None)


Sequence = Annotated[
    int,
    Field(
        ge=1,
        description="Counts the events of a shipment, without a gap over all types: the higher one is the newer. "
        "Absent where it is of no shipment.",
        json_schema_extra=_absent,
    ),
]


def _told(shown: type[BaseModel], name: str, *, without: Container[str] = ()) -> type[BaseModel]:
    """Return the model of what is told of something that the API shows: its fields, and those of every such event."""
    kept: dict[str, Any] = {
        field: (info.annotation, info) for field, info in shown.model_fields.items() if field not in without
    }
    added: dict[str, Any] = {
        "reason": (str, Field(description="Why this revision was made.")),
        "drill": (bool, Field(description="Whether its shipment is a drill.")),
        "sequence": (Sequence, 0),
    }
    return create_model(name, __base__=Shown, **kept | added)


ExcursionEvent = _told(ExcursionOut, "ExcursionEvent", without={"recorded_at", "revisions"})
AlertEvent = _told(AlertOut, "AlertEvent", without={"needs_attention"})
IncidentEvent = _told(
    IncidentOut, "IncidentEvent", without={"owners", "unowned", "nobody_to_tell", "next_told_at"}
)


class ShipmentEvent(ShipmentState):
    sequence: Sequence


class ShipmentChangeEvent(ShipmentEvent):
    reason: str = Field(description="Why it was changed.")


class HandedOverEvent(Shown):
    id: UUID
    shipment_id: str
    organization: str | None
    at: Time
    from_party: str
    to_party: str
    to_contact: str | None
    place: str | None
    lat: float | None
    lon: float | None
    note: str | None
    recorded_at: Time
    drill: bool
    sequence: Sequence


class NotificationEvent(Shown):
    id: UUID
    shipment_id: str | None
    organization: str | None
    incident_id: UUID | None
    alert_ids: list[UUID]
    severity: str
    drill: bool
    purpose: str = Field(description="What the message is for: `GET /v1/notifications` has the same.")
    level: int
    repeat: int
    reason: str = Field(description="Why this contact is told.")
    contact_id: str | None
    subject: str
    text: str = Field(description="What happened, what it means, what to do next, and who is on it.")


class WebhookEvent(Shown):
    webhook_id: UUID
    organization: str | None
    url: str
    state: Literal["active", "paused", "disabled"]
    failures: int = Field(description="Attempts that failed since the last that did not.")
    failing_since: Time | None
    reason: Literal["gone", "failing"] = Field(
        description="`gone`: it answered 410. `failing`: it took nothing."
    )


class WebhookTest(Shown):
    webhook_id: UUID
    message: str


class ResetEvent(Shown):
    reason: Literal["pruned", "unknown_position"] = Field(
        description="`pruned`: events after `last_event_id` are not kept any more; those that are follow. "
        "`unknown_position`: this database never gave it; the stream goes on from now."
    )
    last_event_id: str = Field(description="Where you wanted to go on.")
    message: str = Field(description="What to do, in words.")


class Told(NamedTuple):
    """What an event holds, and when it is told."""

    data: type[BaseModel]
    when: str


EVENTS: Mapping[str, Told] = {
    "excursion.opened": Told(ExcursionEvent, "It is on record for the first time, also if already closed."),
    "excursion.amended": Told(ExcursionEvent, "Something that was told before has changed."),
    "excursion.closed": Told(ExcursionEvent, "It was open and has ended."),
    "excursion.withdrawn": Told(ExcursionEvent, "It turned out not to be, or another one has taken it in."),
    "alert.firing": Told(AlertEvent, "Somebody has to take care of it, or its severity changed."),
    "alert.acknowledged": Told(AlertEvent, "Somebody has taken it, or its severity changed."),
    "alert.assigned": Told(AlertEvent, "It has an owner, another one, or none any more."),
    "alert.snoozed": Told(AlertEvent, "It keeps quiet until an instant, with a reason."),
    "alert.resolved": Told(AlertEvent, "Its condition has ended or never was, or a person has resolved it."),
    "incident.opened": Told(IncidentEvent, "Alerts of one probable cause; open again where it was closed."),
    "incident.changed": Told(
        IncidentEvent, "Another alert, cause or severity, or it was merged with another."
    ),
    "incident.closed": Told(IncidentEvent, "All its alerts are resolved, or another one has taken it in."),
    "shipment.departed": Told(ShipmentEvent, "Its readings are judged from now on."),
    "shipment.delivered": Told(ShipmentEvent, "It has arrived."),
    "shipment.handed_over": Told(HandedOverEvent, "Somebody else holds it from now on."),
    "shipment.plan_changed": Told(ShipmentChangeEvent, "It is judged by another plan from now on."),
    "shipment.schedule_changed": Told(
        ShipmentChangeEvent, "It goes elsewhere, otherwise or until another time from now on."
    ),
    "webhook.failing": Told(WebhookEvent, "A webhook has taken nothing for a day, or answers 410."),
    "webhook.disabled": Told(WebhookEvent, "A webhook is switched off."),
}
"""Every type that is told on the stream and to webhooks. What is here can be asked for and stands in /asyncapi.json."""

WEBHOOK_ONLY: Mapping[str, Told] = {
    "alert.notification": Told(
        NotificationEvent, "A contact that is reached by this webhook is told; whatever its filters are."
    ),
    "webhook.test": Told(WebhookTest, "Somebody has asked for it, to see whether it arrives."),
}
STREAM_ONLY: Mapping[str, Told] = {
    "stream.reset": Told(
        ResetEvent,
        "Events may be missing between `Last-Event-ID` and what follows: read the lists again. Comes whatever the filters are.",
    ),
}


def event_type(name: str) -> str:
    """Return the name of an event that can be asked for; raise ValueError with a guess at what was meant."""
    if name not in EVENTS:
        raise ValueError(f"names no event: {name[:100]!r}{hint(name[:100], tuple(EVENTS))}")
    return name


EventType = Annotated[str, AfterValidator(event_type), Field(json_schema_extra={"enum": [*EVENTS]})]
