"""Response bodies for a shipment's figures."""

from collections.abc import Sequence
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import Field

from alerts.model import SECOND, Duration, Severity, Side
from alerts.views.figures import DeviceSummary
from alerts.views.taken_away import SHOWN_AT_MOST, Figures, TakenAway
from alerts.wording import instant_text
from api.http.schemas.fields import Shown, ShownId, Time
from api.http.schemas.findings import ActOut

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
    readings: int = Field(description="All of the logger's own, also those that count for nothing.")
    disowned_readings: int = Field(
        description="Readings of a temperature that is none: exactly 85 °C, which a sensor gives after a reset, and −127 °C, which "
        "stands for a sensor that is not found. They are in none of these figures. See the alert `probe_fault`."
    )
    manual_readings: int = Field(
        description="Readings that people typed, while it was on the shipment. They are in none of these figures, unless the plan "
        "is `manual_only`."
    )
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
            disowned_readings=figures.disowned,
            manual_readings=summary.manual_readings,
            last_measured_at=instant_text(summary.last_measured_at),
            evaluated_through=instant_text(summary.evaluated_through),
            pending=summary.pending,
        )


class TakenAwayFigures(Shown):
    number: int = Field(description="How many excursions.")
    worst_severity: Severity | None
    highest_c: float | None = Field(description="The highest peak above a limit, as it was before.")
    lowest_c: float | None = Field(description="The lowest peak below a limit, as it was before.")
    lasted_s: Seconds
    by: list[str] = Field(description="Who took them away.")

    @staticmethod
    def fields(found: Sequence[TakenAway]) -> dict[str, Any]:
        """Return what some excursions were together."""
        figures = Figures.of(found)
        names = ("number", "worst_severity", "highest_c", "lowest_c")
        return {name: getattr(figures, name) for name in names} | {
            "lasted_s": seconds(figures.lasted),
            "by": list(figures.by),
        }


class TakenAwayExcursion(Shown):
    excursion_id: UUID
    device_id: str
    side: Side
    start: Time
    end: Time | None
    peak_c: float
    severity: Severity
    lasted_s: Seconds
    act: ActOut

    @classmethod
    def of(cls, one: TakenAway) -> Self:
        """Build it from an excursion as it was before."""
        return cls(
            excursion_id=UUID(one.excursion_id),
            device_id=one.device_id,
            side=one.side,
            start=instant_text(one.start),
            end=instant_text(one.end),
            peak_c=one.peak_c,
            severity=one.severity,
            lasted_s=seconds(one.lasted),
            act=ActOut(**one.act.to_json()),
        )


class TakenAwayOut(TakenAwayFigures):
    excursions: list[TakenAwayExcursion] = Field(
        description="At most 100, the worst first, with their figures as they were before."
    )

    @classmethod
    def of(cls, found: Sequence[TakenAway]) -> Self:
        """Build it from excursions as they were before, the worst first."""
        named = [TakenAwayExcursion.of(one) for one in found[:SHOWN_AT_MOST]]
        return cls(**cls.fields(found), excursions=named)


class SummaryOut(Shown):
    shipment_id: ShownId
    as_of: Time = Field(
        description="The time that the figures are for; request them with it to get the same again."
    )
    pending: bool = Field(description="True while stored readings of any logger are not evaluated yet.")
    evaluated_through: Time | None = Field(
        description="The time up to which the figures are complete. Null before departure."
    )
    withdrawn_by_people: TakenAwayOut = Field(
        description="Excursions that were on record until somebody changed the plan or the times of the shipment, "
        "cancelled it, or the like. The figures of loggers do not have them; look at them before you release."
    )
    lessened_by_people: TakenAwayOut = Field(
        description="Excursions that such an act has made shorter by 15 minutes or more, or milder, as they were "
        "before."
    )
    without_logger_s: Seconds = Field(
        description="For how long no logger was on it, as between two of which the second was put in late. Each logger's "
        "`unobserved_s` counts while that one was on it."
    )
    devices: list[DeviceSummaryOut]
    worst: DeviceSummaryOut | None = Field(
        description="The logger that used the most of the budget; then the one longest out of range, then "
        "longest unobserved."
    )


def seconds(duration: Duration) -> float:
    """Return a duration in seconds; whole seconds as an integer."""
    return duration / SECOND if duration % SECOND else duration // SECOND
