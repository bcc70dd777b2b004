"""Dewars: the shippers."""

from fastapi import APIRouter, Response

from api.pagination import DEFAULT_LIMIT, Cursor, Limit, answer, read_cursor
from api.problems import Problem, not_found
from api.routing import Call, Here
from api.schemas.dewars import DewarIn, DewarOut
from api.schemas.fields import Id, ListOf
from telemetry.registry import dewars

router = APIRouter(route_class=Call, tags=["dewars"])


@router.post("/v1/dewars", status_code=201)
async def register_dewar(body: DewarIn, services: Here, response: Response) -> DewarOut:
    """Register a shipper."""
    async with services.engine.begin() as connection:
        row = await dewars.add(connection, body.model_dump())
    if row is None:
        raise Problem(409, f"There is a dewar {body.dewar_id} already.")
    response.headers["Location"] = f"/v1/dewars/{body.dewar_id}"
    return DewarOut(**row)


@router.get("/v1/dewars")
async def list_dewars(
    services: Here, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> ListOf[DewarOut]:
    """List the shippers by id."""
    after = read_cursor(cursor, dewars.ORDER)
    async with services.engine.connect() as connection:
        page = await dewars.page(connection, after=after, limit=limit)
    return answer(page, lambda row: DewarOut(**row))


@router.get("/v1/dewars/{dewar_id}")
async def get_dewar(dewar_id: Id, services: Here) -> DewarOut:
    """Show one shipper."""
    async with services.engine.connect() as connection:
        row = await dewars.get(connection, dewar_id)
    if row is None:
        raise not_found("dewar", dewar_id)
    return DewarOut(**row)
