"""Pure: the words that everything about excursions shares."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple, TypeAlias

# Microseconds since the epoch, and microseconds: sums of them are exact, which a sum of float seconds is not.
Instant: TypeAlias = int
Duration: TypeAlias = int

SECOND: Duration = 1_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# Outside of these, in °C, it is the probe that is broken and not the payload that is warm.
COLDEST_C, HOTTEST_C = -273.15, 150.0


def to_instant(time: datetime) -> Instant:
    """Return an aware time as an instant; a naive one raises TypeError."""
    return (time - EPOCH) // timedelta(microseconds=1)


def to_datetime(instant: Instant) -> datetime:
    """Return an instant as a time in UTC."""
    return EPOCH + timedelta(microseconds=instant)


class Side(StrEnum):
    LOW = "low"
    HIGH = "high"


class EndedBy(StrEnum):
    RECOVERY = "recovery"
    REVERSAL = "reversal"
    DELIVERY = "delivery"


class Severity(StrEnum):
    MAJOR = "major"
    CRITICAL = "critical"


class Sample(NamedTuple):
    """What the fold needs of one reading; `temperature_c` is None where the probe is broken.

    A tuple, since millions of them are folded: a plain `(at, temperature_c)` serves as well.
    """

    at: Instant
    temperature_c: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The time in which readings count, `departed_at <= at < delivered_at`; open-ended until delivery."""

    departed_at: Instant
    delivered_at: Instant | None = None

    def __post_init__(self) -> None:
        if self.delivered_at is not None and self.delivered_at < self.departed_at:
            raise ValueError(f"delivered ({self.delivered_at}) before departed ({self.departed_at})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Time out of range, from the first reading outside the band on; `end` is None while it goes on."""

    side: Side
    start: Instant
    end: Instant | None
    ended_by: EndedBy | None
    peak_c: float
    severity: Severity
    has_gap: bool


class ExcursionState(StrEnum):
    OPEN = "open"
    CLOSED = "closed"
    WITHDRAWN = "withdrawn"
    SUPERSEDED = "superseded"


LIVE = frozenset({ExcursionState.OPEN, ExcursionState.CLOSED})

ExcursionId: TypeAlias = str


@dataclass(frozen=True, slots=True, kw_only=True)
class Excursion:
    """The record of a run that lasted its on-delay: one identity through all that late data corrects."""

    id: ExcursionId
    opened_at: Instant  # when the record was made, not when the run started
    revision: int
    state: ExcursionState
    run: Run
    superseded_by: ExcursionId | None = None


class ChangeKind(StrEnum):
    OPENED = "opened"
    WORSENED = "worsened"
    CLOSED = "closed"
    AMENDED = "amended"
    WITHDRAWN = "withdrawn"
    SUPERSEDED = "superseded"


class Reason(StrEnum):
    """Why an excursion's record was changed."""

    LIMIT_EXCEEDED = "limit_exceeded"
    BECAME_CRITICAL = "became_critical"
    PEAK_MOVED = "peak_moved"
    GAP_IN_READINGS = "gap_in_readings"
    RECOVERED = "recovered"
    REVERSED = "reversed"
    DELIVERED = "delivered"
    LATE_DATA = "late_data"
    PLAN_CHANGED = "plan_changed"
    WINDOW_CHANGED = "window_changed"
    REEVALUATED = "reevaluated"
    MERGED = "merged"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One step in an excursion's record; `fields` names what of the run differs from what was told before."""

    kind: ChangeKind
    reason: Reason
    before: Excursion | None
    after: Excursion
    fields: tuple[str, ...] = ()


class AlertKind(StrEnum):
    """What an alert is about."""

    EXCURSION = "excursion"
    BUDGET_EXHAUSTED = "budget_exhausted"
    PROBE_FAULT = "probe_fault"
    SIGNAL_LOST = "signal_lost"
    EXCURSION_PREDICTED = "excursion_predicted"
    HOLD_TIME_SHORT = "hold_time_short"
    TILTED = "tilted"
    SHOCK = "shock"
    LID_OPEN = "lid_open"
    LOW_BATTERY = "low_battery"
    OFF_ROUTE = "off_route"
    LATE = "late"
    USE_BY_AT_RISK = "use_by_at_risk"
    SITE_NOT_READY = "site_not_ready"
    CLOCK_SKEW = "clock_skew"
    LOGGER_MEMORY_GAP = "logger_memory_gap"
    EVALUATION_FAILED = "evaluation_failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """What a rule finds about one subject, whether it holds now or has ended."""

    subject: str
    kind: AlertKind
    severity: Severity
    device_id: str | None
    """None where it is about the whole shipment."""
    message: str
    since: Instant
    until: Instant | None = None
    """When it ended; None while it holds."""
    withdrawn: bool = False
    """It turned out that it never was."""
    excursion_id: ExcursionId | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    """Figures under names with their units, as JSON has them."""

    @property
    def holds(self) -> bool:
        """Whether it has neither ended nor turned out never to have been."""
        return self.until is None and not self.withdrawn
