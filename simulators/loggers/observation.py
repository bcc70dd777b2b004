"""Pure: what a logger has of each reading: what its probes read, its clock, battery, counters and memory.

Everything follows from the instrument, the numbers of the readings (ticks, from 0 at switching on), and the
truth at those ticks. Every row is computed by itself, so a reading computed alone equals its row in a column
to the last bit.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from simulators.arrays import Bools, Floats, Ints
from simulators.loggers.battery import battery_pct
from simulators.loggers.faults import FaultKind, LoggerFault, ProbeName, faults_of
from simulators.loggers.instrument import Instrument
from simulators.loggers.memory import overflowed
from simulators.loggers.quartz_clock import shown_s
from simulators.loggers.restarts import number_readings
from simulators.world.noise import gauss, uniform

_PAYLOAD, _SECOND, _AMBIENT, _SPIKES, _SPIKES_2 = range(16, 21)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrueTemperatures:
    """The true temperatures at each tick, in °C: payload, second probe in the neck, and outside.

    `chill_k2_s` is explained at `quartz_clock.shown_s`.
    """

    payload_c: Floats
    ambient_c: Floats
    second_c: Floats | None = None
    chill_k2_s: Floats | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class LoggerColumns:
    """What the logger has of each tick.

    `measured_s` is by its own clock. `temperature_c` is NaN where it has none. `boot` counts the restarts. A
    row that was not `taken` does not exist, and one that is `lost` has been overwritten. Where the logger is
    `silent` it does not transmit; it sends those readings later.
    """

    tick: Ints
    boot: Ints
    seq: Ints
    measured_s: Floats
    temperature_c: Floats
    probe_ok: Bools
    temperature_2_c: Floats | None
    ambient_c: Floats
    battery_pct: Floats
    taken: Bools
    lost: Bools
    silent: Bools

    def sent(self, number: int) -> dict[str, Any]:
        """Return the fields that a message carries, except time and boot, which need the journey's clock."""
        celsius = float(self.temperature_c[number])
        reading: dict[str, Any] = {"seq": int(self.seq[number])}
        if not math.isnan(celsius):
            reading["temperature_c"] = celsius
        if not self.probe_ok[number]:
            reading["probe_ok"] = False
        if self.temperature_2_c is not None and not math.isnan(second := float(self.temperature_2_c[number])):
            reading["temperature_2_c"] = second
        reading["ambient_c"] = float(self.ambient_c[number])
        reading["battery_pct"] = float(self.battery_pct[number])
        return reading


def with_stuck_values(instrument: Instrument, truth_at: Callable[[Ints], TrueTemperatures]) -> Instrument:
    """Return the instrument with every stuck probe fixed at the value it showed when the fault began.

    Call this once before `observe`, which cannot know that value from later truth. A probe that showed
    nothing then goes on showing nothing.
    """
    settled: list[LoggerFault] = []
    for fault in instrument.faults:
        if fault.kind == "probe_stuck" and fault.amount is None:
            tick = np.array([instrument.first_tick(fault.from_s)])
            before = replace(instrument, faults=tuple(settled))
            shown = observe(before, tick, truth_at(tick))
            column = shown.temperature_c if fault.probe == "payload" else shown.temperature_2_c
            if column is None:
                raise ValueError(f"probe_stuck: {instrument.model.name} has no second probe")
            held = float(column[0])
            stuck = replace(fault, kind="probe_open") if math.isnan(held) else replace(fault, amount=held)
            settled.append(stuck)
        else:
            settled.append(fault)
    return replace(instrument, faults=tuple(settled))


def observe(instrument: Instrument, ticks: Ints, truth: TrueTemperatures) -> LoggerColumns:
    """Return what the logger has of these ticks, in any order; `truth` has one row for each.

    Raises a ValueError for a stuck probe without its value; see `with_stuck_values`.
    """
    ticks = np.asarray(ticks, dtype=np.int64)
    at_s = instrument.at_s(ticks)
    battery = battery_pct(instrument, at_s, truth.ambient_c)
    boot, seq, running = number_readings(instrument, ticks)
    payload, probe_ok = _probe(instrument, ticks, at_s, truth, "payload")
    second = _probe(instrument, ticks, at_s, truth, "second")[0] if instrument.model.two_probes else None
    return LoggerColumns(
        tick=ticks,
        boot=boot,
        seq=seq,
        measured_s=shown_s(instrument, at_s, truth.chill_k2_s),
        temperature_c=payload,
        probe_ok=probe_ok,
        temperature_2_c=second,
        ambient_c=_rounded(truth.ambient_c + 0.2 * gauss(instrument.key, ticks, _AMBIENT), 10),
        battery_pct=_rounded(battery, 10),
        taken=running & (battery > 0),
        lost=overflowed(instrument, ticks),
        silent=_any(instrument, at_s, "silent"),
    )


def _probe(
    instrument: Instrument, ticks: Ints, at_s: Floats, truth: TrueTemperatures, probe: ProbeName
) -> tuple[Floats, Bools]:
    """Return what a probe reads, NaN for nothing, and whether the logger takes the probe for sound."""
    model, second = instrument.model, probe == "second"
    value = _place(instrument, at_s, truth, probe)
    noise = model.noise_c * gauss(instrument.key, ticks, _SECOND if second else _PAYLOAD)
    value = value + (instrument.calibration_2_c if second else instrument.calibration_c) + noise
    value = np.clip(value, model.low_c, model.high_c)
    probe_ok = np.ones(len(at_s), dtype=np.bool_)
    for fault in faults_of(
        instrument.faults, "probe_spikes", "probe_stuck", "probe_short", "probe_open", probe=probe
    ):
        acts = fault.acts(at_s)
        if fault.kind == "probe_spikes":
            value = np.where(acts, value + _spikes(instrument.key, ticks, fault), value)
        elif fault.amount is not None:
            value = np.where(acts, fault.amount, value)
        elif fault.kind == "probe_open":
            value, probe_ok = np.where(acts, np.nan, value), probe_ok & ~acts
        else:
            raise ValueError("probe_stuck: its value is not known; with_stuck_values() finds it")
    return _rounded(value, model.steps_per_k), probe_ok


def _place(instrument: Instrument, at_s: Floats, truth: TrueTemperatures, probe: ProbeName) -> Floats:
    """Return the temperature at the place where the probe really is."""
    other = truth.ambient_c if truth.second_c is None else truth.second_c
    here, there = (other, truth.payload_c) if probe == "second" else (truth.payload_c, other)
    here = np.where(_any(instrument, at_s, "probe_swapped"), there, here)
    if probe == "payload":
        here = np.where(_any(instrument, at_s, "ambient_instead"), truth.ambient_c, here)
    return here


def _spikes(key: int, ticks: Ints, fault: LoggerFault) -> Floats:
    channel = _SPIKES_2 if fault.probe == "second" else _SPIKES
    drawn = uniform(key, ticks, channel)
    # One number decides both: below `share` there is a spike, and in the lower half of that it points down.
    height = np.where(drawn < fault.share / 2, -fault.level, fault.level)
    return np.where(drawn < fault.share, height, 0.0)


def _any(instrument: Instrument, at_s: Floats, kind: FaultKind) -> Bools:
    acts = np.zeros(len(at_s), dtype=np.bool_)
    for fault in faults_of(instrument.faults, kind):
        acts |= fault.acts(at_s)
    return acts


def _rounded(value: Floats, steps: float) -> Floats:
    # Divided by 10, not multiplied by 0.1, so that 37 tenths are the float that is written 3.7.
    return np.asarray(np.round(value * steps) / steps, dtype=np.float64)
