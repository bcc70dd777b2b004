"""Pure: what acts on shippers from outside, as piecewise constant arrays with one row for each shipper."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
from numpy.typing import NDArray

from simulators.arrays import AnyFloats, Bools

SEA_LEVEL_HPA = 1013.25


@dataclass(frozen=True, kw_only=True, slots=True)
class Forcing:
    """Segments of constant surroundings, as arrays of shape (segments,), or stacked as (shippers, segments).

    `begins_s` counts from the moment the logger was switched on. A segment lasts until the next one begins;
    the last one has no end. `tilt_deg` is the angle from upright, 180 being upside down. `leak` multiplies
    the heat leak; 1 is a sound vacuum. `air` is 1 in forced cold air and 0 in still air. `moving`, `lid_open`
    and `recharging` are flags.
    """

    begins_s: AnyFloats
    ambient_c: AnyFloats
    tilt_deg: AnyFloats
    pressure_hpa: AnyFloats
    leak: AnyFloats
    air: AnyFloats
    moving: Bools
    lid_open: Bools
    recharging: Bools

    @classmethod
    def still(cls, begins_s: Sequence[float] = (0.0,), **changes: object) -> Self:
        """Return surroundings of 20 °C at sea level, upright and at rest, with `changes` applied.

        A change is a number, or a sequence with one number for each segment.
        """
        usual = {
            "ambient_c": 20.0,
            "tilt_deg": 0.0,
            "pressure_hpa": SEA_LEVEL_HPA,
            "leak": 1.0,
            "air": 0.0,
            "moving": False,
            "lid_open": False,
            "recharging": False,
        } | changes
        flags = ("moving", "lid_open", "recharging")
        arrays = {
            name: np.broadcast_to(
                np.asarray(value, bool if name in flags else np.float32), len(begins_s)
            ).copy()
            for name, value in usual.items()
        }
        return cls(begins_s=np.asarray(begins_s, np.float32), **arrays)

    @classmethod
    def stacked(cls, each: Sequence[Self]) -> Self:
        """Stack rows of different lengths. Short rows repeat their last segment.

        A repeated segment begins when the last one does and lasts no time, so it changes nothing.
        """
        length = max(len(one.begins_s) for one in each)
        return cls(
            **{
                field.name: np.stack([_filled(getattr(one, field.name), length) for one in each])
                for field in fields(cls)
            }
        )

    def row(self, index: int, segments: int) -> Self:
        """Return the first `segments` segments of one shipper of a stack, as copies."""
        return type(self)(**{f.name: getattr(self, f.name)[index, :segments].copy() for f in fields(self)})

    def during(self, at: tuple[NDArray[np.intp], ...] | NDArray[np.intp]) -> Self:
        """Return the segments at these indices, in their order."""
        return type(self)(**{f.name: getattr(self, f.name)[at] for f in fields(self)})

    def column(self, segment: int) -> Self:
        """Return one segment of every shipper of a stack."""
        return type(self)(**{f.name: getattr(self, f.name)[:, segment] for f in fields(self)})


def _filled(values: NDArray[np.generic], length: int) -> NDArray[np.generic]:
    return np.concatenate([values, np.repeat(values[-1:], length - len(values))])
