"""Dewars: the shippers, and their charges with nitrogen."""

from operator import itemgetter
from typing import Annotated

from fastapi import APIRouter, Body, Query, Response

from alerts.views.charges import doubts_of
from api.http.naming import LentTo
from api.http.pagination import DEFAULT_LIMIT, Cursor, Limit, answer, read_cursor
from api.http.routing import Call, Caller, Here, action
from api.http.schemas.fields import Id, ListOf, Words
from api.http.schemas.registry.dewars import (
    ChargeCorrectionIn,
    ChargeIn,
    ChargeOut,
    DewarChangeIn,
    DewarIn,
    DewarOut,
    DewarRevision,
)
from api.identity.access import holder
from api.transactions import begin
from api.use_cases.registry import dewars
from telemetry.registry import dewars as registry
from telemetry.registry.dewars import CHARGE_ORDER, DEWARS, charge_page

router = APIRouter(route_class=Call, tags=["dewars"])

_NOW = ChargeIn()
_CHARGED_AT = itemgetter("charged_at")


@router.post("/v1/dewars", status_code=201)
@action("dewars.register")
async def register_dewar(body: DewarIn, caller: Caller, services: Here, response: Response) -> DewarOut:
    """Register a shipper."""
    async with begin(services.engine) as connection:
        row = await dewars.register(connection, body.value(), actor=caller.actor, now=services.clock())
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
    organization: LentTo = None,
) -> ListOf[DewarOut]:
    """List the shippers by id.

    Keys of an organization see those that it has now, by a loan or on its shipments, and of their charges only those
    while it had them.
    """
    after = read_cursor(cursor, DEWARS.order)
    async with services.engine.connect() as connection:
        page = await registry.page(
            connection,
            holder=holder(caller),
            now=services.clock(),
            q=q,
            organization=organization,
            after=after,
            limit=limit,
        )
    return answer(page, lambda row: DewarOut(**row))


@router.get("/v1/dewars/{dewar_id}")
@action("dewars.read")
async def get_dewar(dewar_id: Id, caller: Caller, services: Here) -> DewarOut:
    """Show one shipper."""
    async with services.engine.connect() as connection:
        return DewarOut(**await dewars.get(connection, caller, dewar_id, now=services.clock()))


@router.patch("/v1/dewars/{dewar_id}")
@action("dewars.change")
async def change_dewar(dewar_id: Id, body: DewarChangeIn, caller: Caller, services: Here) -> DewarOut:
    """Change what is given of a shipper, as after a requalification. What it was before stays on record.

    Shipments under way in it are judged by the new description from now on.
    """
    async with begin(services.engine) as connection:
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
@action("dewars.read_revisions")
async def list_dewar_revisions(
    dewar_id: Id, caller: Caller, services: Here, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> ListOf[DewarRevision]:
    """List every description that a shipper ever had, oldest first, with who made it and when."""
    after = read_cursor(cursor, DEWARS.history_order)
    async with services.engine.connect() as connection:
        await dewars.get(connection, caller, dewar_id, now=services.clock())
        page = await DEWARS.history(connection, dewar_id, after=after, limit=limit)
    return answer(page, DewarRevision.of)


@router.post("/v1/dewars/{dewar_id}/charge")
@action("dewars.charge")
async def charge_dewar(
    dewar_id: Id, caller: Caller, services: Here, response: Response, body: Annotated[ChargeIn, Body()] = _NOW
) -> ChargeOut:
    """Record that a shipper was charged with nitrogen; 201 where that is new. The same instant again changes nothing.

    The shipment under way in it is judged by the charge. `doubts` says what the readings up to now say against it. Keys of an organization record charges of a shipper for the
    time in which it is on a shipment of theirs, or lent to their organization and on none; couriers, for the time in
    which it is on a shipment that they are on. All others get one 404, whether there is such a shipper or not.
    """
    async with begin(services.engine) as connection:
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
        (doubts,) = await doubts_of(connection, [charge])
    response.status_code = 201 if is_new else 200
    return ChargeOut.of(charge, doubts)


@router.post("/v1/dewars/{dewar_id}/charges/correct")
@action("dewars.correct_charge")
async def correct_charge(dewar_id: Id, body: ChargeCorrectionIn, caller: Caller, services: Here) -> ChargeOut:
    """Correct a charge that was told wrongly, or withdraw it, with the reason; what was told before stays on record.

    Shipments under way in the shipper are judged anew. A correction that changes nothing is none.
    """
    async with begin(services.engine) as connection:
        charge = await dewars.correct_charge(
            connection,
            dewar_id,
            charged_at=body.charged_at,
            changes=body.changes(),
            actor=caller.actor,
            reason=body.reason,
        )
        (doubts,) = await doubts_of(connection, [charge])
    return ChargeOut.of(charge, doubts)


@router.get("/v1/dewars/{dewar_id}/charges")
@action("dewars.read")
async def list_charges(
    dewar_id: Id, caller: Caller, services: Here, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> ListOf[ChargeOut]:
    """List the charges of a shipper, the latest first; for keys of an organization, those while it had the shipper."""
    after = read_cursor(cursor, CHARGE_ORDER)
    async with services.engine.connect() as connection:
        await dewars.get(connection, caller, dewar_id, now=services.clock())
        page = await charge_page(connection, dewar_id, holder=holder(caller), after=after, limit=limit)
        doubts = dict(zip(map(_CHARGED_AT, page.rows), await doubts_of(connection, page.rows), strict=True))
    return answer(page, lambda row: ChargeOut.of(row, doubts[_CHARGED_AT(row)]))
