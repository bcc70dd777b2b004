"""Pure: what acts on a shipper over its journey: place, time of day, weather, handling and troubles."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from simulators.arrays import Bools, Floats
from simulators.scenarios.happenings import Trouble
from simulators.world.forcing import SEA_LEVEL_HPA, Forcing
from simulators.world.legs import JourneyLeg, Stage, leg_indices

HOUR_S = 3600.0
# The pressure altitude in cabins and holds is 8000 ft at most (14 CFR 25.841).
CABIN_HPA = 752.6
# The warmest hour of the day.
WARMEST_H = 15.0

# Which stages are on the move, and which share of the outdoor climate and its daily swing reaches a shipper
# in each.
MOVING: frozenset[Stage] = frozenset({"pick-up", "flight", "delivery"})
OUTDOORS: dict[Stage, float] = {"pick-up": 1.0, "hub": 0.5, "flight": 0.0, "customs": 0.4, "delivery": 1.0}
INDOORS_C, HOLD_C = 20.0, 15.0


@dataclass(frozen=True, kw_only=True, slots=True)
class JourneyEvent:
    """A trouble, from `from_s` to `until_s` of journey time.

    `handled` is the usual tilt when the shipper is lifted.
    """

    what: Trouble | Literal["handled"]
    from_s: float
    until_s: float
    amount: float = 0.0

    def acts(self, at_s: Floats) -> Bools:
        """Whether the event is present at each instant."""
        return (at_s >= self.from_s) & (at_s < self.until_s)


@dataclass(frozen=True, kw_only=True, slots=True)
class Weather:
    """The weather of a journey: its climate as a difference to 20 °C, the daily swing, and the first hour."""

    climate_c: float
    swing_c: float
    start_h: float


def draw_weather(start_h: float, random: Random) -> Weather:
    """Draw the weather of a journey; `start_h` is the UTC hour at journey time zero."""
    climate_c = min(4.0, max(-5.0, random.gauss(0, 2)))
    return Weather(climate_c=climate_c, swing_c=random.uniform(1.5, 4), start_h=start_h)


def draw_handling(legs: Sequence[JourneyLeg], random: Random) -> list[JourneyEvent]:
    """Draw how the shipper is tilted for a minute or two whenever it changes hands."""
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
    legs: Sequence[JourneyLeg], events: Sequence[JourneyEvent], on_s: float, off_s: float, weather: Weather
) -> Forcing:
    """Return what acts on a shipper from switching on to switching off, in segments of at most an hour."""
    marks = [leg.begins_s for leg in legs] + [legs[-1].ends_s]
    marks += [at_s for event in events for at_s in (event.from_s, event.until_s)]
    inside = [at_s - on_s for at_s in marks if on_s < at_s < off_s]
    begins = np.unique(np.array([*np.arange(0.0, off_s - on_s, HOUR_S), *inside], np.float32))
    middle_s = on_s + (begins.astype(np.float64) + np.append(begins[1:], off_s - on_s)) / 2
    at = leg_indices(legs, middle_s)
    flying = np.array([leg.stage == "flight" for leg in legs])[at]
    acts = {what: _is_acting(what, events, middle_s) for what in ("lid_open", "recharged")}
    warmer_c = _total("hot_tarmac", events, middle_s) + _total("cold_apron", events, middle_s)
    return Forcing(
        begins_s=begins,
        ambient_c=(_ambient_c(legs, at, middle_s, weather) + warmer_c).astype(np.float32),
        tilt_deg=np.maximum.reduce(
            [_strongest(w, events, middle_s, 0.0) for w in ("tipped", "upside_down", "handled")]
        ),
        pressure_hpa=np.where(flying, CABIN_HPA, SEA_LEVEL_HPA).astype(np.float32),
        leak=_strongest("leaking", events, middle_s, 1.0),
        air=_strongest("forced_air", events, middle_s, 0.0),
        moving=np.array([leg.stage in MOVING for leg in legs])[at]
        & (middle_s >= legs[0].begins_s)
        & (middle_s < legs[-1].ends_s),
        lid_open=acts["lid_open"] | acts["recharged"],
        recharging=acts["recharged"],
    )


def _ambient_c(
    legs: Sequence[JourneyLeg], at: NDArray[np.intp], middle_s: Floats, weather: Weather
) -> Floats:
    lon = np.array([leg.destination.lon for leg in legs])[at]
    share = np.array([OUTDOORS[leg.stage] for leg in legs])[at]
    hour = weather.start_h + middle_s / HOUR_S + lon / 15
    outside_c = weather.climate_c + weather.swing_c * np.cos(2 * math.pi * (hour - WARMEST_H) / 24)
    return np.where(share > 0, INDOORS_C + share * outside_c, HOLD_C)


def _is_acting(what: str, events: Sequence[JourneyEvent], middle_s: Floats) -> Bools:
    """Whether an event of a kind is present at each instant."""
    acts = np.zeros(len(middle_s), bool)
    for event in events:
        if event.what == what:
            acts |= event.acts(middle_s)
    return acts


def _strongest(
    what: str, events: Sequence[JourneyEvent], middle_s: Floats, usual: float
) -> NDArray[np.float32]:
    """Return the largest amount of the events of a kind at each instant, at least `usual`."""
    most = np.full(len(middle_s), usual, np.float32)
    for event in events:
        if event.what == what:
            most = np.where(event.acts(middle_s), np.maximum(most, np.float32(event.amount)), most)
    return most


def _total(what: str, events: Sequence[JourneyEvent], middle_s: Floats) -> Floats:
    """Return the sum of the amounts of the events of a kind at each instant."""
    total = np.zeros(len(middle_s))
    for event in events:
        if event.what == what:
            total += np.where(event.acts(middle_s), event.amount, 0.0)
    return total
