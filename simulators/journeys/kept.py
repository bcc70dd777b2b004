"""Pure: which readings of a journey its logger kept, and the truth about them."""

import math
from collections.abc import Iterable, Iterator

import numpy as np

from simulators.arrays import Bools
from simulators.instants import moment
from simulators.journeys.journey import Journey
from simulators.journeys.observed import observe_journey
from simulators.journeys.ticks import ticks_taken_by
from simulators.loggers.faults import faults_of
from simulators.loggers.memory import overwritten
from simulators.truth.oracle import TrueReading


def kept_mask(journey: Journey) -> Bools:
    """Whether the logger has each reading to send: it was running, and has not overwritten the reading."""
    ticks = np.arange(journey.tick_count)
    kept = ~overwritten(ticks, _silences(journey), journey.capacity)
    if not any(faults_of(journey.faults, "reboot", "battery_weak", "memory_overflow")):
        return kept
    columns = observe_journey(journey, ticks).columns
    return np.asarray(columns.taken & ~columns.lost & kept)


def kept_mask_by(journey: Journey, until_ms: int, lost: Iterable[tuple[int, int]] = ()) -> Bools:
    """Return `kept_mask` for the readings taken by `until_ms`, without those that are `lost`.

    `lost` holds inclusive ranges of ticks that a run overwrote because nobody answered for too long. They do
    not follow from the journey.
    """
    there = kept_mask(journey)[: ticks_taken_by(journey, until_ms)]
    for first, last in lost:
        there[first : last + 1] = False
    return there


def true_readings(
    journey: Journey, until_ms: int, lost: Iterable[tuple[int, int]] = ()
) -> Iterator[TrueReading]:
    """Yield the readings that were taken by `until_ms` and kept; the truth is evaluated over these."""
    ticks = np.flatnonzero(kept_mask_by(journey, until_ms, lost))
    if not len(ticks):
        return
    sent = observe_journey(journey, ticks)
    celsius, sound = sent.columns.temperature_c.tolist(), sent.columns.probe_ok.tolist()
    for at_ms, each, ok in zip(sent.measured_ms.tolist(), celsius, sound, strict=True):
        yield TrueReading(moment(at_ms), None if math.isnan(each) else each, ok)


def _silences(journey: Journey) -> list[tuple[int, int]]:
    """Return the first and the last tick of each stretch in which nothing can be sent."""
    first_tick = journey.instrument.first_tick
    return [
        (first_tick(from_s), first_tick(min(until_s, journey.off_s)) - 1)
        for from_s, until_s in journey.silences
    ]
