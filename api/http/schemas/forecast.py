"""Response bodies for forecasts: hold time left, and time to the limit."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Self

from pydantic import Field

from alerts.model import SECOND, Instant, to_datetime
from alerts.rules.blocks.charge_doubts import Doubt
from alerts.rules.facts import Facts
from alerts.rules.kinds.excursion_predicted import TimeToLimit
from alerts.rules.kinds.hold_time_short import HoldTime
from alerts.views.forecast import Forecast
from api.http.schemas.fields import Shown, ShownId, Time
from api.http.schemas.registry.dewars import ChargeDoubt

_HOUR = 3600 * SECOND


class Ahead(Shown):
    """When something is expected: the median, and a 90 % interval around it."""

    earliest_h: float = Field(description="Hours from `as_of`; 0 if it is now or past.")
    expected_h: float
    latest_h: float
    earliest_at: Time
    expected_at: Time
    latest_at: Time

    @classmethod
    def of(cls, facts: Facts, through: Instant, hours: tuple[float, float, float]) -> Self:
        """Build it from hours of journey time after the instant `through`, itself in journey time."""
        at = [_on_the_clock(facts, through + round(each * _HOUR)) for each in hours]
        rounded = [round(each, 2) for each in hours]
        return cls(
            earliest_h=rounded[0],
            expected_h=rounded[1],
            latest_h=rounded[2],
            earliest_at=at[0],
            expected_at=at[1],
            latest_at=at[2],
        )


class HoldTimeOut(Shown):
    left: Ahead = Field(description="Until the nitrogen or dry ice is used up.")
    measured: bool = Field(description="Whether it is based on a measured mass.")
    expected_arrival: Time | None = Field(
        description="The planned arrival; once overdue, it moves along. Null: no arrival is planned."
    )
    margin_h: float | None = Field(description="Expected hold time left, minus the time to arrival.")
    least_margin_h: float | None = Field(description="The same with the earliest end of the hold time.")

    @classmethod
    def of(cls, foreseen: Forecast, found: HoldTime) -> Self:
        """Build it from an estimate of the hold time."""
        facts, arrival = foreseen.facts, found.arrival
        margins: list[float | None] = [None, None]
        if arrival is not None:
            to_arrival_h = (arrival - foreseen.through) / _HOUR
            margins = [round(left_h - to_arrival_h, 2) for left_h in (found.left_h[1], found.left_h[0])]
        return cls(
            left=Ahead.of(facts, foreseen.through, found.left_h),
            measured=found.measured,
            expected_arrival=None if arrival is None else _on_the_clock(facts, arrival),
            margin_h=margins[0],
            least_margin_h=margins[1],
        )


class LimitAhead(Shown):
    limit_c: float = Field(description="The limit of the band that the payload is approaching.")
    reached: Ahead

    @classmethod
    def of(cls, foreseen: Forecast, found: TimeToLimit) -> Self:
        """Build it from a forecast of one logger."""
        return cls(limit_c=found.limit_c, reached=Ahead.of(foreseen.facts, foreseen.through, found.hours))


class DeviceForecast(Shown):
    device_id: str
    time_to_limit: LimitAhead | None = Field(
        description="Null if no limit is being approached, or the payload is already out of range."
    )


class DoubtfulCharge(Shown):
    charged_at: Time
    ln2_kg: float | None
    by: str
    doubts: list[ChargeDoubt]

    @classmethod
    def of(cls, row: Any, found: Iterable[Doubt]) -> Self:
        """Build it from a row of the charges, and what speaks against it."""
        told = {name: row[name] for name in ("charged_at", "ln2_kg", "by")}
        return cls(**told, doubts=ChargeDoubt.each(found))


class ForecastOut(Shown):
    shipment_id: ShownId
    as_of: Time
    pending: bool = Field(description="True while stored readings of any logger are not evaluated yet.")
    hold_time: HoldTimeOut | None = Field(
        description="Null if the shipment is not in transit, the hold time of its dewar is unknown, its "
        "coolant is not used up (boxes of 2 to 25 °C), or `hold_time_short` is switched off."
    )
    devices: list[DeviceForecast] = Field(description="Its loggers, by id; empty unless it is in transit.")
    doubtful_charges: list[DoubtfulCharge] = Field(
        description="Charges of its dewar that `hold_time` counts with, and that its readings speak against."
    )

    @classmethod
    def of(
        cls,
        shipment_id: str,
        now: datetime,
        foreseen: Forecast | None,
        doubtful: Iterable[tuple[Any, Iterable[Doubt]]],
    ) -> Self:
        """Build the response from a forecast, which is None for a shipment that is not in transit."""
        if foreseen is None:
            return cls(
                shipment_id=shipment_id,
                as_of=now,
                pending=False,
                hold_time=None,
                devices=[],
                doubtful_charges=[],
            )
        hold_time = foreseen.hold_time
        return cls(
            shipment_id=shipment_id,
            as_of=now,
            pending=foreseen.pending,
            hold_time=None if hold_time is None else HoldTimeOut.of(foreseen, hold_time),
            devices=[
                DeviceForecast(
                    device_id=device_id, time_to_limit=None if one is None else LimitAhead.of(foreseen, one)
                )
                for device_id, one in foreseen.limits.items()
            ],
            doubtful_charges=[DoubtfulCharge.of(row, found) for row, found in doubtful],
        )


def _on_the_clock(facts: Facts, at: Instant) -> datetime:
    return to_datetime(facts.to_clock_time(at))
