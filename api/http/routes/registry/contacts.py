"""Contacts: who can be told, when they are there, and how."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from alerts.escalation.registers import CONTACTS
from api.http.naming import ContactKey, location
from api.http.pagination import DEFAULT_LIMIT, Cursor, Limit, answer, read_cursor
from api.http.routing import Call, Caller, Here, action
from api.http.schemas.escalation import ContactChangeIn, ContactIn, ContactOut, ContactRevision
from api.http.schemas.fields import ListOf, Words
from api.use_cases.registry import contacts
from api.use_cases.registry.registering import CONTACT

router = APIRouter(route_class=Call, tags=["contacts"])


@router.post("/v1/contacts", status_code=201)
@action("contacts.register")
async def register_contact(body: ContactIn, caller: Caller, services: Here, response: Response) -> ContactOut:
    """Register somebody who can be told. What nobody could be told of so far is told at once."""
    row = await contacts.register(
        services.engine,
        services.webhook_targets,
        caller,
        body.value(),
        actor=caller.actor,
        quotas=services.gate.quotas,
    )
    response.headers["Location"] = location("contacts", body.contact_id, caller, row["organization"])
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
async def get_contact(contact_id: ContactKey, caller: Caller, services: Here) -> ContactOut:
    """Show one contact."""
    async with services.engine.connect() as connection:
        return ContactOut(**await CONTACT.get(connection, caller, contact_id))


@router.patch("/v1/contacts/{contact_id}")
@action("contacts.change")
async def change_contact(
    contact_id: ContactKey, body: ContactChangeIn, caller: Caller, services: Here
) -> ContactOut:
    """Change what is given of a contact; it holds for what is decided from now on."""
    row = await contacts.change(
        services.engine,
        services.webhook_targets,
        caller,
        contact_id,
        body.changes(),
        seen=body.revision,
        actor=caller.actor,
        reason=body.reason,
    )
    return ContactOut(**row)


@router.get("/v1/contacts/{contact_id}/revisions")
@action("contacts.read")
async def list_contact_revisions(
    contact_id: ContactKey,
    caller: Caller,
    services: Here,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> ListOf[ContactRevision]:
    """List every description that a contact ever had, oldest first, with who made it and when."""
    after = read_cursor(cursor, CONTACTS.history_order)
    async with services.engine.connect() as connection:
        await CONTACT.get(connection, caller, contact_id)
        page = await CONTACTS.history(connection, contact_id, after=after, limit=limit)
    return answer(page, ContactRevision.of)
