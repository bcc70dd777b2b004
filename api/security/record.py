"""Record security events with the change that they tell of: in its transaction, and in the log once it is committed."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import structlog
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from api.logs import SECURITY
from api.security.events import SecurityEvent, SecurityEventType
from api.security.tables import security_events
from api.transactions import after_commit
from telemetry.actor import Actor, ActorKind

log = structlog.get_logger(SECURITY)


@dataclass(frozen=True, slots=True)
class Calling:
    """From where, and with which call, somebody does something."""

    address: str | None = None
    call: str | None = None


_NOWHERE = Calling()
_CALLING: ContextVar[Calling] = ContextVar("calling", default=_NOWHERE)


@contextmanager
def calling(address: str | None, call: str) -> Iterator[None]:
    """Say from where everything that is recorded within the block is done."""
    token = _CALLING.set(Calling(address, call))
    try:
        yield
    finally:
        _CALLING.reset(token)


def current_call() -> Calling:
    """Return from where the current call comes; nowhere for a command."""
    return _CALLING.get()


async def record(
    connection: AsyncConnection,
    type_: SecurityEventType,
    *,
    actor: Actor,
    subject: str,
    details: Mapping[str, Any] | None = None,
) -> None:
    """Record what is done in this transaction; it is logged once that is committed, and not at all otherwise."""
    where = current_call()
    event = SecurityEvent(
        type=type_,
        at=datetime.now(UTC),
        actor=str(actor),
        key_prefix=actor.name if actor.kind is ActorKind.KEY else None,
        address=where.address,
        call=where.call,
        subject=subject,
        details=details,
    )
    await connection.execute(insert(security_events).values(row(event)))
    after_commit(connection, partial(say, event))


def say(event: SecurityEvent) -> None:
    """Write the log line of an event."""
    log.info(event.type.value, **event.line())


def row(event: SecurityEvent) -> dict[str, Any]:
    """Return the values of the columns."""
    return {
        "at": event.at,
        "type": event.type,
        "actor": event.actor,
        "key_prefix": event.key_prefix,
        "address": event.address,
        "call": event.call,
        "subject": event.subject,
        "status": event.status,
        "count": event.count,
        "last_at": event.last_at,
        "details": event.details,
    }
