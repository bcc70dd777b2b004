"""Pure: the phases of a device, and the state that folding its readings carries from one to the next."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from math import inf, nextafter
from operator import attrgetter
from typing import Any, Final

from alerts.excursions.figures import exhaustion
from alerts.excursions.plan import Plan
from alerts.model import COLDEST_C, HOTTEST_C, Duration, EndedBy, Instant, Run, Side

IN_RANGE: Final = 0
LOW: Final = 1
HIGH: Final = 2

# A row for each phase, a column for the zone of the next reading. Inside its own deadband a run goes on.
PHASES: Final = (
    # below, low deadband, well inside, high deadband, above
    (LOW, IN_RANGE, IN_RANGE, IN_RANGE, HIGH),  # IN_RANGE
    (LOW, LOW, IN_RANGE, IN_RANGE, HIGH),  # LOW
    (LOW, IN_RANGE, IN_RANGE, HIGH, HIGH),  # HIGH
)

STATE_VERSION: Final = 4


@lru_cache(maxsize=1024)
def zones(plan: Plan) -> tuple[float, float, float, float]:
    """Give the lowest temperature of each zone but the first, so that `bisect_right` finds a reading's zone."""
    lower_c, upper_c = plan.limits.lower_c, plan.limits.upper_c
    low_recovers, high_recovers = plan.recovery_points()
    # Limits are inclusive: what lies beyond an upper one begins at the next float.
    return (
        -inf if lower_c is None else lower_c,
        low_recovers,
        nextafter(high_recovers, inf),
        inf if upper_c is None else nextafter(upper_c, inf),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggerState:
    """All that the fold needs to go on, in plain numbers.

    While `valid` is 0, what describes the last valid reading means nothing; while `phase` is IN_RANGE, what
    describes the run. The newest reading is of a broken probe where it is not the last valid one.
    """

    seen: Instant | None = None  # the newest reading, of a broken probe too
    last_at: Instant = 0
    last_c: float = 0.0
    phase: int = IN_RANGE
    start: Instant = 0
    peak_c: float = 0.0
    has_gap: bool = False
    held_in: Duration = 0  # what all readings but the last prove: time in range,
    held_out: Duration = 0  # and time in runs
    used: Duration = 0  # what closed runs took of the budget,
    exhausted_at: Instant | None = None  # and where one exhausted it
    readings: int = 0  # all of them, and the valid ones:
    valid: int = 0
    min_c: float = HOTTEST_C
    max_c: float = COLDEST_C
    sum_c: float = 0.0
    weighed: float = 0.0
    warmest_c: float = COLDEST_C

    def to_json(self) -> dict[str, Any]:
        """Give the state for storage."""
        return {"version": STATE_VERSION, **self.fields()}

    def fields(self) -> dict[str, Any]:
        """Give all of it by name."""
        return dict(zip(_FIELDS, _values(self), strict=True))

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "LoggerState | None":
        """Read a stored state back; None if another version of the fold wrote it: then fold from the start."""
        if data.get("version") != STATE_VERSION or not data.keys() >= _NAMES:
            return None
        return cls(**{name: data[name] for name in _FIELDS})


_FIELDS: Final = tuple(field.name for field in fields(LoggerState))
_NAMES: Final = frozenset(_FIELDS)
_values: Final = attrgetter(*_FIELDS)


def make_run(
    plan: Plan,
    phase: int,
    start: Instant,
    end: Instant | None,
    ended_by: EndedBy | None,
    peak_c: float,
    *,
    has_gap: bool,
) -> Run:
    """Make a run of what is known of a phase that is not IN_RANGE."""
    side = Side.HIGH if phase == HIGH else Side.LOW
    severity = plan.severity(side, peak_c)
    return Run(
        side=side, start=start, end=end, ended_by=ended_by, peak_c=peak_c, severity=severity, has_gap=has_gap
    )


def spend(plan: Plan, state: LoggerState, runs: Iterable[tuple[Instant, Instant]]) -> LoggerState:
    """Take the lengths of runs, given as start and end, from the budget."""
    used, exhausted_at = state.used, state.exhausted_at
    for start, end in runs:
        if exhausted_at is None and plan.budget is not None and used + end - start >= plan.budget:
            exhausted_at = exhaustion(plan.budget, used, start)
        used += end - start
    return replace(state, used=used, exhausted_at=exhausted_at)
