"""Handovers: from hand to hand, and who is asked about a shipment's alerts."""

from fastapi import APIRouter, Response

from alerts.escalation.registers import HANDOVER_ORDER, handover_page
from api.http.naming import ShipmentKey
from api.http.pagination import DEFAULT_LIMIT, Cursor, Limit, answer, read_cursor
from api.http.routing import Call, Caller, Here, action
from api.http.schemas.escalation import HandoverIn, HandoverOut
from api.http.schemas.fields import ListOf
from api.identity.access import visible_shipments
from api.refusals import NotFound
from api.use_cases.shipments import handovers
from telemetry.registry import shipments

router = APIRouter(route_class=Call, tags=["shipments"])


@router.post("/v1/shipments/{shipment_id}/handovers", status_code=201)
@action("shipments.hand_over")
async def record_handover(
    shipment_id: ShipmentKey, body: HandoverIn, caller: Caller, services: Here, response: Response
) -> HandoverOut:
    """Record who has taken a shipment over: from then on they are asked about its alerts.

    Its open alerts pass to them, except what somebody else than the former holder owns; what that one had acknowledged
    fires again. The same again changes nothing.

    It may be told late, and out of order: the latest by `at` says who holds it. It must fit between the others:
    `from_party` is who holds the shipment then, and who gives it next is who gets it now. Operations may record what
    does not fit, with `override_reason`.
    """
    async with services.engine.begin() as connection:
        row, is_new = await handovers.hand_over(
            connection,
            caller,
            shipment_id,
            body.value(),
            actor=caller.actor,
            now=services.clock(),
            backdating=services.backdating,
        )
    response.status_code = 201 if is_new else 200
    return HandoverOut(**row)


@router.get("/v1/shipments/{shipment_id}/handovers")
@action("shipments.read")
async def list_handovers(
    shipment_id: ShipmentKey,
    caller: Caller,
    services: Here,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> ListOf[HandoverOut]:
    """List a shipment's handovers in the order in which they were; the last one says who holds it."""
    after = read_cursor(cursor, HANDOVER_ORDER)
    async with services.engine.connect() as connection:
        if await shipments.get(connection, shipment_id, visible_shipments(caller)) is None:
            raise NotFound("shipment", shipment_id)
        page = await handover_page(connection, shipment_id, after=after, limit=limit)
    return answer(page, lambda row: HandoverOut(**row))
