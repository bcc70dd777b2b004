"""Finds the folded state from which each logger continues, and loads the readings to fold after it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Self

import orjson

from alerts.evaluation.judging.checkpoint import Checkpoint
from alerts.evaluation.judging.stretch import window_on
from alerts.excursions.load_readings import (
    FOR_EVER,
    FROM_THE_START,
    LoadedReadings,
    ReadingRange,
    load_readings,
)
from alerts.excursions.phases import LoggerState
from alerts.excursions.trace import Channel
from alerts.model import AlertKind, Instant, Window, to_datetime, to_instant
from alerts.rules.registry import TunedRule
from alerts.triage.rows import StoredRow, optional_instant
from alerts.work.bulk import Connection

# For each logger with late data: the last safe point before it that has the rules it needs.
_SAFE_POINTS = """
SELECT w.position, p.state
FROM unnest($1::int[], $2::text[], $3::text[], $4::int[], $5::timestamptz[], $6::text[])
         AS w(position, shipment_id, device_id, plan_revision, before, rules)
CROSS JOIN LATERAL (
    SELECT state FROM evaluation_safe_points AS s
    WHERE s.shipment_id = w.shipment_id AND s.device_id = w.device_id
        AND s.plan_revision = w.plan_revision AND s.seen < w.before
        AND (w.rules = '' OR s.state->'rules' ?& string_to_array(w.rules, ' '))
    ORDER BY s.seen DESC LIMIT 1
) AS p
"""


@dataclass(frozen=True, slots=True)
class Dirty:
    """From when on folded states are no longer valid, by shipment and device; device None means all of them."""

    since: Mapping[tuple[str, str | None], datetime]

    @classmethod
    def of(cls, marks: Iterable[StoredRow]) -> Self:
        """Build it from rows of `evaluation_marks`."""
        since: dict[tuple[str, str | None], datetime] = {}
        for mark in marks:
            key = mark["shipment_id"], mark["device_id"]
            at = mark["dirty_from"] or FROM_THE_START
            since[key] = min(at, since.get(key, at))
        return cls(since)

    @classmethod
    def everything(cls, shipment_ids: Iterable[str]) -> Self:
        """Mark all of these shipments as dirty from the start."""
        return cls({(shipment_id, None): FROM_THE_START for shipment_id in shipment_ids})

    def whole_shipment(self, shipment_id: str) -> bool:
        """Return whether a shipment is dirty for another reason than new readings."""
        return (shipment_id, None) in self.since

    def dirty_from_of(self, shipment_id: str, device_id: str) -> datetime | None:
        """Return from when on a logger is dirty; None if it is not."""
        found = (self.since.get((shipment_id, None)), self.since.get((shipment_id, device_id)))
        return min((at for at in found if at is not None), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingFold:
    """What must be folded of one logger on one departed shipment."""

    shipment_id: str
    device_id: str
    plan_revision: int
    window: Window
    """The half-open interval whose readings count: on this shipment, and in its window."""
    newest: Checkpoint | None
    """The newest stored checkpoint, if this version of the fold wrote it."""
    stored_under: int | None
    """The plan revision under which it was stored."""
    dirty_from: datetime | None
    tuned: tuple[TunedRule, ...] = ()
    """The rules to fold as well."""
    missing: tuple[AlertKind, ...] = ()
    """Rules that the newest checkpoint lacks, so that folding must start before it."""
    manual: bool = False
    """Whether what people typed counts, because the plan has no logger."""

    @classmethod
    def of(
        cls,
        row: StoredRow,
        shipment: StoredRow,
        dirty: Dirty,
        tuned: tuple[TunedRule, ...] = (),
        now: Instant = 0,
    ) -> Self | None:
        """Build it from the rows of an assignment and its shipment; None before departure."""
        window = judged_window_of(shipment)
        if window is None:
            return None
        newest = checkpoint_of(row["state"])
        return cls(
            shipment_id=shipment["shipment_id"],
            device_id=row["device_id"],
            plan_revision=shipment["plan_revision"],
            window=window_on(window, to_instant(row["starts_at"]), optional_instant(row["ends_at"])),
            newest=newest,
            stored_under=row["plan_revision"],
            dirty_from=dirty.dirty_from_of(shipment["shipment_id"], row["device_id"]),
            tuned=tuned,
            missing=() if newest is None else tuple(newest.missing(tuned, now)),
            manual=_manual_only(shipment["plan"]),
        )

    def valid_before(self) -> datetime | None:
        """Return the instant before which folded states are valid; None if none is."""
        if self.newest is None or self.stored_under != self.plan_revision:
            return None
        end = self.window.delivered_at
        ends = [at for at in (self.dirty_from, None if end is None else to_datetime(end)) if at]
        return min(ends, default=FOR_EVER)

    def resumable_checkpoint(self) -> Checkpoint | None:
        """Return the newest checkpoint if nothing that arrived is late for it and no rule is missing."""
        before = self.valid_before()
        if before is None or self.newest is None or self.missing:
            return None
        seen = self.newest.state.seen
        return self.newest if seen is None or to_datetime(seen) < before else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """A pending fold, the checkpoint to continue from, and the readings to fold in."""

    pending: PendingFold
    checkpoint: Checkpoint
    refolds: bool
    """The checkpoint is not the newest that was stored."""
    loaded: LoadedReadings

    @property
    def state(self) -> LoggerState:
        """The state of its excursions."""
        return self.checkpoint.state


async def resume(
    connection: Connection, pending_folds: Sequence[PendingFold], channels: frozenset[Channel] = frozenset()
) -> list[Resumed]:
    """Return for each fold the checkpoint to continue from, and the readings after it, in two statements."""
    checkpoints = [pending.resumable_checkpoint() for pending in pending_folds]
    late = [place for place, state in enumerate(checkpoints) if state is None]
    found = await _safe_points(connection, pending_folds, late)
    resumed = [checkpoint or found.get(place) or Checkpoint() for place, checkpoint in enumerate(checkpoints)]
    ranges = [
        ReadingRange(
            device_id=f.device_id,
            starting=f.window.departed_at,
            after=checkpoint.state.seen,
            before=f.window.delivered_at,
            manual=f.manual,
        )
        for f, checkpoint in zip(pending_folds, resumed, strict=True)
    ]
    loaded = await load_readings(connection, ranges, channels)
    return [
        Resumed(pending=pending, checkpoint=checkpoint, refolds=resumable is None, loaded=readings)
        for pending, checkpoint, resumable, readings in zip(
            pending_folds, resumed, checkpoints, loaded, strict=True
        )
    ]


async def _safe_points(
    connection: Connection, pending_folds: Sequence[PendingFold], late: Iterable[int]
) -> Mapping[int, Checkpoint]:
    bounds = {place: before for place in late if (before := pending_folds[place].valid_before()) is not None}
    if not bounds:
        return {}
    rows = await connection.fetch(
        _SAFE_POINTS,
        list(bounds),
        [pending_folds[place].shipment_id for place in bounds],
        [pending_folds[place].device_id for place in bounds],
        [pending_folds[place].plan_revision for place in bounds],
        list(bounds.values()),
        [" ".join(_needed(pending_folds[place])) for place in bounds],
    )
    found = {}
    for row in rows:
        pending, checkpoint = pending_folds[row["position"]], checkpoint_of(row["state"])
        if checkpoint is not None and checkpoint.rules.keys() >= set(_needed(pending)):
            waiting = {} if pending.newest is None else pending.newest.failed
            found[row["position"]] = replace(checkpoint, failed=waiting)
    return found


def _needed(pending: PendingFold) -> list[AlertKind]:
    """Return the rules that a safe point must have: all but those that failed and are skipped for now."""
    waiting = set() if pending.newest is None else pending.newest.failed.keys() - set(pending.missing)
    return [rule.kind for rule in pending.tuned if rule.kind not in waiting]


def _manual_only(plan: str | Mapping[str, Any]) -> bool:
    """Return whether a stored plan has no logger, from either database library; few have the field at all."""
    if isinstance(plan, str):
        return "manual_only" in plan and bool(orjson.loads(plan).get("manual_only"))
    return bool(plan.get("manual_only"))


def window_of(shipment: StoredRow) -> Window | None:
    """Return the window in which readings count; None before departure, or if cancelled before it."""
    if shipment["departed_at"] is None:
        return None
    ended_at = shipment["delivered_at"] or shipment["cancelled_at"]
    return Window(departed_at=to_instant(shipment["departed_at"]), delivered_at=optional_instant(ended_at))


def judged_window_of(shipment: StoredRow) -> Window | None:
    """Return the window by which a shipment is judged: also one whose departure was taken back, an empty one then."""
    if shipment["departed_at"] is None and shipment.get("was_judged"):
        at = to_instant(shipment["created_at"])
        return Window(departed_at=at, delivered_at=at)
    return window_of(shipment)


def checkpoint_of(stored: Any) -> Checkpoint | None:
    """Read a stored checkpoint from either database library; None if another version of the fold wrote it."""
    if stored is None:
        return None
    return Checkpoint.from_json(orjson.loads(stored) if isinstance(stored, str) else stored)
