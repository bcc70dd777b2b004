"""Pure: how liquid nitrogen, dry ice and phase-change material keep a payload cold, and for how long.

Each law describes a shipper in constant surroundings. It has two regimes: one until something changes inside
(the coolant is used up, or a material starts or stops melting), and one from then on. In both, the level of
the coolant changes linearly and the payload follows Newton's law of cooling, so every instant has a closed
form.

Sources of the figures, by the names used below:

- [Spijkers] Spijkers, Damas, Vanapalli, "Assessment of the cold storage performance of a device used in deep
  frozen cold chain", 26th IIR International Congress of Refrigeration, Paris 2023, no. 0199: a dry shipper's
  mass falls linearly, its holder stays at nearly one temperature until the nitrogen is gone, then warms
  linearly.
- [O'Donnell] O'Donnell, "10 things you should know about dry shippers", Fisher BioServices, 2013: units of
  one model differ by up to 40 %; on its side a shipper can lose 60 % of its hold time in a few hours; upside
  down for a few hours, days become hours.
- [Caldwell] Caldwell, Lewis, Shaffstall, Johnson, "Sublimation rate of dry ice packaged in commonly used
  quantities by the air cargo industry", DOT/FAA/AM-06/19, 2006: 2.0 ± 0.3 % an hour for 2.3 kg of pellets in
  a small box at 8000 ft.
- [PDA] "Impact of excessive sublimation cooling on the internal temperature of passive shippers cooled by dry
  ice", PDA J Pharm Sci Technol, 2019, doi 10.5731/pdajpst.2018.009589: below -78.5 °C in use; -93.2 °C in a
  shipper on its side, -100.6 °C under forced air.
- [Span] Span, Wagner, J. Phys. Chem. Ref. Data 25 (1996) 1509: CO2 sublimes at 194.69 K under 1013.25 hPa,
  with an enthalpy of 25.2 kJ/mol.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from simulators.arrays import AnyFloats
from simulators.world.forcing import SEA_LEVEL_HPA, Forcing

CoolantKind = Literal["nitrogen", "dry-ice", "phase-change"]

NITROGEN_BOILS_C = -195.8
ROOM_C = 20.0
DAY_S = 86_400.0
HOUR_S = 3600.0

# Vapour temperatures in a tank of liquid nitrogen, at the bottom and under the lid. In a shipper the payload
# sits low.
TANK_BOTTOM_C, TANK_TOP_C = -195.0, -177.0
PAYLOAD_HEIGHT = 0.25

# 6 hours on its side cost 60 % of the hold time, 3 hours upside down nearly all of it [O'Donnell].
ON_ITS_SIDE = 0.60 / (6 / 240)
UPSIDE_DOWN = 0.95 / (3 / 240)
HARMLESS_TILT_DEG = 20.0

CO2_SUBLIMES_K = 194.69
CO2_ENTHALPY_K = 25_200 / 8.314462  # divided by the gas constant
KELVIN = 273.15


@dataclass(frozen=True, kw_only=True, slots=True)
class ShipperFigures:
    """The figures of individual shippers, as arrays with one entry for each.

    `capacity` and `charge` (the content at first) are in kg; of phase-change material they count what is
    frozen. `loss` is what is lost in a day at rest in a room of 20 °C: for nitrogen and dry ice in kg a day,
    for phase-change material in kg a day and kelvin. `leak` multiplies the heat leak; 1 is what the model
    promises. `tilt_share`, 0 to 1, is how much of the published loss by tilt this unit suffers. `moving`
    multiplies the loss while the shipper moves. `warms_s` is the time constant without coolant. `melts_c` is
    the melting point of a phase-change material.
    """

    capacity: AnyFloats
    charge: AnyFloats
    loss: AnyFloats
    leak: AnyFloats
    moving: AnyFloats
    tilt_share: AnyFloats
    warms_s: AnyFloats
    melts_c: AnyFloats

    @classmethod
    def of(cls, **values: float) -> Self:
        """Return the figures of a single shipper."""
        usual = {"leak": 1.0, "moving": 1.0, "tilt_share": 1.0, "melts_c": 0.0} | values
        return cls(**{name: np.array([value], np.float64) for name, value in usual.items()})

    @classmethod
    def joined(cls, each: list[Self]) -> Self:
        """Return the figures of several shippers, in their order, as one."""
        return cls(**{f.name: np.concatenate([getattr(one, f.name) for one in each]) for f in fields(cls)})

    def at(self, index: NDArray[np.intp]) -> Self:
        """Return the figures of the shippers at these indices."""
        return type(self)(**{f.name: getattr(self, f.name)[index] for f in fields(self)})


@dataclass(frozen=True, kw_only=True, slots=True)
class Evolution:
    """How shippers evolve in constant surroundings: in one regime until `turns_s`, then in another.

    `rate` is the change of the level in kg a second. The payload approaches `tends_c` with the time constant
    `tau_s`. `turns_to` is the exact level at the turn. The fields that begin with `then_` are those of the
    second regime.
    """

    rate: AnyFloats
    tends_c: AnyFloats
    tau_s: AnyFloats
    turns_s: AnyFloats
    turns_to: AnyFloats
    then_rate: AnyFloats
    then_tends_c: AnyFloats
    then_tau_s: AnyFloats


def stratified_c(height: float) -> float:
    """Return the temperature of the vapour over liquid nitrogen at a height of 0 (bottom) to 1 (lid)."""
    return TANK_BOTTOM_C + (TANK_TOP_C - TANK_BOTTOM_C) * height


def tilt_factor(tilt_deg: AnyFloats, tilt_share: AnyFloats) -> AnyFloats:
    """Return the factor on the loss: 1 up to 20°, then the published figures [O'Donnell].

    In between it is linear: the cold, dense vapour pours out of the neck faster the further the neck points
    down.
    """
    side = np.clip((tilt_deg - HARMLESS_TILT_DEG) / (90.0 - HARMLESS_TILT_DEG), 0.0, 1.0)
    down = np.clip((tilt_deg - 90.0) / 90.0, 0.0, 1.0)
    return np.asarray(1.0 + tilt_share * ((ON_ITS_SIDE - 1.0) * side + (UPSIDE_DOWN - ON_ITS_SIDE) * down))


def sublimes_c(pressure_hpa: AnyFloats) -> AnyFloats:
    """Return the sublimation point of dry ice at a pressure, by Clausius and Clapeyron.

    At sea level it is -78.46 °C [Span].
    """
    inverse = 1.0 / CO2_SUBLIMES_K + np.log(SEA_LEVEL_HPA / pressure_hpa) / CO2_ENTHALPY_K
    return np.asarray(1.0 / inverse - KELVIN)


def nitrogen(
    figures: ShipperFigures, acts: Forcing, level: AnyFloats, _celsius: AnyFloats, lasts_s: AnyFloats
) -> Evolution:
    """Return how dry vapour shippers evolve: the mass falls linearly, then the payload warms [Spijkers].

    The heat leak grows with the difference between the surroundings and 77 K. The payload warms by 2 °C as
    the absorbent dries. With the lid off, the vapour is gone in half an hour and the nitrogen boils eight
    times as fast. During a recharge the level rises evenly to the capacity by the end of the segment, and the
    poured nitrogen keeps the payload cold.
    """
    ambient_c = acts.ambient_c.astype(np.float64)
    lost = (
        figures.loss
        / DAY_S
        * figures.leak
        * acts.leak
        * (ambient_c - NITROGEN_BOILS_C)
        / (ROOM_C - NITROGEN_BOILS_C)
        * tilt_factor(acts.tilt_deg, figures.tilt_share)
        * np.where(acts.moving, figures.moving, 1.0)
        * np.where(acts.lid_open, 8.0, 1.0)
    )
    filled = (figures.capacity - level) / np.maximum(lasts_s, 1.0)
    rests_c = stratified_c(PAYLOAD_HEIGHT) + 2.0 * (1.0 - level / figures.capacity)
    return Evolution(
        rate=np.where(acts.recharging, filled, -lost),
        tends_c=np.where(acts.lid_open & ~acts.recharging, rests_c + 0.7 * (ambient_c - rests_c), rests_c),
        tau_s=np.where(acts.recharging, 300.0, np.where(acts.lid_open, 1800.0, HOUR_S)),
        turns_s=np.where(acts.recharging, np.inf, level / lost),
        turns_to=np.zeros_like(lost),
        then_rate=np.zeros_like(lost),
        then_tends_c=ambient_c,
        then_tau_s=np.where(acts.lid_open, 2 * HOUR_S, figures.warms_s / (figures.leak * acts.leak)),
    )


def dry_ice(
    figures: ShipperFigures, acts: Forcing, level: AnyFloats, _celsius: AnyFloats, lasts_s: AnyFloats
) -> Evolution:
    """Return how dry-ice shippers evolve: at the sublimation point of the pressure, then warming.

    On its side a shipper is up to 10 °C colder, and under forced air up to 22 °C, because the gas is carried
    off [PDA]. That costs ice.
    """
    ambient_c = acts.ambient_c.astype(np.float64)
    side = np.clip((acts.tilt_deg - HARMLESS_TILT_DEG) / (90.0 - HARMLESS_TILT_DEG), 0.0, 1.0)
    rests_c = sublimes_c(acts.pressure_hpa) + 0.5 - 10.0 * side * figures.tilt_share - 22.0 * acts.air
    lost = (
        figures.loss
        / DAY_S
        * figures.leak
        * acts.leak
        * (ambient_c - rests_c)
        / (ROOM_C - sublimes_c(np.array(SEA_LEVEL_HPA)))
        * np.where(acts.lid_open, 5.0, 1.0)
        * (1.0 + acts.air)
    )
    filled = (figures.capacity - level) / np.maximum(lasts_s, 1.0)
    return Evolution(
        rate=np.where(acts.recharging, filled, -lost),
        tends_c=np.where(acts.lid_open & ~acts.recharging, rests_c + 0.9 * (ambient_c - rests_c), rests_c),
        tau_s=np.where(acts.lid_open, HOUR_S, HOUR_S / 2),
        turns_s=np.where(acts.recharging, np.inf, level / lost),
        turns_to=np.zeros_like(lost),
        then_rate=np.zeros_like(lost),
        then_tends_c=ambient_c,
        then_tau_s=np.where(acts.lid_open, 3 * HOUR_S, figures.warms_s / (figures.leak * acts.leak)),
    )


def phase_change(
    figures: ShipperFigures, acts: Forcing, level: AnyFloats, celsius: AnyFloats, _lasts_s: AnyFloats
) -> Evolution:
    """Return how boxes with a phase-change material evolve: latent heat holds a plateau.

    The level is what is frozen; heat melts it and cold freezes it again. On the plateau 6 % of the difference
    to the surroundings reach the payload, 70 % with the lid open. When all is molten or all is frozen, the
    box drifts to the surroundings with its time constant. When it comes back to the melting point, the
    plateau begins again.
    """
    ambient_c = acts.ambient_c.astype(np.float64)
    leak = figures.leak * acts.leak * np.where(acts.lid_open, 6.0, 1.0)
    melts = figures.loss / DAY_S * leak * (ambient_c - figures.melts_c)  # kg a second, below 0 it freezes
    molten, frozen = level <= 0.0, level >= figures.capacity
    drifts = (molten & ((melts >= 0.0) | (celsius > figures.melts_c))) | (
        frozen & ((melts <= 0.0) | (celsius < figures.melts_c))
    )
    tau_s = figures.warms_s / leak
    reaches = (
        drifts
        & ((celsius > figures.melts_c) == (ambient_c < figures.melts_c))
        & (ambient_c != figures.melts_c)
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        back_s = np.where(
            reaches, tau_s * np.log((celsius - ambient_c) / (figures.melts_c - ambient_c)), np.inf
        )
        used_s = np.where(
            melts > 0.0, level / melts, np.where(melts < 0.0, (level - figures.capacity) / melts, np.inf)
        )
    plateau_c = figures.melts_c + np.where(acts.lid_open, 0.7, 0.06) * (ambient_c - figures.melts_c)
    plateau_s = np.where(acts.lid_open, 0.75, 1.5) * HOUR_S
    return Evolution(
        rate=np.where(drifts, 0.0, -melts),
        tends_c=np.where(drifts, ambient_c, plateau_c),
        tau_s=np.where(drifts, tau_s, plateau_s),
        turns_s=np.where(drifts, back_s, used_s),
        turns_to=np.where(drifts, level, np.where(melts > 0.0, 0.0, figures.capacity)),
        then_rate=np.where(drifts, -melts, 0.0),
        then_tends_c=np.where(drifts, plateau_c, ambient_c),
        then_tau_s=np.where(drifts, plateau_s, tau_s),
    )


LAWS: Mapping[
    CoolantKind, Callable[[ShipperFigures, Forcing, AnyFloats, AnyFloats, AnyFloats], Evolution]
] = {
    "nitrogen": nitrogen,
    "dry-ice": dry_ice,
    "phase-change": phase_change,
}
