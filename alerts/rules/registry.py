"""Pure: the list of all rules, and how each is tuned for a shipment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any, Final, TypeAlias

from alerts.excursions.plan import Plan, PlanRefused
from alerts.excursions.trace import Channel
from alerts.model import AlertKind
from alerts.rules.kinds.clock_skew import CLOCK_SKEW
from alerts.rules.kinds.excursion_predicted import EXCURSION_PREDICTED
from alerts.rules.kinds.hold_time_short import HOLD_TIME_SHORT
from alerts.rules.kinds.late import LATE
from alerts.rules.kinds.lid_open import LID_OPEN
from alerts.rules.kinds.logger_memory_gap import LOGGER_MEMORY_GAP
from alerts.rules.kinds.low_battery import LOW_BATTERY
from alerts.rules.kinds.off_route import OFF_ROUTE
from alerts.rules.kinds.probe_fault import PROBE_FAULT
from alerts.rules.kinds.readings_refused import READINGS_REFUSED
from alerts.rules.kinds.shock import SHOCK
from alerts.rules.kinds.signal_lost import SignalLost
from alerts.rules.kinds.site_not_ready import SITE_NOT_READY
from alerts.rules.kinds.tilted import TILTED
from alerts.rules.kinds.use_by_at_risk import USE_BY_AT_RISK
from alerts.rules.rule import DeviceRule, ShipmentRule, Tuning

AnyRule: TypeAlias = DeviceRule[Any, Any] | ShipmentRule[Any, Any]

RULES: Final[tuple[AnyRule, ...]] = (
    SignalLost(),
    HOLD_TIME_SHORT,
    EXCURSION_PREDICTED,
    PROBE_FAULT,
    TILTED,
    SHOCK,
    LID_OPEN,
    LOW_BATTERY,
    OFF_ROUTE,
    LATE,
    USE_BY_AT_RISK,
    SITE_NOT_READY,
    CLOCK_SKEW,
    READINGS_REFUSED,
    LOGGER_MEMORY_GAP,
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TunedRule:
    """A rule with the tuning of one shipment."""

    rule: AnyRule
    tuning: Tuning
    kind: AlertKind


_ONLY_WHERE_READ: Final = frozenset(
    {Channel.SEQ, Channel.BOOT, Channel.RECEIVED_AT, Channel.FLIGHT_MODE_UNTIL}
)
CHANNELS: Final = frozenset(Channel) - (
    _ONLY_WHERE_READ - frozenset().union(*(rule.reads | rule.also_reads for rule in RULES))
)
"""The channels to load with readings so that all rules can be folded."""


def rule_of(kind: str) -> AnyRule | None:
    """Return the rule for a kind of alert; None if no rule finds it."""
    return next((rule for rule in RULES if rule.kind == kind), None)


@lru_cache(maxsize=1024)
def tuned_rules(plan: Plan) -> tuple[TunedRule, ...]:
    """Return the rules that are enabled for a shipment.

    Rules and parameters in the plan that do not exist (any more) are ignored.
    """
    given = dict(plan.rules)
    all_rules = (
        TunedRule(rule=rule, tuning=_tuning(rule, dict(given.get(rule.kind, ()))), kind=rule.kind)
        for rule in RULES
    )
    return tuple(rule for rule in all_rules if rule.tuning.enabled)


def _tuning(rule: AnyRule, given: Mapping[str, Any]) -> Tuning:
    known = {name: value for name, value in given.items() if name in parameters(rule)}
    made: Tuning = rule.tuning(**known)
    return made


def parameters(rule: AnyRule) -> Mapping[str, Any]:
    """Return the tunable parameters of a rule by name, with their defaults."""
    return {field.name: field.default for field in fields(rule.tuning)}


def refusal(rules: Mapping[str, Mapping[str, Any] | None] | None) -> PlanRefused | None:
    """Return why rules cannot be tuned like this; None if they can."""
    for kind, given in (rules or {}).items():
        rule = rule_of(kind)
        if rule is None:
            return PlanRefused(field=f"rules.{kind}", why=f"is not a rule; there are {_listed(_kinds())}")
        for name, value in (given or {}).items():
            if why := _why_refused(rule, name, value):
                return PlanRefused(field=f"rules.{kind}.{name}", why=why)
    return None


def _why_refused(rule: AnyRule, name: str, value: Any) -> str | None:
    known = parameters(rule)
    if name not in known:
        return f"is not a parameter of {rule.kind}, which has {_listed(list(known))}"
    if name == "enabled":
        return None if isinstance(value, bool) else "must be true or false"
    nullable = known[name] is None
    if value is None and nullable:
        return None
    least, most = rule.ranges[name]
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and least <= value <= most:  # NaN is in no range
        return None
    return f"must be a number from {least:g} to {most:g}{', or null' if nullable else ''}"


def _kinds() -> list[str]:
    return [rule.kind for rule in RULES]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)
