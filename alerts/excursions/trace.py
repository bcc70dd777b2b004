"""Pure: one device's readings as columns, which keeps the cost per reading small."""

from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from alerts.model import Instant

Instants: TypeAlias = NDArray[np.int64]
Celsius: TypeAlias = NDArray[np.float64]


class Channel(StrEnum):
    """What a reading may carry beside the payload's temperature, each as a float; `lid_open` as 0 or 1."""

    SECOND_C = "temperature_2_c"
    AMBIENT_C = "ambient_c"
    BATTERY_PCT = "battery_pct"
    TILT_DEG = "tilt_deg"
    SHOCK_G = "shock_g"
    LID_OPEN = "lid_open"
    LN2_KG = "ln2_kg"
    LAT = "lat"
    LON = "lon"
    ACCURACY_M = "accuracy_m"
    SEQ = "seq"
    BOOT = "boot"
    RECEIVED_AT = "received_at"
    FLIGHT_MODE_UNTIL = "flight_mode_until"
    """Instants; they, seq and boot are below 2^53, so exact."""


@dataclass(frozen=True, slots=True)
class Trace:
    """Readings in strict order of time, as microseconds since the epoch and °C; NaN is a broken probe.

    `channels` has those that at least one of the readings carries, as columns of the same length, NaN
    where it does not.
    """

    at: Instants
    celsius: Celsius
    channels: Mapping[Channel, NDArray[np.float64]] = field(default_factory=dict)
    cache: dict[Hashable, Any] = field(default_factory=dict, compare=False, repr=False)
    """Results derived from the trace that several callers need; each caller keeps its own, under its own
    key."""

    @classmethod
    def of(cls, samples: Iterable[tuple[Instant, float | None]]) -> Self:
        """Make a trace of samples that are in order."""
        rows = list(samples)
        return cls(
            np.fromiter((at for at, _ in rows), np.int64, len(rows)),
            np.fromiter((np.nan if c is None else c for _, c in rows), np.float64, len(rows)),
        )

    def __len__(self) -> int:
        return len(self.at)

    def __getitem__(self, part: slice) -> "Trace":
        channels = {name: values[part] for name, values in self.channels.items()}
        return Trace(self.at[part], self.celsius[part], channels)

    def samples(self) -> Iterator[tuple[Instant, float]]:
        """Yield the readings one by one; with NaN where the probe is broken."""
        return zip(self.at.tolist(), self.celsius.tolist(), strict=True)

    def within(self, start: Instant, end: Instant | None) -> "Trace":
        """Return the part that was measured in `start <= at < end`."""
        first = int(self.at.searchsorted(start))
        last = len(self.at) if end is None else int(self.at.searchsorted(end))
        return self if first == 0 and last == len(self.at) else self[first : max(first, last)]


EMPTY = Trace.of(())
