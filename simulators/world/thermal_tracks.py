"""Pure: the temperatures of shippers over their journeys, stepped together and exact at any instant.

A track keeps only the state at the beginning of each segment, 32 bytes a segment with its surroundings.
Everything in between follows from the law of the coolant. The state is rounded to 32 bits before the next
step, so that a shipper solved alone and one of 100,000 are equal to the last bit.
"""

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import accumulate
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from simulators.arrays import AnyFloats, Bools
from simulators.world.coolants import LAWS, CoolantKind, Evolution, ShipperFigures
from simulators.world.forcing import Forcing

# The second probe sits in the neck, or at the wall of a box. These are its shares of the way from the payload
# to the surroundings, with the lid shut and open, and its time constant.
NECK_SHARE, NECK_SHARE_OPEN = 0.06, 0.5
NECK_S = 600.0
# The columns of a packed track, in order. Most of them hardly change, so they compress to a fifth.
STATE_COLUMNS: Final = ("level", "payload_c", "neck_excess_c")
_FLAGS: Final = {"moving", "lid_open", "recharging"}
PACKED_COLUMNS: Final = tuple(
    (name, np.dtype(np.bool_ if name in _FLAGS else np.float32))
    for name in (*(each.name for each in fields(Forcing)), *STATE_COLUMNS)
)
COMPRESSION: Final = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class ShipperStates:
    """Shippers at instants: coolant level in kg, payload and second probe in °C, and what acts on them."""

    level: AnyFloats
    payload_c: AnyFloats
    neck_c: AnyFloats
    acts: Forcing


@dataclass(frozen=True, kw_only=True, slots=True)
class ThermalTrack:
    """One shipper over its journey. Times are seconds since its logger was switched on."""

    coolant: CoolantKind
    figures: ShipperFigures
    forcing: Forcing
    level: NDArray[np.float32]
    payload_c: NDArray[np.float32]
    neck_excess_c: NDArray[np.float32]

    def at(self, at_s: Sequence[float] | AnyFloats) -> ShipperStates:
        """Return the states at instants, in any order.

        Instants before the first segment count as its beginning.
        """
        at = np.ascontiguousarray(at_s, np.float64)
        segment = np.maximum(np.searchsorted(self.forcing.begins_s, at, side="right") - 1, 0)
        acts = self.forcing.during(segment)
        level, payload_c = self.level[segment].astype(np.float64), self.payload_c[segment].astype(np.float64)
        evolution = self._evolution(segment, acts, level, payload_c)
        since_s = np.maximum(at - acts.begins_s, 0.0)
        level_then, payload_then_c = _advanced(evolution, level, payload_c, since_s)
        excess_c = _neck_excess_c(acts, payload_c, self.neck_excess_c[segment].astype(np.float64), since_s)
        return ShipperStates(
            level=level_then, payload_c=payload_then_c, neck_c=payload_then_c + excess_c, acts=acts
        )

    def packed(self) -> bytes:
        """Return the track as a few hundred bytes, from which `unpacked` restores it to the last bit."""
        columns = [
            getattr(self if name in STATE_COLUMNS else self.forcing, name) for name, _ in PACKED_COLUMNS
        ]
        return zlib.compress(b"".join(column.tobytes() for column in columns), COMPRESSION)

    @classmethod
    def unpacked(cls, coolant: CoolantKind, figures: ShipperFigures, packed: bytes) -> Self:
        """Return the track that `packed` made these bytes of; its arrays are read-only."""
        plain, kinds = zlib.decompress(packed), [kind for _, kind in PACKED_COLUMNS]
        segments = len(plain) // sum(kind.itemsize for kind in kinds)
        begins = accumulate((kind.itemsize * segments for kind in kinds), initial=0)
        columns = {
            name: np.frombuffer(plain, kind, segments, begin)
            for (name, kind), begin in zip(PACKED_COLUMNS, begins, strict=False)
        }
        states = {name: columns.pop(name) for name in STATE_COLUMNS}
        return cls(coolant=coolant, figures=figures, forcing=Forcing(**columns), **states)

    def used_up_s(self, before_s: float = math.inf) -> float | None:
        """Return when the coolant is first used up; None if it outlasts the track, or `before_s`."""
        evolution, lasts_s, _ = self._evolutions()
        empties = (evolution.rate < 0.0) & (evolution.turns_to <= 0.0) & (evolution.turns_s <= lasts_s)
        if not empties.any():
            return None
        first = int(np.argmax(empties))
        empty_s = float(self.forcing.begins_s[first]) + float(evolution.turns_s[first])
        return empty_s if empty_s < before_s else None

    def leaves_s(
        self, lower_c: float | None, upper_c: float | None, from_s: float, until_s: float
    ) -> float | None:
        """Return when the payload is first outside the limits, to the microsecond; None for never.

        Between two instants at which something changes, the payload's temperature moves in one direction
        only.
        """
        evolution, lasts_s, begins_s = self._evolutions()
        turns = begins_s + np.minimum(evolution.turns_s, lasts_s)
        edges = np.unique(np.concatenate([begins_s, turns, [from_s, until_s]]))
        edges = edges[(edges >= from_s) & (edges <= until_s)]
        outside = is_outside(self.at(edges).payload_c, lower_c, upper_c)
        if not outside.any():
            return None
        first = int(np.argmax(outside))
        if first == 0:
            return float(edges[0])
        return self._crosses_s(lower_c, upper_c, float(edges[first - 1]), float(edges[first]))

    def _crosses_s(
        self, lower_c: float | None, upper_c: float | None, inside_s: float, outside_s: float
    ) -> float:
        """Return when the payload crosses a limit between an instant inside and one outside, by bisection."""
        while outside_s - inside_s > 1e-6:
            middle_s = (inside_s + outside_s) / 2
            if middle_s in (inside_s, outside_s):
                break
            if is_outside(self.at([middle_s]).payload_c, lower_c, upper_c)[0]:
                outside_s = middle_s
            else:
                inside_s = middle_s
        return outside_s

    def empty_s(self, until_s: float) -> float:
        """Return when the coolant is used up, if the shipper rests at 20 °C from `until_s` on.

        Infinite if no heat reaches the coolant there.
        """
        gone_s = self.used_up_s(until_s)
        if gone_s is not None:
            return gone_s
        level = self.at([until_s]).level
        evolution = LAWS[self.coolant](
            self.figures, Forcing.still(), level, self.figures.melts_c, np.array([math.inf])
        )
        return until_s + float(level[0] / -evolution.rate[0]) if evolution.rate[0] < 0.0 else math.inf

    def _evolutions(self) -> tuple[Evolution, AnyFloats, AnyFloats]:
        segments = np.arange(len(self.forcing.begins_s))
        level, payload_c = self.level.astype(np.float64), self.payload_c.astype(np.float64)
        begins_s = self.forcing.begins_s.astype(np.float64)
        lasts_s = np.append(np.diff(begins_s), np.inf)
        return self._evolution(segments, self.forcing, level, payload_c), lasts_s, begins_s

    def _evolution(
        self, segment: NDArray[np.intp], acts: Forcing, level: AnyFloats, payload_c: AnyFloats
    ) -> Evolution:
        begins_s = self.forcing.begins_s.astype(np.float64)
        lasts_s = np.append(np.diff(begins_s), np.inf)[segment]
        figures = self.figures.at(np.zeros(len(segment), np.intp))
        return LAWS[self.coolant](figures, acts, level, payload_c, lasts_s)


def solve_tracks(
    coolant: CoolantKind, figures: ShipperFigures, forcings: Sequence[Forcing], starts_c: AnyFloats
) -> list[ThermalTrack]:
    """Step shippers with the same coolant through their surroundings together, and return a track for each.

    `starts_c` is the first temperature of each payload. Up to some hundreds of shippers, a step costs about
    the same.
    """
    acts = Forcing.stacked(forcings)
    begins_s = acts.begins_s.astype(np.float64)
    shape = begins_s.shape
    levels, payloads, necks = (np.empty(shape, np.float32) for _ in range(3))
    level, payload_c = figures.charge.astype(np.float32), starts_c.astype(np.float32)
    neck_excess_c = (NECK_SHARE * (acts.ambient_c[:, 0] - payload_c)).astype(np.float32)
    for segment in range(shape[1]):
        levels[:, segment], payloads[:, segment], necks[:, segment] = level, payload_c, neck_excess_c
        if segment + 1 == shape[1]:
            break
        now = acts.column(segment)
        lasts_s = begins_s[:, segment + 1] - begins_s[:, segment]
        exact, exact_c = level.astype(np.float64), payload_c.astype(np.float64)
        evolution = LAWS[coolant](figures, now, exact, exact_c, lasts_s)
        neck_excess_c = _neck_excess_c(now, exact_c, neck_excess_c.astype(np.float64), lasts_s).astype(
            np.float32
        )
        then, then_c = _advanced(evolution, exact, exact_c, lasts_s)
        level, payload_c = np.minimum(then, figures.capacity).astype(np.float32), then_c.astype(np.float32)
    return [
        ThermalTrack(
            coolant=coolant,
            figures=figures.at(np.array([index])),
            forcing=one,
            level=levels[index, : len(one.begins_s)].copy(),
            payload_c=payloads[index, : len(one.begins_s)].copy(),
            neck_excess_c=necks[index, : len(one.begins_s)].copy(),
        )
        for index, one in enumerate(forcings)
    ]


def _advanced(
    evolution: Evolution, level: AnyFloats, payload_c: AnyFloats, since_s: AnyFloats
) -> tuple[AnyFloats, AnyFloats]:
    """Return the level and the payload's temperature `since_s` after the segment began."""
    first_s = np.minimum(since_s, evolution.turns_s)
    then_s = since_s - first_s
    turned = since_s >= evolution.turns_s
    at_turn_c = evolution.tends_c + (payload_c - evolution.tends_c) * np.exp(-first_s / evolution.tau_s)
    celsius = evolution.then_tends_c + (at_turn_c - evolution.then_tends_c) * np.exp(
        -then_s / evolution.then_tau_s
    )
    return (
        np.where(turned, evolution.turns_to + evolution.then_rate * then_s, level + evolution.rate * first_s),
        np.where(turned, celsius, at_turn_c),
    )


def _neck_excess_c(acts: Forcing, payload_c: AnyFloats, excess_c: AnyFloats, since_s: AnyFloats) -> AnyFloats:
    """Return how much warmer than the payload the second probe is, `since_s` after the segment began."""
    share = np.where(acts.lid_open, NECK_SHARE_OPEN, NECK_SHARE)
    tends_c = share * (acts.ambient_c - payload_c)
    return np.asarray(tends_c + (excess_c - tends_c) * np.exp(-since_s / NECK_S))


def is_outside(celsius: AnyFloats, lower_c: float | None, upper_c: float | None) -> Bools:
    """Whether each temperature is outside the limits."""
    outside = np.zeros(len(celsius), bool)
    if lower_c is not None:
        outside |= celsius < lower_c
    if upper_c is not None:
        outside |= celsius > upper_c
    return outside
