"""Pure: what a story's happenings come to on one journey: detours, events and faults, drawn at random."""

import math
from collections.abc import Iterator, Sequence
from random import Random

from simulators.journeys.surroundings import JourneyEvent, draw_handling
from simulators.loggers.faults import WHOLE_AMOUNTS, LoggerFault
from simulators.scenarios.happenings import (
    LASTS_MIN,
    TROUBLE_AMOUNTS,
    StoryHappening,
    is_detour,
    is_fault,
    is_trouble,
)
from simulators.world.legs import JourneyLeg, leg_of_stage
from simulators.world.travel import Detour

MINUTE_S = 60.0
UNPACKED_AFTER_S = 15 * MINUTE_S


def draw_detours(happenings: Sequence[StoryHappening], random: Random) -> Iterator[Detour]:
    """Draw how long each detour of the story lasts."""
    for each in happenings:
        what = each.what
        if is_detour(what):
            lasts_min = random.uniform(*(each.lasts_min or LASTS_MIN[what]))
            # A shipment reaches the wrong hub on the wrong flight.
            stage = "flight" if what == "wrong_hub" else each.stage
            yield Detour(kind=what, stage=stage, which=each.which, lasts_s=lasts_min * MINUTE_S)


def draw_events(
    happenings: Sequence[StoryHappening], legs: tuple[JourneyLeg, ...], random: Random
) -> tuple[JourneyEvent, ...]:
    """Draw the troubles of the story, and add the usual handling and the unpacking after delivery."""
    events = []
    for each in happenings:
        what = each.what
        when = _when(each, legs, random)
        if when is not None and is_trouble(what):
            _, usual = TROUBLE_AMOUNTS.get(what, ("", (0.0, 0.0)))
            amount = random.uniform(*(each.amount or usual))
            events.append(JourneyEvent(what=what, from_s=when[0], until_s=when[1], amount=amount))
    # The receiver unpacks it after delivery, which is outside the window and must not count.
    unpacked_s = legs[-1].ends_s + UNPACKED_AFTER_S
    return (
        *events,
        *draw_handling(legs, random),
        JourneyEvent(what="lid_open", from_s=unpacked_s, until_s=math.inf),
    )


def draw_faults(
    happenings: Sequence[StoryHappening], legs: tuple[JourneyLeg, ...], off_s: float, random: Random
) -> Iterator[LoggerFault]:
    """Draw the faults of the logger; a fault that would begin after it is switched off is left out."""
    for each in happenings:
        when = _when(each, legs, random)
        what = each.what
        if when is None or not is_fault(what):
            continue
        from_s, until_s = when[0], min(when[1], off_s)
        if from_s >= until_s:
            continue
        amount = None if each.amount is None else random.uniform(*each.amount)
        if what in WHOLE_AMOUNTS and amount is not None:
            amount = float(round(amount))
        yield LoggerFault(
            kind=what, from_s=from_s, until_s=until_s, amount=amount, probe=each.probe, share=each.share
        )


def _when(each: StoryHappening, legs: tuple[JourneyLeg, ...], random: Random) -> tuple[float, float] | None:
    """Draw from when to when a happening lasts, in journey time; None if the journey has no such stage."""
    after_min = random.uniform(*each.after_min)
    lasts_min = each.lasts_min or LASTS_MIN.get(each.what)
    lasts_s = math.inf if lasts_min is None else random.uniform(*lasts_min) * MINUTE_S
    leg = leg_of_stage(legs, each.stage, each.which)
    if leg is None:
        return None
    from_s = leg.begins_s + after_min * MINUTE_S
    return from_s, from_s + lasts_s
