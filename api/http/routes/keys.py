"""API keys: made, listed, revoked."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from fastapi.responses import JSONResponse

from api.http.pagination import DEFAULT_LIMIT, Cursor, Limit, answer, read_cursor
from api.http.routing import Call, Caller, Here, action
from api.http.schemas.fields import ListOf, Words
from api.http.schemas.keys import KeyCreated, KeyIn, KeyName, KeyOut, KeyRevoked
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
            connection,
            **body.model_dump(),
            actor=caller.actor,
            now=services.clock(),
            courier_key_lasts=services.courier_key_lasts,
        )
    response.headers["Location"] = f"/v1/keys/{made.id}"
    return KeyCreated(**asdict(made))


@router.get("/v1/keys")
@action("keys.read")
async def list_keys(
    services: Here,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    prefix: Annotated[Words | None, Query(description="Only the key with this prefix.")] = None,
) -> ListOf[KeyOut]:
    """List API keys, the newest first, also those that were revoked."""
    after = read_cursor(cursor, keys.ORDER)
    async with services.engine.connect() as connection:
        lasts = services.courier_key_lasts
        page = await keys.page(connection, after=after, limit=limit, prefix=prefix, courier_key_lasts=lasts)
    return answer(page, KeyOut.of)


@router.get("/v1/keys/{key_id}")
@action("keys.read")
async def get_key(key_id: KeyName, services: Here) -> KeyOut:
    """Show one API key."""
    async with services.engine.connect() as connection:
        row = await keys.get(connection, key_id, courier_key_lasts=services.courier_key_lasts)
    if row is None:
        raise NotFound("API key", key_id)
    return KeyOut.of(row)


LIVES_ON: dict[int | str, dict[str, Any]] = {
    200: {"model": KeyRevoked, "description": "It is revoked, and webhooks that were made with it live on."}
}


@router.delete("/v1/keys/{key_id}", status_code=204, responses=LIVES_ON)
@action("keys.revoke")
async def revoke_key(
    key_id: KeyName,
    caller: Caller,
    services: Here,
    *,
    end_webhooks: Annotated[
        bool,
        Query(description="End all webhooks that were made with it, too. They cannot be resumed."),
    ] = False,
) -> Response:
    """Revoke an API key, for good; within a second it stops to work everywhere. Its streams end.

    Webhooks belong to organizations, and live on: the answer names those that were made with the key.
    """
    async with begin(services.engine) as connection:
        left = await use_cases.revoke(connection, key_id, end_webhooks=end_webhooks, actor=caller.actor)
    if not left:
        return Response(status_code=204)
    return JSONResponse(KeyRevoked.of(left).model_dump(mode="json"))
