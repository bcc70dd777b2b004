"""API keys: made, listed, revoked."""

from uuid import UUID

from fastapi import APIRouter, Response

from api.http.pagination import DEFAULT_LIMIT, Cursor, Limit, answer, read_cursor
from api.http.problems import invalid, not_found
from api.http.routing import Call, Caller, Here, action
from api.http.schemas.fields import ListOf
from api.http.schemas.keys import KeyCreated, KeyIn, KeyOut
from api.identity import keys
from api.identity.keys import KeyRefused

router = APIRouter(route_class=Call, tags=["keys"])


@router.post("/v1/keys", status_code=201)
@action("keys.create")
async def create_key(body: KeyIn, caller: Caller, services: Here, response: Response) -> KeyCreated:
    """Make an API key. It is in this answer and nowhere else."""
    if body.expires_at is not None and body.expires_at <= services.clock():
        raise invalid("expires_at", "lies in the past")
    async with services.engine.begin() as connection:
        made = await keys.create(connection, **body.model_dump(), created_by=caller.name)
    if isinstance(made, KeyRefused):
        raise invalid(made.field, made.why)
    response.headers["Location"] = f"/v1/keys/{made.id}"
    return KeyCreated(id=made.id, key=made.key)


@router.get("/v1/keys")
@action("keys.read")
async def list_keys(services: Here, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None) -> ListOf[KeyOut]:
    """List API keys, the newest first, also those that were revoked."""
    after = read_cursor(cursor, keys.ORDER)
    async with services.engine.connect() as connection:
        page = await keys.page(connection, after=after, limit=limit)
    return answer(page, KeyOut.of)


@router.get("/v1/keys/{key_id}")
@action("keys.read")
async def get_key(key_id: UUID, services: Here) -> KeyOut:
    """Show one API key."""
    async with services.engine.connect() as connection:
        row = await keys.get(connection, key_id)
    if row is None:
        raise not_found("API key", key_id)
    return KeyOut.of(row)


@router.delete("/v1/keys/{key_id}", status_code=204)
@action("keys.revoke")
async def revoke_key(key_id: UUID, services: Here) -> None:
    """Revoke an API key, for good; within a few seconds it stops to work everywhere."""
    async with services.engine.begin() as connection:
        revoked = await keys.revoke(connection, key_id)
    if not revoked:
        raise not_found("API key", key_id)
