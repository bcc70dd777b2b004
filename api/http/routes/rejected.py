"""What was refused, kept as evidence within quotas."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from api.http.pagination import DEFAULT_LIMIT, Cursor, Limit, answer, read_cursor
from api.http.routing import Call, Here, action
from api.http.schemas.fields import ListOf, Words
from api.http.schemas.rejected import RejectedOut
from api.refusals import NotFound
from telemetry import refusals
from telemetry.model import RefusalReason

router = APIRouter(route_class=Call, tags=["rejected"])

_PAGE_BYTES = 4 * 2**20


@router.get("/v1/rejected")
@action("rejected.read")
async def list_rejected(
    services: Here,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    reason: RefusalReason | None = None,
    device_id: Annotated[Words | None, Query()] = None,
) -> ListOf[RejectedOut]:
    """List what was refused, the latest first, with the first bytes, the length and the hash of each message.

    Of each origin and reason so much is kept in an hour and a day; a row with `more` says how much was not.
    """
    after = read_cursor(cursor, refusals.ORDER)
    async with services.engine.connect() as connection:
        page = await refusals.page(
            connection,
            reason=reason,
            device_id=device_id,
            payload_bytes=_PAGE_BYTES // limit,
            after=after,
            limit=limit,
        )
    return answer(page, RejectedOut.of)


@router.get("/v1/rejected/{rejected_id}")
@action("rejected.read")
async def get_rejected(rejected_id: Annotated[int, Path(ge=1, le=2**63 - 1)], services: Here) -> RejectedOut:
    """Show one refusal with all that is kept of its message."""
    async with services.engine.connect() as connection:
        row = await refusals.get(connection, rejected_id)
    if row is None:
        raise NotFound("refused message", rejected_id)
    return RejectedOut.of(row)
