"""Pure: a therapy may arrive too late to be used: its use-by against arrival and receiving hours."""

from dataclasses import dataclass
from typing import ClassVar

from alerts import wording
from alerts.model import SECOND, AlertKind, Instant, Severity
from alerts.rules.blocks.arrival_rule import (
    ARRIVAL_RANGES,
    ArrivalRule,
    ArrivalTuning,
    duration_of,
    receivable_at,
)
from alerts.rules.blocks.clock_text import clock_detail, clock_text
from alerts.rules.blocks.hysteresis import Levels
from alerts.rules.blocks.itinerary import Forecast
from alerts.rules.facts import Facts
from alerts.rules.rule import Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class UseByAtRiskTuning(ArrivalTuning):
    """A site needs a day between receipt and use: checks, thawing, the patient's conditioning."""

    margin_s: float = 86_400
    hysteresis_s: float = 3600


class UseByAtRisk(ArrivalRule[UseByAtRiskTuning]):
    """Raised if too little time is left between the first receiving hour after arrival and the use-by."""

    kind = AlertKind.USE_BY_AT_RISK
    tuning = UseByAtRiskTuning
    ranges: ClassVar = ARRIVAL_RANGES | {"margin_s": (0, 90 * 86_400), "hysteresis_s": (0.001, 90 * 86_400)}

    def levels(self, tuning: UseByAtRiskTuning) -> Levels:
        """Return the least lack of time that raises it, and the spare time that clears it."""
        return Levels(raise_at=1e-6, clear_at=-tuning.hysteresis_s)

    def excess_s(self, tuning: UseByAtRiskTuning, facts: Facts, expected: Forecast) -> float | None:
        """Return by how much the use-by is too early."""
        if facts.use_by is None:
            return None
        received = receivable_at(facts, expected.arrival)
        late = float("inf") if received is None else (received - facts.use_by) / SECOND
        return late + tuning.margin_s

    def finding(self, tuning: UseByAtRiskTuning, facts: Facts, expected: Forecast, since: Instant) -> Finding:
        """Report how much time is left, and until what."""
        assert facts.use_by is not None  # otherwise there is no measure
        received = receivable_at(facts, expected.arrival)
        lost = received is None or received >= facts.use_by
        details = {
            "use_by": clock_detail(facts, facts.use_by),
            "needed_before_use_h": tuning.margin_s / 3600,
        }
        use_by = f"To be used by {clock_text(facts, facts.use_by)}"
        if expected.overdue:
            message = f"{use_by}, was to arrive {clock_text(facts, expected.planned)}, and is not delivered"
        elif received is None:
            message = f"{use_by}, and the destination does not say when it can receive it"
        else:
            details["forecast_received"] = clock_detail(facts, received)
            message = f"{use_by}, and received {clock_text(facts, received)} at the earliest"
            if not lost:
                message += f": {wording.duration(facts.use_by - received)} left, {wording.duration(duration_of(tuning.margin_s))} needed"
        message += ". Speed it up, or ask the treating physician and the maker"
        severity = Severity.CRITICAL if lost else Severity.MAJOR
        return Finding(severity=severity, message=message, since=since, details=details)


USE_BY_AT_RISK = UseByAtRisk()
