"""Tests of contacts: whether messages get through, before anything depends on it."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, Field

from alerts.escalation.policy import Channel
from api.http.naming import ContactKey
from api.http.routing import Call, Caller, Here, action
from api.rates.policy import Limited
from api.refusals import Refusal
from api.use_cases.registry import contacts

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
    429: {
        "description": "An address has had as many tests lately as one may have, or the caller has sent as many."
    }
}


@router.post("/v1/contacts/{contact_id}/test", status_code=202, responses=TOO_MANY)
@action("contacts.test")
async def test_contact(contact_id: ContactKey, caller: Caller, services: Here) -> SentMessages:
    """Send a test by each of a contact's channels, at once and whatever the time is there."""
    services.gate.spend(caller, Limited.TESTS)
    try:
        async with services.engine.begin() as connection:
            sent = await contacts.send_test(connection, caller, contact_id, actor=caller.actor)
    except Refusal:
        services.gate.give_back(caller, Limited.TESTS)  # no message was sent
        raise
    return SentMessages(notifications=[SentMessage(**one) for one in sent])
