"""Pure: a fleet: the journeys of its loggers, which follow from the seed and the start."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from random import Random

from simulators.instants import moment
from simulators.journeys.happenings import MINUTE_S, draw_detours, draw_events, draw_faults
from simulators.journeys.journey import Journey
from simulators.journeys.surroundings import draw_weather
from simulators.scenarios.scenario import Scenario, Story
from simulators.world.clock import JourneyClock
from simulators.world.lanes import plan_legs
from simulators.world.places import Airport
from simulators.world.shippers import SHIPPERS, draw_unit
from simulators.world.travel import travel

SWITCHED_OFF_AFTER_S = 30 * MINUTE_S


@dataclass(frozen=True, kw_only=True, slots=True)
class Fleet:
    """A number of loggers in a scenario. Everything they do follows from the seed and the start of the clock.

    With `waves`, a logger makes one journey after another. `memory` is how many readings each logger keeps;
    None means what its model keeps.
    """

    scenario: Scenario
    size: int
    seed: int
    clock: JourneyClock
    interval_s: float
    waves: bool
    airports: Mapping[str, Airport]
    memory: int | None = None

    def begins_ms(self, index: int) -> int:
        """Return when a logger is first switched on, in epoch milliseconds, without drawing its journey."""
        return self.clock.wall_ms(self._first_on_s(index, self._random(index)))

    def journeys(self, index: int) -> Iterator[Journey]:
        """Yield the journeys of one logger in order: a single one, or with `waves` without end."""
        random = self._random(index)
        on_s = self._first_on_s(index, random)
        wave = 0
        while True:
            journey = _journey(self, index, wave, on_s)
            yield journey
            if not self.waves:
                return
            on_s = journey.off_s + random.uniform(60, 240) * MINUTE_S
            wave += 1

    def journeys_from(self, index: int, now_ms: int) -> Iterator[Journey]:
        """Yield the journeys that a logger knows at `now_ms`: the last that is over, and all later ones."""
        over: Journey | None = None
        for journey in self.journeys(index):
            if journey.off_ms <= now_ms:
                over = journey
                continue
            if over is not None:
                yield over
                over = None
            yield journey
        if over is not None:
            yield over

    def _random(self, index: int) -> Random:
        return Random(f"{self.seed}/{index}")  # noqa: S311 (repeatable, not secret)

    def _first_on_s(self, index: int, random: Random) -> float:
        return 0.0 if index < len(self.scenario.first) else random.uniform(0, 20 * MINUTE_S)

    def device_id(self, index: int) -> str:
        """Return the device id of a logger."""
        return f"SIM-{self.seed}-{index + 1:04}"


def _journey(fleet: Fleet, index: int, wave: int, on_s: float) -> Journey:
    """Draw a journey of a logger; `wave` counts its journeys from 0."""
    random = Random(f"{fleet.seed}/{index}/{wave}")  # noqa: S311 (repeatable, not secret)
    story = _story(fleet.scenario, index, wave, random)
    shippers = story.possible_shippers
    shipper = SHIPPERS[shippers[index % len(shippers)]]
    departed_s = on_s + (5 if wave == 0 else random.uniform(5, 30)) * MINUTE_S
    lane, stays = random.choice(story.possible_lanes), dict(story.stays_min)
    planned = plan_legs(lane, fleet.airports, departed_s, stays, random, story.pace or "hours")
    happenings = [each for each in story.happenings if random.random() < each.chance]
    detours = tuple(draw_detours(happenings, random))
    legs = travel(planned, detours, fleet.airports, random)
    delivered_s = legs[-1].ends_s
    off_s = delivered_s + SWITCHED_OFF_AFTER_S
    start = moment(fleet.clock.start_ms)
    return Journey(
        index=index,
        device_id=fleet.device_id(index),
        shipment_id=f"SIM-{fleet.seed}-{moment(fleet.clock.wall_ms(on_s)):%m%d-%H%M%S}-{index + 1:04}",
        dewar_id=f"SIM-{fleet.seed}-{shipper.code}-{index + 1:04}",
        story=story.name,
        shipper=shipper,
        unit=draw_unit(shipper, story.charge, story.leak or (1.0, 1.0), random),
        logger_model=random.choice(shipper.loggers),
        planned=planned,
        legs=legs,
        detours=detours,
        clock=fleet.clock,
        interval_s=fleet.interval_s,
        on_s=on_s,
        off_s=off_s,
        events=draw_events(happenings, legs, random),
        faults=tuple(draw_faults(happenings, legs, off_s, random)),
        weather=draw_weather(start.hour + start.minute / 60, random),
        noise_key=random.getrandbits(64),
        memory=fleet.memory,
    )


def _story(scenario: Scenario, index: int, wave: int, random: Random) -> Story:
    """Draw the story of a journey; the first journeys of the first loggers are fixed by the scenario."""
    if wave == 0 and index < len(scenario.first):
        return scenario.first[index]
    weights, stories = zip(*scenario.mix, strict=True)
    story: Story = random.choices(stories, weights)[0]
    return story
