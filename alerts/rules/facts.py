"""Pure: what a rule knows about a shipment beside its readings: plan, window, dewar, route and times."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

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


class Refused(NamedTuple):
    """What was refused of a logger within an hour, for one reason; the instants are those of receipt."""

    reason: str
    fault: str
    """Of its clock; empty: none."""
    first: Instant
    last: Instant
    readings: int
    sent_at: Instant | None = None
    """The time that the first of them carries."""
    true_at: Instant | None = None
    """When that was probably measured."""
    least_c: float | None = None
    most_c: float | None = None
    """The coldest and the warmest of those whose time alone is wrong."""
    detail: str = ""
    instants: tuple[Instant, ...] = ()
    """Of conflicts: the times that were contradicted."""


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
    refused: Mapping[str, tuple[Refused, ...]] = field(default_factory=dict)
    """What was refused of each logger while it was on the shipment, the oldest first; only of those with any."""
    heard_at: Mapping[str, Instant] = field(default_factory=dict)
    """When anything of each logger was received last, whichever time it carries."""
    key: str = ""
    """Equal where everything is equal that folds read, but for the plan, the end and the charges: states that were
    folded by facts with another key do not hold."""
    came: Mapping[str, Mapping[int, Sequence[tuple[int, int]]]] = field(default_factory=dict)
    """Of each logger that seems to lack some: the numbers that came, refused ones among them, as ranges for each boot."""

    def refused_at(self, device_id: str | None, through: Instant) -> Instant | None:
        """Return when something of a logger was refused last, up to an instant; None if nothing was."""
        if not self.refused or device_id is None:  # nearly always
            return None
        found = [one for one in self.refused.get(device_id, ()) if one.first <= through]
        return min(through, max(one.last for one in found)) if found else None

    def to_journey_time(self, at: Instant) -> Instant:
        """Return an instant of the clock in journey time, which runs `plan.time_lapse` times as fast."""
        start = self.window.departed_at
        return start + round((at - start) * self.plan.time_lapse)

    def to_clock_time(self, at: Instant) -> Instant:
        """Return an instant of journey time as the clock shows it, which is what people are told."""
        start = self.window.departed_at
        return start + round((at - start) / self.plan.time_lapse)
