"""Excursions: time out of range, as it is known now and as it was known before."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response
from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.model import ExcursionState, Severity
from alerts.views import excursions as views
from alerts.views.as_of import FindingFilter
from api.http.as_of import AsOf, stands_for, unknown
from api.http.naming import OfShipments, ShipmentKey, Visible
from api.http.pagination import DEFAULT_LIMIT, Cursor, Limit, answer, read_cursor
from api.http.routing import Call, Caller, Here, action
from api.http.schemas.fields import DeviceId, ListOf
from api.http.schemas.findings import ExcursionOut, ExcursionWithHistory
from api.identity.access import visible_shipments
from api.refusals import NotFound
from telemetry.registry import shipments

router = APIRouter(route_class=Call, tags=["excursions"])

States = Annotated[list[ExcursionState] | None, Query(alias="state", description="One or several.")]
Revisions = Annotated[bool, Query(description="Return each with every state that it was ever known in.")]
Peaks = Annotated[
    bool,
    Query(description="With false, revisions that only moved the peak of an open excursion are left out."),
]
ByPeople = Annotated[
    bool | None,
    Query(
        description="Only those that an act of a person has withdrawn or made less, or only the others; with "
        "`state=withdrawn`, those that were withdrawn so."
    ),
]


@router.get("/v1/shipments/{shipment_id}/excursions", response_model_exclude_unset=True)
@action("excursions.read")
async def list_excursions_of_shipment(
    shipment_id: ShipmentKey,
    caller: Caller,
    services: Here,
    response: Response,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    states: States = None,
    severity: Severity | None = None,
    device_id: Annotated[DeviceId | None, Query()] = None,
    *,
    by_people: ByPeople = None,
    revisions: Revisions = False,
    peaks: Peaks = True,
    as_of: AsOf = None,
) -> ListOf[ExcursionOut]:
    """List a shipment's excursions, the latest first; those that were withdrawn or superseded stay on record."""
    response.headers.update(stands_for(as_of, services.clock()))
    visible = visible_shipments(caller)
    wanted = FindingFilter(
        visible=visible,
        as_of=as_of,
        shipment_ids=[shipment_id],
        device_id=device_id,
        states=states,
        severity=severity,
        by_people=by_people,
    )
    async with services.engine.connect() as connection:
        if await shipments.get(connection, shipment_id, visible) is None:
            raise NotFound("shipment", shipment_id)
        return await _listed(connection, wanted, cursor=cursor, limit=limit, revisions=revisions, peaks=peaks)


@router.get("/v1/excursions", response_model_exclude_unset=True)
@action("excursions.read")
async def list_excursions(
    services: Here,
    visible: Visible,
    response: Response,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    states: States = None,
    severity: Severity | None = None,
    shipment_ids: OfShipments = None,
    device_id: Annotated[DeviceId | None, Query()] = None,
    *,
    by_people: ByPeople = None,
    revisions: Revisions = False,
    peaks: Peaks = True,
    as_of: AsOf = None,
) -> ListOf[ExcursionOut]:
    """List the excursions of all shipments, the latest first."""
    response.headers.update(stands_for(as_of, services.clock()))
    wanted = FindingFilter(
        visible=visible,
        as_of=as_of,
        shipment_ids=shipment_ids,
        device_id=device_id,
        states=states,
        severity=severity,
        by_people=by_people,
    )
    async with services.engine.connect() as connection:
        return await _listed(connection, wanted, cursor=cursor, limit=limit, revisions=revisions, peaks=peaks)


async def _listed(
    connection: AsyncConnection,
    wanted: FindingFilter,
    *,
    cursor: str | None,
    limit: int,
    revisions: bool,
    peaks: bool,
) -> ListOf[ExcursionOut]:
    after = read_cursor(cursor, views.EXCURSION_ORDER)
    page = await views.excursion_page(connection, wanted, after=after, limit=limit)
    if not revisions:
        return answer(page, ExcursionOut.of)
    ids = [row["id"] for row in page.rows]
    history = await views.excursion_history(connection, ids, wanted.as_of, peaks=peaks)
    return answer(page, lambda row: ExcursionOut.of(row, history.get(row["id"], [])))


@router.get("/v1/excursions/{excursion_id}")
@action("excursions.read")
async def get_excursion(
    excursion_id: UUID,
    caller: Caller,
    services: Here,
    response: Response,
    *,
    peaks: Peaks = True,
    as_of: AsOf = None,
) -> ExcursionWithHistory:
    """Show one excursion with every state in which it was ever known."""
    response.headers.update(stands_for(as_of, services.clock()))
    async with services.engine.connect() as connection:
        visible = visible_shipments(caller)
        found = await views.excursion(connection, excursion_id, visible, as_of, peaks=peaks)
    if found is None:
        raise unknown("excursion", excursion_id, as_of)
    return ExcursionWithHistory.of(*found)
