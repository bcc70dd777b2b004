"""API keys: made, listed, revoked."""

from uuid import UUID

from fastapi import APIRouter, Response

from api.http.pagination import DEFAULT_LIMIT, Cursor, Limit, answer, read_cursor
from api.http.routing import Call, Caller, Here, action
from api.http.schemas.fields import ListOf
from api.http.schemas.keys import KeyCreated, KeyIn, KeyOut
from api.identity import keys
from api.refusals import NotFound
from api.transactions import begin
from api.use_cases import keys as use_cases

router = APIRouter(route_class=Call, tags=["keys"])


@router.post("/v1/keys", status_code=201)
@action("keys.create")
async def create_key(body: KeyIn, caller: Caller, services: Here, response: Response) -> KeyCreated:
    """Make an API key. It is in this answer and nowhere else."""
    async with begin(services.engine) as connection:
        made = await use_cases.create(
            connection, **body.model_dump(), actor=caller.actor, now=services.clock()
        )
    response.headers["Location"] = f"/v1/keys/{made.id}"
    return KeyCreated(id=made.id, key=made.key)


@router.get("/v1/keys")
@action("keys.read")
async def list_keys(services: Here, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None) -> ListOf[KeyOut]:
    """List API keys, the newest first, also those that were revoked."""
    after = read_cursor(cursor, keys.ORDER)
    async with services.engine.connect() as connection:
        lasts = services.courier_key_lasts
        page = await keys.page(connection, after=after, limit=limit, courier_key_lasts=lasts)
    return answer(page, KeyOut.of)


@router.get("/v1/keys/{key_id}")
@action("keys.read")
async def get_key(key_id: UUID, services: Here) -> KeyOut:
    """Show one API key."""
    async with services.engine.connect() as connection:
        row = await keys.get(connection, key_id, courier_key_lasts=services.courier_key_lasts)
    if row is None:
        raise NotFound("API key", key_id)
    return KeyOut.of(row)


@router.delete("/v1/keys/{key_id}", status_code=204)
@action("keys.revoke")
async def revoke_key(key_id: UUID, caller: Caller, services: Here) -> None:
    """Revoke an API key, for good; within a second it stops to work everywhere.

    Its streams end, and the webhooks that belong to it: see `owned_by` of a webhook.
    """
    async with begin(services.engine) as connection:
        await use_cases.revoke(connection, key_id, actor=caller.actor)
