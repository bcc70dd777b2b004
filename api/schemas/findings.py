"""Excursions and alerts as they cross the HTTP interface."""

from collections.abc import Iterable
from typing import Any, Self
from uuid import UUID

from pydantic import Field

from alerts.alert import AlertKind, AlertState
from alerts.events import alert_data, excursion_data
from alerts.model import EndedBy, ExcursionState, Severity, Side
from alerts.rows import alert_from_row, excursion_from_row
from api.schemas.fields import Shown, Time


class ExcursionRevision(Shown):
    revision: int
    recorded_at: Time
    reason: str
    state: ExcursionState
    side: Side
    start: Time
    end: Time | None
    ended_by: EndedBy | None
    peak_c: float
    severity: Severity
    has_gap: bool
    superseded_by: UUID | None

    @classmethod
    def of(cls, row: Any) -> Self:
        """Make it of a row."""
        return cls(**row, start=row["start_at"], end=row["end_at"])


class ExcursionOut(Shown):
    id: UUID
    shipment_id: str
    organization: str | None
    device_id: str
    side: Side
    start: Time
    end: Time | None = Field(description="Null while it goes on.")
    ended_by: EndedBy | None
    peak_c: float
    severity: Severity
    has_gap: bool
    state: ExcursionState
    revision: int
    reason: str = Field(description="Why this revision was made.")
    superseded_by: UUID | None
    opened_at: Time = Field(description="When we first knew of it.")
    recorded_at: Time = Field(description="When we knew of this revision.")
    revisions: list[ExcursionRevision] | None = Field(
        None, description="With `revisions=true`: every state it was ever known in, oldest first."
    )

    @classmethod
    def fields(cls, row: Any) -> dict[str, Any]:
        """Give its fields from a row."""
        data = excursion_data(
            excursion_from_row(row), shipment_id=row["shipment_id"], device_id=row["device_id"]
        )
        return {name: row[name] for name in ("organization", "reason", "recorded_at")} | data

    @classmethod
    def of(cls, row: Any, revisions: Iterable[Any] | None = None) -> Self:
        """Make it of a row, and of those of its revisions where they are asked for."""
        history = {} if revisions is None else {"revisions": [ExcursionRevision.of(one) for one in revisions]}
        return cls(**cls.fields(row), **history)


class ExcursionWithHistory(ExcursionOut):
    revisions: list[ExcursionRevision] = Field(description="Every state it was ever known in, oldest first.")


class AlertRevision(Shown):
    revision: int
    recorded_at: Time
    by: str = Field(description="`key:PREFIX` of a person's key, or `rule:KIND`.")
    reason: str | None
    state: AlertState
    severity: Severity
    message: str
    details: dict[str, Any]
    since: Time
    until: Time | None


class AlertOut(Shown):
    id: UUID
    shipment_id: str | None = Field(description="Null where it is about the whole fleet.")
    organization: str | None
    kind: AlertKind
    severity: Severity
    state: AlertState
    device_id: str | None
    excursion_id: UUID | None
    message: str = Field(description="What happened, in words.")
    details: dict[str, Any] = Field(description="Figures of it, under names with their units.")
    since: Time = Field(description="When the condition began.")
    until: Time | None = Field(description="When the condition ended.")
    raised_at: Time = Field(description="When we first knew of it.")
    acknowledged_at: Time | None
    acknowledged_by: str | None
    resolved_at: Time | None
    revision: int

    @classmethod
    def of(cls, row: Any) -> Self:
        """Make it of a row."""
        return cls(**alert_data(alert_from_row(row)), organization=row["organization"])


class AlertWithHistory(AlertOut):
    revisions: list[AlertRevision] = Field(description="Every state it was ever in, oldest first.")
