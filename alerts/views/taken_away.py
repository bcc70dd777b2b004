"""What people took away from the record of a shipment: excursions that an act has withdrawn, or made less, as they were before."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import and_, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.model import LIVE, Act, Duration, ExcursionState, Instant, Severity, Side, to_instant
from alerts.tables import excursion_revisions, excursions
from alerts.triage.rows import optional_instant

SHOWN_AT_MOST: Final = 100
"""Figures are of all; so many are named, the worst first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenAway:
    """An excursion as it was before an act of a person, and the act."""

    excursion_id: str
    device_id: str
    side: Side
    start: Instant
    end: Instant | None
    """None if it was going on."""
    peak_c: float
    severity: Severity
    lasted: Duration
    """One that was going on: until the act took it away."""
    act: Act
    withdrawn: bool
    """Whether nothing is left of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What some excursions were together."""

    number: int
    worst_severity: Severity | None
    highest_c: float | None
    """The highest peak above a limit."""
    lowest_c: float | None
    lasted: Duration
    by: tuple[str, ...]
    """Who took them away."""

    @classmethod
    def of(cls, found: Sequence[TakenAway]) -> "Figures":
        """Sum them up."""
        peaks = {side: [one.peak_c for one in found if one.side is side] for side in Side}
        critical = any(one.severity is Severity.CRITICAL for one in found)
        return cls(
            number=len({one.excursion_id for one in found}),
            worst_severity=None if not found else Severity.CRITICAL if critical else Severity.MAJOR,
            highest_c=max(peaks[Side.HIGH], default=None),
            lowest_c=min(peaks[Side.LOW], default=None),
            lasted=sum(one.lasted for one in found),
            by=tuple(dict.fromkeys(one.act.by for one in found)),
        )


async def taken_away(
    connection: AsyncConnection, shipment_id: str, as_of: datetime | None = None
) -> list[TakenAway]:
    """Return all that acts of people took away from the record by then, the worst first."""
    after, before = excursion_revisions.alias("after"), excursion_revisions.alias("before")
    same = and_(before.c.excursion_id == after.c.excursion_id, before.c.revision == after.c.revision - 1)
    query = (
        select(
            excursions.c.device_id,
            after.c.excursion_id,
            after.c.recorded_at,
            after.c.act,
            after.c.state.label("left"),
            *(before.c[name] for name in ("side", "start_at", "end_at", "peak_c", "severity")),
        )
        .join(after, after.c.excursion_id == excursions.c.id)
        .join(before, same)
        .where(excursions.c.shipment_id == shipment_id, after.c.act.is_not(None))
    )
    if as_of is not None:
        query = query.where(after.c.recorded_at <= as_of)
    found = [_taken(row) for row in (await connection.execute(query)).mappings()]
    return sorted(found, key=lambda one: (one.severity is not Severity.CRITICAL, -one.lasted, one.start))


def _taken(row: Any) -> TakenAway:
    start, end = to_instant(row["start_at"]), optional_instant(row["end_at"])
    return TakenAway(
        excursion_id=str(row["excursion_id"]),
        device_id=row["device_id"],
        side=Side(row["side"]),
        start=start,
        end=end,
        peak_c=row["peak_c"],
        severity=Severity(row["severity"]),
        lasted=max(0, (to_instant(row["recorded_at"]) if end is None else end) - start),
        act=Act.from_json(row["act"]),
        withdrawn=row["left"] == ExcursionState.WITHDRAWN,
    )


async def live_figures(connection: AsyncConnection, shipment_id: str, until: datetime) -> dict[str, Any]:
    """Return what the live excursions of a shipment are together: numbers, the worst, peaks, and how long they lasted.

    `until` is when the shipment ended: none lasts beyond it.
    """
    of = excursions.c
    lasts_until = func.least(func.coalesce(of.end_at, until), until)
    lasted_s = func.extract("epoch", func.greatest(lasts_until - of.start_at, timedelta()))
    query = select(
        *(func.count().filter(of.state == state).label(state) for state in sorted(LIVE)),
        func.bool_or(of.severity == Severity.CRITICAL).label("critical"),
        func.max(of.peak_c).filter(of.side == Side.HIGH).label("highest_c"),
        func.min(of.peak_c).filter(of.side == Side.LOW).label("lowest_c"),
        func.coalesce(func.sum(lasted_s), 0).label("lasted_s"),
    ).where(of.shipment_id == shipment_id, of.state.in_(LIVE))
    row = dict((await connection.execute(query)).mappings().one())
    worst = {None: None, True: Severity.CRITICAL, False: Severity.MAJOR}[row.pop("critical")]
    return row | {"lasted_s": float(row["lasted_s"]), "worst_severity": worst}
