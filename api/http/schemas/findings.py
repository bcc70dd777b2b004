"""Response bodies for excursions."""

from collections.abc import Iterable
from typing import Any, Self
from uuid import UUID

from pydantic import Field

from alerts.model import EndedBy, ExcursionState, Severity, Side
from alerts.triage.payloads import excursion_data
from alerts.triage.rows import excursion_from_row
from api.http.schemas.fields import Shown, ShownId, Time


class ActOut(Shown):
    step: str = Field(
        description="What was done: a step of the shipment, such as `plan_changed`, `delivered` or `cancelled`."
    )
    by: str = Field(description="`key:PREFIX` of the key that did it.")
    at: Time = Field(description="When it was recorded.")
    reason: str | None = Field(description="Why, in their words; null where they gave no reason.")


_ACT = Field(
    description="What a person did by which this revision takes away from what was on record: it withdraws the "
    "excursion, or makes it shorter or milder. Null where readings or time did."
)


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
    act: ActOut | None = _ACT

    @classmethod
    def of(cls, row: Any) -> Self:
        """Build it from a row."""
        return cls(**row, start=row["start_at"], end=row["end_at"])


class ExcursionOut(Shown):
    id: UUID
    shipment_id: ShownId
    organization: str | None
    device_id: str
    side: Side
    start: Time
    end: Time | None = Field(description="Null while it lasts.")
    ended_by: EndedBy | None
    peak_c: float
    severity: Severity
    has_gap: bool
    state: ExcursionState
    revision: int
    reason: str = Field(description="Why this revision was made.")
    superseded_by: UUID | None
    act: ActOut | None = _ACT
    opened_at: Time = Field(description="When the service first detected it.")
    recorded_at: Time = Field(description="When this revision was recorded.")
    revisions: list[ExcursionRevision] | None = Field(
        None, description="With `revisions=true`: its revisions, oldest first."
    )

    @classmethod
    def fields(cls, row: Any) -> dict[str, Any]:
        """Return the fields of an excursion from its row."""
        data = excursion_data(
            excursion_from_row(row), shipment_id=row["shipment_id"], device_id=row["device_id"]
        )
        return {name: row[name] for name in ("organization", "reason", "recorded_at", "act")} | data

    @classmethod
    def of(cls, row: Any, revisions: Iterable[Any] | None = None) -> Self:
        """Build it from a row, and from the rows of its revisions if they are given."""
        history = {} if revisions is None else {"revisions": [ExcursionRevision.of(one) for one in revisions]}
        return cls(**cls.fields(row), **history)


class ExcursionWithHistory(ExcursionOut):
    revisions: list[ExcursionRevision] = Field(
        description="Its revisions, oldest first; with `peaks=false` without those that only moved its peak."
    )
