"""Pure: the thermal trajectories of shippers: many stepped together, each known in closed form at any instant.

Only what a shipper has at the beginning of each segment is kept, 32 bytes a segment with its surroundings; all in
between follows from the law of its coolant. What is kept is rounded to 32 bits before it is stepped on from, so that a
shipper solved alone and one of 100,000 are the same to the last bit.
"""

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import accumulate
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from simulators.arrays import AnyFloats
from simulators.world.coolants import LAWS, Coolant, Evolution, ShipperFigures
from simulators.world.forcing import Forcing

# The second probe sits in the neck, or at the wall of a box: so much of the way to the surroundings, lid shut and open.
NECK_SHARE, NECK_SHARE_OPEN = 0.06, 0.5
NECK_S = 600.0
# The columns of a folded track, in their order. Most of them hardly change: they fold to a fifth.
STATES: Final = ("level", "payload_c", "neck_excess_c")
_FLAGS: Final = {"moving", "lid_open", "recharging"}
FOLDED: Final = tuple(
    (name, np.dtype(np.bool_ if name in _FLAGS else np.float32))
    for name in (*(each.name for each in fields(Forcing)), *STATES)
)
FOLDED_LEVEL: Final = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class ShipperStates:
    """Shippers at instants: level in kg, payload and second probe in °C, and what acts on them then."""

    level: AnyFloats
    payload_c: AnyFloats
    neck_c: AnyFloats
    acts: Forcing


@dataclass(frozen=True, kw_only=True, slots=True)
class ThermalTrack:
    """One shipper over its journey. Times are seconds since its logger was switched on."""

    coolant: Coolant
    unit: ShipperFigures
    forcing: Forcing
    level: NDArray[np.float32]
    payload_c: NDArray[np.float32]
    neck_excess_c: NDArray[np.float32]

    def at(self, at_s: Sequence[float] | AnyFloats) -> ShipperStates:
        """Return the states at instants in any order; before the first segment as at its beginning."""
        at = np.ascontiguousarray(at_s, np.float64)
        segment = np.maximum(np.searchsorted(self.forcing.begins_s, at, side="right") - 1, 0)
        acts = self.forcing.during(segment)
        level, payload_c = self.level[segment].astype(np.float64), self.payload_c[segment].astype(np.float64)
        course = self._course(segment, acts, level, payload_c)
        since_s = np.maximum(at - acts.begins_s, 0.0)
        level_then, payload_then_c = _advanced(course, level, payload_c, since_s)
        excess_c = _neck(acts, payload_c, self.neck_excess_c[segment].astype(np.float64), since_s)
        return ShipperStates(
            level=level_then, payload_c=payload_then_c, neck_c=payload_then_c + excess_c, acts=acts
        )

    def folded(self) -> bytes:
        """Return the track as a few hundred bytes, which `unfolded` makes the same track of again, to the last bit."""
        columns = [getattr(self if name in STATES else self.forcing, name) for name, _ in FOLDED]
        return zlib.compress(b"".join(column.tobytes() for column in columns), FOLDED_LEVEL)

    @classmethod
    def unfolded(cls, coolant: Coolant, unit: ShipperFigures, folded: bytes) -> Self:
        """Return the track of a shipper that was folded; its arrays are read-only."""
        plain, kinds = zlib.decompress(folded), [kind for _, kind in FOLDED]
        segments = len(plain) // sum(kind.itemsize for kind in kinds)
        begins = accumulate((kind.itemsize * segments for kind in kinds), initial=0)
        columns = {
            name: np.frombuffer(plain, kind, segments, begin)
            for (name, kind), begin in zip(FOLDED, begins, strict=False)
        }
        states = {name: columns.pop(name) for name in STATES}
        return cls(coolant=coolant, unit=unit, forcing=Forcing(**columns), **states)

    def used_up_s(self, before_s: float = math.inf) -> float | None:
        """Return when the coolant is first used up; None where it outlasts the track, or that instant."""
        course, lasts_s, _ = self._courses()
        empties = (course.rate < 0.0) & (course.turns_to <= 0.0) & (course.turns_s <= lasts_s)
        if not empties.any():
            return None
        first = int(np.argmax(empties))
        empty_s = float(self.forcing.begins_s[first]) + float(course.turns_s[first])
        return empty_s if empty_s < before_s else None

    def leaves_s(
        self, lower_c: float | None, upper_c: float | None, from_s: float, until_s: float
    ) -> float | None:
        """Return when the payload is first outside the limits in a stretch of time, to the microsecond; None for never.

        Between two instants at which something changes a payload's temperature moves in one direction only.
        """
        course, lasts_s, begins_s = self._courses()
        turns = begins_s + np.minimum(course.turns_s, lasts_s)
        edges = np.unique(np.concatenate([begins_s, turns, [from_s, until_s]]))
        edges = edges[(edges >= from_s) & (edges <= until_s)]
        outside = _outside(self.at(edges).payload_c, lower_c, upper_c)
        if not outside.any():
            return None
        first = int(np.argmax(outside))
        if first == 0:
            return float(edges[0])
        inside_s, outside_s = float(edges[first - 1]), float(edges[first])
        while outside_s - inside_s > 1e-6:
            middle_s = (inside_s + outside_s) / 2
            if middle_s in (inside_s, outside_s):
                break
            if _outside(self.at([middle_s]).payload_c, lower_c, upper_c)[0]:
                outside_s = middle_s
            else:
                inside_s = middle_s
        return outside_s

    def empty_s(self, until_s: float) -> float:
        """Return when the coolant is used up: as it truly goes until an instant, from then on at rest at 20 °C.

        It is infinite where no heat comes in there.
        """
        gone_s = self.used_up_s(until_s)
        if gone_s is not None:
            return gone_s
        level = self.at([until_s]).level
        course = LAWS[self.coolant](
            self.unit, Forcing.still(), level, self.unit.holds_c, np.array([math.inf])
        )
        return until_s + float(level[0] / -course.rate[0]) if course.rate[0] < 0.0 else math.inf

    def _courses(self) -> tuple[Evolution, AnyFloats, AnyFloats]:
        segments = np.arange(len(self.forcing.begins_s))
        level, payload_c = self.level.astype(np.float64), self.payload_c.astype(np.float64)
        begins_s = self.forcing.begins_s.astype(np.float64)
        lasts_s = np.append(np.diff(begins_s), np.inf)
        return self._course(segments, self.forcing, level, payload_c), lasts_s, begins_s

    def _course(
        self, segment: NDArray[np.intp], acts: Forcing, level: AnyFloats, payload_c: AnyFloats
    ) -> Evolution:
        begins_s = self.forcing.begins_s.astype(np.float64)
        lasts_s = np.append(np.diff(begins_s), np.inf)[segment]
        unit = self.unit.at(np.zeros(len(segment), np.intp))
        return LAWS[self.coolant](unit, acts, level, payload_c, lasts_s)


def solve_tracks(
    coolant: Coolant, units: ShipperFigures, forcings: Sequence[Forcing], starts_c: AnyFloats
) -> list[ThermalTrack]:
    """Step shippers of one kind through their surroundings together, and return a track for each.

    `starts_c` is where each payload begins. The cost of a step hardly depends on how many there are up to some hundreds.
    """
    acts = Forcing.stacked(forcings)
    begins_s = acts.begins_s.astype(np.float64)
    shape = begins_s.shape
    levels, payloads, necks = (np.empty(shape, np.float32) for _ in range(3))
    level, payload_c = units.charge.astype(np.float32), starts_c.astype(np.float32)
    neck_excess_c = (NECK_SHARE * (acts.ambient_c[:, 0] - payload_c)).astype(np.float32)
    for segment in range(shape[1]):
        levels[:, segment], payloads[:, segment], necks[:, segment] = level, payload_c, neck_excess_c
        if segment + 1 == shape[1]:
            break
        now = acts.column(segment)
        lasts_s = begins_s[:, segment + 1] - begins_s[:, segment]
        exact, exact_c = level.astype(np.float64), payload_c.astype(np.float64)
        course = LAWS[coolant](units, now, exact, exact_c, lasts_s)
        neck_excess_c = _neck(now, exact_c, neck_excess_c.astype(np.float64), lasts_s).astype(np.float32)
        then, then_c = _advanced(course, exact, exact_c, lasts_s)
        level, payload_c = np.minimum(then, units.capacity).astype(np.float32), then_c.astype(np.float32)
    return [
        ThermalTrack(
            coolant=coolant,
            unit=units.at(np.array([index])),
            forcing=one,
            level=levels[index, : len(one.begins_s)].copy(),
            payload_c=payloads[index, : len(one.begins_s)].copy(),
            neck_excess_c=necks[index, : len(one.begins_s)].copy(),
        )
        for index, one in enumerate(forcings)
    ]


def _advanced(
    course: Evolution, level: AnyFloats, payload_c: AnyFloats, since_s: AnyFloats
) -> tuple[AnyFloats, AnyFloats]:
    """Return level and payload so many seconds after the segment began."""
    first_s = np.minimum(since_s, course.turns_s)
    then_s = since_s - first_s
    turned = since_s >= course.turns_s
    at_turn_c = course.tends_c + (payload_c - course.tends_c) * np.exp(-first_s / course.tau_s)
    celsius = course.then_tends_c + (at_turn_c - course.then_tends_c) * np.exp(-then_s / course.then_tau_s)
    return (
        np.where(turned, course.turns_to + course.then_rate * then_s, level + course.rate * first_s),
        np.where(turned, celsius, at_turn_c),
    )


def _neck(acts: Forcing, payload_c: AnyFloats, excess_c: AnyFloats, since_s: AnyFloats) -> AnyFloats:
    """Return by how much the second probe is nearer to the surroundings than the payload."""
    share = np.where(acts.lid_open, NECK_SHARE_OPEN, NECK_SHARE)
    tends_c = share * (acts.ambient_c - payload_c)
    return np.asarray(tends_c + (excess_c - tends_c) * np.exp(-since_s / NECK_S))


def _outside(celsius: AnyFloats, lower_c: float | None, upper_c: float | None) -> NDArray[np.bool_]:
    outside = np.zeros(len(celsius), bool)
    if lower_c is not None:
        outside |= celsius < lower_c
    if upper_c is not None:
        outside |= celsius > upper_c
    return outside
