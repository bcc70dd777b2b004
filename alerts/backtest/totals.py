"""Pure: adds up the results of a backtest over many shipments, and keeps the ones worth showing."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import TypeAlias

from alerts.backtest.compare import Comparison, Effect, Pair, Tally
from alerts.model import Instant, to_datetime

Monday: TypeAlias = date
"""The first day of an ISO 8601 week, in UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The result for one shipment."""

    shipment_id: str
    comparison: Comparison


@dataclass(frozen=True, slots=True, kw_only=True)
class Unjudged:
    """A shipment that could not be compared: the proposal does not fit its plan, or the plan cannot be read."""

    shipment_id: str
    field: str | None
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """An excursion that another plan finds differently, and its shipment."""

    shipment_id: str
    pair: Pair


@dataclass(slots=True)
class PlanTotals:
    """The totals of one plan over all shipments."""

    tally: Tally = field(default_factory=Tally)
    longest_on: str | None = None
    """The shipment with the longest excursion."""
    alarms_in: Counter[Monday] = field(default_factory=Counter)

    def add(self, shipment_id: str, tally: Tally, alarms: Iterable[Instant]) -> None:
        """Add one shipment."""
        if tally.longest > self.tally.longest:
            self.longest_on = shipment_id
        self.tally = self.tally.plus(tally)
        self.alarms_in.update(map(_monday, alarms))


@dataclass(slots=True, kw_only=True)
class BacktestTotals:
    """The results of a backtest so far; they stay small however many shipments there are."""

    keep_shipments: int = 50
    keep_differences: int = 20
    shipments: int = 0
    readings: int = 0
    affected: int = 0
    """Shipments with any difference."""
    today: PlanTotals = field(default_factory=PlanTotals)
    proposed: PlanTotals = field(default_factory=PlanTotals)
    excursions: Counter[Effect] = field(default_factory=Counter)
    exhaustions: Counter[Effect] = field(default_factory=Counter)
    differences: list[Difference] = field(default_factory=list)
    """The first differences."""
    unjudged: list[Unjudged] = field(default_factory=list)
    _worst: list[Outcome] = field(default_factory=list)

    def add(self, found: Outcome | Unjudged) -> None:
        """Add one shipment."""
        if isinstance(found, Unjudged):
            self.unjudged.append(found)
            return
        comparison = found.comparison
        self.shipments += 1
        self.readings += comparison.readings
        self.today.add(found.shipment_id, comparison.today, comparison.alarms_today)
        self.proposed.add(found.shipment_id, comparison.proposed, comparison.alarms_proposed)
        self.excursions.update(pair.effect for pair in comparison.pairs)
        self.exhaustions.update(exhaustion.effect for exhaustion in comparison.exhaustions)
        self.affected += bool(count_differences(comparison))
        room = self.keep_differences - len(self.differences)
        self.differences += [
            Difference(shipment_id=found.shipment_id, pair=pair) for pair in comparison.differences[:room]
        ]
        self._keep(found)

    @property
    def seen(self) -> int:
        """The number of shipments so far, including those that could not be compared."""
        return self.shipments + len(self.unjudged)

    def worst(self) -> list[Outcome]:
        """Return the shipments with the most differences, then those with the most alarms, the worst first."""
        self._worst.sort(key=_rank)
        return self._worst[: self.keep_shipments]

    def weeks(self) -> list[Monday]:
        """Return every week from the first alarm under either plan to the last, including weeks without any."""
        known = {*self.today.alarms_in, *self.proposed.alarms_in}
        if not known:
            return []
        first, last = min(known), max(known)
        return [first + timedelta(weeks=n) for n in range((last - first).days // 7 + 1)]

    def _keep(self, found: Outcome) -> None:
        only = replace(found.comparison, pairs=found.comparison.differences)
        self._worst.append(replace(found, comparison=only))
        if len(self._worst) >= 2 * self.keep_shipments:  # sorting now and then is cheaper than each time
            self._worst = self.worst()


def _rank(outcome: Outcome) -> tuple[int, int, int, str]:
    comparison = outcome.comparison
    return (
        -count_differences(comparison),
        -comparison.proposed.alarms,
        -comparison.today.alarms,
        outcome.shipment_id,
    )


def count_differences(comparison: Comparison) -> int:
    """Return the number of differences between the plans."""
    exhaustions = [
        exhaustion for exhaustion in comparison.exhaustions if exhaustion.effect is not Effect.SAME
    ]
    return len(comparison.differences) + len(exhaustions)


def _monday(at: Instant) -> Monday:
    day = to_datetime(at).date()
    return day - timedelta(days=day.weekday())
