"""Pure: how far a logger's readings are folded: the states of its excursions and of its rules, stored as one."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from typing import Any, Final, TypeAlias

import orjson

from alerts.excursions.fold_trace import FoldedTrace, fold_trace, safe_counts
from alerts.excursions.phases import LoggerState
from alerts.excursions.trace import Trace
from alerts.model import SECOND, AlertKind, Duration, Instant, Window
from alerts.rules.facts import Facts
from alerts.rules.registry import RULES, AnyRule, TunedRule
from alerts.rules.rule import dump, load, shared_index
from alerts.rules.time_lapse import facts_in_journey_time, trace_in_journey_time

States: TypeAlias = Mapping[AlertKind, Any]

RETRY_AFTER: Final[Duration] = 600 * SECOND
"""How long a rule that failed is skipped; tried with each reading, it would be folded from far back each
time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """The states after the same readings; a rule without one must be folded from an earlier checkpoint."""

    state: LoggerState = field(default_factory=LoggerState)
    rules: States = field(default_factory=dict)
    failed: Mapping[AlertKind, Instant] = field(default_factory=dict)
    """Rules whose fold failed, and when they are tried again."""
    facts_key: str = ""
    """`Facts.key` of the facts by which the rules were folded."""

    texts: Mapping[AlertKind, tuple[Any, str]] = field(default_factory=dict, compare=False, repr=False)
    """The states of rules as they were read, each with its text, so that unchanged states are not encoded
    again."""

    def to_json(self) -> dict[str, Any]:
        """Return the checkpoint for storage.

        The state of each rule is a text, since only the rule reads it.
        """
        shared: list[tuple[Any, ...]] = []
        rules, texts = {}, self.texts
        for kind, state in self.rules.items():
            kept = texts.get(kind)
            rules[kind.value] = (
                kept[1]
                if kept is not None and kept[0] is state
                else _state_text(_BY_KIND[kind], state, shared)
            )
        more: dict[str, Any] = {"rules": rules}
        if shared:
            more["shared"] = orjson.dumps([list(one) for one in shared]).decode()
        if self.facts_key:
            more["facts"] = self.facts_key
        if self.failed:
            more["failed"] = {kind.value: at for kind, at in self.failed.items()}
        return {**self.state.to_json(), **more}

    @classmethod
    def from_json(
        cls, data: Mapping[str, Any], kinds: Iterable[AlertKind] | None = None
    ) -> "Checkpoint | None":
        """Read a stored checkpoint with these rules; None if another version of the excursion fold wrote it.

        States of rules that another version of the rule wrote are left out.
        """
        state = LoggerState.from_json(data)
        if state is None:
            return None
        stored, failed = data.get("rules", {}), data.get("failed", {})
        shared = _read_list(data.get("shared"))
        rules, texts = {}, {}
        for kind in _BY_KIND if kinds is None else kinds:
            text = stored.get(kind)
            found = None if text is None else _read_state(_BY_KIND[kind], text, shared)
            if found is None:
                continue
            rules[kind] = found
            if (
                not shared or not _BY_KIND[kind].shared_field
            ):  # otherwise it contains an index that may be different next time
                texts[kind] = found, text
        return cls(
            state=state,
            rules=rules,
            failed={AlertKind(kind): at for kind, at in failed.items()},
            facts_key=data.get("facts", ""),
            texts=texts,
        )

    def missing(self, tuned: Iterable[TunedRule], now: Instant) -> list[AlertKind]:
        """Return the rules that must be folded from an earlier checkpoint now."""
        return [
            rule.kind
            for rule in tuned
            if rule.kind not in self.rules and self.failed.get(rule.kind, now) <= now
        ]


_BY_KIND: Final[Mapping[AlertKind, AnyRule]] = {rule.kind: rule for rule in RULES}


def _state_text(rule: AnyRule, state: Any, shared: list[tuple[Any, ...]]) -> str:
    """Encode a rule's state; a shared field is replaced by its index in `shared`."""
    if state is _initial_state(rule):
        return _initial_text(rule)
    values = dump(state)
    if (
        rule.shared_field
        and (place := _index_in_shared(getattr(state, rule.shared_field), shared)) is not None
    ):
        values[shared_index(rule.state, rule.shared_field)] = place
    return orjson.dumps([rule.version, *values]).decode()


def _index_in_shared(value: tuple[Any, ...], shared: list[tuple[Any, ...]]) -> int | None:
    """Return the index of a value in `shared`, appending it if missing; usually it is the same object."""
    if value == type(value)():
        return None
    for place, known in enumerate(shared):
        if known is value or known == value:
            return place
    shared.append(value)
    return len(shared) - 1


@cache
def _initial_state(rule: AnyRule) -> Any:
    """Return the state of a rule before any reading."""
    return rule.state()


@cache
def _initial_text(rule: AnyRule) -> str:
    return orjson.dumps([rule.version]).decode()


def _read_list(text: Any) -> list[Any]:
    """Read a stored list; an empty one if it is not a list."""
    try:
        values = orjson.loads(text or "[]")
    except (TypeError, ValueError):
        return []
    return values if isinstance(values, list) else []


def _read_state(rule: AnyRule, text: Any, shared: list[Any]) -> Any:
    """Read a rule's state; None if it is unreadable, or another version wrote it."""
    if text == _initial_text(rule):
        return _initial_state(rule)
    values = _read_list(text)
    if not values or values[0] != rule.version:
        return None
    try:
        values = values[1:]
        if rule.shared_field:
            _resolve_shared(
                values,
                shared_index(rule.state, rule.shared_field),
                getattr(_initial_state(rule), rule.shared_field),
                shared,
            )
        return load(rule.state, values)
    except (TypeError, ValueError, IndexError):  # a state that cannot be read is folded again
        return None


def _resolve_shared(values: list[Any], place: int, empty: tuple[Any, ...], shared: list[Any]) -> None:
    """Replace the index of a shared value by the value; all states that share it get the same object."""
    if len(values) > place and isinstance(number := values[place], int):
        if isinstance(shared[number], list):
            shared[number] = type(empty)(*shared[number])
        values[place] = shared[number]


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldedForward:
    """A checkpoint after a fold, the result of the excursion fold, and how rules failed."""

    checkpoint: Checkpoint
    folded: FoldedTrace
    safe_points: tuple[Checkpoint, ...]
    errors: Mapping[AlertKind, Exception]


def fold_forward(
    facts: Facts,
    tuned: Sequence[TunedRule],
    checkpoint: Checkpoint,
    trace: Trace,
    retry_at: Instant,
    window: Window | None = None,
) -> FoldedForward:
    """Fold in readings in strict order of time and after `checkpoint.state.seen`; otherwise raises ValueError.

    `window` is when the logger is on the shipment; None: as long as that is on its way. A rule that raises is left without a state from here on; nothing else fails with it.
    """
    window = window or facts.window
    trace = trace.within(window.departed_at, window.delivered_at)
    only_celsius = Trace(trace.at, trace.celsius)  # so that cutting it up does not cut up the channels
    folded = fold_trace(facts.plan, window, checkpoint.state, only_celsius)
    ends = [*safe_counts(checkpoint.state, trace)[: len(folded.safe_points)], len(trace)]
    failed = {kind: at for kind, at in checkpoint.failed.items() if kind not in checkpoint.rules}
    columns: dict[AlertKind, list[Any]] = {}
    errors: dict[AlertKind, Exception] = {}
    journey, parts = facts_in_journey_time(facts), _parts(trace_in_journey_time(facts, trace), ends)
    for tuned_rule in tuned:
        state = _state_to_fold_from(checkpoint, tuned_rule)
        if state is None:
            continue  # skipped for now
        failed.pop(tuned_rule.kind, None)
        try:
            columns[tuned_rule.kind] = _fold(tuned_rule, journey, state, parts)
        except Exception as error:  # noqa: BLE001 -- whatever it is, excursions and other rules must not fail with it
            errors[tuned_rule.kind] = error
            failed[tuned_rule.kind] = retry_at
    rules = [{kind: states[number] for kind, states in columns.items()} for number in range(len(ends))]
    return FoldedForward(
        checkpoint=Checkpoint(
            state=folded.state,
            rules=rules[-1],
            failed=failed,
            facts_key=facts.key,
            texts=checkpoint.texts,
        ),
        folded=folded,
        safe_points=tuple(
            Checkpoint(state=state, rules=of_rules, facts_key=facts.key)
            for state, of_rules in zip(folded.safe_points, rules[:-1], strict=True)
        ),
        errors=errors,
    )


def _state_to_fold_from(checkpoint: Checkpoint, tuned_rule: TunedRule) -> Any:
    """Return the state that a rule continues from; None if it needs an earlier checkpoint."""
    if tuned_rule.kind in checkpoint.rules:
        return checkpoint.rules[tuned_rule.kind]
    return _initial_state(tuned_rule.rule) if checkpoint.state.seen is None else None


def _parts(trace: Trace, ends: Sequence[int]) -> list[Trace | None]:
    """Cut a trace after ascending counts of readings, None for no reading.

    All rules share the parts and their caches.
    """
    if len(ends) == 1:
        return [trace if ends[0] else None]
    return [trace[begin:end] if end > begin else None for begin, end in pairwise((0, *ends))]


def _fold(tuned_rule: TunedRule, facts: Facts, state: Any, parts: Sequence[Trace | None]) -> list[Any]:
    """Return a rule's state after each part of a trace."""
    rule, states = tuned_rule.rule, []
    reads = rule.reads
    for part in parts:
        if part is not None and not (reads and reads.isdisjoint(part.channels)):
            state = rule.fold(tuned_rule.tuning, facts, state, part)
        states.append(state)
    return states
