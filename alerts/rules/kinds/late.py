"""Pure: the shipment will arrive too late, found leg by leg, before a connection is missed."""

from dataclasses import dataclass
from typing import ClassVar

from alerts import wording
from alerts.alert_kinds import KINDS
from alerts.model import SECOND, AlertKind, Instant
from alerts.rules.blocks.arrival_rule import ARRIVAL_RANGES, ArrivalRule, ArrivalTuning
from alerts.rules.blocks.clock_text import clock_detail, clock_text
from alerts.rules.blocks.hysteresis import Levels
from alerts.rules.blocks.itinerary import Forecast
from alerts.rules.facts import Facts
from alerts.rules.rule import Finding

_SEVERITY = KINDS[AlertKind.LATE].severity


@dataclass(frozen=True, slots=True, kw_only=True)
class LateTuning(ArrivalTuning):
    """Two hours are tolerated: that is a cut-off, so a later shipment misses its connection."""

    tolerance_s: float = 7200


class Late(ArrivalRule[LateTuning]):
    """Raised if the forecast arrival exceeds the plan by more than the tolerance; cleared within half of it."""

    kind = AlertKind.LATE
    tuning = LateTuning
    ranges: ClassVar = ARRIVAL_RANGES | {"tolerance_s": (0.001, 90 * 86_400)}

    def levels(self, tuning: LateTuning) -> Levels:
        """Return the tolerance, and half of it."""
        return Levels(raise_at=tuning.tolerance_s, clear_at=tuning.tolerance_s / 2)

    def excess_s(self, tuning: LateTuning, facts: Facts, expected: Forecast) -> float:  # noqa: ARG002
        """Return the delay."""
        return expected.delay / SECOND

    def finding(self, tuning: LateTuning, facts: Facts, expected: Forecast, since: Instant) -> Finding:  # noqa: ARG002
        """Report when it arrives, why so late, and what to do."""
        planned = clock_text(facts, expected.planned)
        details = {"planned_arrival": clock_detail(facts, expected.planned)}
        if expected.overdue:
            message = f"Was to arrive {planned} and is not delivered: ask whoever holds it where it is"
            details["next_action"] = "Ask whoever holds the shipper where it is, and tell the destination."
            return Finding(severity=_SEVERITY, message=message, since=since, details=details)
        message = f"Will arrive about {clock_text(facts, expected.arrival)}, {wording.duration(expected.delay)} late"
        details["forecast_arrival"] = clock_detail(facts, expected.arrival)
        if expected.missed is not None:
            leg = f"{expected.missed.start.name} to {expected.missed.end.name}"
            message += f": it misses the connection from {leg}. Rebook it, and tell the destination"
            details["missed_connection"] = leg
        else:
            message += ": tell the destination"
        return Finding(severity=_SEVERITY, message=message, since=since, details=details)


LATE = Late()
