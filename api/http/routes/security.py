"""The security log."""

from typing import Annotated

from fastapi import APIRouter, Query

from api.http.pagination import DEFAULT_LIMIT, Cursor, Limit, answer, read_cursor
from api.http.routing import Call, Here, action
from api.http.schemas.fields import ListOf, Time, Words
from api.http.schemas.security import SecurityEventOut
from api.security import view
from api.security.events import SecurityEventType

router = APIRouter(route_class=Call, tags=["security"])


@router.get("/v1/security-events")
@action("security.read")
async def list_security_events(
    services: Here,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    types: Annotated[
        list[SecurityEventType] | None,
        Query(alias="type", max_length=100, description="One or several."),
    ] = None,
    actor: Annotated[Words | None, Query()] = None,
    key_prefix: Annotated[Words | None, Query()] = None,
    address: Annotated[Words | None, Query()] = None,
    subject: Annotated[Words | None, Query()] = None,
    status: Annotated[int | None, Query(ge=400, le=599)] = None,
    since: Annotated[Time | None, Query(alias="from", description="From this time on.")] = None,
    until: Annotated[Time | None, Query(alias="to", description="Before this time.")] = None,
) -> ListOf[SecurityEventOut]:
    """List who came in, who was refused, and who changed keys, passwords and webhooks, the latest first.

    Of what comes often, the first is told at once and the others are counted by origin and minute.
    """
    after = read_cursor(cursor, view.ORDER)
    which = view.EventFilter(
        types=types,
        actor=actor,
        key_prefix=key_prefix,
        address=address,
        subject=subject,
        status=status,
        since=since,
        until=until,
    )
    async with services.engine.connect() as connection:
        page = await view.page(connection, which, after=after, limit=limit)
    return answer(page, SecurityEventOut.of)
