"""Pure: scenarios as data: what happens to a shipment and to its logger, and which mix of that a fleet meets."""

from dataclasses import dataclass, replace

from simulators.scenarios.happenings import Bounds, StoryHappening
from simulators.world.lanes import LANES, TravelPace
from simulators.world.legs import Stage
from simulators.world.shippers import USUAL_SHIPPERS


@dataclass(frozen=True, kw_only=True, slots=True)
class Story:
    """What one shipment goes through: in which shipper, on which lanes, how fast, with which stays other than usual.

    `charge` is the range of the share of a full charge; None is as its model is. `leak` multiplies the heat leak of
    the unit. `amended` tells a scenario that lies over another where it says something of its own.
    """

    name: str
    shippers: tuple[str, ...] | None = None
    lanes: tuple[tuple[str, ...], ...] | None = None
    pace: TravelPace | None = None
    stays_min: tuple[tuple[Stage, Bounds], ...] = ()
    charge: Bounds | None = None
    leak: Bounds | None = None
    happenings: tuple[StoryHappening, ...] = ()

    @property
    def carriers(self) -> tuple[str, ...]:
        return USUAL_SHIPPERS if self.shippers is None else self.shippers

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
