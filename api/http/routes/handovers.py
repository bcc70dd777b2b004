"""Handovers: from hand to hand, and who is asked about a shipment's alerts."""

from typing import Any

from fastapi import APIRouter, Response
from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.escalation.hand_over import hand_over
from alerts.escalation.registers import HANDOVER_ORDER, handover_page, unknown_contacts
from alerts.events import outbox
from alerts.wording import rfc3339
from api.http.pagination import DEFAULT_LIMIT, Cursor, Limit, answer, read_cursor
from api.http.problems import Problem, invalid, not_found
from api.http.routing import Call, Caller, Here, action
from api.http.schemas.escalation import HandoverIn, HandoverOut
from api.http.schemas.fields import Id, ListOf
from api.identity.access import Principal, visible_shipments
from api.use_cases.lifecycle import not_ahead
from api.use_cases.registering import by
from telemetry.registry import shipments

router = APIRouter(route_class=Call, tags=["shipments"])


@router.post("/v1/shipments/{shipment_id}/handovers", status_code=201)
@action("shipments.hand_over")
async def record_handover(
    shipment_id: Id, body: HandoverIn, caller: Caller, services: Here, response: Response
) -> HandoverOut:
    """Record who has taken a shipment over: from then on they are asked about its alerts.

    Its open alerts pass to them, except what somebody else than the former holder owns; what that one had acknowledged
    fires again. The same again changes nothing.

    It may be told late, and out of order: the latest by `at` says who holds it.
    """
    now = services.clock()
    not_ahead("at", body.at, now)
    async with services.engine.begin() as connection:
        shipment = await shipments.lock(connection, shipment_id, visible_shipments(caller))
        if shipment is None:
            raise not_found("shipment", shipment_id)
        await _check(connection, body, shipment)
        values = body.model_dump() | {"at": body.at or now, "shipment_id": shipment_id, "by": by(caller)}
        row, new = await hand_over(connection, shipment, values)
        if not new:
            _same(row, values)
        else:
            await _tell(connection, row, shipment)
    response.status_code = 201 if new else 200
    return HandoverOut(**row)


@router.get("/v1/shipments/{shipment_id}/handovers")
@action("shipments.read")
async def list_handovers(
    shipment_id: Id, caller: Caller, services: Here, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> ListOf[HandoverOut]:
    """List a shipment's handovers in the order in which they were; the last one says who holds it."""
    after = read_cursor(cursor, HANDOVER_ORDER)
    async with services.engine.connect() as connection:
        await _seen(connection, caller, shipment_id)
        page = await handover_page(connection, shipment_id, after=after, limit=limit)
    return answer(page, lambda row: HandoverOut(**row))


async def _seen(connection: AsyncConnection, caller: Principal, shipment_id: str) -> None:
    if await shipments.get(connection, shipment_id, visible_shipments(caller)) is None:
        raise not_found("shipment", shipment_id)


async def _check(connection: AsyncConnection, body: HandoverIn, shipment: Any) -> None:
    if shipment["status"] == "cancelled":
        raise Problem(409, f"{shipment['shipment_id']} was cancelled: it goes to nobody any more.")
    if body.to_contact is not None and await unknown_contacts(
        connection, [body.to_contact], shipment["organization"]
    ):
        raise invalid("to_contact", f"names no contact that may be told of it: {body.to_contact}")


def _same(row: Any, values: dict[str, Any]) -> None:
    """Refuse another handover at the same instant to the same party."""
    different = [name for name, value in values.items() if name != "by" and row[name] != value]
    if different:
        raise Problem(
            409,
            f"A handover to {row['to_party']} at {rfc3339(row['at'])} is on record already, with another "
            f"{', '.join(different)}; what is on record stays. Tell the next one, or this one with its own time.",
        )


async def _tell(connection: AsyncConnection, row: Any, shipment: Any) -> None:
    names = ("at", "from_party", "to_party", "to_contact", "place", "lat", "lon", "note", "recorded_at")
    data = {name: rfc3339(row[name]) if name in {"at", "recorded_at"} else row[name] for name in names}
    await outbox.tell(
        connection,
        type="shipment.handed_over",
        shipment_id=shipment["shipment_id"],
        organization=shipment["organization"],
        data={
            "id": str(row["id"]),
            "shipment_id": shipment["shipment_id"],
            **data,
            "organization": shipment["organization"],
            "drill": shipment["drill"],
        },
    )
