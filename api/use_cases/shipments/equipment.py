"""What travels with a shipment, and changes on its way: its loggers and its dewar, from an instant on, also in the past."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import RowMapping, exists, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.wording import rfc3339
from api.identity.access import Principal
from api.refusals import Conflict, Invalid
from api.use_cases.moments import moment
from api.use_cases.reasons import stated
from api.use_cases.shipments import gates
from api.use_cases.shipments.steps import (
    holder_of,
    locked,
    record,
    stop_if_not_free,
    stop_if_retired,
    stop_unless,
    tell,
)
from telemetry.actor import Actor
from telemetry.registry import shipments
from telemetry.registry.holding import reassignments
from telemetry.registry.holding.reassignments import Move
from telemetry.registry.holding.things import DEWARS, LOGGERS, Thing
from telemetry.registry.ids import id_of
from telemetry.registry.shipment_revisions import ShipmentStep
from telemetry.tables import device_assignments, dewar_assignments

_CHANGEABLE = {"planned", "in_transit", "delivered"}


async def change_loggers(
    connection: AsyncConnection,
    caller: Principal,
    shipment_id: str,
    *,
    add: Sequence[str],
    remove: Sequence[str],
    at: datetime | None = None,
    actor: Actor,
    now: datetime,
    reason: str,
    override_reason: str | None = None,
) -> None:
    """Put loggers on a shipment and take others off, both from an instant on. The same again changes nothing.

    What a logger measured before it was put on, or after it was taken off, does not count. At least one stays until
    the end of the shipment.
    """
    reason = stated(reason)
    row = await locked(connection, caller, shipment_id)
    stop_unless(row, _CHANGEABLE, "get other loggers")
    wanted = _move(row, LOGGERS, at, now, add=add, remove=remove)
    if not await _done(connection, caller, row, wanted, now):
        return
    await stop_if_retired(connection, add)
    await _stop_if_left_alone(connection, row)
    overrides = await gates.passed(
        connection, row, add, None, override_reason=override_reason, actor=actor, now=now
    )
    row = await shipments.change(connection, shipment_id, overrides=overrides)
    await record(
        connection,
        row,
        ShipmentStep.LOGGERS_CHANGED,
        actor=actor,
        dirty_from=wanted.at,
        reason=reason,
    )
    change = {"added": list(add), "removed": list(remove), "at": rfc3339(wanted.at)}
    await tell(connection, "shipment.loggers_changed", row, by=str(actor), reason=reason, **change)


async def change_dewar(
    connection: AsyncConnection,
    caller: Principal,
    shipment_id: str,
    *,
    dewar_id: str,
    at: datetime | None = None,
    actor: Actor,
    now: datetime,
    reason: str,
    override_reason: str | None = None,
) -> None:
    """Move a shipment to another dewar from an instant on; the one before is free then. The same again changes nothing.

    The shipment is judged by the new dewar: what coolant is left, and whether it is qualified.
    """
    reason = stated(reason)
    row = await locked(connection, caller, shipment_id)
    stop_unless(row, _CHANGEABLE, "get another dewar")
    others = await _dewars_but(connection, row, dewar_id)
    wanted = _move(row, DEWARS, at, now, add=[dewar_id], remove=())
    off = [id_ for id_, ends_at in others.items() if ends_at is None or ends_at > wanted.at]
    wanted = Move(
        thing=DEWARS,
        shipment_id=shipment_id,
        at=wanted.at,
        until=wanted.until,
        add=wanted.add,
        remove=off,
    )
    if not await _done(connection, caller, row, wanted, now):
        return
    was = row["dewar_id"]
    overrides = await gates.passed(
        connection, row, [], dewar_id, override_reason=override_reason, actor=actor, now=now
    )
    row = await shipments.change(connection, shipment_id, dewar_id=dewar_id, overrides=overrides)
    await record(connection, row, ShipmentStep.DEWAR_CHANGED, actor=actor, reason=reason)
    change = {"was": {"dewar_id": was}, "at": rfc3339(wanted.at)}
    await tell(connection, "shipment.dewar_changed", row, by=str(actor), reason=reason, **change)


def _move(
    row: RowMapping,
    thing: Thing,
    at: datetime | None,
    now: datetime,
    *,
    add: Sequence[str],
    remove: Sequence[str],
) -> Move:
    """Return what is moved and when, within the time of the shipment."""
    until, at = row["delivered_at"], moment(at, now)
    if until is not None and at >= until:
        raise Invalid("at", f"is not before the delivery at {rfc3339(until)}: say when it was, with at")
    begins = min(
        one for one in (row["created_at"], row["packed_out_at"], row["departed_at"]) if one is not None
    )
    if at < begins:
        raise Invalid("at", f"is before the shipment, which begins at {rfc3339(begins)}")
    return Move(thing=thing, shipment_id=row["shipment_id"], at=at, until=until, add=add, remove=remove)


async def _done(
    connection: AsyncConnection, caller: Principal, row: RowMapping, wanted: Move, now: datetime
) -> bool:
    found = await reassignments.move(connection, wanted, holder=holder_of(caller, row), now=now)
    if not isinstance(found, bool):
        stop_if_not_free(found)
    return found is True


async def _stop_if_left_alone(connection: AsyncConnection, row: RowMapping) -> None:
    """Refuse to leave a shipment without any logger: nobody would know of it, and nothing would tell that."""
    on = device_assignments.c
    stays = or_(on.ends_at.is_(None), on.ends_at == row["delivered_at"])
    query = select(exists().where(on.shipment_id == row["shipment_id"], stays))
    if not await connection.scalar(query):
        raise Conflict(
            f"{id_of(row['shipment_id'])} would have no logger any more: put another one on in the same call, "
            "or leave the one that there is."
        )


async def _dewars_but(
    connection: AsyncConnection, row: RowMapping, dewar_id: str
) -> dict[str, datetime | None]:
    on = dewar_assignments.c
    query = select(on.dewar_id, on.ends_at).where(
        on.shipment_id == row["shipment_id"],
        on.dewar_id != dewar_id,
        or_(on.ends_at.is_(None), on.ends_at > on.starts_at),
    )
    return {found.dewar_id: found.ends_at for found in await connection.execute(query)}
