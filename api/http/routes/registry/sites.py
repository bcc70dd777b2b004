"""Sites: where shipments come from, go through and go to."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from api.http.naming import SiteKey, location
from api.http.pagination import DEFAULT_LIMIT, Cursor, Limit, answer, read_cursor
from api.http.routing import Call, Caller, Here, action
from api.http.schemas.fields import ListOf, Words
from api.http.schemas.registry.sites import SiteChangeIn, SiteIn, SiteOut, SiteRevision
from api.use_cases.registry import sites
from api.use_cases.registry.registering import SITE
from telemetry.registry.sites import SITES

router = APIRouter(route_class=Call, tags=["sites"])


@router.post("/v1/sites", status_code=201)
@action("sites.register")
async def register_site(body: SiteIn, caller: Caller, services: Here, response: Response) -> SiteOut:
    """Register a site; shipments that name its id as a place then mean it."""
    async with services.engine.begin() as connection:
        row = await sites.register(
            connection,
            caller,
            body.value(),
            actor=caller.actor,
            quotas=services.gate.quotas,
        )
    response.headers["Location"] = location("sites", body.site_id, caller, row["organization"])
    return SiteOut(**row)


@router.get("/v1/sites")
@action("sites.read")
async def list_sites(
    caller: Caller,
    services: Here,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    q: Annotated[Words | None, Query(description="Part of an id, a name or an organization.")] = None,
) -> ListOf[SiteOut]:
    """List the sites by id."""
    after = read_cursor(cursor, SITES.order)
    async with services.engine.connect() as connection:
        page = await SITE.page(connection, caller, q=q, after=after, limit=limit)
    return answer(page, lambda row: SiteOut(**row))


@router.get("/v1/sites/{site_id}")
@action("sites.read")
async def get_site(site_id: SiteKey, caller: Caller, services: Here) -> SiteOut:
    """Show one site."""
    async with services.engine.connect() as connection:
        return SiteOut(**await SITE.get(connection, caller, site_id))


@router.patch("/v1/sites/{site_id}")
@action("sites.change")
async def change_site(site_id: SiteKey, body: SiteChangeIn, caller: Caller, services: Here) -> SiteOut:
    """Change what is given of a site; null takes away what need not be there. What it was before stays on record.

    Shipments under way that name it are judged by the new description, from their start on.
    """
    async with services.engine.begin() as connection:
        row = await sites.change(
            connection,
            caller,
            site_id,
            body.changes(),
            seen=body.revision,
            actor=caller.actor,
            reason=body.reason,
        )
    return SiteOut(**row)


@router.get("/v1/sites/{site_id}/revisions")
@action("sites.read")
async def list_site_revisions(
    site_id: SiteKey, caller: Caller, services: Here, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> ListOf[SiteRevision]:
    """List every description that a site ever had, oldest first, with who made it and when."""
    after = read_cursor(cursor, SITES.history_order)
    async with services.engine.connect() as connection:
        await SITE.get(connection, caller, site_id)
        page = await SITES.history(connection, site_id, after=after, limit=limit)
    return answer(page, SiteRevision.of)
