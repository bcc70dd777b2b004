"""Pure: the fleet by seed: which shipment each logger is on, wave after wave, and what happens to it."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from simulators.instants import moment
from simulators.journeys.journey import Journey
from simulators.journeys.surroundings import Event, handling, weather
from simulators.loggers.faults import Fault
from simulators.scenarios.scenario import (
    AMOUNTS,
    LASTS_MIN,
    Happening,
    Scenario,
    Story,
    is_detour,
    is_fault,
    is_trouble,
)
from simulators.world.clock import JourneyClock
from simulators.world.lanes import Airport, Leg, route, stage_leg
from simulators.world.shippers import SHIPPERS, particular
from simulators.world.travel import Detour, travel

MINUTE_S = 60.0
UNPACKED_AFTER_S = 15 * MINUTE_S
SWITCHED_OFF_AFTER_S = 30 * MINUTE_S


@dataclass(frozen=True, kw_only=True, slots=True)
class Fleet:
    """So many loggers in a scenario; all that they do follows from the seed and the clock's start.

    `memory` is how many readings each logger's memory holds; None is what its model's does.
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
        """Return when a logger is first switched on, in epoch milliseconds, without making up its journey."""
        return self.clock.wall_ms(self._first_on_s(index, self._random(index)))

    def journeys(self, index: int) -> Iterator[Journey]:
        """Yield the journeys of one logger, one after the other: a single one, or with `waves` without end."""
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
        """Yield the journeys that a logger still knows of at `now_ms`: the last one that is over, and all later ones."""
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
        return f"SIM-{self.seed}-{index + 1:04}"


def _journey(fleet: Fleet, index: int, wave: int, on_s: float) -> Journey:
    random = Random(f"{fleet.seed}/{index}/{wave}")  # noqa: S311 (repeatable, not secret)
    story = _story(fleet.scenario, index, wave, random)
    shipper = SHIPPERS[story.carriers[index % len(story.carriers)]]
    departed_s = on_s + (5 if wave == 0 else random.uniform(5, 30)) * MINUTE_S
    lane, stays = random.choice(story.ways), dict(story.stays_min)
    planned = route(lane, fleet.airports, departed_s, stays, random, story.pace or "hours")
    happenings = [each for each in story.happenings if random.random() < each.chance]
    detours = tuple(_detours(happenings, random))
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
        particular=particular(shipper, story.charge, story.leak or (1.0, 1.0), random),
        logger_model=random.choice(shipper.loggers),
        planned=planned,
        legs=legs,
        detours=detours,
        clock=fleet.clock,
        interval_s=fleet.interval_s,
        on_s=on_s,
        off_s=off_s,
        events=_events(happenings, legs, random),
        faults=tuple(_faults(happenings, legs, off_s, random)),
        sky=weather(start.hour + start.minute / 60, random),
        noise_key=random.getrandbits(64),
        memory=fleet.memory,
    )


def _story(scenario: Scenario, index: int, wave: int, random: Random) -> Story:
    if wave == 0 and index < len(scenario.first):
        return scenario.first[index]
    weights, stories = zip(*scenario.mix, strict=True)
    story: Story = random.choices(stories, weights)[0]
    return story


def _detours(happenings: Sequence[Happening], random: Random) -> Iterator[Detour]:
    for each in happenings:
        what = each.what
        if is_detour(what):
            lasts_min = random.uniform(*(each.lasts_min or LASTS_MIN[what]))
            # What goes to the wrong hub is on the wrong flight.
            stage = "flight" if what == "wrong_hub" else each.stage
            yield Detour(kind=what, stage=stage, which=each.which, lasts_s=lasts_min * MINUTE_S)


def _events(happenings: Sequence[Happening], legs: tuple[Leg, ...], random: Random) -> tuple[Event, ...]:
    events = []
    for each in happenings:
        what = each.what
        when = _when(each, legs, random)
        if when is not None and is_trouble(what):
            _, usual = AMOUNTS.get(what, ("", (0.0, 0.0)))
            amount = random.uniform(*(each.amount or usual))
            events.append(Event(what=what, from_s=when[0], until_s=when[1], amount=amount))
    # What the receiver does after delivery is outside the window, and must not count.
    unpacked_s = legs[-1].ends_s + UNPACKED_AFTER_S
    return (*events, *handling(legs, random), Event(what="lid_open", from_s=unpacked_s, until_s=math.inf))


def _faults(
    happenings: Sequence[Happening], legs: tuple[Leg, ...], off_s: float, random: Random
) -> Iterator[Fault]:
    for each in happenings:
        when = _when(each, legs, random)
        what = each.what
        if when is None or not is_fault(what):
            continue
        from_s, until_s = when[0], min(when[1], off_s)
        if from_s >= until_s:
            continue
        amount = None if each.amount is None else random.uniform(*each.amount)
        if what in {"zone_mistake", "duplicate_timestamps", "memory_overflow"} and amount is not None:
            amount = float(round(amount))
        yield Fault(
            kind=what, from_s=from_s, until_s=until_s, amount=amount, probe=each.probe, share=each.share
        )


def _when(each: Happening, legs: tuple[Leg, ...], random: Random) -> tuple[float, float] | None:
    """Return from when to when, by the clock; None where the journey has no such stage."""
    after_min = random.uniform(*each.after_min)
    lasts_min = each.lasts_min or LASTS_MIN.get(each.what)
    lasts_s = math.inf if lasts_min is None else random.uniform(*lasts_min) * MINUTE_S
    leg = stage_leg(legs, each.stage, each.which)
    if leg is None:
        return None
    from_s = leg.begins_s + after_min * MINUTE_S
    return from_s, from_s + lasts_s
