"""Pure: what acts on a shipper over its journey: place and time of day, the hands that handle it, and its troubles."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from simulators.scenarios.happenings import Trouble
from simulators.world.forcing import SEA_LEVEL_HPA, Forcing
from simulators.world.legs import JourneyLeg, Stage

HOUR_S = 3600.0
# Cabins and holds are kept at the pressure of 8000 ft at most (14 CFR 25.841).
CABIN_HPA = 752.6
# At three in the afternoon it is warmest.
WARMEST_H = 15.0

# What is on the move, and what share of the outdoor swing between day and night and of the climate gets in there.
MOVING: frozenset[Stage] = frozenset({"pick-up", "flight", "delivery"})
OUTDOORS: dict[Stage, float] = {"pick-up": 1.0, "hub": 0.5, "flight": 0.0, "customs": 0.4, "delivery": 1.0}
INDOORS_C, HOLD_C = 20.0, 15.0


@dataclass(frozen=True, kw_only=True, slots=True)
class JourneyEvent:
    """A trouble from when to when, in seconds of the journeys' clock; `handled` is the usual tilt when it is lifted."""

    what: Trouble | Literal["handled"]
    from_s: float
    until_s: float
    amount: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Weather:
    """How much warmer than 20 °C it is where a van or a warehouse is, how far day and night swing, when day is."""

    climate_c: float
    swing_c: float
    start_h: float


def draw_weather(start_h: float, random: Random) -> Weather:
    """Draw a journey's weather; `start_h` is the hour in UTC when the journeys' clock stands at zero."""
    climate_c = min(4.0, max(-5.0, random.gauss(0, 2)))
    return Weather(climate_c=climate_c, swing_c=random.uniform(1.5, 4), start_h=start_h)


def draw_handling(legs: Sequence[JourneyLeg], random: Random) -> list[JourneyEvent]:
    """Draw how it is tilted for a minute or two whenever it passes into other hands."""
    events = []
    for leg in legs:
        from_s = leg.begins_s + random.uniform(60, 300)
        lasts_s = random.uniform(40, 150)
        events.append(
            JourneyEvent(
                what="handled", from_s=from_s, until_s=from_s + lasts_s, amount=random.uniform(15, 60)
            )
        )
    return events


def surroundings(
    legs: Sequence[JourneyLeg], events: Sequence[JourneyEvent], on_s: float, off_s: float, sky: Weather
) -> Forcing:
    """Return what acts from switching on to switching off, in segments of at most an hour."""
    marks = [leg.begins_s for leg in legs] + [legs[-1].ends_s]
    marks += [at_s for event in events for at_s in (event.from_s, event.until_s)]
    inside = [at_s - on_s for at_s in marks if on_s < at_s < off_s]
    begins = np.unique(np.array([*np.arange(0.0, off_s - on_s, HOUR_S), *inside], np.float32))
    middle_s = on_s + (begins.astype(np.float64) + np.append(begins[1:], off_s - on_s)) / 2
    at = np.minimum(np.searchsorted([leg.ends_s for leg in legs], middle_s, side="right"), len(legs) - 1)
    flying = np.array([leg.stage == "flight" for leg in legs])[at]
    acts = {what: _acting(what, events, middle_s) for what in ("lid_open", "recharged")}
    warmer_c = _sum("hot_tarmac", events, middle_s) + _sum("cold_apron", events, middle_s)
    return Forcing(
        begins_s=begins,
        ambient_c=(_ambient_c(legs, at, middle_s, sky) + warmer_c).astype(np.float32),
        tilt_deg=np.maximum.reduce(
            [_most(w, events, middle_s, 0.0) for w in ("tipped", "upside_down", "handled")]
        ),
        pressure_hpa=np.where(flying, CABIN_HPA, SEA_LEVEL_HPA).astype(np.float32),
        leak=_most("leaking", events, middle_s, 1.0),
        air=_most("forced_air", events, middle_s, 0.0),
        moving=np.array([leg.stage in MOVING for leg in legs])[at]
        & (middle_s >= legs[0].begins_s)
        & (middle_s < legs[-1].ends_s),
        lid_open=acts["lid_open"] | acts["recharged"],
        recharging=acts["recharged"],
    )


def _ambient_c(
    legs: Sequence[JourneyLeg], at: NDArray[np.intp], middle_s: NDArray[np.float64], sky: Weather
) -> NDArray[np.float64]:
    lon = np.array([leg.destination.lon for leg in legs])[at]
    share = np.array([OUTDOORS[leg.stage] for leg in legs])[at]
    hour = sky.start_h + middle_s / HOUR_S + lon / 15
    outside_c = sky.climate_c + sky.swing_c * np.cos(2 * math.pi * (hour - WARMEST_H) / 24)
    return np.where(share > 0, INDOORS_C + share * outside_c, HOLD_C)


def _acting(what: str, events: Sequence[JourneyEvent], middle_s: NDArray[np.float64]) -> NDArray[np.bool_]:
    acts = np.zeros(len(middle_s), bool)
    for event in events:
        if event.what == what:
            acts |= (middle_s >= event.from_s) & (middle_s < event.until_s)
    return acts


def _most(
    what: str, events: Sequence[JourneyEvent], middle_s: NDArray[np.float64], usual: float
) -> NDArray[np.float32]:
    most = np.full(len(middle_s), usual, np.float32)
    for event in events:
        if event.what == what:
            acts = (middle_s >= event.from_s) & (middle_s < event.until_s)
            most = np.where(acts, np.maximum(most, np.float32(event.amount)), most)
    return most


def _sum(what: str, events: Sequence[JourneyEvent], middle_s: NDArray[np.float64]) -> NDArray[np.float64]:
    total = np.zeros(len(middle_s))
    for event in events:
        if event.what == what:
            total += np.where((middle_s >= event.from_s) & (middle_s < event.until_s), event.amount, 0.0)
    return total
