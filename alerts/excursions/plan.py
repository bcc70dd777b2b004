"""Pure: the plan of a shipment: its band, its overrides, and what follows from both."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any, TypeAlias

from alerts.model import COLDEST_C, HOTTEST_C, SECOND, Duration, Severity, Side


class Band(StrEnum):
    CRYOGENIC = "cryogenic"
    ULTRA_LOW = "ultra_low"
    CONTROLLED = "controlled"
    REFRIGERATED = "refrigerated"
    ROOM = "room"
    CUSTOM = "custom"


Tunings: TypeAlias = tuple[tuple[str, tuple[tuple[str, bool | float | None], ...]], ...]
"""The tuning of rules: parameters by rule, both sorted by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Inclusive limits in °C; None is no limit on that side."""

    lower_c: float | None = None
    upper_c: float | None = None
    critical_low_c: float | None = None
    critical_high_c: float | None = None


BANDS: Mapping[Band, Limits] = {
    # Above -135 °C, the glass transition of water, the product is presumed lost.
    Band.CRYOGENIC: Limits(upper_c=-150, critical_high_c=-135),
    Band.ULTRA_LOW: Limits(lower_c=-80, upper_c=-70, critical_high_c=-60),
    Band.CONTROLLED: Limits(lower_c=2, upper_c=25, critical_low_c=0, critical_high_c=40),
    Band.REFRIGERATED: Limits(lower_c=2, upper_c=8, critical_low_c=0, critical_high_c=25),
    Band.ROOM: Limits(lower_c=15, upper_c=25, critical_low_c=2, critical_high_c=40),
    Band.CUSTOM: Limits(),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The temperatures that a shipment's payload tolerates; made by `make_plan`, which validates it."""

    band: Band
    limits: Limits
    deadband_c: float = 0.5
    on_delay: Duration = 0
    budget: Duration | None = None
    max_gap: Duration = 1800 * SECOND
    delta_h_kj_mol: float = 83.144  # activation energy, for the mean kinetic temperature
    time_lapse: float = (
        1  # how many times as fast as real time the journey runs; not 1 only for simulated shipments
    )
    manual_only: bool = False
    """There is no logger with it: what people read off and type is judged."""
    rules: Tunings = ()
    """Values other than the defaults; only the registry of rules knows what is allowed."""

    @property
    def has_mkt(self) -> bool:
        """Whether it has a mean kinetic temperature, which makes sense only for products kept above freezing."""
        return self.limits.lower_c is not None and self.limits.lower_c >= 0

    def recovery_points(self) -> tuple[float, float]:
        """Return how warm a low run must become, and how cold a high one, to count as recovered, in °C.

        It is computed in decimals, as people write limits: 8.2 - 0.3 is 7.9, which floats miss, and
        7.9 must recover.
        """
        lower, upper = _decimal(self.limits.lower_c, "-inf"), _decimal(self.limits.upper_c, "inf")
        deadband = Decimal(str(self.deadband_c))
        if upper - lower < 2 * deadband:
            middle = float((lower + upper) / 2)
            return middle, middle
        return float(lower + deadband), float(upper - deadband)

    def severity(self, side: Side, peak_c: float) -> Severity:
        """Return a run's severity by its extreme reading: if it is not beyond a critical limit, none is."""
        low, high = self.limits.critical_low_c, self.limits.critical_high_c
        if side is Side.LOW:
            beyond = low is not None and peak_c < low
        else:
            beyond = high is not None and peak_c > high
        return Severity.CRITICAL if beyond else Severity.MAJOR

    def to_json(self) -> dict[str, Any]:
        """Return the plan under the names and in the units of the HTTP interface, with all limits."""
        return {
            "band": str(self.band),
            "lower_c": self.limits.lower_c,
            "upper_c": self.limits.upper_c,
            "critical_low_c": self.limits.critical_low_c,
            "critical_high_c": self.limits.critical_high_c,
            "deadband_c": self.deadband_c,
            "on_delay_s": _seconds(self.on_delay),
            "budget_s": None if self.budget is None else _seconds(self.budget),
            "max_gap_s": _seconds(self.max_gap),
            "delta_h_kj_mol": self.delta_h_kj_mol,
            "time_lapse": self.time_lapse,
            "rules": {name: dict(parameters) for name, parameters in self.rules},
            # Left out where it is not set, so that a process of the version before reads the plan.
            **({"manual_only": True} if self.manual_only else {}),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Plan":
        """Read what `to_json` returned; raises ValueError for anything that is no plan."""
        plan = make_plan(data["band"], {name: value for name, value in data.items() if name != "band"})
        if isinstance(plan, PlanRefused):
            raise ValueError(f"{plan.field} {plan.why}")  # noqa: TRY004 - the value is wrong, not its type
        return plan


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRefused:
    """Which field of a plan is wrong, and how to correct it: `f"{field} {why}"` is a sentence."""

    field: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Range:
    least: float
    most: float
    says: str
    nullable: bool = False


_TEN_YEARS_S = (
    10 * 366 * 86400
)  # anything longer is a typing error, and might exceed what a database accepts as a time
_LIMIT = _Range(
    least=COLDEST_C, most=HOTTEST_C, says="from -273.15 to 150 °C, or null for none", nullable=True
)
_LIMIT_FIELDS = frozenset({"lower_c", "upper_c", "critical_low_c", "critical_high_c"})
_RANGES: Mapping[str, _Range] = {
    "lower_c": _LIMIT,
    "upper_c": _LIMIT,
    "critical_low_c": _LIMIT,
    "critical_high_c": _LIMIT,
    "deadband_c": _Range(least=0, most=HOTTEST_C - COLDEST_C, says="of °C, 0 or more"),
    "on_delay_s": _Range(least=0, most=_TEN_YEARS_S, says="of seconds, from 0 to ten years"),
    "budget_s": _Range(
        least=0, most=_TEN_YEARS_S, says="of seconds, from 0 to ten years, or null", nullable=True
    ),
    "max_gap_s": _Range(least=1 / SECOND, most=_TEN_YEARS_S, says="of seconds, above 0, up to ten years"),
    "delta_h_kj_mol": _Range(least=1, most=1000, says="of kJ/mol, from 1 to 1000"),
    "time_lapse": _Range(least=0.01, most=3600, says="of times, from 0.01 to 3600"),
}
_SWITCHES = frozenset({"manual_only"})


def make_plan(band: str, overrides: Mapping[str, Any], defaults: Limits | None = None) -> Plan | PlanRefused:
    """Make the plan of a band with `overrides`: plan fields by their names in the HTTP interface.

    A limit that is absent comes from the band, or from `defaults`; a limit of None is no limit on that
    side.
    """
    if band not in set(Band):
        return PlanRefused(field="band", why=f"must be one of {', '.join(Band)}")
    for name, value in overrides.items():
        if why := _wrong_field(name, value):
            return PlanRefused(field=name, why=why)
    limits = _limits(defaults or BANDS[Band(band)], overrides)
    if isinstance(limits, PlanRefused):
        return limits
    given: dict[str, Any] = {
        name: overrides[name]
        for name in ("deadband_c", "delta_h_kj_mol", "time_lapse", "manual_only")
        if name in overrides
    }
    if "rules" in overrides:
        given["rules"] = _tunings(overrides["rules"])
    for name in ("on_delay", "budget", "max_gap"):
        if (seconds := overrides.get(f"{name}_s")) is not None:
            given[name] = round(seconds * SECOND)
    return Plan(band=Band(band), limits=limits, **given)


def changed_plan(plan: Plan, changes: Mapping[str, Any]) -> Plan | PlanRefused:
    """Return the plan with `changes`: `band`, and plan fields by their names in the HTTP interface.

    What is absent stays, except that another band brings its own limits. In `rules`, each rule named is
    tuned again from its defaults; None resets it to its defaults.
    """
    kept = {name: value for name, value in plan.to_json().items() if name not in _LIMIT_FIELDS}
    fields = {**kept, **changes}
    if isinstance(changed := changes.get("rules"), Mapping):
        fields["rules"] = {**kept["rules"], **changed}
    band = fields.pop("band")
    return make_plan(band, fields, plan.limits if band == plan.band else None)


def refused_change(changes: Mapping[str, Any]) -> PlanRefused | None:
    """Return which change is wrong whatever the plan; None if each makes sense by itself."""
    for name, value in changes.items():
        if name == "band" and not (isinstance(value, str) and value in set(Band)):
            return PlanRefused(field="band", why=f"must be one of {', '.join(Band)}")
        if name != "band" and (why := _wrong_field(name, value)):
            return PlanRefused(field=name, why=why)
    return None


def _wrong_field(name: str, value: Any) -> str | None:
    """Return what is wrong with one field by itself."""
    if name == "rules":
        return None if _are_tunings(value) else _TUNINGS_ARE
    if name in _SWITCHES:
        return None if isinstance(value, bool) else "must be true or false"
    allowed = _RANGES.get(name)
    if allowed is None:
        return "is not a field of a plan"
    if value is None and allowed.nullable:
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and allowed.least <= value <= allowed.most:  # NaN is in no range
        return None
    return f"must be a number {allowed.says}"


_TUNINGS_ARE = 'must be an object of rules by name, each an object such as {"enabled": false} or null'


def _are_tunings(value: Any) -> bool:
    def is_tuning(tuning: Any) -> bool:
        return isinstance(tuning, Mapping) and all(
            isinstance(name, str) and (number is None or isinstance(number, bool | int | float))
            for name, number in tuning.items()
        )

    return isinstance(value, Mapping) and all(
        isinstance(name, str) and (tuning is None or is_tuning(tuning)) for name, tuning in value.items()
    )


def _tunings(rules: Mapping[str, Mapping[str, bool | float | None] | None]) -> Tunings:
    return tuple(sorted((name, tuple(sorted(tuning.items()))) for name, tuning in rules.items() if tuning))


def _limits(band: Limits, overrides: Mapping[str, Any]) -> Limits | PlanRefused:
    """Apply the overrides to the band's limits, and check that they make sense together."""
    lower, upper = overrides.get("lower_c", band.lower_c), overrides.get("upper_c", band.upper_c)
    if lower is None and upper is None:
        return PlanRefused(
            field="upper_c", why="or lower_c must be a number: a plan without a limit guards nothing"
        )
    if lower is not None and upper is not None and lower >= upper:
        field = "lower_c" if "lower_c" in overrides else "upper_c"
        return PlanRefused(
            field=field, why=f"leaves no band: lower_c {lower:g} must be below upper_c {upper:g}"
        )
    # A critical limit that nobody set gives way to a limit that somebody did. The result is the same: every
    # run has a reading beyond its limit, and so beyond any critical limit inside the band.
    low = overrides.get("critical_low_c", _outermost(min, band.critical_low_c, lower))
    high = overrides.get("critical_high_c", _outermost(max, band.critical_high_c, upper))
    if low is not None and (lower is None or low > lower):
        return PlanRefused(
            field="critical_low_c", why=f"must be at or below lower_c, which is {_plain(lower)}"
        )
    if high is not None and (upper is None or high < upper):
        return PlanRefused(
            field="critical_high_c", why=f"must be at or above upper_c, which is {_plain(upper)}"
        )
    return Limits(lower_c=lower, upper_c=upper, critical_low_c=low, critical_high_c=high)


def _outermost(
    pick: Callable[[float, float], float], critical: float | None, limit: float | None
) -> float | None:
    return None if critical is None or limit is None else pick(critical, limit)


def _plain(limit: float | None) -> str:
    return "not set" if limit is None else f"{limit:g}"


def _decimal(limit: float | None, absent: str) -> Decimal:
    return Decimal(absent if limit is None else str(limit))


def _seconds(duration: Duration) -> float:
    """Return whole seconds as an int, as people wrote them."""
    return duration / SECOND if duration % SECOND else duration // SECOND
