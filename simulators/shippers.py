"""Pure: the kinds of shipper, each with the band it is sent in, its plan and how it takes what happens to it."""

from dataclasses import dataclass, field
from typing import Literal

Trouble = Literal["lid_open", "hot_tarmac", "nitrogen_gone", "cabin_pressure", "probe_dead"]


@dataclass(frozen=True, slots=True)
class Response:
    """How a payload follows: the excess it tends to in °C, and its time constants in seconds there and back."""

    excess_c: float
    rise_s: float
    recover_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Shipper:
    """A kind of shipper. Limits in °C as the band defines them; `overrides` are those that the shipment changes."""

    name: str
    code: str
    model: str
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
    rest_c: float
    wander_c: float
    noise_c: float
    day_c: float = 0
    responses: dict[Trouble, Response]


SHIPPERS = {
    shipper.name: shipper
    for shipper in (
        # The vapour over saturated absorbent stays flat near -190 °C for the hold time, then warms at some 17 °C/h.
        Shipper(
            name="nitrogen",
            code="LN2",
            model="dry vapour shipper",
            band="cryogenic",
            lower_c=None,
            upper_c=-150,
            critical_low_c=None,
            critical_high_c=-135,
            on_delay_s=0,
            budget_s=7200,
            hold_time_h=240,
            rest_c=-190,
            wander_c=0.8,
            noise_c=0.25,
            responses={
                "lid_open": Response(150, 1800, 3600),
                "nitrogen_gone": Response(211, 43_200, 3600),
            },
        ),
        # Solid CO2 is at -78.5 °C at sea level and colder where the pressure is that of a cabin, 0.75 atm:
        # which is why its shipments carry no lower limit.
        Shipper(
            name="dry-ice",
            code="ICE",
            model="dry-ice shipper",
            band="ultra_low",
            lower_c=None,
            upper_c=-70,
            critical_low_c=None,
            critical_high_c=-60,
            overrides={"lower_c": None},
            on_delay_s=300,
            budget_s=14_400,
            hold_time_h=120,
            rest_c=-78,
            wander_c=0.4,
            noise_c=0.2,
            responses={
                "lid_open": Response(90, 3600, 3600),
                "cabin_pressure": Response(-2.9, 1200, 1200),
            },
        ),
        Shipper(
            name="box-20",
            code="PCM",
            model="phase-change box",
            band="controlled",
            lower_c=2,
            upper_c=25,
            critical_low_c=0,
            critical_high_c=40,
            on_delay_s=600,
            budget_s=86_400,
            hold_time_h=96,
            rest_c=20,
            wander_c=0.6,
            noise_c=0.1,
            day_c=1.2,
            responses={"lid_open": Response(4, 5400, 7200), "hot_tarmac": Response(30, 28_800, 10_800)},
        ),
        Shipper(
            name="box-5",
            code="PCM",
            model="phase-change box",
            band="refrigerated",
            lower_c=2,
            upper_c=8,
            critical_low_c=0,
            critical_high_c=25,
            on_delay_s=600,
            budget_s=43_200,
            hold_time_h=96,
            rest_c=5,
            wander_c=0.4,
            noise_c=0.1,
            day_c=0.6,
            responses={"lid_open": Response(16, 5400, 7200), "hot_tarmac": Response(40, 28_800, 10_800)},
        ),
    )
}
