"""Pure: what a rule knows of a shipment beside its readings: plan, window, dewar, route and times."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from alerts.excursions.plan import Plan
from alerts.model import Duration, Instant, Window
from alerts.rules.airports import Airfields
from alerts.rules.place import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """A filling with nitrogen; `ln2_kg` is what it held then, None where that is its capacity."""

    at: Instant
    ln2_kg: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dewar:
    """The shipper: hold time as its maker states it, standing upright; charges oldest first."""

    dewar_id: str
    hold_time: Duration | None = None
    ln2_capacity_kg: float | None = None
    charges: tuple[Charge, ...] = ()
    qualified_until: Instant | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """A part of the way as it is planned."""

    start: Place
    end: Place
    carrier: str | None = None
    planned_departure: Instant | None = None
    planned_arrival: Instant | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All of it. What is not known is None or empty, and a rule that needs it then finds nothing."""

    plan: Plan
    window: Window
    dewar: Dewar | None = None
    origin: Place | None = None
    destination: Place | None = None
    legs: tuple[Leg, ...] = ()
    planned_departure: Instant | None = None
    planned_arrival: Instant | None = None
    packed_out_at: Instant | None = None
    use_by: Instant | None = None
    airfields: Airfields | None = field(default=None, compare=False, repr=False)
    """Airports of the world, to say at which one it was seen."""
    interval: Mapping[str, Duration] = field(default_factory=dict)
    """How often each logger measures, as registered."""

    def stretch(self, at: Instant) -> Instant:
        """Give an instant as it is in the time of the journey, which passes `plan.time_lapse` times as fast."""
        start = self.window.departed_at
        return start + round((at - start) * self.plan.time_lapse)

    def on_the_clock(self, at: Instant) -> Instant:
        """Give an instant of the time of the journey as the clock shows it: what people are told."""
        start = self.window.departed_at
        return start + round((at - start) / self.plan.time_lapse)
