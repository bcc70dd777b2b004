"""Excursions: time out of range, as it is known now and as it was known before."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from alerts import findings
from alerts.model import ExcursionState, Severity
from api.access import visible_shipments
from api.pagination import DEFAULT_LIMIT, Cursor, Limit, answer, read_cursor
from api.problems import not_found
from api.routing import Call, Caller, Here
from api.schemas.fields import DeviceId, Id, ListOf
from api.schemas.findings import ExcursionOut, ExcursionRevision, ExcursionWithHistory
from telemetry.registry import shipments

router = APIRouter(route_class=Call, tags=["excursions"])

States = Annotated[list[ExcursionState] | None, Query(alias="state", description="One or several.")]


@router.get("/v1/shipments/{shipment_id}/excursions")
async def list_excursions_of_shipment(
    shipment_id: Id,
    caller: Caller,
    services: Here,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    states: States = None,
    severity: Severity | None = None,
    device_id: Annotated[DeviceId | None, Query()] = None,
) -> ListOf[ExcursionOut]:
    """List a shipment's excursions, the latest first; those that were withdrawn or superseded stay on record."""
    after = read_cursor(cursor, findings.EXCURSION_ORDER)
    visible = visible_shipments(caller)
    wanted = findings.Wanted(
        visible=visible, shipment_id=shipment_id, device_id=device_id, states=states, severity=severity
    )
    async with services.engine.connect() as connection:
        if await shipments.get(connection, shipment_id, visible) is None:
            raise not_found("shipment", shipment_id)
        page = await findings.excursion_page(connection, wanted, after=after, limit=limit)
    return answer(page, ExcursionOut.of)


@router.get("/v1/excursions")
async def list_excursions(
    caller: Caller,
    services: Here,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    states: States = None,
    severity: Severity | None = None,
    shipment_id: Annotated[Id | None, Query()] = None,
    device_id: Annotated[DeviceId | None, Query()] = None,
) -> ListOf[ExcursionOut]:
    """List the excursions of all shipments, the latest first."""
    after = read_cursor(cursor, findings.EXCURSION_ORDER)
    wanted = findings.Wanted(
        visible=visible_shipments(caller),
        shipment_id=shipment_id,
        device_id=device_id,
        states=states,
        severity=severity,
    )
    async with services.engine.connect() as connection:
        page = await findings.excursion_page(connection, wanted, after=after, limit=limit)
    return answer(page, ExcursionOut.of)


@router.get("/v1/excursions/{excursion_id}")
async def get_excursion(excursion_id: UUID, caller: Caller, services: Here) -> ExcursionWithHistory:
    """Show one excursion with every state in which it was ever known."""
    async with services.engine.connect() as connection:
        found = await findings.excursion(connection, excursion_id, visible_shipments(caller))
    if found is None:
        raise not_found("excursion", excursion_id)
    row, revisions = found
    return ExcursionWithHistory(
        **ExcursionOut.fields(row), revisions=[ExcursionRevision.of(revision) for revision in revisions]
    )
