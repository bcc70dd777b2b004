"""Pure: scenarios as data: what happens to a shipment and to its logger, and which mix of that a fleet meets."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeGuard, get_args

from simulators.loggers.faults import KINDS, FaultKind, Probe
from simulators.world.lanes import LANES, SHORT_LANES, Pace, Stage
from simulators.world.shippers import USUAL
from simulators.world.travel import DETOURS, DetourKind

Trouble = Literal[
    "lid_open",
    "tipped",
    "upside_down",
    "hot_tarmac",
    "cold_apron",
    "leaking",
    "recharged",
    "dropped",
    "forced_air",
]
TROUBLES: tuple[Trouble, ...] = get_args(Trouble)
What = Trouble | DetourKind | FaultKind
WHATS: tuple[What, ...] = (*TROUBLES, *DETOURS, *KINDS)

Bounds = tuple[float, float]

# What `amount` means to a trouble, and what it is where a scenario does not say.
AMOUNTS: Mapping[Trouble, tuple[str, Bounds]] = {
    "tipped": ("degrees from upright", (80, 100)),
    "upside_down": ("degrees from upright", (165, 180)),
    "hot_tarmac": ("K by which the sun makes it warmer", (45, 52)),
    "cold_apron": ("K by which it is warmer, below 0", (-45, -38)),
    "leaking": ("times the heat leak of a sound vacuum", (3, 5)),
    "dropped": ("g of the shock", (40, 90)),
    "forced_air": ("share of the full effect", (0.3, 1)),
}
# How long things last, in minutes, where a scenario does not say; all else lasts until the end.
LASTS_MIN: Mapping[What, Bounds] = {
    "delayed": (120, 480),
    "missed_connection": (480, 1440),
    "wrong_hub": (240, 840),
    "recharged": (10, 20),
    "dropped": (0.02, 0.02),
    "reboot": (5, 30),
    "memory_overflow": (600, 1200),
}
LANES_BY_NAME: Mapping[str, tuple[tuple[str, ...], ...]] = {"all": LANES, "short": SHORT_LANES}


@dataclass(frozen=True, kw_only=True, slots=True)
class Happening:
    """Something that begins so many minutes after a stage did, and lasts; what is drawn from ranges has two numbers.

    `which` is the so-manieth of such a stage, -1 the last. A negative `after_min` is before the stage. A detour lengthens
    its stage instead. `amount`, `probe` and `share` are what AMOUNTS, or `faults.Fault`, say for the kind. `chance` is
    how likely it is to happen at all.
    """

    what: What
    stage: Stage
    which: int = 0
    after_min: Bounds = (0.0, 0.0)
    lasts_min: Bounds | None = None
    amount: Bounds | None = None
    probe: Probe = "payload"
    share: float = 0.05
    chance: float = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Story:
    """What one shipment goes through: in which shipper, on which lanes, how fast, with which stays other than usual.

    `charge` is the range of the share of a full charge; None is as its model is. `leak` multiplies the heat leak of
    the unit. `amended` tells a scenario that lies over another where it says something of its own.
    """

    name: str
    shippers: tuple[str, ...] | None = None
    lanes: tuple[tuple[str, ...], ...] | None = None
    pace: Pace | None = None
    stays_min: tuple[tuple[Stage, Bounds], ...] = ()
    charge: Bounds | None = None
    leak: Bounds | None = None
    happenings: tuple[Happening, ...] = ()

    @property
    def carriers(self) -> tuple[str, ...]:
        return USUAL if self.shippers is None else self.shippers

    @property
    def ways(self) -> tuple[tuple[str, ...], ...]:
        return LANES if self.lanes is None else self.lanes

    def over(self, base: "Story") -> "Story":
        """Return the base with all that this one says on top: its happenings besides, its other words instead."""
        return replace(
            base,
            name=self.name,
            shippers=self.shippers or base.shippers,
            lanes=self.lanes or base.lanes,
            pace=self.pace or base.pace,
            stays_min=tuple((dict(base.stays_min) | dict(self.stays_min)).items()),
            charge=self.charge or base.charge,
            leak=self.leak or base.leak,
            happenings=base.happenings + self.happenings,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Scenario:
    """A mix of stories by weight; those in `first` are what the first loggers of a fleet go through, in order."""

    name: str
    says: str
    mix: tuple[tuple[float, Story], ...]
    first: tuple[Story, ...] = ()


def on_lane(scenario: Scenario, lane: tuple[str, ...]) -> Scenario:
    """Return a scenario whose shipments all take one lane: airports in order, by IATA code."""
    return replace(
        scenario,
        mix=tuple((weight, replace(story, lanes=(lane,))) for weight, story in scenario.mix),
        first=tuple(replace(story, lanes=(lane,)) for story in scenario.first),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Sheet:
    """A scenario as it is written: its own story and the names of others that it adds to, mixes, and begins with."""

    says: str
    story: Story
    builds_on: tuple[str, ...] = ()
    mix: tuple[tuple[str, float], ...] = ()
    first: tuple[str, ...] = ()


def is_trouble(what: What) -> TypeGuard[Trouble]:
    return what in TROUBLES


def is_detour(what: What) -> TypeGuard[DetourKind]:
    return what in DETOURS


def is_fault(what: What) -> TypeGuard[FaultKind]:
    return what in KINDS


class ScenarioError(ValueError):
    """A scenario that cannot be run; its text says to a person what to mend."""


def assembled(name: str, sheets: Mapping[str, Sheet]) -> Scenario:
    """Return a scenario with all that it names put in; a name that is unknown or leads back to itself is refused."""
    sheet = sheets[name]
    first = tuple(told(each, sheets, (name,)) for each in sheet.first)
    if not sheet.mix:
        return Scenario(name=name, says=sheet.says, mix=((1.0, told(name, sheets)),), first=first)
    mix = []
    for each, weight in sheet.mix:
        part = _sheet(each, sheets, (name,))
        if part.mix:
            mix += [(weight * w, told(inner, sheets, (name, each))) for inner, w in _shares(part)]
        else:
            mix.append((weight, told(each, sheets, (name,))))
    return Scenario(name=name, says=sheet.says, mix=tuple(mix), first=first)


def _shares(sheet: Sheet) -> Iterator[tuple[str, float]]:
    total = sum(weight for _, weight in sheet.mix)
    for name, weight in sheet.mix:
        yield name, weight / total


def told(name: str, sheets: Mapping[str, Sheet], through: Sequence[str] = ()) -> Story:
    """Return the story of a scenario that is no mix, over those that it adds to, in their order."""
    sheet = _sheet(name, sheets, through)
    if sheet.mix:
        raise ScenarioError(f"{' -> '.join((*through, name))}: {name} is a mix, and a story is needed here")
    story = Story(name=name)
    for base in sheet.builds_on:
        story = told(base, sheets, (*through, name)).over(story)
    return sheet.story.over(story)


def _sheet(name: str, sheets: Mapping[str, Sheet], through: Sequence[str]) -> Sheet:
    if name in through:
        raise ScenarioError(f"{' -> '.join((*through, name))}: a scenario cannot be part of itself")
    if name not in sheets:
        raise ScenarioError(f"{through[-1]} names {name!r}, and there is no such scenario")
    return sheets[name]
