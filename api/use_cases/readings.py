"""Readings that are sent by HTTP, or that somebody hands in: stored after the same checks as by MQTT."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from api.identity.access import Principal, visible_shipments
from api.identity.permissions import KeyRole
from api.refusals import Invalid, TooLarge, Unavailable, Unreadable
from telemetry.actor import Actor
from telemetry.ingest.decode import MAX_READINGS, check_size, parse_json
from telemetry.ingest.pipeline import HTTP_TIMEOUT_S, Ingest, MessageOutcome
from telemetry.ingest.retry import StorageUnavailableError
from telemetry.ingest.validate_message import ValidatedMessage, named_device
from telemetry.model import RawMessage, Refusal, RefusalReason, Source
from telemetry.registry.assignments import assigned_devices


async def send(
    engine: AsyncEngine, ingest: Ingest, caller: Principal, payload: bytes, *, actor: Actor, now: datetime
) -> MessageOutcome:
    """Store the readings of `payload`, a JSON object with a list `readings`; a bad one costs only itself.

    Returned once all is stored, in transactions of its own; the same again changes nothing. A payload that is refused
    as a whole is kept as evidence, like a message of a logger that nobody can read.
    """
    parsed = parse_json(payload)
    try:
        raws = [] if isinstance(parsed, Refusal) else _readings(parsed[0])
        refused = parsed if isinstance(parsed, Refusal) else check_size(payload, len(raws))
        if refused is not None:
            message = RawMessage(source=Source.HTTP, origin=actor.name, payload=payload, received_at=now)
            await ingest.commit_messages(
                [ValidatedMessage(message, refusals=[refused])], timeout_s=HTTP_TIMEOUT_S
            )
            raise _whole(refused)
        return await ingest.store_http_readings(
            raws,
            payload=payload,
            caller=actor.name,
            received_at=now,
            allowed=await _allowed(engine, caller, raws),
        )
    except StorageUnavailableError:
        raise Unavailable(
            "The database cannot be reached right now; nothing is known to be stored."
        ) from None


def _readings(body: Any) -> list[Any]:
    if not isinstance(body, dict):
        raise Invalid("body", 'must be a JSON object with a list "readings"')
    for name in body:
        if name != "readings":
            raise Invalid(str(name)[:64], "is not known here: readings is the only field")
    readings = body.get("readings")
    if not isinstance(readings, list) or not 1 <= len(readings) <= MAX_READINGS:
        raise Invalid("readings", f"must be a list of 1 to {MAX_READINGS} readings")
    return readings


def _whole(refused: Refusal) -> Unreadable | TooLarge:
    text = f"The readings were not stored: {refused.detail}."
    return TooLarge(text) if refused.reason is RefusalReason.TOO_LARGE else Unreadable(text)


async def _allowed(engine: AsyncEngine, caller: Principal, raws: Sequence[Any]) -> Callable[[str], bool]:
    """Return for which loggers the caller may send: operators for all, others for those on their shipments."""
    if caller.is_operator:
        return lambda _: True
    named = {device_id for raw in raws if (device_id := named_device(raw))}
    async with engine.connect() as connection:
        theirs = await assigned_devices(connection, named, visible_shipments(caller))
    if caller.role is KeyRole.DEVICE:
        theirs |= caller.device_ids or frozenset()
    return theirs.__contains__
