"""Pure: what a rule is: a fold over one logger's readings, and a look at what was folded.

Theory of operation. A rule is, like an excursion, a function of the set of readings, of what is planned (`Facts`) and of
the instant at which somebody looks. `fold` brings its state forward by readings in strict order of time; however a trace
is cut into calls, the state is the same. `look` judges states at an instant and leaves them as they are. Late data is
folded again from a state before it, and with another plan all of it from the start; of other facts that change on the way
(a schedule, a site, a charge) those count that held when a reading was folded. So whatever has to do with hysteresis lies
in the fold, on event time, and never in when somebody happened to look.

A state is a flat frozen dataclass: each field a number, text, bool, None or a (named) tuple of such, each with a default.
`SELDOM_CHANGES` may say of named tuples how many of their first fields are most often as they began, and need no room then.
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
    """What can be tuned of a rule for a shipment; each rule adds numbers with defaults, units in their names.

    A number that is None by default may be None, and `enabled` is the only bool.
    """

    enabled: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """When somebody looks."""

    through: Instant
    """Now, or the end of the shipment's window where that is over, or the newest reading where its clock runs ahead."""
    watched_from: Instant
    """Since when it is known that the shipment departed."""
    over: Instant | None = None
    """When the shipment ended, if it has: from then on nothing is found anew, and what held ends."""
    device_id: str | None = None
    """The logger that is looked at; None where it is the whole shipment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a rule finds: the newest stretch of time for which its condition held; `until` is None while it holds.

    `message` is a sentence for people, with the reason in it. It and `details` (figures under names with units, times
    as text) must not change with every reading: each change is a revision of the alert.
    """

    severity: Severity
    message: str
    since: Instant
    until: Instant | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a look gave, and when to look again although no reading comes."""

    found: Finding | None = None
    again_at: Instant | None = None
    apart: Mapping[str, Finding] = field(default_factory=dict)
    """What is found beside it, under names of `Rule.apart`: each is an alert of its own."""


NOTHING = Look()


class Rule(ABC, Generic[P, S]):
    """Any rule; either a `DeviceRule` or a `ShipmentRule`."""

    kind: ClassVar[AlertKind]
    tuning: type[P]
    state: type[S]
    version: ClassVar[int] = 1
    """Raised when states of before mean something else: then all is folded from the start."""
    reads: ClassVar[frozenset[Channel]] = frozenset()
    """The channels it needs; `fold` is only called for traces that have one of them, or for all where it is empty."""
    also_reads: ClassVar[frozenset[Channel]] = frozenset()
    """Those that it reads where they are there. Needed only for seq, boot and instants: others are loaded anyway."""
    ranges: ClassVar[Mapping[str, tuple[float, float]]] = {}
    """The least and most that each number of the tuning may be."""
    about_now: ClassVar[bool] = False
    """It finds nothing that is over: what it told of ends when it finds it no longer, as `ended` says."""
    apart: ClassVar[tuple[str, ...]] = ()
    """Names of what it finds apart from `Look.found`; the subject of each has its name at the end, after a colon."""
    shares: ClassVar[str] = ""
    """The field of its state, a named tuple, that is stored once for all rules in whose states it is the same."""

    @abstractmethod
    def fold(self, tuning: P, facts: Facts, state: S, trace: Trace) -> S:
        """Bring the state forward by readings in strict order of time, all after those folded before."""

    def ended(self, states: Sequence[S], since: Instant, name: str | None = None) -> Instant | None:  # noqa: ARG002
        """Give when what was told since then ended, now that `look` finds it no longer; None: it never was.

        Asked only of a rule that is `about_now`; `states` is one for a `DeviceRule`, `name` that of what is `apart`.
        """
        return None


class DeviceRule(Rule[P, S]):
    """A rule about one logger: its subject is `kind:device_id`."""

    @abstractmethod
    def look(self, tuning: P, facts: Facts, state: S, moment: Moment) -> Look:
        """Judge what was folded of one logger."""


class ShipmentRule(Rule[P, S]):
    """A rule about the whole shipment, whatever logger tells of it: its subject is its kind."""

    @abstractmethod
    def look(self, tuning: P, facts: Facts, states: Sequence[S], moment: Moment) -> Look:
        """Judge what was folded of all its loggers, at least one; those without a reading have an empty state."""


def dump(state: Any) -> list[Any]:
    """Give a rule's state for storage as JSON: a tuple that is as it began is None, and what is so at the end is left out."""
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
    """Read back what `dump` gave, in which tuples may have been read already; anything else raises TypeError or ValueError."""
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
            given[place] = _tuple(default, [*default[:seldom], *value])
        else:
            given[place] = _tuple(default, value)
    return state(**dict(zip(shape.names, given, strict=False))) if shape.by_name else state(*given)


def shared_place(state: type[Any], field_name: str) -> int:
    """Give where a field stands in what `dump` gives."""
    return _shape(state).names.index(field_name)


class _Shape(NamedTuple):
    """The fields of a class of states, which are read with every reading of every logger."""

    names: tuple[str, ...]
    values: Callable[[Any], Iterable[Any]]
    tuples: tuple[tuple[int, tuple[Any, ...], int], ...]
    """Where fields are tuples, with their defaults, and how many of their first fields seldom change."""
    plain: tuple[Any, ...]
    """Defaults as they are stored."""
    by_name: bool


def _shape(state: Any) -> _Shape:
    return _read_shape(state)


@cache
def _read_shape(state: Hashable) -> _Shape:
    assert isinstance(state, type)
    assert is_dataclass(state)
    every, seldom = fields(state), getattr(state, "SELDOM_CHANGES", {})
    names, defaults = tuple(one.name for one in every), [one.default for one in every]
    one_or_more = attrgetter(*names) if names else lambda _: ()
    return _Shape(
        names,
        one_or_more if len(names) != 1 else lambda each: (one_or_more(each),),
        tuple(
            (place, default, seldom.get(names[place], 0))
            for place, default in enumerate(defaults)
            if isinstance(default, tuple)
        ),
        tuple(None if isinstance(default, tuple) else default for default in defaults),
        any(one.kw_only for one in every),
    )


def _tuple(default: tuple[Any, ...], values: Any) -> tuple[Any, ...]:
    if type(values) is not list:
        if type(values) is type(default):
            return values  # it was read before
        raise TypeError(f"{values!r} is no list")
    plain = (
        [tuple(value) if type(value) is list else value for value in values]
        if list in map(type, values)
        else values
    )
    make: Callable[[Iterable[Any]], tuple[Any, ...]] | None = getattr(default, "_make", None)
    return tuple(plain) if make is None else make(plain)
