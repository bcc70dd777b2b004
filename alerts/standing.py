"""Pure: how far a logger's readings are folded: the state of its excursions, and those of its rules; stored as one."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from alerts.alert import AlertKind
from alerts.excursion import State
from alerts.folding import Folded, bring_forward, safe_counts
from alerts.model import SECOND, Duration, Instant
from alerts.rules.facts import Facts
from alerts.rules.registry import RULES, AnyRule, Tuned
from alerts.rules.rule import dump, load
from alerts.trace import Trace

States: TypeAlias = Mapping[AlertKind, Any]

RETRY_AFTER: Final[Duration] = 600 * SECOND
"""How long a rule that failed is left alone: tried with each reading, it would be folded from afar each time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The states after the same readings; a rule without one has to be folded from an earlier standing."""

    state: State = field(default_factory=State)
    rules: States = field(default_factory=dict)
    failed: Mapping[AlertKind, Instant] = field(default_factory=dict)
    """Rules that could not be folded, and from when on they are tried again."""

    def to_json(self) -> dict[str, Any]:
        """Give it for storage; of a state that is as it began, only the version."""
        rules = {kind.value: [_BY_KIND[kind].version, *_values(state)] for kind, state in self.rules.items()}
        failed = {"failed": {kind.value: at for kind, at in self.failed.items()}} if self.failed else {}
        return {**self.state.to_json(), "rules": rules, **failed}

    @classmethod
    def from_json(
        cls, data: Mapping[str, Any], kinds: Iterable[AlertKind] | None = None
    ) -> "Standing | None":
        """Read a stored one back, with the rules that are named; None where another version of the fold wrote it.

        States of rules that other versions of them wrote are left out.
        """
        values = dict(data)
        stored, failed = values.pop("rules", {}), values.pop("failed", {})
        state = State.from_json(values)
        if state is None:
            return None
        rules = {}
        for kind in _BY_KIND if kinds is None else kinds:
            found = _loaded(_BY_KIND[kind], stored.get(kind))
            if found is not None:
                rules[kind] = found
        return cls(state=state, rules=rules, failed={AlertKind(kind): at for kind, at in failed.items()})

    def missing(self, tuned: Iterable[Tuned], now: Instant) -> list[AlertKind]:
        """Name the rules that have to be folded from an earlier standing now."""
        return [
            one.kind for one in tuned if one.kind not in self.rules and self.failed.get(one.kind, now) <= now
        ]


_BY_KIND: Final[Mapping[AlertKind, AnyRule]] = {rule.kind: rule for rule in RULES}


def _values(state: Any) -> list[Any]:
    return [] if state == type(state)() else dump(state)


def _loaded(rule: AnyRule, stored: Sequence[Any] | None) -> Any:
    """Read a rule's state; None where it cannot be, or another version wrote it."""
    if not stored or stored[0] != rule.version:
        return None
    try:
        return load(rule.state, stored[1:]) if len(stored) > 1 else rule.state()
    except (TypeError, ValueError):  # what cannot be read is folded again
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Forward:
    """A standing brought forward, with what the fold of excursions gave and how rules failed."""

    standing: Standing
    folded: Folded
    safe_points: tuple[Standing, ...]
    errors: Mapping[AlertKind, Exception]


def go_forward(
    facts: Facts, tuned: Sequence[Tuned], standing: Standing, trace: Trace, retry_at: Instant
) -> Forward:
    """Fold readings in, in strict order of time and after `standing.state.seen`; anything else raises ValueError.

    A rule that raises is left behind, without a state from here on, and nothing else fails with it.
    """
    trace = trace.within(facts.window.departed_at, facts.window.delivered_at)
    folded = bring_forward(facts.plan, facts.window, standing.state, trace)
    ends = [*safe_counts(standing.state, trace), len(trace)]
    failed = {kind: at for kind, at in standing.failed.items() if kind not in standing.rules}
    columns, errors = {}, {}
    for one in tuned:
        state = _begins(standing, one)
        if state is None:
            continue  # it is left alone for now
        failed.pop(one.kind, None)
        try:
            columns[one.kind] = _fold(one, facts, state, trace, ends)
        except Exception as error:  # noqa: BLE001 -- whatever it is, excursions and other rules must not fail with it
            errors[one.kind] = error
            failed[one.kind] = retry_at
    rules = [{kind: states[number] for kind, states in columns.items()} for number in range(len(ends))]
    return Forward(
        standing=Standing(state=folded.state, rules=rules[-1], failed=failed),
        folded=folded,
        safe_points=tuple(
            Standing(state=state, rules=of_rules)
            for state, of_rules in zip(folded.safe_points, rules[:-1], strict=True)
        ),
        errors=errors,
    )


def _begins(standing: Standing, one: Tuned) -> Any:
    """Give the state that a rule goes on from; None where it has to wait for an earlier standing."""
    if one.kind in standing.rules:
        return standing.rules[one.kind]
    return one.rule.state() if standing.state.seen is None else None


def _fold(one: Tuned, facts: Facts, state: Any, trace: Trace, ends: Sequence[int]) -> list[Any]:
    """Give a rule's state after each of so many readings, ascending."""
    rule, tuning = one.rule, one.tuning
    if not len(trace) or (rule.reads and rule.reads.isdisjoint(trace.channels)):
        return [state] * len(ends)
    states, begin = [], 0
    for end in ends:
        if end > begin:
            part = trace if len(ends) == 1 else trace[begin:end]
            state = rule.fold(tuning, facts, state, part)
        states.append(state)
        begin = end
    return states
