"""Test messages to a contact: one by each of its channels, sent like every other notification."""

import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final
from uuid import uuid4

from sqlalchemy import RowMapping, func, insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.escalation.deciding.notification import WORDS, Purpose, Why
from alerts.escalation.tables import notifications
from alerts.model import Severity
from telemetry.actor import Actor
from telemetry.channels import NotifyChannel
from telemetry.locks import LockSpace

_NAMED: Final = "^.*<([^<>]*)>[ ]*$"
"""A mail address with a name, as Python and the database read it."""

MOST: Final = 5
WITHIN: Final = timedelta(minutes=10)
"""How many test messages an address gets within this time, whichever contacts it belongs to: its owner may not have asked for any."""


async def tested_enough(connection: AsyncConnection, contact: RowMapping) -> str | None:
    """Return an address of a contact that has had as many test messages as allowed; concurrent callers wait."""
    ways = {_plain(way["address"]): str(way["address"]) for way in contact["channels"]}
    for plain, address in sorted(ways.items()):
        key = func.hashtextextended(plain, LockSpace.TEST_MESSAGES.value)
        await connection.execute(select(func.pg_advisory_xact_lock(key)))
        lately = select(func.count()).where(
            func.lower(func.regexp_replace(notifications.c.address, _NAMED, r"\1")) == func.lower(plain),
            notifications.c.purpose == Purpose.TEST,
            notifications.c.decided_at > func.clock_timestamp() - WITHIN,
        )
        if (await connection.execute(lately)).scalar_one() >= MOST:
            return address
    return None


def _plain(address: str) -> str:
    """Return an address as it is compared: without the name of who has it, and in small letters."""
    return re.sub(_NAMED, r"\1", address).lower()


async def send(connection: AsyncConnection, contact: RowMapping, *, actor: Actor) -> Sequence[dict[str, Any]]:
    """Queue a test message by each channel of a contact; return the notifications, empty if it has no channel."""
    made = [_notification(contact, way, actor) for way in contact["channels"]]
    if made:
        await connection.execute(
            insert(notifications).values(decided_at=func.now(), send_at=func.now()), made
        )
        await connection.execute(text(f"NOTIFY {NotifyChannel.NOTIFICATIONS}"))
    return made


def _notification(contact: RowMapping, way: dict[str, Any], actor: Actor) -> dict[str, Any]:
    return {
        "id": uuid4(),
        "scope": "",
        "organization": contact["organization"],
        "contact_id": contact["contact_id"],
        "contact_name": contact["name"],
        "channel": way["channel"],
        "address": way["address"],
        "timezone": contact["timezone"],
        "purpose": Purpose.TEST,
        "reason": Why.TESTED,
        "detail": WORDS[Why.TESTED],
        "severity": Severity.MAJOR,
        "state": "pending",
        "facts": {"by": str(actor)},
    }
