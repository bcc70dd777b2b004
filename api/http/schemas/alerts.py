"""Request and response bodies for alerts, incidents, and people's actions on them."""

from collections.abc import Iterable
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import AfterValidator, Field

from alerts.model import AlertKind, Severity
from alerts.triage.alert import AlertState
from alerts.triage.incidents import IncidentState, described, needs_attention
from alerts.triage.payloads import alert_data, incident_data
from alerts.triage.rows import alert_from_row, incident_from_row
from api.http.schemas.fields import Given, Shown, ShownId, Time, Words, example, says_something

Text = Annotated[str, Field(min_length=1, max_length=4000), AfterValidator(says_something)]
"""Free text, several lines allowed."""
Name = Words


class AlertTaken(Given):
    model_config = example(owner="Kim Lee", note="Calling the driver.")

    owner: Name | None = Field(
        None,
        description="Who takes it: a contact, by id or name, or a person. People already notified are told "
        "this name. Absent: the key.",
    )
    note: Text | None = Field(None, description="What you are going to do; kept on record.")


class AlertAssigned(Given):
    model_config = example(owner="night desk", note="Kim is on shift.")

    owner: Name | None = Field(
        description="A contact or a person, by name. Null removes the owner; an acknowledged alert then "
        "fires again."
    )
    note: Text | None = None


class AlertSnoozed(Given):
    model_config = example(until="2026-11-21T06:00:00Z", reason="Depot opens at 06:00 and recharges it.")

    until: Time | None = Field(
        description="When it fires again by itself, at most 72 hours ahead. Null ends a snooze now."
    )
    reason: Text | None = Field(None, description="Why; required unless `until` is null.")


class AlertResolved(Given):
    model_config = example(reason="The shipper was replaced; this logger rides along empty.")

    reason: Text = Field(description="Why it is resolved although its condition holds.")


class AlertCommented(Given):
    model_config = example(text="Driver says the lid was open for a check.")

    text: Text


class AlertComment(Shown):
    id: UUID
    at: Time
    by: str = Field(description="`key:PREFIX` of a person's key.")
    text: str


class AlertRevision(Shown):
    revision: int
    recorded_at: Time
    by: str = Field(
        description="`key:PREFIX` of a person's key, `rule:KIND`, or `timer:WHAT` for a timer that ran out."
    )
    reason: str | None
    note: str | None = Field(description="The reason that the person gave.")
    state: AlertState
    severity: Severity
    message: str
    details: dict[str, Any]
    since: Time
    until: Time | None
    owner: str | None
    snoozed_until: Time | None
    snooze_reason: str | None


class AlertOut(Shown):
    id: UUID
    shipment_id: ShownId | None = Field(description="Null if it is about the whole fleet.")
    organization: str | None
    kind: AlertKind
    severity: Severity
    state: AlertState
    device_id: str | None
    excursion_id: UUID | None
    message: str = Field(description="What happened, in words.")
    details: dict[str, Any] = Field(description="Its figures, under names that end in their units.")
    since: Time = Field(description="When the condition began.")
    until: Time | None = Field(description="When the condition ended.")
    raised_at: Time = Field(description="When the service first detected it.")
    acknowledged_at: Time | None
    acknowledged_by: str | None
    resolved_at: Time | None
    owner: str | None = Field(description="Who is responsible for it. Null: nobody yet.")
    snoozed_until: Time | None = Field(description="When it fires again by itself. Null: it is not snoozed.")
    snooze_reason: str | None
    incident_id: UUID | None = Field(description="Null only until it is assigned to an incident.")
    needs_attention: bool = Field(
        description="True if it fires, or is resolved and nobody has acknowledged it."
    )
    revision: int

    @classmethod
    def of(cls, row: Any) -> Self:
        """Build the response from a row."""
        alert = alert_from_row(row)
        return cls(
            **alert_data(alert), organization=row["organization"], needs_attention=needs_attention(alert)
        )


class AlertWithHistory(AlertOut):
    revisions: list[AlertRevision] = Field(description="All its revisions, oldest first.")
    comments: list[AlertComment] = Field(description="People's comments, oldest first; they never change.")


class IncidentRevision(Shown):
    revision: int
    recorded_at: Time
    reason: str
    state: IncidentState
    kind: AlertKind
    severity: Severity
    headline: str
    next_action: str
    cause_alert_id: UUID
    alert_ids: list[UUID]


class IncidentOut(Shown):
    id: UUID
    shipment_id: ShownId | None = Field(description="Null if it is about the whole fleet.")
    organization: str | None
    state: IncidentState
    kind: AlertKind = Field(description="The kind of its probable cause.")
    severity: Severity = Field(description="The highest of its open alerts; once closed, the last one.")
    headline: str = Field(description="The probable cause and, after an arrow, its worst consequence.")
    next_action: str = Field(description="What to do next about its worst alert.")
    cause_alert_id: UUID = Field(description="The probable cause among its alerts.")
    alert_ids: list[UUID] = Field(description="All its alerts, in the order in which they were raised.")
    owners: list[str] = Field(description="The owners of its open alerts.")
    unowned: int = Field(description="The number of its open alerts without an owner.")
    opened_at: Time
    closed_at: Time | None = Field(description="When the last of its alerts was resolved.")
    merged_into: UUID | None = Field(
        description="The incident that took over its alerts, because the cause was the same."
    )
    revision: int
    nobody_to_tell: bool | None = Field(
        description="True if no contact can be told: register one, with `last_resort`. Null: not yet "
        "decided, or not known at that time."
    )
    next_told_at: Time | None = Field(
        description="When somebody is told next, or the next decision is made. Null: nothing is planned."
    )

    @classmethod
    def fields(cls, row: Any, alerts: Iterable[Any]) -> dict[str, Any]:
        """Return the fields of an incident from its row and those of its alerts."""
        known = [alert_from_row(alert) for alert in alerts]
        # As its alerts are now, or were then: their figures change without a new revision of the incident.
        incident = described(incident_from_row(row, [str(id_) for id_ in row["alert_ids"]]), known)
        open_ = [alert for alert in known if alert.open]
        return {
            **incident_data(incident),
            "organization": row["organization"],
            "owners": sorted({alert.owner for alert in open_ if alert.owner is not None}),
            "unowned": sum(alert.owner is None for alert in open_),
            "nobody_to_tell": row.get("nobody_to_tell"),
            "next_told_at": row.get("next_at"),
        }

    @classmethod
    def of(cls, row: Any, alerts: Iterable[Any]) -> Self:
        """Build the response from the incident's row and those of its alerts."""
        return cls(**cls.fields(row, alerts))


class IncidentWithAlerts(IncidentOut):
    alerts: list[AlertOut]
    revisions: list[IncidentRevision] = Field(description="All its revisions, oldest first.")
