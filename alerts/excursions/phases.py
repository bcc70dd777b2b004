"""Pure: the phases of a device, and the state that the fold carries from one reading to the next."""

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

# A row per phase, a column per zone of the next reading. Inside its own deadband a run goes on.
PHASES: Final = (
    # below, low deadband, well inside, high deadband, above
    (LOW, IN_RANGE, IN_RANGE, IN_RANGE, HIGH),  # IN_RANGE
    (LOW, LOW, IN_RANGE, IN_RANGE, HIGH),  # LOW
    (LOW, IN_RANGE, IN_RANGE, HIGH, HIGH),  # HIGH
)

STATE_VERSION: Final = 5


@lru_cache(maxsize=1024)
def zones(plan: Plan) -> tuple[float, float, float, float]:
    """Return the lowest temperature of each zone but the first, for `bisect_right` to find a zone."""
    lower_c, upper_c = plan.limits.lower_c, plan.limits.upper_c
    low_recovers, high_recovers = plan.recovery_points()
    # Limits are inclusive: above an upper limit begins at the next float.
    return (
        -inf if lower_c is None else lower_c,
        low_recovers,
        nextafter(high_recovers, inf),
        inf if upper_c is None else nextafter(upper_c, inf),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggerState:
    """All that the fold needs to continue, in plain numbers.

    While `valid` is 0, the fields of the last valid reading mean nothing; while `phase` is IN_RANGE, the
    fields of the run. If the newest reading is not the last valid one, the probe is broken.
    """

    seen: Instant | None = None  # the newest reading, also of a broken probe
    last_at: Instant = 0
    last_c: float = 0.0
    phase: int = IN_RANGE
    start: Instant = 0
    peak_c: float = 0.0
    has_gap: bool = False
    held_in: Duration = 0  # observed by all readings but the last: time in range,
    held_out: Duration = 0  # and time in runs
    used: Duration = 0  # what closed runs used of the budget,
    exhausted_at: Instant | None = None  # and when one exhausted it
    readings: int = 0  # all readings, and the valid ones:
    valid: int = 0
    disowned: int = 0  # with a temperature that is none: not valid, and counted apart
    min_c: float = HOTTEST_C
    max_c: float = COLDEST_C
    sum_c: float = 0.0
    exp_sum: float = 0.0
    warmest_c: float = COLDEST_C

    def to_json(self) -> dict[str, Any]:
        """Return the state for storage."""
        return {"version": STATE_VERSION, **dict(zip(_KEYS, _values(self), strict=True))}

    def fields(self) -> dict[str, Any]:
        """Return all fields by name."""
        return dict(zip(_FIELDS, _values(self), strict=True))

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "LoggerState | None":
        """Read a stored state; None if another version of the fold wrote it, so that folding starts again."""
        if data.get("version") != STATE_VERSION or not data.keys() >= _ALL_KEYS:
            return None
        return cls(**{name: data[key] for name, key in _FIELDS_AND_KEYS})


_FIELDS: Final = tuple(field.name for field in fields(LoggerState))
_KEYS: Final = tuple("weighed" if name == "exp_sum" else name for name in _FIELDS)
"""The names under which fields are stored."""
_FIELDS_AND_KEYS: Final = tuple(zip(_FIELDS, _KEYS, strict=True))
_ALL_KEYS: Final = frozenset(_KEYS)
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
    """Make a run from a phase that is not IN_RANGE."""
    side = Side.HIGH if phase == HIGH else Side.LOW
    severity = plan.severity(side, peak_c)
    return Run(
        side=side, start=start, end=end, ended_by=ended_by, peak_c=peak_c, severity=severity, has_gap=has_gap
    )


def spend_budget(plan: Plan, state: LoggerState, runs: Iterable[tuple[Instant, Instant]]) -> LoggerState:
    """Take runs, given as start and end, from the budget."""
    used, exhausted_at = state.used, state.exhausted_at
    for start, end in runs:
        if exhausted_at is None and plan.budget is not None and used + end - start >= plan.budget:
            exhausted_at = exhaustion(plan.budget, used, start)
        used += end - start
    return replace(state, used=used, exhausted_at=exhausted_at)
