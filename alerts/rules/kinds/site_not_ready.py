"""Pure: the destination cannot receive the shipment: it is closed on arrival, or cannot store its band."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from alerts.alert_kinds import KINDS
from alerts.excursions.plan import Band
from alerts.model import SECOND, AlertKind, Instant
from alerts.rules.blocks.arrival_rule import (
    ARRIVAL_RANGES,
    ArrivalRule,
    ArrivalState,
    ArrivalTuning,
    receivable_at,
)
from alerts.rules.blocks.clock_text import clock_detail, clock_text
from alerts.rules.blocks.hysteresis import Levels
from alerts.rules.blocks.itinerary import Forecast
from alerts.rules.facts import Facts
from alerts.rules.rule import Finding, Look, LookTime

_SEVERITY = KINDS[AlertKind.SITE_NOT_READY].severity

STORED_AS = {Band.REFRIGERATED: Band.CONTROLLED, Band.ROOM: Band.CONTROLLED}
"""A site that stores the whole of a band can store a part of it; the reverse is unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteNotReadyTuning(ArrivalTuning):
    """A courier who arrives a quarter of an hour before the door opens can wait."""

    tolerance_s: float = 900


class SiteNotReady(ArrivalRule[SiteNotReadyTuning]):
    """Raised if the site is closed at the forecast arrival, and from the start if it cannot store the band."""

    kind = AlertKind.SITE_NOT_READY
    tuning = SiteNotReadyTuning
    ranges: ClassVar = ARRIVAL_RANGES | {"tolerance_s": (0.001, 90 * 86_400)}

    def levels(self, tuning: SiteNotReadyTuning) -> Levels:
        """Return how long the door may stay closed; the alert is cleared if it is open on arrival."""
        return Levels(raise_at=tuning.tolerance_s, clear_at=0)

    def excess_s(self, tuning: SiteNotReadyTuning, facts: Facts, expected: Forecast) -> float | None:  # noqa: ARG002
        """Return how long the shipment must wait for the site to open."""
        if facts.destination is None or facts.destination.hours is None:
            return None
        received = receivable_at(facts, expected.arrival)
        return float("inf") if received is None else (received - expected.arrival) / SECOND

    def look(
        self, tuning: SiteNotReadyTuning, facts: Facts, states: Sequence[ArrivalState], look_time: LookTime
    ) -> Look:
        """Judge storage first, since no delay changes it."""
        place, band = facts.destination, facts.plan.band
        if place is None or place.stores is None or {band, STORED_AS.get(band, band)} & place.stores:
            return super().look(tuning, facts, states, look_time)
        message = f"{place.name} cannot store {band}: agree with the site where it will be kept, or send it elsewhere"
        details = {
            "stores": sorted(place.stores),
            "next_action": "Agree with the site where it will be kept, or send it elsewhere.",
        }
        since = facts.window.departed_at
        return Look(found=Finding(severity=_SEVERITY, message=message, since=since, details=details))

    def finding(
        self, tuning: SiteNotReadyTuning, facts: Facts, expected: Forecast, since: Instant
    ) -> Finding:
        """Report when it arrives, and when the site next opens, in the site's local time as well."""
        del tuning
        place = facts.destination
        assert place is not None  # otherwise there is no measure
        assert place.hours is not None
        details: dict[str, str | None] = {}
        if expected.overdue:
            message = f"{place.name} is closed, and the shipment has not arrived yet"
        else:
            message = f"{place.name} is closed when it arrives, about {clock_text(facts, expected.arrival, place.hours.zone)}"
            details["forecast_arrival"] = clock_detail(facts, expected.arrival)
            received = receivable_at(facts, expected.arrival)
            details["opens_at"] = None if received is None else clock_detail(facts, received)
            if received is not None:
                message += f"; it opens {clock_text(facts, received, place.hours.zone)}"
        message += ". Agree with the site who receives it"
        return Finding(severity=_SEVERITY, message=message, since=since, details=details)


SITE_NOT_READY = SiteNotReady()
