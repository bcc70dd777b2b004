"""Pure: scenarios as data: what happens to one shipment, and the mix of stories that a fleet goes through."""

from dataclasses import dataclass, replace

from simulators.scenarios.happenings import Bounds, StoryHappening
from simulators.world.lanes import LANES, TravelPace
from simulators.world.legs import Stage
from simulators.world.shippers import USUAL_SHIPPERS


class ScenarioError(ValueError):
    """A scenario cannot be run; the text says to a person what to correct."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Story:
    """What one shipment goes through: its shipper, its lane, its pace, and what happens to it.

    None means the usual. `charge` is a range of shares of a full charge. `leak` is a range of factors on the
    heat leak of the unit. `stays_min` overrides how long stages take.
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
    def possible_shippers(self) -> tuple[str, ...]:
        """Return the names of the shippers that the story may use."""
        return USUAL_SHIPPERS if self.shippers is None else self.shippers

    @property
    def possible_lanes(self) -> tuple[tuple[str, ...], ...]:
        """Return the lanes that the story may use."""
        return LANES if self.lanes is None else self.lanes

    def over(self, base: "Story") -> "Story":
        """Return `base` with this story's happenings added, and with everything else that this story sets."""
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
    """A mix of stories, each with its weight.

    The first loggers of a fleet go through those in `first`, in order.
    """

    name: str
    description: str
    mix: tuple[tuple[float, Story], ...]
    first: tuple[Story, ...] = ()


def on_lane(scenario: Scenario, lane: tuple[str, ...]) -> Scenario:
    """Return the scenario with every shipment on one lane: IATA codes of airports, in order."""
    return replace(
        scenario,
        mix=tuple((weight, replace(story, lanes=(lane,))) for weight, story in scenario.mix),
        first=tuple(replace(story, lanes=(lane,)) for story in scenario.first),
    )
