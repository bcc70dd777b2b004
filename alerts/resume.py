"""Finds for each logger the folded state to go on from, and loads the readings that are to be folded after it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

import orjson

from alerts.model import Instant, Window, to_datetime, to_instant
from alerts.rows import Row, instant
from alerts.state import State
from alerts.traces import FOR_EVER, FROM_THE_START, Connection, Loaded, Wanted, load

# Of each logger that something late came for: the last safe point before it.
_SAFE_POINTS = """
SELECT w.position, p.state
FROM unnest($1::int[], $2::text[], $3::text[], $4::int[], $5::timestamptz[])
         AS w(position, shipment_id, device_id, plan_revision, before)
CROSS JOIN LATERAL (
    SELECT state FROM evaluation_safe_points AS s
    WHERE s.shipment_id = w.shipment_id AND s.device_id = w.device_id
        AND s.plan_revision = w.plan_revision AND s.seen < w.before
    ORDER BY s.seen DESC LIMIT 1
) AS p
"""


@dataclass(frozen=True, slots=True)
class Dirty:
    """From when on what was folded is no longer true, by shipment and device; device None stands for all of them."""

    since: Mapping[tuple[str, str | None], datetime]

    @classmethod
    def of(cls, marks: Iterable[Row]) -> Self:
        """Make it of rows of `evaluation_marks`."""
        since: dict[tuple[str, str | None], datetime] = {}
        for mark in marks:
            key = mark["shipment_id"], mark["device_id"]
            at = mark["dirty_from"] or FROM_THE_START
            since[key] = min(at, since.get(key, at))
        return cls(since)

    @classmethod
    def everything(cls, shipment_ids: Iterable[str]) -> Self:
        """Make all of these shipments dirty from the start."""
        return cls({(shipment_id, None): FROM_THE_START for shipment_id in shipment_ids})

    def whole_shipment(self, shipment_id: str) -> bool:
        """Tell whether it is dirty for another reason than new readings."""
        return (shipment_id, None) in self.since

    def from_when(self, shipment_id: str, device_id: str) -> datetime | None:
        """Give the instant from which on a logger is dirty; None where it is not."""
        found = (self.since.get((shipment_id, None)), self.since.get((shipment_id, device_id)))
        return min((at for at in found if at is not None), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Folding:
    """What is to be folded of one logger on one shipment that has departed."""

    shipment_id: str
    device_id: str
    plan_revision: int
    start: Instant
    end: Instant | None
    """The stretch, half open, whose readings count: on this shipment, and in its window."""
    newest: State | None
    """The state that was stored last, where it is of this version of the fold."""
    stored_under: int | None
    """Under which revision of the plan."""
    dirty_from: datetime | None

    @classmethod
    def of(cls, row: Row, shipment: Row, dirty: Dirty) -> Self | None:
        """Make it of a row of an assignment with its state, and one of its shipment; None before departure."""
        window = window_of(shipment)
        if window is None:
            return None
        ends = [end for end in (instant(row["ends_at"]), window.delivered_at) if end is not None]
        return cls(
            shipment_id=shipment["shipment_id"],
            device_id=row["device_id"],
            plan_revision=shipment["plan_revision"],
            start=max(to_instant(row["starts_at"]), window.departed_at),
            end=min(ends, default=None),
            newest=_state(row["state"]),
            stored_under=row["plan_revision"],
            dirty_from=dirty.from_when(shipment["shipment_id"], row["device_id"]),
        )

    def true_before(self) -> datetime | None:
        """Give the instant before which what was folded is true; None where nothing is."""
        if self.newest is None or self.stored_under != self.plan_revision:
            return None
        ends = [at for at in (self.dirty_from, None if self.end is None else to_datetime(self.end)) if at]
        return min(ends, default=FOR_EVER)

    def goes_on(self) -> State | None:
        """Give the newest state, if nothing that came is late for it."""
        before = self.true_before()
        if before is None or self.newest is None:
            return None
        seen = self.newest.seen
        return self.newest if seen is None or to_datetime(seen) < before else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """A folding, the state to go on from, and what has to be folded in."""

    folding: Folding
    state: State
    refolds: bool
    """The state is not the one that was stored last."""
    loaded: Loaded


async def resume(connection: Connection, foldings: Sequence[Folding]) -> list[Resumed]:
    """Give for each folding the state to go on from, and the readings after it: two statements, whatever their number."""
    states = [folding.goes_on() for folding in foldings]
    late = [place for place, state in enumerate(states) if state is None]
    found = await _safe_points(connection, foldings, late)
    resumed = [state or found.get(place) or State() for place, state in enumerate(states)]
    wanted = [
        Wanted(device_id=f.device_id, starting=f.start, after=state.seen, before=f.end)
        for f, state in zip(foldings, resumed, strict=True)
    ]
    loaded = await load(connection, wanted)
    return [
        Resumed(folding=folding, state=state, refolds=went_on is None, loaded=one)
        for folding, state, went_on, one in zip(foldings, resumed, states, loaded, strict=True)
    ]


async def _safe_points(
    connection: Connection, foldings: Sequence[Folding], late: Iterable[int]
) -> Mapping[int, State]:
    bounds = {place: before for place in late if (before := foldings[place].true_before()) is not None}
    if not bounds:
        return {}
    rows = await connection.fetch(
        _SAFE_POINTS,
        list(bounds),
        [foldings[place].shipment_id for place in bounds],
        [foldings[place].device_id for place in bounds],
        [foldings[place].plan_revision for place in bounds],
        list(bounds.values()),
    )
    states = {row["position"]: _state(row["state"]) for row in rows}
    return {place: state for place, state in states.items() if state is not None}


def window_of(shipment: Row) -> Window | None:
    """Give the time in which readings count; None before departure, and for a shipment cancelled before it."""
    if shipment["departed_at"] is None:
        return None
    ended_at = shipment["delivered_at"] or shipment["cancelled_at"]
    return Window(departed_at=to_instant(shipment["departed_at"]), delivered_at=instant(ended_at))


def _state(stored: Any) -> State | None:
    """Read a stored state, as either database library gives it; None where another version of the fold wrote it."""
    if stored is None:
        return None
    return State.from_json(orjson.loads(stored) if isinstance(stored, str) else stored)
