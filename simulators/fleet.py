"""Pure: the fleet by seed: which shipment each logger is on, wave after wave, and what happens to it."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from random import Random

from simulators.clock import JourneyClock, moment
from simulators.lanes import Airport, Leg, Stage, route
from simulators.scenarios import Happening, Scenario, Story
from simulators.shippers import SHIPPERS, Shipper, Trouble
from simulators.thermal import Curve, Disturbance
from simulators.truth import TruePlan

MINUTE_S = 60.0
UNPACKED_AFTER_S = 15 * MINUTE_S
SWITCHED_OFF_AFTER_S = 30 * MINUTE_S
BOOTS_SINCE_MS = 1_577_836_800_000  # 2020-01-01


@dataclass(frozen=True, slots=True)
class Span:
    """A trouble and the time from when to when it acts."""

    trouble: Trouble
    from_s: float
    until_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Journey:
    """One shipment with its one logger, from switching it on before departure to switching it off after delivery.

    Times ending in `_s` are seconds of the journeys' clock since the start of the simulation.
    """

    index: int
    device_id: str
    shipment_id: str
    dewar_id: str
    story: str
    shipper: Shipper
    legs: tuple[Leg, ...]
    clock: JourneyClock
    interval_s: float
    on_s: float
    departed_s: float
    delivered_s: float
    off_s: float
    troubles: tuple[Span, ...]
    curve: Curve
    day_phase: float
    noise_key: int

    @property
    def boot(self) -> int:
        """Return a number that grows with each switching on, also over runs of the simulator: milliseconds since 2020.

        A count from 0 would begin again with every run, and the service would take new readings for old.
        """
        return self.on_ms - BOOTS_SINCE_MS

    @property
    def readings(self) -> int:
        """How many readings the logger takes from first to last."""
        return math.ceil((self.off_s - self.on_s) / self.interval_s)

    @property
    def on_ms(self) -> int:
        return self.clock.wall_ms(self.on_s)

    @property
    def off_ms(self) -> int:
        return self.clock.wall_ms(self.off_s)

    def lands_ms(self, now_ms: int) -> int | None:
        """Return when the flight under way lands, in epoch milliseconds; None on the ground."""
        for leg in self.flights:
            if self.clock.wall_ms(leg.begins_s) <= now_ms < self.clock.wall_ms(leg.ends_s):
                return self.clock.wall_ms(leg.ends_s)
        return None

    def suffers(self, trouble: Trouble, journey_s: float) -> bool:
        return any(s.trouble == trouble and s.from_s <= journey_s < s.until_s for s in self.troubles)

    @property
    def flights(self) -> tuple[Leg, ...]:
        return tuple(leg for leg in self.legs if leg.stage == "flight")

    def plan(self) -> TruePlan:
        """Return the plan as it is registered: limits of the shipper's band, times as they pass on the wall."""
        shipper, clock = self.shipper, self.clock
        return TruePlan(
            lower_c=shipper.lower_c,
            upper_c=shipper.upper_c,
            critical_low_c=shipper.critical_low_c,
            critical_high_c=shipper.critical_high_c,
            deadband_c=shipper.deadband_c,
            on_delay_s=clock.shortened(shipper.on_delay_s),
            budget_s=clock.shortened(shipper.budget_s),
            max_gap_s=clock.shortened(shipper.max_gap_s),
            departed_at=moment(clock.wall_ms(self.departed_s)),
            delivered_at=moment(clock.wall_ms(self.delivered_s)),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Fleet:
    """So many loggers in a scenario; all that they do follows from the seed and the clock's start."""

    scenario: Scenario
    size: int
    seed: int
    clock: JourneyClock
    interval_s: float
    waves: bool
    airports: Mapping[str, Airport]

    def journeys(self, index: int) -> Iterator[Journey]:
        """Yield the journeys of one logger, one after the other: a single one, or with `waves` without end."""
        random = Random(f"{self.seed}/{index}")  # noqa: S311 (repeatable, not secret)
        on_s = 0.0 if index < len(self.scenario.first) else random.uniform(0, 20 * MINUTE_S)
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

    def device_id(self, index: int) -> str:
        return f"SIM-{self.seed}-{index + 1:04}"


def _journey(fleet: Fleet, index: int, wave: int, on_s: float) -> Journey:
    random = Random(f"{fleet.seed}/{index}/{wave}")  # noqa: S311 (repeatable, not secret)
    story = _story(fleet.scenario, index, wave, random)
    shipper = SHIPPERS[story.shippers[index % len(story.shippers)]]
    departed_s = on_s + (5 if wave == 0 else random.uniform(5, 30)) * MINUTE_S
    legs = route(random.choice(story.lanes), fleet.airports, departed_s, dict(story.stays_min), random)
    delivered_s = legs[-1].ends_s
    troubles = _troubles(story.happenings, legs, random)
    day_phase = random.uniform(0, 2 * math.pi)
    return Journey(
        index=index,
        device_id=fleet.device_id(index),
        shipment_id=f"SIM-{fleet.seed}-{moment(fleet.clock.wall_ms(on_s)):%m%d-%H%M%S}-{index + 1:04}",
        dewar_id=f"SIM-{fleet.seed}-{shipper.code}-{index + 1:04}",
        story=story.name,
        shipper=shipper,
        legs=legs,
        clock=fleet.clock,
        interval_s=fleet.interval_s,
        on_s=on_s,
        departed_s=departed_s,
        delivered_s=delivered_s,
        off_s=delivered_s + SWITCHED_OFF_AFTER_S,
        troubles=troubles,
        curve=_curve(shipper, troubles, day_phase, random),
        day_phase=day_phase,
        noise_key=random.getrandbits(64),
    )


def _story(scenario: Scenario, index: int, wave: int, random: Random) -> Story:
    if wave == 0 and index < len(scenario.first):
        return scenario.first[index]
    weights, stories = zip(*scenario.mix, strict=True)
    story: Story = random.choices(stories, weights)[0]
    return story


def _troubles(happenings: tuple[Happening, ...], legs: tuple[Leg, ...], random: Random) -> tuple[Span, ...]:
    begins: dict[Stage, float] = {}
    for leg in legs:
        begins.setdefault(leg.stage, leg.begins_s)
    spans = []
    for happening in happenings:
        from_s = begins[happening.stage] + random.uniform(*happening.after_min) * MINUTE_S
        lasts_s = random.uniform(*happening.lasts_min) * MINUTE_S
        spans.append(Span(happening.trouble, from_s, from_s + lasts_s))
    spans += [Span("cabin_pressure", leg.begins_s, leg.ends_s) for leg in legs if leg.stage == "flight"]
    # What the receiver does after delivery is outside the window, and must not count.
    spans.append(Span("lid_open", legs[-1].ends_s + UNPACKED_AFTER_S, math.inf))
    return tuple(spans)


def _curve(shipper: Shipper, troubles: tuple[Span, ...], day_phase: float, random: Random) -> Curve:
    # Units of one model differ: each takes heat a little faster or slower than its kind.
    unit = random.uniform(0.9, 1.1)
    disturbances = []
    for span in troubles:
        response = shipper.responses.get(span.trouble)
        if response is not None:
            disturbances.append(
                Disturbance(
                    begins_s=span.from_s,
                    ends_s=span.until_s,
                    excess_c=response.excess_c,
                    rise_s=response.rise_s * unit,
                    recover_s=response.recover_s * unit,
                )
            )
    return Curve(
        rest_c=shipper.rest_c,
        wander_c=shipper.wander_c,
        wander_period_s=random.uniform(3, 8) * 3600,
        wander_phase=random.uniform(0, 2 * math.pi),
        day_c=shipper.day_c,
        # A box follows day and night some hours behind.
        day_phase=day_phase - math.pi / 4,
        disturbances=tuple(disturbances),
    )
