"""Pure: what a rule is: a fold over one logger's readings, and a look at the folded state.

Theory of operation. Like an excursion, what a rule finds depends only on the set of readings, on the plan
(`Facts`) and on the instant of the look. `fold` moves a state forward by readings in strict order of time.
The state is the same however a trace is cut into calls. `look` judges states at an instant and does not
change them. Late data is folded again from a state before it. After a change of what is known (plan, schedule,
site, dewar), everything is folded again from the start, and a charge counts from when it was made: the facts that count
are those of now for every reading, whenever it came. So all hysteresis belongs in the fold, on event time; it
never depends on when somebody happened to look.

A state is a flat frozen dataclass. Each field is a number, text, bool, None or a (named) tuple of such, and
has a default. `SELDOM_CHANGES` names tuple fields of which so many leading values usually keep their
defaults; those values are then not stored.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cache
from operator import attrgetter
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

from alerts.excursions.trace import Channel, Trace
from alerts.model import AlertKind, Instant, Severity
from alerts.rules.facts import Facts

P = TypeVar("P", bound="Tuning")
S = TypeVar("S")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """The parameters of a rule that a shipment can tune.

    Rules add numbers with defaults, units in their names.

    A number whose default is None may be None. `enabled` is the only bool.
    """

    enabled: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class LookTime:
    """The instant of a look, and what the shipment's times mean for it."""

    through: Instant
    """Now; or the end of the shipment's window if it is over; or the newest reading if its clock runs
    ahead."""
    watched_from: Instant
    """Since when the departure has been on record."""
    shipment_ended_at: Instant | None = None
    """When the shipment ended, if it has: from then on nothing new is found, and what still held ends."""
    device_id: str | None = None
    """The logger that is looked at; None for the whole shipment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The newest interval for which a rule's condition held; `until` is None while it holds.

    `message` is a sentence for people and contains the reason. `details` are figures under names with
    units, and times in RFC 3339 (`clock_detail`). Neither may change with every reading, because each
    change is a revision of the alert.
    """

    severity: Severity
    message: str
    since: Instant
    until: Instant | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """The result of a look, and when to look again even if no reading arrives."""

    found: Finding | None = None
    again_at: Instant | None = None
    also_found: Mapping[str, Finding] = field(default_factory=dict)
    """Further findings, under the names of `Rule.also_finds`. Each is an alert of its own."""


NOTHING = Look()


class Rule(ABC, Generic[P, S]):
    """Any rule; either a `DeviceRule` or a `ShipmentRule`."""

    kind: ClassVar[AlertKind]
    tuning: type[P]
    state: type[S]
    version: ClassVar[int] = 1
    """Raised when stored states would be read with another meaning: then everything is folded from the
    start."""
    reads: ClassVar[frozenset[Channel]] = frozenset()
    """The channels that it needs. `fold` is called only for traces with at least one of them; for all if
    empty."""
    also_reads: ClassVar[frozenset[Channel]] = frozenset()
    """Channels that it reads if present. Needed only for seq, boot and instants: all others are always
    loaded."""
    ranges: ClassVar[Mapping[str, tuple[float, float]]] = {}
    """The least and the greatest value of each number of the tuning."""
    only_ongoing: ClassVar[bool] = False
    """It finds only what holds now. An alert ends when it is no longer found, at the instant `ended_at`
    returns."""
    looks_ahead: ClassVar[bool] = False
    """It finds what is to come, or what is missing now, by the plan and the clock. So it raises nothing of a shipment
    that is still being entered after the fact (`LookTime.watched_from`)."""
    also_finds: ClassVar[tuple[str, ...]] = ()
    """Names of its `Look.also_found`. Their alerts have the name at the end of the subject, after a colon."""
    shared_field: ClassVar[str] = ""
    """The field of its state, a named tuple, that is stored once for all rules whose states agree on it."""

    @abstractmethod
    def fold(self, tuning: P, facts: Facts, state: S, trace: Trace) -> S:
        """Fold in readings in strict order of time, all later than those folded before."""

    def ended_at(
        self,
        states: Sequence[S],  # noqa: ARG002
        since: Instant,  # noqa: ARG002
        name: str | None = None,  # noqa: ARG002
        heard: Instant | None = None,  # noqa: ARG002
    ) -> Instant | None:
        """Return when an alert raised at `since` ended, now that `look` no longer finds it; None: it never held.

        Called only if `only_ongoing` is set. `states` has one state for a `DeviceRule`; `name` is
        that of an entry of `also_found`; `heard` is when something of the logger was refused last.
        """
        return None


class DeviceRule(Rule[P, S]):
    """A rule about one logger. Its subject is `kind:device_id`."""

    @abstractmethod
    def look(self, tuning: P, facts: Facts, state: S, look_time: LookTime) -> Look:
        """Judge the folded state of one logger."""


class ShipmentRule(Rule[P, S]):
    """A rule about the whole shipment, by the readings of any of its loggers. Its subject is its kind."""

    @abstractmethod
    def look(self, tuning: P, facts: Facts, states: Sequence[S], look_time: LookTime) -> Look:
        """Judge the states of all loggers, at least one; a logger without a reading has the default state."""


def dump(state: Any) -> list[Any]:
    """Return a state as JSON values.

    A tuple that equals its default is None, and trailing defaults are cut off.
    """
    shape = _shape(type(state))
    values = list(shape.values(state))
    for place, default, seldom in shape.tuples:
        value = values[place]
        if value is default or value == default:
            values[place] = None
        else:
            values[place] = list(value[seldom:] if value[:seldom] == default[:seldom] else value)
    last, plain = len(values), shape.plain
    while last and values[last - 1] == plain[last - 1]:
        last -= 1
    return values[:last]


def load(state: type[S], values: Sequence[Any]) -> S:
    """Read a state that `dump` returned; its tuples may be read already. Raises TypeError or ValueError."""
    shape = _shape(state)
    count = len(values)
    if count > len(shape.names):
        raise ValueError(f"{count} values for the {len(shape.names)} of {state.__name__}")
    given = list(values)
    for place, default, seldom in shape.tuples:
        if place >= count:
            break
        value = given[place]
        if value is None:
            given[place] = default
        elif seldom and len(value) == len(default) - seldom:
            given[place] = _read_tuple(default, [*default[:seldom], *value])
        else:
            given[place] = _read_tuple(default, value)
    return state(**dict(zip(shape.names, given, strict=False))) if shape.by_name else state(*given)


def shared_index(state: type[Any], field_name: str) -> int:
    """Return the index of a field in what `dump` returns."""
    return _shape(state).names.index(field_name)


class _Shape(NamedTuple):
    """The fields of a state class, cached because states are read with every reading of every logger."""

    names: tuple[str, ...]
    values: Callable[[Any], Iterable[Any]]
    tuples: tuple[tuple[int, tuple[Any, ...], int], ...]
    """The index of each tuple field, its default, and how many of its leading values seldom change."""
    plain: tuple[Any, ...]
    """The defaults in their stored form."""
    by_name: bool


def _shape(state: Any) -> _Shape:
    return _read_shape(state)


@cache
def _read_shape(state: Hashable) -> _Shape:
    assert isinstance(state, type)
    assert is_dataclass(state)
    all_fields, seldom = fields(state), getattr(state, "SELDOM_CHANGES", {})
    names, defaults = tuple(field_.name for field_ in all_fields), [field_.default for field_ in all_fields]
    get_values = attrgetter(*names) if names else lambda _: ()
    return _Shape(
        names,
        get_values if len(names) != 1 else lambda state_: (get_values(state_),),
        tuple(
            (place, default, seldom.get(names[place], 0))
            for place, default in enumerate(defaults)
            if isinstance(default, tuple)
        ),
        tuple(None if isinstance(default, tuple) else default for default in defaults),
        any(field_.kw_only for field_ in all_fields),
    )


def _read_tuple(default: tuple[Any, ...], values: Any) -> tuple[Any, ...]:
    if type(values) is not list:
        if type(values) is type(default):
            return values  # already a tuple of this type
        raise TypeError(f"{values!r} is no list")
    plain = (
        [tuple(value) if type(value) is list else value for value in values]
        if list in map(type, values)
        else values
    )
    make: Callable[[Iterable[Any]], tuple[Any, ...]] | None = getattr(default, "_make", None)
    return tuple(plain) if make is None else make(plain)
