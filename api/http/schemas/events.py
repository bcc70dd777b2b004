"""The events of the stream and of webhooks, each with the model of its data; `EVENTS` lists them."""

from collections.abc import Container, Mapping
from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

from pydantic import AfterValidator, BaseModel, Field, create_model

from alerts.model import Severity
from api.http.problems import hint
from api.http.schemas.alerts import AlertOut, IncidentOut
from api.http.schemas.fields import Shown, ShownId, Time
from api.http.schemas.findings import ExcursionOut
from api.http.schemas.shipments import ShipmentState
from api.http.schemas.summary import TakenAwayFigures


def _absent(schema: dict[str, Any]) -> None:
    """Remove the default from the schema of a field that may be absent: readers do not fill it in."""
    schema.pop("default", None)


Sequence = Annotated[
    int,
    Field(
        ge=1,
        description="Numbers the events of a shipment, over all types and without gaps: a higher one is "
        "newer. Absent if the event is of no shipment.",
        json_schema_extra=_absent,
    ),
]


WorstSeverity = Annotated[
    Severity,
    Field(
        description="The worst that it has been so far: filters by severity go by this. Absent from events of before there "
        "was this field.",
        json_schema_extra=_absent,
    ),
]


def _told(shown: type[BaseModel], name: str, *, without: Container[str] = ()) -> type[BaseModel]:
    """Return the model of an event about `shown`: its fields, and those of every such event."""
    kept: dict[str, Any] = {
        field: (info.annotation, info) for field, info in shown.model_fields.items() if field not in without
    }
    added: dict[str, Any] = {
        "reason": (str, Field(description="Why this revision was made.")),
        "drill": (bool, Field(description="Whether its shipment is a drill.")),
        "worst_severity": (WorstSeverity, Severity.MAJOR),
        "sequence": (Sequence, 0),
    }
    return create_model(name, __base__=Shown, **kept | added)


ExcursionEvent = create_model(
    "ExcursionEvent",
    __base__=_told(ExcursionOut, "ToldExcursion", without={"recorded_at", "revisions"}),
    incident_id=(
        UUID | None,
        Field(description="Of its alert. Null, as when it opens: not yet known.", json_schema_extra=_absent),
    ),
)
AlertEvent = _told(AlertOut, "AlertEvent", without={"needs_attention"})


class Comment(Shown):
    at: Time
    by: str = Field(description="`key:PREFIX` of the key that wrote it.")
    text: str


CommentEvent = create_model("CommentEvent", __base__=AlertEvent, comment=(Comment, ...))
IncidentEvent = _told(
    IncidentOut, "IncidentEvent", without={"owners", "unowned", "nobody_to_tell", "next_told_at"}
)


class ShipmentEvent(ShipmentState):
    sequence: Sequence


class CreatedEvent(ShipmentEvent):
    by: str = Field(description="`key:PREFIX` of the key that made it.")


class DeliveredExcursions(Shown):
    open: int
    closed: int
    worst_severity: Severity | None = Field(description="Of those that are open or closed.")
    highest_c: float | None = Field(description="The highest peak of these, above a limit. Null: none is.")
    lowest_c: float | None = Field(description="The lowest peak of these, below a limit. Null: none is.")
    lasted_s: float = Field(description="The sum of their lengths; of one that is open, until the delivery.")
    withdrawn_by_people: TakenAwayFigures = Field(
        description="Those that an act of a person has withdrawn, as they were before."
    )
    lessened_by_people: TakenAwayFigures = Field(
        description="Those that such an act has made shorter or milder, as they were before."
    )


class DeliveredEvent(ShipmentEvent):
    by: str = Field(description="`key:PREFIX` of the key that recorded it.")
    reason: str | None = Field(description="Why it was recorded as it was, in their words.")
    excursions: DeliveredExcursions = Field(
        description="As they were on record when the delivery was recorded; what it changes of them is told after it."
    )


class ShipmentChangeEvent(ShipmentEvent):
    by: str = Field(description="`key:PREFIX` of the key that changed it.")
    reason: str = Field(description="Why it was changed.")


class TimesWere(Shown):
    departed_at: Time | None
    delivered_at: Time | None
    cancelled_at: Time | None


class CorrectedEvent(ShipmentChangeEvent):
    was: TimesWere = Field(description="The times that were on record before.")


class LoggersChangedEvent(ShipmentChangeEvent):
    added: list[str]
    removed: list[str]
    at: Time = Field(description="From when on.")


class DewarWas(Shown):
    dewar_id: str | None


class DewarChangedEvent(ShipmentChangeEvent):
    was: DewarWas
    at: Time = Field(description="From when on.")


class ClockCorrectedEvent(ShipmentChangeEvent):
    device_id: str
    correction_id: UUID = Field(description="See `GET /v1/devices/{device_id}/clock-corrections`.")
    reversed: bool = Field(description="It was taken back.")


class HandedOverEvent(Shown):
    id: UUID
    shipment_id: ShownId
    organization: str | None
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
    drill: bool
    sequence: Sequence


class NotificationEvent(Shown):
    id: UUID
    shipment_id: ShownId | None
    organization: str | None
    incident_id: UUID | None
    alert_ids: list[UUID]
    severity: str
    drill: bool
    purpose: str = Field(description="What the message is for, as in `GET /v1/notifications`.")
    level: int
    repeat: int
    reason: str = Field(description="Why this contact is told.")
    contact_id: ShownId | None
    subject: str
    text: str = Field(description="What happened, what it means, what to do next, and who has taken it.")


class WebhookState(Shown):
    webhook_id: UUID
    organization: str | None
    url: str
    state: Literal["active", "paused", "disabled"]
    failures: int = Field(description="Failed attempts since the last success.")
    failing_since: Time | None


class WebhookActEvent(WebhookState):
    by: str = Field(description="`key:PREFIX` of the key that did it.")


class WebhookEvent(WebhookState):
    reason: Literal["gone", "failing", "key_ended"] = Field(
        description="`gone`: it answered 410. `failing`: it accepted nothing. `key_ended`: the key that it belongs to "
        "was revoked or has expired."
    )


class WebhookTest(Shown):
    webhook_id: UUID
    message: str


class RestoredEvent(Shown):
    id: UUID = Field(description="Of the database from now on.")
    organization: None
    drill: bool
    evidence: Literal["went_back", "another_server"] = Field(
        description="`went_back`: something that was in it is not in it any more. `another_server`: it was copied to where "
        "it is now, and whether something is missing is not known."
    )
    went_back_to: Time | None = Field(
        description="Until then everything is in it, but for the last seconds. Null: not known."
    )
    known_until: Time = Field(description="Until then it is known to have been written to before.")
    noticed_at: Time
    message: str = Field(description="What to do, in words.")


class EventsDropped(Shown):
    webhook_id: UUID
    events: int = Field(description="How many were never accepted here, and are not kept any more.")
    first: Time = Field(description="When the first of them was made.")
    last: Time = Field(description="When the last of them was made.")
    message: str = Field(description="What to do, in words.")


class ResetEvent(Shown):
    reason: Literal["pruned", "unknown_position"] = Field(
        description="`pruned`: some events after `last_event_id` are no longer stored; those that are "
        "follow. `unknown_position`: this database never issued it; the stream continues from "
        "now."
    )
    last_event_id: str = Field(description="The `Last-Event-ID` of the request.")
    message: str = Field(description="What to do, in words.")


class EndedEvent(Shown):
    reason: Literal["key_revoked", "key_expired", "rights_changed"] = Field(
        description="`rights_changed`: open the stream again; it has other events."
    )
    message: str = Field(description="The same in words.")


class Told(NamedTuple):
    """An event's data, and when it is sent."""

    data: type[BaseModel]
    when: str


EVENTS: Mapping[str, Told] = {
    "excursion.opened": Told(ExcursionEvent, "It is recorded for the first time, even if already closed."),
    "excursion.became_critical": Told(
        ExcursionEvent,
        "It was sent as major, and lies beyond the critical limit; also if it has ended meanwhile. One that is critical "
        "when it opens has no such turn.",
    ),
    "excursion.amended": Told(
        ExcursionEvent,
        "Something that was sent before has changed. With the reason `peak_moved`, only the peak of one that goes on: sent "
        "ten minutes after its last event at the earliest, and if it has grown by more than 1 °C (settings).",
    ),
    "excursion.closed": Told(ExcursionEvent, "It was open and has ended."),
    "excursion.withdrawn": Told(ExcursionEvent, "It never happened, or it was merged into another one."),
    "alert.firing": Told(AlertEvent, "Somebody has to take care of it, or its severity changed."),
    "alert.acknowledged": Told(AlertEvent, "Somebody has taken it, or its severity changed."),
    "alert.assigned": Told(AlertEvent, "It has an owner, another owner, or no owner any more."),
    "alert.snoozed": Told(AlertEvent, "It is quiet until a given time, with a reason."),
    "alert.resolved": Told(AlertEvent, "Its condition has ended or never was, or a person has resolved it."),
    "alert.commented": Told(CommentEvent, "Somebody wrote something about it."),
    "incident.opened": Told(IncidentEvent, "Alerts with one probable cause; also when a closed one reopens."),
    "incident.changed": Told(
        IncidentEvent, "An alert joined it, its cause or severity changed, or another was merged into it."
    ),
    "incident.closed": Told(IncidentEvent, "All its alerts are resolved, or it was merged into another one."),
    "shipment.created": Told(
        CreatedEvent, "It is planned from now on; if it has departed, that is told next."
    ),
    "shipment.departed": Told(ShipmentEvent, "Its readings are evaluated from now on."),
    "shipment.delivered": Told(DeliveredEvent, "It has arrived; with its excursions."),
    "shipment.cancelled": Told(ShipmentChangeEvent, "It was called off, before it departed or on its way."),
    "shipment.corrected": Told(
        CorrectedEvent,
        "A departure, a delivery or a cancellation that was on record has another time, or is taken back.",
    ),
    "shipment.loggers_changed": Told(LoggersChangedEvent, "Loggers were put on it or taken off it."),
    "shipment.dewar_changed": Told(DewarChangedEvent, "It was moved to another shipper."),
    "shipment.clock_corrected": Told(
        ClockCorrectedEvent,
        "The times of readings of one of its loggers were corrected, or that was taken back.",
    ),
    "shipment.handed_over": Told(HandedOverEvent, "Somebody else holds it from now on."),
    "shipment.plan_changed": Told(ShipmentChangeEvent, "It is evaluated by another plan from now on."),
    "shipment.schedule_changed": Told(ShipmentChangeEvent, "Its destination, legs or times have changed."),
    "record.restored": Told(
        RestoredEvent,
        "The database was set back, as by a restore: events that you hold may be unknown to it. Sent whatever the "
        "filters are.",
    ),
    "webhook.failing": Told(WebhookEvent, "A webhook has accepted nothing for a day, or answers 410."),
    "webhook.disabled": Told(WebhookEvent, "A webhook was disabled."),
    "webhook.paused": Told(
        WebhookActEvent, "Somebody paused a webhook: nothing is sent there until it is resumed."
    ),
    "webhook.resumed": Told(WebhookActEvent, "Somebody resumed a webhook that was paused or disabled."),
    "webhook.deleted": Told(WebhookActEvent, "Somebody deleted a webhook: nothing more is sent there."),
}
"""Every type on the stream and for webhooks: all of them can be subscribed to and are in /asyncapi.json."""

WEBHOOK_ONLY: Mapping[str, Told] = {
    "alert.notification": Told(
        NotificationEvent, "A contact with this webhook as a channel is told; sent whatever its filters are."
    ),
    "webhook.events_dropped": Told(
        EventsDropped,
        "Events for this endpoint were removed after their retention, and it had accepted none of them; sent once it "
        "takes messages again, whatever its filters are.",
    ),
    "webhook.test": Told(WebhookTest, "Somebody asked for a test message."),
}
STREAM_ONLY: Mapping[str, Told] = {
    "stream.reset": Told(
        ResetEvent,
        "Events may be missing between `Last-Event-ID` and what follows: read the lists again. Sent "
        "whatever the filters are.",
    ),
    "stream.ended": Told(
        EndedEvent,
        "The last event of a stream whose key was revoked, has expired or got other rights: within a second. It has no "
        "`id`. Sent whatever the filters are.",
    ),
}


def event_type(name: str) -> str:
    """Return a valid event type; raise ValueError with a guess at what was meant."""
    if name not in EVENTS:
        raise ValueError(f"names no event: {name[:100]!r}{hint(name[:100], tuple(EVENTS))}")
    return name


EventType = Annotated[str, AfterValidator(event_type), Field(json_schema_extra={"enum": [*EVENTS]})]
