"""Corrections of loggers' clocks, on record."""

from uuid import UUID

from fastapi import APIRouter, Response

from api.http.pagination import DEFAULT_LIMIT, Cursor, Limit, answer, read_cursor
from api.http.routing import Call, Caller, Here, action
from api.http.schemas.fields import DeviceId, ListOf
from api.http.schemas.registry.clock_corrections import (
    ClockCorrectionIn,
    ClockCorrectionOut,
    ClockReversalIn,
)
from api.transactions import begin
from api.use_cases.registry import clock_corrections

router = APIRouter(route_class=Call, tags=["devices"])


@router.post("/v1/devices/{device_id}/clock-corrections", status_code=201)
@action("devices.correct_clock")
async def correct_clock(
    device_id: DeviceId, body: ClockCorrectionIn, caller: Caller, services: Here, response: Response
) -> ClockCorrectionOut:
    """Say by how much a logger's clock was wrong in a stretch, with the reason; 201 where that is new.

    Readings that were refused for their time are stored with the right one, and those that were stored with the wrong one are
    moved. What was sent stays on record, and the shipments are judged again.
    """
    async with begin(services.engine) as connection:
        row, is_new = await clock_corrections.correct(
            connection, caller, body.value(device_id), actor=caller.actor, reason=body.reason
        )
    response.status_code = 201 if is_new else 200
    return ClockCorrectionOut.of(row)


@router.get("/v1/devices/{device_id}/clock-corrections")
@action("devices.read_revisions")
async def list_clock_corrections(
    device_id: DeviceId, caller: Caller, services: Here, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> ListOf[ClockCorrectionOut]:
    """List the corrections of a logger's clock, the latest first, also those that were taken back."""
    after = read_cursor(cursor, clock_corrections.ORDER)
    async with services.engine.connect() as connection:
        page = await clock_corrections.page(connection, caller, device_id, after=after, limit=limit)
    return answer(page, ClockCorrectionOut.of)


@router.post("/v1/devices/{device_id}/clock-corrections/{correction_id}/reverse")
@action("devices.correct_clock")
async def reverse_clock_correction(
    device_id: DeviceId, correction_id: UUID, body: ClockReversalIn, caller: Caller, services: Here
) -> ClockCorrectionOut:
    """Take a correction back, with the reason: its readings are where they were before. It stays on record."""
    async with begin(services.engine) as connection:
        row = await clock_corrections.reverse(
            connection, caller, device_id, correction_id, actor=caller.actor, reason=body.reason
        )
    return ClockCorrectionOut.of(row)
