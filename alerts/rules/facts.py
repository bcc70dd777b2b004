"""Pure: what a rule knows about a shipment beside its readings: plan, window, dewar, route and times."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from alerts.excursions.plan import Plan
from alerts.model import Duration, Instant, Window
from alerts.rules.airports import AirportIndex
from alerts.rules.place import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """A filling with nitrogen. `ln2_kg` is the mass after it; None if the dewar was filled to capacity."""

    at: Instant
    ln2_kg: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dewar:
    """The shipper.

    `hold_time` is the maker's, for a dewar that stands upright; `charges` are oldest first.
    """

    dewar_id: str
    hold_time: Duration | None = None
    ln2_capacity_kg: float | None = None
    charges: tuple[Charge, ...] = ()
    qualified_until: Instant | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """A leg of the planned route."""

    start: Place
    end: Place
    carrier: str | None = None
    planned_departure: Instant | None = None
    planned_arrival: Instant | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All facts about a shipment.

    Unknown ones are None or empty; a rule that needs them then finds nothing.
    """

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
    airports: AirportIndex | None = field(default=None, compare=False, repr=False)
    """The world's airports, to name the one where a logger was last seen."""
    interval: Mapping[str, Duration] = field(default_factory=dict)
    """The registered reading interval of each logger."""
    came: Mapping[str, Mapping[int, Sequence[tuple[int, int]]]] = field(default_factory=dict)
    """Of each logger that seems to lack some: the numbers that came, refused ones among them, as ranges for each boot."""

    def to_journey_time(self, at: Instant) -> Instant:
        """Return an instant of the clock in journey time, which runs `plan.time_lapse` times as fast."""
        start = self.window.departed_at
        return start + round((at - start) * self.plan.time_lapse)

    def to_clock_time(self, at: Instant) -> Instant:
        """Return an instant of journey time as the clock shows it, which is what people are told."""
        start = self.window.departed_at
        return start + round((at - start) / self.plan.time_lapse)
