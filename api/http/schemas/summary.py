"""Response bodies for a shipment's figures."""

from typing import Annotated, Self

from pydantic import Field

from alerts.model import SECOND, Duration
from alerts.views.figures import DeviceSummary
from alerts.wording import instant_text
from api.http.schemas.fields import Shown, Time

Seconds = Annotated[float | int, Field(description="Seconds, exact to the microsecond.")]


class DeviceSummaryOut(Shown):
    device_id: str
    in_range_s: Seconds
    out_of_range_s: Seconds
    unobserved_s: Seconds
    budget_used_s: Seconds
    budget_exhausted_at: Time | None
    min_c: float | None
    max_c: float | None
    mean_c: float | None = Field(description="The plain mean of the valid readings.")
    mkt_c: float | None = Field(description="Mean kinetic temperature. Null if the band goes below 0 °C.")
    readings: int
    last_measured_at: Time | None
    evaluated_through: Time = Field(description="The time up to which these figures are complete.")
    pending: bool = Field(description="True while stored readings are not evaluated yet.")

    @classmethod
    def of(cls, summary: DeviceSummary) -> Self:
        """Build it from a logger's figures."""
        figures = summary.figures
        return cls(
            device_id=summary.device_id,
            in_range_s=seconds(figures.in_range),
            out_of_range_s=seconds(figures.out_of_range),
            unobserved_s=seconds(figures.unobserved),
            budget_used_s=seconds(figures.budget_used),
            budget_exhausted_at=instant_text(figures.budget_exhausted_at),
            min_c=figures.min_c,
            max_c=figures.max_c,
            mean_c=figures.mean_c,
            mkt_c=figures.mkt_c,
            readings=figures.readings,
            last_measured_at=instant_text(summary.last_measured_at),
            evaluated_through=instant_text(summary.evaluated_through),
            pending=summary.pending,
        )


class SummaryOut(Shown):
    shipment_id: str
    as_of: Time = Field(
        description="The time that the figures are for; request them with it to get the same again."
    )
    pending: bool = Field(description="True while stored readings of any logger are not evaluated yet.")
    evaluated_through: Time | None = Field(
        description="The time up to which the figures are complete. Null before departure."
    )
    devices: list[DeviceSummaryOut]
    worst: DeviceSummaryOut | None = Field(
        description="The logger that used the most of the budget; then the one longest out of range, then "
        "longest unobserved."
    )


def seconds(duration: Duration) -> float:
    """Return a duration in seconds; whole seconds as an integer."""
    return duration / SECOND if duration % SECOND else duration // SECOND
