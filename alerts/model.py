"""Pure: the types that all code about excursions and alerts shares."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple, TypeAlias

# Microseconds since the epoch, and microseconds: their sums are exact, unlike sums of float seconds.
Instant: TypeAlias = int
Duration: TypeAlias = int

SECOND: Duration = 1_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# A temperature outside of these, in °C, means that the probe is broken.
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
    REMOVAL = "removal"
    """The logger was taken off the shipment."""


class Severity(StrEnum):
    MAJOR = "major"
    CRITICAL = "critical"


class Sample(NamedTuple):
    """One reading as the fold needs it; `temperature_c` is None if the probe is broken.

    A tuple, because millions of them are folded; a plain `(at, temperature_c)` works too.
    """

    at: Instant
    temperature_c: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The period in which readings count, `departed_at <= at < delivered_at`; open-ended until delivery."""

    departed_at: Instant
    delivered_at: Instant | None = None
    ended_by: EndedBy = EndedBy.DELIVERY
    """What ends a run that is still on at `delivered_at`."""

    def __post_init__(self) -> None:
        if self.delivered_at is not None and self.delivered_at < self.departed_at:
            raise ValueError(f"delivered ({self.delivered_at}) before departed ({self.departed_at})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A time out of range, beginning at the first reading outside the band; `end` is None while it lasts."""

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


class LastTold(NamedTuple):
    """What was last told of an excursion, and when; who was told of it knows no more."""

    at: Instant
    """As of when it was judged that told it."""
    peak_c: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Excursion:
    """The record of a run that lasted its on-delay; it keeps its id when late data corrects it."""

    id: ExcursionId
    opened_at: Instant  # when the record was made, not when the run started
    revision: int
    state: ExcursionState
    run: Run
    superseded_by: ExcursionId | None = None
    told: LastTold | None = None
    """None: an older version told of it, and did not write down when."""


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
    LOGGER_REMOVED = "logger_removed"
    LATE_DATA = "late_data"
    PLAN_CHANGED = "plan_changed"
    WINDOW_CHANGED = "window_changed"
    REEVALUATED = "reevaluated"
    MERGED = "merged"


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """What a person did to a shipment: a step of its life, by whom, when and why."""

    step: str
    by: str
    """As records write it, such as `key:dw_1f0c93ab`."""
    at: Instant
    """When it was recorded."""
    reason: str | None
    """In their words; None where they gave none."""

    def to_json(self) -> dict[str, Any]:
        """Return it as it is stored and told."""
        at = to_datetime(self.at).isoformat(timespec="microseconds").replace("+00:00", "Z")
        return {"step": self.step, "by": self.by, "at": at, "reason": self.reason}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Act":
        """Read what `to_json` gave."""
        at = to_instant(datetime.fromisoformat(stored["at"]))
        return cls(step=stored["step"], by=stored["by"], at=at, reason=stored["reason"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One revision of an excursion's record; `fields` names what changed in its run."""

    kind: ChangeKind
    reason: Reason
    before: Excursion | None
    after: Excursion
    fields: tuple[str, ...] = ()
    act: Act | None = None
    """The act of a person by which this takes away from what was on record."""
    is_told: bool = True
    """False: it stays on record, and is told with what comes next."""


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
    READINGS_REFUSED = "readings_refused"
    LOGGER_MEMORY_GAP = "logger_memory_gap"
    EVALUATION_FAILED = "evaluation_failed"
    SERVICE_FAULT = "service_fault"
    RECORD_RESTORED = "record_restored"


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """What a rule finds about one subject; it holds now, has ended, or is withdrawn."""

    subject: str
    kind: AlertKind
    severity: Severity
    device_id: str | None
    """None if it is about the whole shipment."""
    message: str
    since: Instant
    until: Instant | None = None
    """When it ended; None while it holds."""
    withdrawn: bool = False
    """Whether it turned out never to have held."""
    excursion_id: ExcursionId | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    """JSON values, under names that end in their units."""

    @property
    def holds(self) -> bool:
        """Whether it has neither ended nor been withdrawn."""
        return self.until is None and not self.withdrawn
