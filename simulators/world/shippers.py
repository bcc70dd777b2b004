"""Pure: the models of shipper: the band each is sent in, its plan, and its coolant.

Units are drawn from a model.
"""

import math
from dataclasses import dataclass, field
from random import Random

from simulators.world.coolants import CoolantKind, ShipperFigures

# Units of one model differ by up to 40 % ([O'Donnell], see world/coolants.py): 1.18 is 1.4 times 0.84.
UNIT_SPREAD, UNIT_LEAST, UNIT_MOST = 0.1, 0.84, 1.18
LEAST_TILT_LOSS = 0.35


@dataclass(frozen=True, kw_only=True, slots=True)
class Shipper:
    """A model of shipper.

    Limits are in °C, as the band defines them; `overrides` are those that a shipment changes. `capacity_kg`,
    `loss`, `warms_h`, `melts_c` and `moving` mean what they mean in `coolants.ShipperFigures`. `charge` is
    the share of the capacity at departure. With a `load_cell` it weighs its nitrogen. `loggers` names the
    logger models that it carries.
    """

    name: str
    code: str
    model: str
    coolant: CoolantKind
    band: str
    lower_c: float | None
    upper_c: float
    critical_low_c: float | None
    critical_high_c: float
    overrides: dict[str, float | None] = field(default_factory=dict)
    deadband_c: float = 0.5
    on_delay_s: float
    budget_s: float
    max_gap_s: float = 1800
    hold_time_h: float
    capacity_kg: float
    charge: float = 1.0
    loss: float
    moving: float = 1.0
    warms_h: float
    melts_c: float = 0.0
    starts_c: float
    load_cell: bool = False
    loggers: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ShipperUnit:
    """One unit on one journey: its share of a full charge, its heat leak, and its loss by tilt."""

    charge: float
    leak: float
    tilt_share: float

    def of(self, shipper: Shipper) -> ShipperFigures:
        """Return the figures of this unit of a model."""
        return ShipperFigures.of(
            capacity=shipper.capacity_kg,
            charge=shipper.capacity_kg * self.charge,
            loss=shipper.loss,
            leak=self.leak,
            moving=shipper.moving,
            tilt_share=self.tilt_share,
            warms_s=shipper.warms_h * 3600,
            melts_c=shipper.melts_c,
        )


def draw_unit(
    shipper: Shipper, charge: tuple[float, float] | None, leak: tuple[float, float], random: Random
) -> ShipperUnit:
    """Draw a unit of a model.

    `charge` is the range of its charge, None for the model's; `leak` scales its heat leak.
    """
    drawn = min(UNIT_MOST, max(UNIT_LEAST, math.exp(random.gauss(0, UNIT_SPREAD))))
    return ShipperUnit(
        charge=shipper.charge if charge is None else random.uniform(*charge),
        leak=drawn * random.uniform(*leak),
        tilt_share=random.uniform(LEAST_TILT_LOSS, 1),
    )


def _nitrogen(name: str, code: str, model: str, capacity_kg: float, *, load_cell: bool = False) -> Shipper:
    # It lasts 10 days at rest in a room. On the move it loses 40 % more, and lasts 7.
    return Shipper(
        name=name,
        code=code,
        model=model,
        coolant="nitrogen",
        band="cryogenic",
        lower_c=None,
        upper_c=-150,
        critical_low_c=None,
        critical_high_c=-135,
        on_delay_s=0,
        budget_s=7200,
        hold_time_h=240,
        capacity_kg=capacity_kg,
        loss=capacity_kg / 10,
        moving=1.4,
        warms_h=12.4,
        starts_c=-190.5,
        loggers=("cryo-2", "cryo-2", "cryo-1"),
        load_cell=load_cell,
    )


def _box(
    name: str, band: str, limits: tuple[float, float, float, float], budget_s: float, melts_c: float
) -> Shipper:
    # Vacuum panels of 0.14 W/K around 10 kg of material with 200 kJ/kg last four to six days in a room.
    lower_c, upper_c, critical_low_c, critical_high_c = limits
    return Shipper(
        name=name,
        code="PCM",
        model="phase-change box",
        coolant="phase-change",
        band=band,
        lower_c=lower_c,
        upper_c=upper_c,
        critical_low_c=critical_low_c,
        critical_high_c=critical_high_c,
        on_delay_s=600,
        budget_s=budget_s,
        hold_time_h=96,
        capacity_kg=10.0,
        charge=0.7,
        loss=0.06,
        warms_h=24,
        melts_c=melts_c,
        starts_c=melts_c,
        loggers=("chip",),
    )


SHIPPERS = {
    shipper.name: shipper
    for shipper in (
        # The absorbent holds 4.1 litres of 0.808 kg each.
        _nitrogen("nitrogen", "LN2", "dry vapour shipper", 3.3),
        # At cabin pressure dry ice is colder than at sea level, so its shipments have no lower limit.
        Shipper(
            name="dry-ice",
            code="ICE",
            model="dry-ice shipper",
            coolant="dry-ice",
            band="ultra_low",
            lower_c=None,
            upper_c=-70,
            critical_low_c=None,
            critical_high_c=-60,
            overrides={"lower_c": None},
            on_delay_s=300,
            budget_s=14_400,
            hold_time_h=168,
            # 10 % a day. Large boxes lose some 8 % of their ice a day, small ones with pellets five times as
            # much.
            capacity_kg=20.0,
            loss=2.0,
            warms_h=10,
            starts_c=-78.0,
            loggers=("cryo-1",),
        ),
        _box("box-20", "controlled", (2, 25, 0, 40), 86_400, 21.0),
        _box("box-5", "refrigerated", (2, 8, 0, 25), 43_200, 5.0),
        _nitrogen("nitrogen-weighed", "LNW", "dry vapour shipper with load cell", 3.3, load_cell=True),
        _nitrogen("nitrogen-large", "LNL", "large dry vapour shipper", 8.5, load_cell=True),
    )
}
USUAL_SHIPPERS = ("nitrogen", "dry-ice", "box-20", "box-5")
