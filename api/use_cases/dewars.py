"""What people do to dewars: to register and describe them, and to record that they were charged with nitrogen.

Each function works in the transaction of its caller's. Shipments under way in a dewar are judged by what changes.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, exists, select
from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.wording import rfc3339
from api.identity.access import Principal, visible_shipments
from api.refusals import Conflict, Invalid, NotFound
from api.use_cases.backdating import BY_DEFAULT, Backdating
from api.use_cases.moments import moment
from api.use_cases.reasons import stated
from api.use_cases.registering import DEWAR
from telemetry import evaluation_marks
from telemetry.actor import Actor
from telemetry.registry import dewars
from telemetry.tables import shipments


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDewar:
    """A dewar as it is registered: hold time in hours, capacity in kg of nitrogen."""

    dewar_id: str
    model: str | None = None
    hold_time_h: float | None = None
    ln2_capacity_kg: float | None = None
    last_charged_at: datetime | None = None
    qualified_until: datetime | None = None


async def register(connection: AsyncConnection, new: NewDewar, *, actor: Actor) -> RowMapping:
    """Register a dewar, with its last charge."""
    row = await dewars.add(connection, asdict(new), actor=actor)
    if row is None:
        raise DEWAR.taken(new.dewar_id)
    return row


async def change(
    connection: AsyncConnection,
    caller: Principal,
    dewar_id: str,
    changes: Mapping[str, Any],
    *,
    seen: int | None = None,
    actor: Actor,
    now: datetime,
    reason: str | None,
) -> RowMapping:
    """Describe a dewar anew, as after a requalification; `changes` has fields of `NewDewar` other than its charge."""
    row = await DEWAR.lock(connection, caller, dewar_id)
    changed = await DEWAR.change(connection, row, changes, seen=seen, actor=actor, reason=reason)
    if changed["revision"] != row["revision"]:
        await evaluation_marks.mark_active(connection, shipments.c.dewar_id == dewar_id, now)
    return changed


async def charge(
    connection: AsyncConnection,
    caller: Principal,
    dewar_id: str,
    *,
    at: datetime | None = None,
    ln2_kg: float | None = None,
    actor: Actor,
    now: datetime,
    backdating: Backdating = BY_DEFAULT,
) -> tuple[RowMapping, bool]:
    """Record a charge; returns it, and whether it is new. `ln2_kg` is what is in the dewar afterwards, as weighed.

    Whoever is bound to shipments may do so for the dewars of those that are planned or under way.
    """
    at = moment(at, now)
    dewar = await _carried(connection, caller, dewar_id)
    _not_overfull(dewar, ln2_kg)
    recorded, is_new = await dewars.charge(connection, dewar_id, at=at, ln2_kg=ln2_kg, actor=actor)
    if is_new:  # one that was recorded in time may be told again at any time
        backdating.check(caller, at, now)
        await evaluation_marks.mark_active(connection, shipments.c.dewar_id == dewar_id, at)
    if recorded["withdrawn"]:
        raise Conflict(
            f"The charge of {dewar_id} at {rfc3339(at)} was withdrawn: correct it, with withdrawn false."
        )
    if ln2_kg not in {None, recorded["ln2_kg"]}:
        raise Conflict(
            f"The charge of {dewar_id} at {rfc3339(at)} is recorded with {_kg(recorded['ln2_kg'])}."
        )
    return recorded, is_new


async def correct_charge(
    connection: AsyncConnection,
    dewar_id: str,
    *,
    charged_at: datetime,
    changes: Mapping[str, Any],
    actor: Actor,
    reason: str,
) -> RowMapping:
    """Correct a charge that was told wrongly; what was told before stays on record.

    `changes` has `ln2_kg`, `withdrawn` or both. A correction that changes nothing is none.
    """
    reason = stated(reason)
    dewar = await get(connection, dewar_id)
    _not_overfull(dewar, changes.get("ln2_kg"))
    found = await dewars.correct_charge(
        connection, dewar_id, charged_at=charged_at, changes=changes, actor=actor, reason=reason
    )
    if found is None:
        raise NotFound(f"charge of {dewar_id} at", rfc3339(charged_at))
    corrected, is_changed = found
    if is_changed:
        await evaluation_marks.mark_active(connection, shipments.c.dewar_id == dewar_id, charged_at)
    return corrected


async def get(connection: AsyncConnection, dewar_id: str) -> RowMapping:
    """Load a dewar."""
    row = await dewars.get(connection, dewar_id)
    if row is None:
        raise NotFound("dewar", dewar_id)
    return row


async def _carried(connection: AsyncConnection, caller: Principal, dewar_id: str) -> RowMapping:
    """Load a dewar that the caller may charge: any, or that of a shipment it sees that is not over."""
    if not caller.is_operator:
        theirs = exists().where(
            shipments.c.dewar_id == dewar_id,
            shipments.c.status.in_(("planned", "in_transit")),
            visible_shipments(caller),
        )
        if not await connection.scalar(select(theirs)):
            raise NotFound("dewar", dewar_id)
    return await get(connection, dewar_id)


def _not_overfull(dewar: RowMapping, ln2_kg: float | None) -> None:
    """Refuse what cannot be in it, such as grams; scales and data sheets differ by less than a tenth."""
    capacity = dewar["ln2_capacity_kg"]
    if ln2_kg is not None and capacity and ln2_kg > 1.1 * capacity:
        raise Invalid("ln2_kg", f"is more than the dewar holds, which is {_kg(capacity)}")


def _kg(mass: float | None) -> str:
    return "no mass" if mass is None else f"{mass:g} kg"
