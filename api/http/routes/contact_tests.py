"""Tests of contacts: whether messages get through, before anything depends on it."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, Field
from sqlalchemy import select

from alerts.escalation.policy import Channel
from alerts.escalation.tables import contacts
from alerts.notifications import test_message
from api.http.problems import Problem, not_found
from api.http.routing import Call, Caller, Here, action
from api.http.schemas.fields import Id
from api.identity.access import own_entries
from api.use_cases.registering import by

router = APIRouter(route_class=Call, tags=["contacts"])


class SentMessage(BaseModel):
    """One message that was put on its way."""

    id: Annotated[UUID, Field(description="Of the notification, which says what became of it.")]
    channel: Channel
    address: str


class SentMessages(BaseModel):
    """A message by each channel of the contact."""

    notifications: list[SentMessage]


TOO_MANY: dict[int | str, dict[str, Any]] = {
    429: {"description": "An address has had as many tests lately as one may have."}
}


@router.post("/v1/contacts/{contact_id}/test", status_code=202, responses=TOO_MANY)
@action("contacts.test")
async def test_contact(contact_id: Id, caller: Caller, services: Here) -> SentMessages:
    """Send a test by each of a contact's channels, at once and whatever the time is there."""
    mine = own_entries(caller, contacts.c.organization)
    wanted = select(contacts).where(contacts.c.contact_id == contact_id, mine)
    async with services.engine.begin() as connection:
        contact = (await connection.execute(wanted)).mappings().first()
        if contact is None:
            raise not_found("contact", contact_id)
        if (address := await test_message.tested_enough(connection, contact)) is not None:
            raise _too_many(address)
        sent = await test_message.send(connection, contact, by=by(caller))
    if not sent:
        raise Problem(409, f"The contact {contact_id} has no channel to test: give it one first.")
    return SentMessages(notifications=[SentMessage(**one) for one in sent])


def _too_many(address: str) -> Problem:
    within_s = int(test_message.WITHIN.total_seconds())
    return Problem(
        429,
        f"{address} has had {test_message.MOST} tests within {within_s // 60} minutes: look at GET /v1/notifications for what "
        "became of them, and test again later.",
        headers={"Retry-After": str(within_s)},
    )
