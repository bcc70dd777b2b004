"""Dewars: the shippers, and their charges with nitrogen."""

from typing import Annotated

from fastapi import APIRouter, Body, Query, Response
from sqlalchemy import RowMapping, exists, select
from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.wording import rfc3339
from api.http.pagination import DEFAULT_LIMIT, Cursor, Limit, answer, read_cursor
from api.http.problems import Problem, invalid, not_found
from api.http.routing import Call, Caller, Here, action
from api.http.schemas.dewars import (
    ChargeCorrectionIn,
    ChargeIn,
    ChargeOut,
    DewarChangeIn,
    DewarIn,
    DewarOut,
    DewarRevision,
)
from api.http.schemas.fields import Id, ListOf, Words
from api.identity.access import Principal, visible_shipments
from api.use_cases.lifecycle import not_ahead
from api.use_cases.registering import DEWAR, by
from telemetry import evaluation_marks
from telemetry.registry import dewars
from telemetry.registry.dewars import DEWARS
from telemetry.tables import shipments

router = APIRouter(route_class=Call, tags=["dewars"])

_NOW = ChargeIn()


@router.post("/v1/dewars", status_code=201)
@action("dewars.register")
async def register_dewar(body: DewarIn, caller: Caller, services: Here, response: Response) -> DewarOut:
    """Register a shipper."""
    async with services.engine.begin() as connection:
        row = await dewars.add(connection, body.model_dump(), by=by(caller))
    if row is None:
        raise Problem(409, f"There is a dewar {body.dewar_id} already.")
    response.headers["Location"] = f"/v1/dewars/{body.dewar_id}"
    return DewarOut(**row)


@router.get("/v1/dewars")
@action("dewars.read")
async def list_dewars(
    caller: Caller,
    services: Here,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    q: Annotated[Words | None, Query(description="Part of an id or a model.")] = None,
) -> ListOf[DewarOut]:
    """List the shippers by id."""
    after = read_cursor(cursor, DEWARS.order)
    async with services.engine.connect() as connection:
        page = await DEWAR.page(connection, caller, q=q, after=after, limit=limit)
    return answer(page, lambda row: DewarOut(**row))


@router.get("/v1/dewars/{dewar_id}")
@action("dewars.read")
async def get_dewar(dewar_id: Id, services: Here) -> DewarOut:
    """Show one shipper."""
    async with services.engine.connect() as connection:
        return DewarOut(**await _found(connection, dewar_id))


@router.patch("/v1/dewars/{dewar_id}")
@action("dewars.change")
async def change_dewar(dewar_id: Id, body: DewarChangeIn, caller: Caller, services: Here) -> DewarOut:
    """Change what is given of a shipper, as after a requalification. What it was before stays on record.

    Shipments under way in it are judged by the new description from now on.
    """
    async with services.engine.begin() as connection:
        row = await DEWAR.lock(connection, caller, dewar_id)
        changed = await DEWAR.change(
            connection, caller, row, body.values(), seen=body.revision, reason=body.reason
        )
        if changed["revision"] != row["revision"]:
            inside = shipments.c.dewar_id == dewar_id
            await evaluation_marks.mark_active(connection, inside, services.clock())
    return DewarOut(**changed)


@router.get("/v1/dewars/{dewar_id}/revisions")
@action("dewars.read")
async def list_dewar_revisions(
    dewar_id: Id, services: Here, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> ListOf[DewarRevision]:
    """List every description that a shipper ever had, oldest first, with who made it and when."""
    after = read_cursor(cursor, DEWARS.history_order)
    async with services.engine.connect() as connection:
        await _found(connection, dewar_id)
        page = await DEWARS.history(connection, dewar_id, after=after, limit=limit)
    return answer(page, DewarRevision.of)


@router.post("/v1/dewars/{dewar_id}/charge")
@action("dewars.charge")
async def charge_dewar(
    dewar_id: Id, caller: Caller, services: Here, response: Response, body: Annotated[ChargeIn, Body()] = _NOW
) -> ChargeOut:
    """Record that a shipper was charged with nitrogen; 201 where that is new. The same instant again changes nothing.

    Shipments under way in it are judged by the charge. A courier may do so for the shippers of the shipments that it is
    on, while they are planned or under way.
    """
    now = services.clock()
    not_ahead("at", body.at, now)
    at = body.at or now
    async with services.engine.begin() as connection:
        dewar = await _carried(connection, caller, dewar_id)
        _not_overfull(dewar, body.ln2_kg)
        charge, is_new = await dewars.charge(connection, dewar_id, at=at, ln2_kg=body.ln2_kg, by=by(caller))
        if is_new:
            await evaluation_marks.mark_active(connection, shipments.c.dewar_id == dewar_id, at)
    if charge["withdrawn"]:
        raise Problem(
            409,
            f"The charge of {dewar_id} at {rfc3339(at)} was withdrawn: correct it, with withdrawn false.",
        )
    if body.ln2_kg not in {None, charge["ln2_kg"]}:
        raise Problem(
            409, f"The charge of {dewar_id} at {rfc3339(at)} is recorded with {_kg(charge['ln2_kg'])}."
        )
    response.status_code = 201 if is_new else 200
    return ChargeOut(**charge)


@router.post("/v1/dewars/{dewar_id}/charges/correct")
@action("dewars.correct_charge")
async def correct_charge(dewar_id: Id, body: ChargeCorrectionIn, caller: Caller, services: Here) -> ChargeOut:
    """Correct a charge that was told wrongly, or withdraw it, with the reason; what was told before stays on record.

    Shipments under way in the shipper are judged anew. A correction that changes nothing is none.
    """
    async with services.engine.begin() as connection:
        dewar = await _found(connection, dewar_id)
        _not_overfull(dewar, body.ln2_kg)
        found = await dewars.correct_charge(
            connection,
            dewar_id,
            charged_at=body.charged_at,
            changes=body.changes(),
            by=by(caller),
            reason=body.reason,
        )
        if found is None:
            raise Problem(404, f"There is no charge of {dewar_id} at {rfc3339(body.charged_at)}.")
        charge, is_changed = found
        if is_changed:
            await evaluation_marks.mark_active(connection, shipments.c.dewar_id == dewar_id, body.charged_at)
    return ChargeOut(**charge)


@router.get("/v1/dewars/{dewar_id}/charges")
@action("dewars.read")
async def list_charges(
    dewar_id: Id, services: Here, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> ListOf[ChargeOut]:
    """List the charges of a shipper, the latest first."""
    after = read_cursor(cursor, dewars.CHARGE_ORDER)
    async with services.engine.connect() as connection:
        await _found(connection, dewar_id)
        page = await dewars.charge_page(connection, dewar_id, after=after, limit=limit)
    return answer(page, lambda row: ChargeOut(**row))


async def _found(connection: AsyncConnection, dewar_id: str) -> RowMapping:
    row = await dewars.get(connection, dewar_id)
    if row is None:
        raise not_found("dewar", dewar_id)
    return row


async def _carried(connection: AsyncConnection, caller: Principal, dewar_id: str) -> RowMapping:
    """Give a shipper that the caller may charge: any, or that of a shipment it sees that is not over."""
    if not caller.is_operator:
        theirs = exists().where(
            shipments.c.dewar_id == dewar_id,
            shipments.c.status.in_(("planned", "in_transit")),
            visible_shipments(caller),
        )
        if not await connection.scalar(select(theirs)):
            raise not_found("dewar", dewar_id)
    return await _found(connection, dewar_id)


def _not_overfull(dewar: RowMapping, ln2_kg: float | None) -> None:
    """Refuse what cannot be in it, such as grams; scales and data sheets differ by less than a tenth."""
    capacity = dewar["ln2_capacity_kg"]
    if ln2_kg is not None and capacity and ln2_kg > 1.1 * capacity:
        raise invalid("ln2_kg", f"is more than the dewar holds, which is {_kg(capacity)}")


def _kg(mass: float | None) -> str:
    return "no mass" if mass is None else f"{mass:g} kg"
