"""Pure: the readings of a journey. Any reading can be computed from the journey and its number alone."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from simulators.arrays import Floats, Ints
from simulators.journeys.journey import Journey
from simulators.journeys.positions import Fixes, fixes
from simulators.loggers.instrument import Instrument
from simulators.loggers.observation import LoggerColumns, TrueTemperatures, observe, with_stuck_values
from simulators.loggers.quartz_clock import TURNOVER_C
from simulators.world.noise import gauss, uniform
from simulators.world.thermal_tracks import ShipperStates

FLIGHT_MODE_ANNOUNCED_S = 600
# The load cell under the absorbent has 10 g of noise, and steps of 10 g.
LOAD_CELL_KG = 0.01

_TILT, _SHOCK, _LOAD = range(8, 11)


@dataclass(frozen=True, kw_only=True, slots=True)
class ObservedReadings:
    """Readings as columns: what the logger has of each, with position, tilt and shock.

    `measured_ms` is by the logger's clock, `taken_ms` is the real time, both in epoch milliseconds.
    `lands_ms` is the announced landing, or -1 if none is announced. `states` is the truth.
    """

    columns: LoggerColumns
    boot: Ints
    measured_ms: Ints
    taken_ms: Ints
    fixes: Fixes
    tilt_deg: Floats
    shock_g: Floats
    ln2_kg: Floats | None
    lands_ms: Ints
    states: ShipperStates

    def readings(self) -> list[dict[str, Any]]:
        """Return the readings as they are sent, in the order of the columns."""
        return list(_rows(self))


def observe_journey(journey: Journey, ticks: Sequence[int] | Ints) -> ObservedReadings:
    """Return the readings with these numbers, in any order.

    Each is the same, to the last bit, as if computed alone.
    """
    number = np.asarray(ticks, np.int64)
    at_s = journey.instrument.at_s(number)
    states = journey.track.at(at_s - journey.on_s)
    columns = observe(_instrument(journey), number, _truth(journey, states, at_s))
    clock = journey.clock
    return ObservedReadings(
        columns=columns,
        boot=journey.boot + columns.boot,
        measured_ms=clock.walls_ms(columns.measured_s),
        taken_ms=clock.walls_ms(at_s),
        fixes=fixes(journey.legs, at_s, number, journey.noise_key),
        tilt_deg=_tilt_deg(journey, states, number),
        shock_g=_shock_g(journey, states, at_s, number),
        ln2_kg=_ln2_kg(journey, states, number),
        lands_ms=_lands_ms(journey, at_s),
        states=states,
    )


def readings(journey: Journey, ticks: Sequence[int] | Ints) -> list[dict[str, Any]]:
    """Return the readings with these numbers as they are sent."""
    return observe_journey(journey, ticks).readings()


def _instrument(journey: Journey) -> Instrument:
    """Return the logger with the values of stuck probes, which are computed once for a journey."""
    known: Instrument | None = vars(journey).get("_fixed_instrument")
    if known is None:
        known = with_stuck_values(journey.instrument, lambda ticks: _truth_at(journey, ticks))
        vars(journey)["_fixed_instrument"] = known
    return known


def _truth_at(journey: Journey, ticks: Ints) -> TrueTemperatures:
    at_s = journey.instrument.at_s(ticks)
    return _truth(journey, journey.track.at(at_s - journey.on_s), at_s)


def _truth(journey: Journey, states: ShipperStates, at_s: Floats) -> TrueTemperatures:
    return TrueTemperatures(
        payload_c=states.payload_c.astype(np.float64, copy=False),
        ambient_c=states.acts.ambient_c.astype(np.float64),
        second_c=states.neck_c.astype(np.float64, copy=False),
        chill_k2_s=_chill_k2_s(journey, at_s),
    )


def _chill_k2_s(journey: Journey, at_s: Floats) -> Floats:
    """Integrate (T - 25 °C)² over time since switching on. The surroundings are constant in each segment."""
    forcing = journey.track.forcing
    begins_s = forcing.begins_s.astype(np.float64)
    squared = (forcing.ambient_c.astype(np.float64) - TURNOVER_C) ** 2
    through = np.concatenate([[0.0], np.cumsum(squared[:-1] * np.diff(begins_s))])
    since_s = at_s - journey.on_s
    segment = np.maximum(np.searchsorted(begins_s, since_s, side="right") - 1, 0)
    return np.asarray(through[segment] + squared[segment] * (since_s - begins_s[segment]))


def _tilt_deg(journey: Journey, states: ShipperStates, ticks: Ints) -> Floats:
    wobble = np.abs(gauss(journey.noise_key, ticks, _TILT)) * np.where(states.acts.moving, 2.0, 0.5)
    tilt_deg = np.abs(states.acts.tilt_deg.astype(np.float64) - wobble)
    return np.asarray(np.round(np.clip(tilt_deg, 0.0, 180.0)))


def _shock_g(journey: Journey, states: ShipperStates, at_s: Floats, ticks: Ints) -> Floats:
    """Return the largest shock since the reading before."""
    drawn = uniform(journey.noise_key, ticks, _SHOCK)
    shock = 0.05 + np.where(states.acts.moving, 0.9, 0.15) * drawn * drawn
    for event in journey.events:
        if event.what in ("dropped", "handled"):
            felt = (at_s > event.from_s) & (at_s <= event.from_s + journey.interval_s)
            shock = np.where(
                felt, np.maximum(shock, event.amount if event.what == "dropped" else event.amount / 20), shock
            )
    return np.round(shock, 1)


def _ln2_kg(journey: Journey, states: ShipperStates, ticks: Ints) -> Floats | None:
    if not journey.shipper.load_cell:
        return None
    weighed = states.level + LOAD_CELL_KG * gauss(journey.noise_key, ticks, _LOAD)
    return np.maximum(0.0, np.round(weighed / LOAD_CELL_KG) / (1 / LOAD_CELL_KG))


def _lands_ms(journey: Journey, at_s: Floats) -> Ints:
    lands = np.full(len(at_s), -1, np.int64)
    for flight in journey.flights:
        announced = (at_s >= flight.begins_s - FLIGHT_MODE_ANNOUNCED_S) & (at_s < flight.ends_s)
        lands = np.where(announced, journey.clock.wall_ms(flight.ends_s), lands)
    return lands


def _rfc3339(epoch_ms: Ints) -> list[str]:
    return [
        f"{each}Z" for each in np.datetime_as_string(epoch_ms.astype("datetime64[ms]"), unit="ms").tolist()
    ]


def _rows(sent: ObservedReadings) -> Iterator[dict[str, Any]]:
    columns, position = sent.columns, sent.fixes
    acts = sent.states.acts
    lids, pressures = acts.lid_open.tolist(), np.round(acts.pressure_hpa.astype(float), 1).tolist()
    times, landings = _rfc3339(sent.measured_ms), _rfc3339(np.maximum(sent.lands_ms, 0))
    boots, tilts, shocks = sent.boot.tolist(), sent.tilt_deg.tolist(), sent.shock_g.tolist()
    lats, lons, accuracies = position.lat.tolist(), position.lon.tolist(), position.accuracy_m.tolist()
    weights = None if sent.ln2_kg is None else sent.ln2_kg.tolist()
    for row in range(len(times)):
        said = {
            "measured_at": times[row],
            "boot": boots[row],
            **columns.sent(row),
            "pressure_hpa": pressures[row],
            "tilt_deg": tilts[row],
            "shock_g": shocks[row],
            "lid_open": lids[row],
        }
        if weights is not None:
            said["ln2_kg"] = weights[row]
        if position.known[row]:
            said |= {"lat": lats[row], "lon": lons[row], "accuracy_m": accuracies[row]}
        if sent.lands_ms[row] >= 0:
            said["flight_mode_until"] = landings[row]
        yield said
