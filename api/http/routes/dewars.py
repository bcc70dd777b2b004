"""Dewars: the shippers, and their charges with nitrogen."""

from typing import Annotated

from fastapi import APIRouter, Body, Query, Response

from api.http.pagination import DEFAULT_LIMIT, Cursor, Limit, answer, read_cursor
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
from api.use_cases import dewars
from api.use_cases.registering import DEWAR
from telemetry.registry.dewars import CHARGE_ORDER, DEWARS, charge_page

router = APIRouter(route_class=Call, tags=["dewars"])

_NOW = ChargeIn()


@router.post("/v1/dewars", status_code=201)
@action("dewars.register")
async def register_dewar(body: DewarIn, caller: Caller, services: Here, response: Response) -> DewarOut:
    """Register a shipper."""
    async with services.engine.begin() as connection:
        row = await dewars.register(connection, body.value(), actor=caller.actor)
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
        return DewarOut(**await dewars.get(connection, dewar_id))


@router.patch("/v1/dewars/{dewar_id}")
@action("dewars.change")
async def change_dewar(dewar_id: Id, body: DewarChangeIn, caller: Caller, services: Here) -> DewarOut:
    """Change what is given of a shipper, as after a requalification. What it was before stays on record.

    Shipments under way in it are judged by the new description from now on.
    """
    async with services.engine.begin() as connection:
        row = await dewars.change(
            connection,
            caller,
            dewar_id,
            body.changes(),
            seen=body.revision,
            actor=caller.actor,
            now=services.clock(),
            reason=body.reason,
        )
    return DewarOut(**row)


@router.get("/v1/dewars/{dewar_id}/revisions")
@action("dewars.read")
async def list_dewar_revisions(
    dewar_id: Id, services: Here, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> ListOf[DewarRevision]:
    """List every description that a shipper ever had, oldest first, with who made it and when."""
    after = read_cursor(cursor, DEWARS.history_order)
    async with services.engine.connect() as connection:
        await dewars.get(connection, dewar_id)
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
    async with services.engine.begin() as connection:
        charge, is_new = await dewars.charge(
            connection,
            caller,
            dewar_id,
            at=body.at,
            ln2_kg=body.ln2_kg,
            actor=caller.actor,
            now=services.clock(),
            backdating=services.backdating,
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
        charge = await dewars.correct_charge(
            connection,
            dewar_id,
            charged_at=body.charged_at,
            changes=body.changes(),
            actor=caller.actor,
            reason=body.reason,
        )
    return ChargeOut(**charge)


@router.get("/v1/dewars/{dewar_id}/charges")
@action("dewars.read")
async def list_charges(
    dewar_id: Id, services: Here, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> ListOf[ChargeOut]:
    """List the charges of a shipper, the latest first."""
    after = read_cursor(cursor, CHARGE_ORDER)
    async with services.engine.connect() as connection:
        await dewars.get(connection, dewar_id)
        page = await charge_page(connection, dewar_id, after=after, limit=limit)
    return answer(page, lambda row: ChargeOut(**row))
