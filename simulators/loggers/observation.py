"""Pure: what a logger makes of the truth: its sensors, its clock, its battery, its memory, and what is wrong with them.

Everything follows from the instrument, the numbers of the readings (ticks, from 0 at switching on) and the truth at
those ticks, each row by itself: a reading computed alone equals its row of a column, to the last bit.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from simulators.arrays import Bools, Floats, Ints
from simulators.loggers.battery import battery_pct
from simulators.loggers.faults import Fault, FaultKind, ProbeName, faults_of
from simulators.loggers.instrument import Instrument
from simulators.loggers.memory import overflowed
from simulators.loggers.quartz_clock import shown_s
from simulators.loggers.restarts import number_readings
from simulators.world.noise_columns import gauss, uniform

_PAYLOAD, _SECOND, _AMBIENT, _SPIKES, _SPIKES_2 = range(16, 21)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrueTemperatures:
    """What holds at each tick, in °C: at the payload, at the second probe in the neck (if there is one), outside.

    `chill_k2_s` is `chill()` of the logger's own temperature from switching on to each tick; None is a clock at 25 °C.
    """

    payload_c: Floats
    ambient_c: Floats
    second_c: Floats | None = None
    chill_k2_s: Floats | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class LoggerColumns:
    """What the logger has of each tick. `temperature_c` is NaN where it has none; `measured_s` is by its own clock.

    `boot` counts the restarts. Rows where `taken` is false do not exist, and what is `lost` has been overwritten;
    `silent` are instants at which it does not transmit: those readings are sent afterwards.
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

    def row(self, number: int) -> "LoggerColumns":
        """Return one row, as columns of one."""
        cut: dict[str, Any] = {}
        for each in fields(self):
            column = getattr(self, each.name)
            cut[each.name] = None if column is None else column[number : number + 1]
        return LoggerColumns(**cut)

    def sent(self, number: int) -> dict[str, Any]:
        """Return the fields of a row that a message carries, less time and boot, which hang on the journey's clock."""
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
    """Return the instrument with each stuck probe stuck at what it showed when the fault began.

    To be called once, before `observe`: no later reading could know that value from its own truth. One that showed
    nothing then goes on showing nothing.
    """
    settled: list[Fault] = []
    for fault in instrument.faults:
        if fault.kind == "probe_stuck" and fault.amount is None:
            tick = np.array([instrument.first_tick(fault.from_s)])
            before = replace(instrument, faults=tuple(settled))
            shown = observe(before, tick, truth_at(tick))
            column = shown.temperature_c if fault.probe == "payload" else shown.temperature_2_c
            if column is None:
                raise ValueError(f"probe_stuck: {instrument.model.name} has no second probe")
            held = float(column[0])
            fault = replace(fault, kind="probe_open") if math.isnan(held) else replace(fault, amount=held)  # noqa: PLW2901
        settled.append(fault)
    return replace(instrument, faults=tuple(settled))


def observe(instrument: Instrument, ticks: Ints, truth: TrueTemperatures) -> LoggerColumns:
    """Return what the logger has of these ticks, in any order; `truth` has a row for each.

    A stuck probe needs its value: see `with_held`.
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
    """Return what a probe reads, NaN for nothing, and whether the logger takes it for sound."""
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
            raise ValueError("probe_stuck: at what is not known; with_held() finds it out")
    return _rounded(value, model.steps_per_k), probe_ok


def _place(instrument: Instrument, at_s: Floats, truth: TrueTemperatures, probe: ProbeName) -> Floats:
    """Return the temperature where the probe really is."""
    other = truth.ambient_c if truth.second_c is None else truth.second_c
    here, there = (other, truth.payload_c) if probe == "second" else (truth.payload_c, other)
    here = np.where(_any(instrument, at_s, "probe_swapped"), there, here)
    if probe == "payload":
        here = np.where(_any(instrument, at_s, "ambient_instead"), truth.ambient_c, here)
    return here


def _spikes(key: int, ticks: Ints, fault: Fault) -> Floats:
    channel = _SPIKES_2 if fault.probe == "second" else _SPIKES
    drawn = uniform(key, ticks, channel)
    # The same number says whether and which way: below `share` it is a spike, in its lower half a downward one.
    height = np.where(drawn < fault.share / 2, -fault.level, fault.level)
    return np.where(drawn < fault.share, height, 0.0)


def _any(instrument: Instrument, at_s: Floats, kind: FaultKind) -> Bools:
    acts = np.zeros(len(at_s), dtype=np.bool_)
    for fault in faults_of(instrument.faults, kind):
        acts |= fault.acts(at_s)
    return acts


def _rounded(value: Floats, steps: float) -> Floats:
    # Divided, not multiplied by 0.1: so that 37 tenths are the float that is written 3.7.
    return np.asarray(np.round(value * steps) / steps, dtype=np.float64)
