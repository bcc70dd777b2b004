"""Contacts: who can be told, when they are there, and how."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.escalation.registers import CONTACTS, look_again, unknown_contacts
from api.http.pagination import DEFAULT_LIMIT, Cursor, Limit, answer, read_cursor
from api.http.problems import invalid
from api.http.routing import Call, Caller, Here, action
from api.http.schemas.escalation import ContactChangeIn, ContactIn, ContactOut, ContactRevision, WayIn
from api.http.schemas.fields import Id, ListOf, Words
from api.http.services import Services
from api.use_cases.registering import CONTACT

router = APIRouter(route_class=Call, tags=["contacts"])


@router.post("/v1/contacts", status_code=201)
@action("contacts.register")
async def register_contact(body: ContactIn, caller: Caller, services: Here, response: Response) -> ContactOut:
    """Register somebody who can be told. What nobody could be told of so far is told at once."""
    await _check(services, body.channels)
    async with services.engine.begin() as connection:
        row = await CONTACT.add(connection, caller, body.contact_id, body.values())
        await _check_fallback(connection, body.contact_id, body.fallback, row["organization"])
        await look_again(connection)
    response.headers["Location"] = f"/v1/contacts/{body.contact_id}"
    return ContactOut(**row)


@router.get("/v1/contacts")
@action("contacts.read")
async def list_contacts(
    caller: Caller,
    services: Here,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    q: Annotated[Words | None, Query(description="Part of an id, a name or an organization.")] = None,
) -> ListOf[ContactOut]:
    """List the contacts by id."""
    after = read_cursor(cursor, CONTACTS.order)
    async with services.engine.connect() as connection:
        page = await CONTACT.page(connection, caller, q=q, after=after, limit=limit)
    return answer(page, lambda row: ContactOut(**row))


@router.get("/v1/contacts/{contact_id}")
@action("contacts.read")
async def get_contact(contact_id: Id, caller: Caller, services: Here) -> ContactOut:
    """Show one contact."""
    async with services.engine.connect() as connection:
        return ContactOut(**await CONTACT.get(connection, caller, contact_id))


@router.patch("/v1/contacts/{contact_id}")
@action("contacts.change")
async def change_contact(contact_id: Id, body: ContactChangeIn, caller: Caller, services: Here) -> ContactOut:
    """Change what is given of a contact; it holds for what is decided from now on."""
    await _check(services, body.channels or ())
    async with services.engine.begin() as connection:
        row = await CONTACT.lock(connection, caller, contact_id)
        if body.fallback is not None:
            await _check_fallback(connection, contact_id, body.fallback, row["organization"])
        changed = await CONTACT.change(
            connection, caller, row, body.values(), seen=body.revision, reason=body.reason
        )
        if changed["revision"] != row["revision"]:
            await look_again(connection)
    return ContactOut(**changed)


@router.get("/v1/contacts/{contact_id}/revisions")
@action("contacts.read")
async def list_contact_revisions(
    contact_id: Id, caller: Caller, services: Here, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> ListOf[ContactRevision]:
    """List every description that a contact ever had, oldest first, with who made it and when."""
    after = read_cursor(cursor, CONTACTS.history_order)
    async with services.engine.connect() as connection:
        await CONTACT.get(connection, caller, contact_id)
        page = await CONTACTS.history(connection, contact_id, after=after, limit=limit)
    return answer(page, ContactRevision.of)


async def _check(services: Services, ways: Any) -> None:
    """Refuse a room of a chat that messages may not lead to."""
    way: WayIn
    for number, way in enumerate(ways):
        if way.channel == "chat" and isinstance(
            why := await services.webhook_targets.check(way.address), str
        ):
            raise invalid(f"channels[{number}].address", why)


async def _check_fallback(
    connection: AsyncConnection, contact_id: str, fallback: str | None, organization: str | None
) -> None:
    if fallback is None:
        return
    if fallback == contact_id:
        raise invalid("fallback", "must be another contact")
    if await unknown_contacts(connection, [fallback], organization):
        raise invalid("fallback", f"names no contact that may be told instead: {fallback}")
