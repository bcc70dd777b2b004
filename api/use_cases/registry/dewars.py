"""What people do to dewars: to register and describe them, and to record that they were charged with nitrogen.

Each function works in the transaction of its caller's. Shipments under way in a dewar are judged by what changes.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.wording import rfc3339
from api.identity.access import Principal, holder, reach
from api.refusals import Conflict, Invalid, NotFound
from api.use_cases.backdating import BY_DEFAULT, Backdating
from api.use_cases.moments import moment, not_ahead
from api.use_cases.reasons import stated
from api.use_cases.registry import loans
from api.use_cases.registry.loans import NewLoan
from api.use_cases.registry.registering import DEWAR
from telemetry import evaluation_marks
from telemetry.actor import Actor
from telemetry.ingest.senders import AHEAD_AT_MOST
from telemetry.registry import dewars
from telemetry.registry.holding import things
from telemetry.registry.holding.holders import Held, holder_at
from telemetry.tables import shipments

_JUDGED: Final = ("hold_time_h", "ln2_capacity_kg")
"""What rules read of a dewar; its charges count from when they were made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDewar:
    """A dewar as it is registered: hold time in hours, capacity in kg of nitrogen."""

    dewar_id: str
    model: str | None = None
    hold_time_h: float | None = None
    ln2_capacity_kg: float | None = None
    last_charged_at: datetime | None = None
    qualified_until: datetime | None = None
    organization: str | None = None
    """To which it is lent at once."""


async def register(connection: AsyncConnection, new: NewDewar, *, actor: Actor, now: datetime) -> RowMapping:
    """Register a dewar, with its last charge."""
    values = asdict(new)
    organization = values.pop("organization")
    row = await dewars.add(connection, values, actor=actor)
    if row is None:
        raise DEWAR.taken(new.dewar_id)
    if organization is not None:
        loan = NewLoan(organization=organization)
        await loans.lend(connection, things.DEWARS, new.dewar_id, loan, actor=actor, now=now)
    return await _shown(connection, new.dewar_id, now)


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
    if any(changed[name] != row[name] for name in _JUDGED):
        await evaluation_marks.mark_active(connection, shipments.c.dewar_id == dewar_id)
    return await _shown(connection, dewar_id, now)


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

    Whoever is not of the operating organization must hold the dewar at that instant: by a shipment of its own that has it
    then, or where none has, by a loan. What is another's, or nobody's, or unknown, gets one answer.
    """
    at = moment(at, now)
    if not caller.is_operator:  # nobody knows yet who will have it then
        not_ahead("at", at, now, most=AHEAD_AT_MOST)
    dewar, organization = await _held(connection, caller, dewar_id, at)
    _not_overfull(dewar, ln2_kg)
    recorded, is_new = await dewars.charge(
        connection, dewar_id, at=at, ln2_kg=ln2_kg, actor=actor, organization=organization
    )
    if not caller.is_operator and recorded["organization"] not in {None, organization}:
        raise Conflict(f"{rfc3339(at)} is taken by a charge that another told: tell this one a moment later.")
    if is_new:  # one that was recorded in time may be told again at any time
        backdating.check(caller, at, now)
        await evaluation_marks.mark_in_dewar(connection, dewar_id, at)
    if recorded["withdrawn"]:
        raise Conflict(
            f"The charge of {dewar_id} at {rfc3339(at)} was withdrawn: correct it, with withdrawn false."
        )
    if ln2_kg not in {None, recorded["ln2_kg"]}:
        raise Conflict(
            f"The charge of {dewar_id} at {rfc3339(at)} is recorded with {_kg(recorded['ln2_kg'])}: if that is wrong, "
            "the operating organization corrects it."
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
    dewar = await _locked(connection, dewar_id)
    _not_overfull(dewar, changes.get("ln2_kg"))
    found = await dewars.correct_charge(
        connection, dewar_id, charged_at=charged_at, changes=changes, actor=actor, reason=reason
    )
    if found is None:
        raise NotFound(f"charge of {dewar_id} at", rfc3339(charged_at))
    corrected, is_changed = found
    if is_changed:
        await evaluation_marks.mark_in_dewar(connection, dewar_id, charged_at)
    return corrected


async def get(connection: AsyncConnection, caller: Principal, dewar_id: str, *, now: datetime) -> RowMapping:
    """Load a dewar that the caller holds now; operators hold all."""
    row = await dewars.get(connection, dewar_id, holder=holder(caller), now=now)
    if row is None:
        raise NotFound("dewar", dewar_id)
    return row


async def _shown(connection: AsyncConnection, dewar_id: str, now: datetime) -> RowMapping:
    row = await dewars.get(connection, dewar_id, now=now)
    assert row is not None
    return row


async def _held(
    connection: AsyncConnection, caller: Principal, dewar_id: str, at: datetime
) -> tuple[RowMapping, str | None]:
    """Lock a dewar that the caller held at an instant; return it, and as whose that was, None as an operator.

    Looked up once more behind the lock: another call may have ended the loan or the shipment. What the caller did not
    hold is not locked, so that the time of the answer says nothing of it.
    """
    if caller.is_operator:
        return await _locked(connection, dewar_id), None
    await _own(connection, caller, dewar_id, at)
    dewar = await _locked(connection, dewar_id)
    return dewar, (await _own(connection, caller, dewar_id, at)).organization


async def _own(connection: AsyncConnection, caller: Principal, dewar_id: str, at: datetime) -> Held:
    """Return by what the caller held a dewar at an instant."""
    held = await holder_at(connection, things.DEWARS, dewar_id, at)
    if held is None or not _is_callers(caller, held):
        raise NotFound("dewar", f"{dewar_id} that you held at that time")
    return held


def _is_callers(caller: Principal, held: Held) -> bool:
    if held.shipment_id is not None:
        return reach(caller, caller.scope).sees_shipment(held.shipment_id, held.organization)
    by_loans = holder(caller)
    return by_loans is not None and by_loans.organization == held.organization is not None


async def _locked(connection: AsyncConnection, dewar_id: str) -> RowMapping:
    row = await dewars.lock(connection, dewar_id)
    if row is None:
        raise NotFound("dewar", dewar_id)
    return row


def _not_overfull(dewar: RowMapping, ln2_kg: float | None) -> None:
    """Refuse what cannot be in it, such as grams; scales and data sheets differ by less than a tenth."""
    capacity = dewar["ln2_capacity_kg"]
    if ln2_kg is not None and capacity and ln2_kg > 1.1 * capacity:
        raise Invalid("ln2_kg", f"is more than the dewar holds, which is {_kg(capacity)}")


def _kg(mass: float | None) -> str:
    return "no mass" if mass is None else f"{mass:g} kg"
