"""Loans: to which organization each logger and each shipper is lent, and since when."""

from uuid import UUID

from fastapi import APIRouter, Response

from api.http.pagination import DEFAULT_LIMIT, Cursor, Limit, answer, read_cursor
from api.http.routing import Call, Caller, Here, action
from api.http.schemas.fields import DeviceId, Id, ListOf
from api.http.schemas.registry.loans import LoanEndIn, LoanIn, LoanOut
from api.http.services import Services
from api.identity.access import Principal
from api.transactions import begin
from api.use_cases.registry import loans
from telemetry.registry.holding.loans import order
from telemetry.registry.holding.things import DEWARS, LOGGERS, Thing

router = APIRouter(route_class=Call, tags=["loans"])


@router.post("/v1/devices/{device_id}/loans", status_code=201)
@action("devices.lend")
async def lend_device(
    device_id: DeviceId, body: LoanIn, caller: Caller, services: Here, response: Response
) -> LoanOut:
    """Lend a logger to an organization: its keys may assign it to their shipments, for as long as the loan holds.

    201 where that is new. The same again changes nothing. It is lent to one organization at a time.
    """
    return await _lend(LOGGERS, device_id, body, caller, services, response)


@router.get("/v1/devices/{device_id}/loans")
@action("devices.read")
async def list_device_loans(
    device_id: DeviceId, caller: Caller, services: Here, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> ListOf[LoanOut]:
    """List the loans of a logger, the latest first; keys of an organization see those to it."""
    return await _list(LOGGERS, device_id, caller, services, limit, cursor)


@router.post("/v1/devices/{device_id}/loans/{loan_id}/end")
@action("devices.end_loan")
async def end_device_loan(
    device_id: DeviceId, loan_id: UUID, body: LoanEndIn, caller: Caller, services: Here
) -> LoanOut:
    """End the loan of a logger, now or at a time ahead. Until when it was to last stays on record.

    Refused while the logger is on a shipment of that organization, unless the end lies ahead: a shipment that is under
    way then keeps it until it is over.
    """
    return await _end(LOGGERS, device_id, loan_id, body, caller, services)


@router.post("/v1/dewars/{dewar_id}/loans", status_code=201)
@action("dewars.lend")
async def lend_dewar(
    dewar_id: Id, body: LoanIn, caller: Caller, services: Here, response: Response
) -> LoanOut:
    """Lend a shipper to an organization: its keys may use and charge it, for as long as the loan holds.

    201 where that is new. The same again changes nothing. It is lent to one organization at a time.
    """
    return await _lend(DEWARS, dewar_id, body, caller, services, response)


@router.get("/v1/dewars/{dewar_id}/loans")
@action("dewars.read")
async def list_dewar_loans(
    dewar_id: Id, caller: Caller, services: Here, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> ListOf[LoanOut]:
    """List the loans of a shipper, the latest first; keys of an organization see those to it."""
    return await _list(DEWARS, dewar_id, caller, services, limit, cursor)


@router.post("/v1/dewars/{dewar_id}/loans/{loan_id}/end")
@action("dewars.end_loan")
async def end_dewar_loan(
    dewar_id: Id, loan_id: UUID, body: LoanEndIn, caller: Caller, services: Here
) -> LoanOut:
    """End the loan of a shipper, as that of a logger."""
    return await _end(DEWARS, dewar_id, loan_id, body, caller, services)


async def _lend(
    thing: Thing, id_: str, body: LoanIn, caller: Principal, services: Services, response: Response
) -> LoanOut:
    async with begin(services.engine) as connection:
        row, is_new = await loans.lend(
            connection, thing, id_, body.value(), actor=caller.actor, now=services.clock()
        )
    response.status_code = 201 if is_new else 200
    return LoanOut.of(thing, row)


async def _list(
    thing: Thing, id_: str, caller: Principal, services: Services, limit: int, cursor: str | None
) -> ListOf[LoanOut]:
    after = read_cursor(cursor, order(thing))
    async with services.engine.connect() as connection:
        page = await loans.page(connection, caller, thing, id_, after=after, limit=limit)
    return answer(page, lambda row: LoanOut.of(thing, row))


async def _end(
    thing: Thing, id_: str, loan_id: UUID, body: LoanEndIn, caller: Principal, services: Services
) -> LoanOut:
    async with begin(services.engine) as connection:
        row = await loans.end(
            connection,
            thing,
            id_,
            loan_id,
            at=body.at,
            actor=caller.actor,
            now=services.clock(),
            reason=body.reason,
        )
    return LoanOut.of(thing, row)
