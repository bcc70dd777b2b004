"""Request and response bodies for corrections of loggers' clocks."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import Field

from api.http.schemas.fields import Given, Shown, Time, Words, example
from api.refusals import Invalid
from telemetry.corrections.clock_correction import ClockCorrection, OfWhich

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_END = datetime(9999, 12, 30, tzinfo=UTC)
_LONGEST_S = 86_400.0 * 366 * 150


class ClockCorrectionIn(Given):
    model_config = example(
        offset_s=619_315_200,
        measured_from="2007-04-16T08:00:00Z",
        measured_until="2007-04-16T20:00:00Z",
        reason="GPS weeks rolled over, seen on the logger's display",
    )

    offset_s: Annotated[float, Field(ge=-_LONGEST_S, le=_LONGEST_S)] | None = Field(
        None, description="What is added to the times that it sent, in seconds."
    )
    seconds_for_milliseconds: bool = Field(
        default=False,
        description="Instead: it sent seconds since 1970 where milliseconds are read.",
    )
    measured_from: Time | None = Field(
        None, description="The first time of the stretch, by the logger's clock, as it was sent."
    )
    measured_until: Time | None = Field(None, description="The end of the stretch; not part of it.")
    received_from: Time | None = Field(
        None, description="Only what was received from then on, by the service's clock."
    )
    received_until: Time | None = None
    of_which: Annotated[OfWhich, Field(strict=False)] = Field(
        OfWhich.ALL,
        description="`refused`: what was refused for its time. `stored`: what was stored with the wrong time.",
    )
    reason: Words = Field(description="Why, for the record.")

    def value(self, device_id: str) -> ClockCorrection:
        """Return the input of the use case."""
        if (self.offset_s is None) is not self.seconds_for_milliseconds:
            raise Invalid("offset_s", "is needed, or seconds_for_milliseconds instead: one of them")
        if self.measured_from is None and self.received_from is None:
            raise Invalid(
                "measured_from", "is needed, or received_from: say from when on the clock was wrong"
            )
        return ClockCorrection(
            device_id=device_id,
            offset=None if self.offset_s is None else timedelta(seconds=self.offset_s),
            measured_from=self.measured_from or _EPOCH,
            measured_until=self.measured_until or _END,
            received_from=self.received_from,
            received_until=self.received_until,
            of_which=self.of_which,
        )


class ClockReversalIn(Given):
    model_config = example(reason="It was another logger")

    reason: Words = Field(description="Why, for the record.")


class ClockCorrectionOut(Shown):
    id: UUID
    device_id: str
    offset_s: float | None
    seconds_for_milliseconds: bool
    measured_from: Time
    measured_until: Time
    received_from: Time | None
    received_until: Time | None
    of_which: OfWhich
    reason: str
    by: str = Field(description="`key:PREFIX` of the key that stated it.")
    recorded_at: Time
    taken_up: int = Field(description="Readings that were refused, and are stored now.")
    moved: int = Field(description="Readings that were stored with the wrong time. They stay on record.")
    left_out: int = Field(
        description="Refused ones that could not be taken up: too little of them is kept, or other readings have their time."
    )
    reversed_at: Time | None = Field(description="When it was taken back; null: it holds.")
    reversed_by: str | None
    reversed_reason: str | None

    @classmethod
    def of(cls, row: Any) -> Self:
        """Build it from a row."""
        return cls(**row, seconds_for_milliseconds=row["offset_s"] is None)
