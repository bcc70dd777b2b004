"""What people recorded wrongly of a shipment's life: its departure, its delivery, that it was cancelled.

Both values stay on record, in the revisions, and the shipment is judged again. What a correction takes away from the
record stays in sight with its act, as after any other.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.escalation import registers
from alerts.wording import rfc3339
from api.identity.access import Principal
from api.refusals import Conflict, Invalid
from api.use_cases.moments import not_ahead
from api.use_cases.reasons import stated
from api.use_cases.shipments.steps import holder_of, locked, record, stop_if_not_free, tell
from telemetry.actor import Actor
from telemetry.registry import shipments
from telemetry.registry.holding import assignments, reassignments
from telemetry.registry.ids import id_of
from telemetry.registry.shipment_revisions import ShipmentStep

TIMES: Final = ("departed_at", "delivered_at", "cancelled_at")
_NOT_RECORDED: Final = {
    "departed_at": "has not departed: record the departure",
    "delivered_at": "was not delivered: record the delivery",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """What is to stand instead: times by their names, None where there was no such step; and whether to take a cancellation back."""

    times: Mapping[str, datetime | None]
    uncancel: bool = False


async def correct(
    connection: AsyncConnection,
    caller: Principal,
    shipment_id: str,
    correction: Correction,
    *,
    actor: Actor,
    now: datetime,
    reason: str,
) -> None:
    """Correct times of a shipment that are on record, or take steps back. The same again changes nothing.

    Whatever stayed on the shipment until its end stays until the new one, unless it is on another one meanwhile.
    """
    reason = stated(reason)
    row = await locked(connection, caller, shipment_id)
    was = {name: row[name] for name in TIMES}
    after = was | dict(correction.times) | ({"cancelled_at": None} if correction.uncancel else {})
    if after == was:
        return
    _stop_unless_possible(row, correction, after, now)
    await _move_assignments(connection, caller, row, after, now)
    changed = await shipments.change(connection, shipment_id, **after)
    await record(
        connection,
        changed,
        ShipmentStep.CORRECTED,
        actor=actor,
        dirty_from=_dirty_from(was, after),
        reason=reason,
    )
    await registers.look_again(connection, shipment_id)  # somebody else may hold it
    told = {name: None if at is None else rfc3339(at) for name, at in was.items()}
    await tell(connection, "shipment.corrected", changed, by=str(actor), reason=reason, was=told)


def _stop_unless_possible(
    row: RowMapping, correction: Correction, after: Mapping[str, datetime | None], now: datetime
) -> None:
    for name, at in correction.times.items():
        if row[name] is None and at is not None:
            raise Conflict(f"{id_of(row['shipment_id'])} {_NOT_RECORDED[name]}.")
        not_ahead(name, at, now)
    departed_at = after["departed_at"]
    for name in ("delivered_at", "cancelled_at"):
        ended_at = after[name]
        if ended_at is None:
            continue
        if departed_at is None and row["departed_at"] is not None:
            is_over = f"{id_of(row['shipment_id'])} is over: take back that as well, or correct the time"
            raise Invalid("departed_at", f"cannot be taken back while {is_over}")
        if departed_at is not None and ended_at < departed_at:
            field = name if name in correction.times else "departed_at"
            raise Invalid(
                field, f"does not fit: it departs at {rfc3339(departed_at)} and ends at {rfc3339(ended_at)}"
            )


async def _move_assignments(
    connection: AsyncConnection,
    caller: Principal,
    row: RowMapping,
    after: Mapping[str, datetime | None],
    now: datetime,
) -> None:
    shipment_id, holder = row["shipment_id"], holder_of(caller, row)
    departed_at, before = after["departed_at"], row["departed_at"]
    if departed_at is not None and before is not None and departed_at < before:
        found = await assignments.start_earlier(
            connection, shipment_id, departed_at, holder=holder, begun_by=before
        )
        stop_if_not_free(found)
    if _end(row) is None or _end(row) == _end(after):
        return
    found = await reassignments.end_anew(
        connection,
        shipment_id,
        was=None if before is None else _end(row),
        ends_at=_end(after),
        holder=holder,
        now=now,
    )
    stop_if_not_free(found)


def _end(times: Mapping[str, Any] | RowMapping) -> datetime | None:
    ended_at: datetime | None = times["delivered_at"] or times["cancelled_at"]
    return ended_at


def _dirty_from(was: Mapping[str, datetime | None], after: Mapping[str, datetime | None]) -> datetime | None:
    """Return from when on readings count otherwise; None: from the start."""
    if was["departed_at"] != after["departed_at"]:
        return None
    return min((at for at in (_end(was), _end(after)) if at is not None), default=None)
