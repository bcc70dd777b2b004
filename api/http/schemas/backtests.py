"""Request and response bodies for backtests."""

from collections import Counter
from collections.abc import Sequence
from datetime import date
from typing import Any, Self

from pydantic import Field, field_validator

from alerts.backtest import totals as outcome
from alerts.backtest.compare import Effect, Exhaustion, Pair, Tally
from alerts.model import EndedBy, Run, Severity, Side
from alerts.wording import instant_text
from api.http.schemas.fields import Given, Id, OrganizationSlug, Shown, ShownId, Time, example
from api.http.schemas.shipments import PlanChanges
from api.http.schemas.summary import Seconds, seconds
from telemetry.registry.ids import organization_of

AT_MOST = 500
"""The most shipments in one call."""
DIFFERENCES_SHOWN = 20


class BacktestIn(Given):
    model_config = example(
        plan={"upper_c": -155, "on_delay_s": 300}, since="2026-10-01T00:00:00Z", until="2026-11-01T00:00:00Z"
    )

    plan: PlanChanges
    shipment_ids: list[Id] | None = Field(
        None,
        min_length=1,
        max_length=AT_MOST,
        description="The shipments to compare; by default all that were in transit in the period.",
    )
    organization: OrganizationSlug | None = Field(
        None, description="Whose shipments: of that organization alone, by default of all that the key sees."
    )
    since: Time | None = Field(None, description="Count alarms from this time on.")
    until: Time | None = Field(None, description="Judge as of this time; by default, now.")
    limit: int = Field(50, ge=1, le=AT_MOST, description="How many shipments to return one by one.")

    @field_validator("plan")
    @classmethod
    def _proposes_something(cls, plan: PlanChanges) -> PlanChanges:
        if not plan.model_fields_set:
            raise ValueError("must propose something: at least one field of a plan")
        return plan


class TallyOut(Shown):
    alarms: int = Field(description="Excursions plus exhausted budgets: how often somebody would be called.")
    excursions: int
    critical: int = Field(description="The number of critical excursions.")
    budget_exhaustions: int
    out_of_range_s: Seconds
    longest_s: Seconds = Field(description="The longest excursion; an open one counts up to now.")

    @classmethod
    def of(cls, tally: Tally) -> Self:
        """Build it from one plan's result."""
        return cls(**_tally(tally))


class PlanTotalsOut(TallyOut):
    longest_on: ShownId | None = Field(description="The shipment with the longest excursion.")

    @classmethod
    def of_all(cls, totals: outcome.PlanTotals) -> Self:
        """Build it from one plan's result over all shipments."""
        return cls(**_tally(totals.tally), longest_on=totals.longest_on)


def _tally(tally: Tally) -> dict[str, Any]:
    return {
        "alarms": tally.alarms,
        "excursions": tally.excursions,
        "critical": tally.critical,
        "budget_exhaustions": tally.exhaustions,
        "out_of_range_s": seconds(tally.out_of_range),
        "longest_s": seconds(tally.longest),
    }


class EffectsOut(Shown):
    gained: int = Field(description="Found only by the proposed plan.")
    lost: int = Field(description="Found only by today's plan.")
    split: int = Field(description="Additional ones of the proposed plan within one of today's plan.")
    merged: int = Field(description="Additional ones of today's plan within one of the proposed plan.")
    changed: int = Field(description="Found by both plans, with a different start, end or severity.")
    same: int

    @classmethod
    def of(cls, counts: Counter[Effect]) -> Self:
        """Build it from counts."""
        return cls(**{str(effect): counts[effect] for effect in Effect})


class FoundRun(Shown):
    start: Time
    end: Time | None
    ended_by: EndedBy | None
    peak_c: float
    severity: Severity
    has_gap: bool

    @classmethod
    def of(cls, run: Run | None) -> Self | None:
        """Build it from a run; None stays None."""
        if run is None:
            return None
        return cls(
            start=instant_text(run.start),
            end=instant_text(run.end),
            ended_by=run.ended_by,
            peak_c=run.peak_c,
            severity=run.severity,
            has_gap=run.has_gap,
        )


class DifferenceOut(Shown):
    device_id: str
    effect: Effect
    side: Side
    today: FoundRun | None
    proposed: FoundRun | None

    @classmethod
    def of(cls, pair: Pair) -> Self:
        """Build it from an excursion as each plan finds it."""
        run = pair.today or pair.proposed
        assert run is not None
        return cls(
            device_id=pair.device_id,
            effect=pair.effect,
            side=run.side,
            today=FoundRun.of(pair.today),
            proposed=FoundRun.of(pair.proposed),
        )


class ExhaustionOut(Shown):
    device_id: str
    effect: Effect
    today: Time | None
    proposed: Time | None

    @classmethod
    def of(cls, exhaustion: Exhaustion) -> Self:
        """Build it from the times at which both plans' budgets are exhausted."""
        return cls(
            device_id=exhaustion.device_id,
            effect=exhaustion.effect,
            today=instant_text(exhaustion.today),
            proposed=instant_text(exhaustion.proposed),
        )


class ShipmentOutcomeOut(Shown):
    shipment_id: ShownId
    organization: str | None
    today: TallyOut
    proposed: TallyOut
    differences: list[DifferenceOut] = Field(
        description=f"The first {DIFFERENCES_SHOWN} excursions that differ."
    )
    more_differences: int
    budget_exhaustions: list[ExhaustionOut]

    @classmethod
    def of(cls, found: outcome.Outcome) -> Self:
        """Build it from the comparison of one shipment."""
        differences = found.comparison.differences
        return cls(
            shipment_id=found.shipment_id,
            organization=organization_of(found.shipment_id),
            today=TallyOut.of(found.comparison.today),
            proposed=TallyOut.of(found.comparison.proposed),
            differences=[DifferenceOut.of(pair) for pair in differences[:DIFFERENCES_SHOWN]],
            more_differences=max(0, len(differences) - DIFFERENCES_SHOWN),
            budget_exhaustions=[ExhaustionOut.of(one) for one in found.comparison.exhaustions],
        )


class WeekOut(Shown):
    week: str = Field(description="The ISO 8601 week, in UTC.", examples=["2026-W48"])
    today: int = Field(description="Alarms under today's plans.")
    proposed: int


class UnjudgedOut(Shown):
    shipment_id: ShownId
    organization: str | None
    field: str | None = Field(description="The plan's field that the proposal makes invalid, if that is why.")
    detail: str


class BacktestOut(Shown):
    as_of: Time
    shipments: int = Field(description="The number of shipments compared.")
    affected: int = Field(description="The number of these with any difference.")
    readings: int
    today: PlanTotalsOut
    proposed: PlanTotalsOut
    excursions: EffectsOut
    budget_exhaustions: EffectsOut
    weeks: list[WeekOut] = Field(description="Alarms by week, from the first to the last.")
    by_shipment: list[ShipmentOutcomeOut] = Field(
        description="Those with the most differences first, then those with the most alarms; at most `limit`."
    )
    not_compared: list[UnjudgedOut]

    @classmethod
    def of(cls, found: outcome.BacktestTotals, as_of: Any) -> Self:
        """Build the response from the totals."""
        return cls(
            as_of=as_of,
            shipments=found.shipments,
            affected=found.affected,
            readings=found.readings,
            today=PlanTotalsOut.of_all(found.today),
            proposed=PlanTotalsOut.of_all(found.proposed),
            excursions=EffectsOut.of(found.excursions),
            budget_exhaustions=EffectsOut.of(found.exhaustions),
            weeks=_weeks(found, found.weeks()),
            by_shipment=[ShipmentOutcomeOut.of(one) for one in found.worst()],
            not_compared=[
                UnjudgedOut(
                    shipment_id=one.shipment_id,
                    organization=organization_of(one.shipment_id),
                    field=one.field,
                    detail=one.why,
                )
                for one in found.unjudged
            ],
        )


def _weeks(found: outcome.BacktestTotals, mondays: Sequence[date]) -> list[WeekOut]:
    return [
        WeekOut(
            week=week_name(monday),
            today=found.today.alarms_in[monday],
            proposed=found.proposed.alarms_in[monday],
        )
        for monday in mondays
    ]


def week_name(monday: date) -> str:
    """Return the ISO week that begins on a Monday, such as `2026-W48`."""
    year, week, _ = monday.isocalendar()
    return f"{year}-W{week:02}"
