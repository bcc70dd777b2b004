"""Readings that are sent by HTTP, or that somebody hands in: stored after the same checks as by MQTT."""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import and_, or_
from sqlalchemy.ext.asyncio import AsyncEngine

from api.identity.access import Principal, visible_shipments
from api.identity.permissions import KeyRole
from api.refusals import Invalid, TooLarge, Unavailable, Unreadable
from telemetry.actor import Actor
from telemetry.ingest.decode import MAX_READINGS, check_size, parse_json
from telemetry.ingest.pipeline import HTTP_TIMEOUT_S, Ingest, MessageOutcome
from telemetry.ingest.retry import StorageUnavailableError
from telemetry.ingest.senders import LookUpRights, SenderRights, Stretch
from telemetry.ingest.validate_message import ValidatedMessage
from telemetry.model import Authority, RawMessage, Refusal, RefusalReason, Source
from telemetry.registry import devices
from telemetry.registry.holding import assignments
from telemetry.tables import device_assignments, shipments


async def send(
    engine: AsyncEngine,
    ingest: Ingest,
    caller: Principal,
    payload: bytes,
    *,
    actor: Actor,
    now: datetime,
    late: timedelta,
    spend: Callable[[int], object] = lambda _: None,
) -> tuple[MessageOutcome, Authority]:
    """Store the readings of `payload`, a JSON object with a list `readings`; a bad one costs only itself.

    Its `source` says whether they were measured or typed; without it, that goes by the role of the caller (`source_of`).

    For how long after a shipment ended others than the operating organization may send its readings, `late` says.
    `spend` is told how many readings there are, and raises if the caller may not send so many now.

    Returned once all is stored, in transactions of its own; the same again changes nothing. A payload that is refused
    as a whole is kept as evidence, like a message of a logger that nobody can read.
    """
    parsed = parse_json(payload)
    try:
        raws, authority = (
            ([], Authority.LOGGER) if isinstance(parsed, Refusal) else _readings(parsed[0], caller)
        )
        refused = parsed if isinstance(parsed, Refusal) else check_size(payload, len(raws))
        if refused is not None:
            message = RawMessage(source=Source.HTTP, origin=actor.name, payload=payload, received_at=now)
            await ingest.commit_messages(
                [ValidatedMessage(message, refusals=[refused])], timeout_s=HTTP_TIMEOUT_S
            )
            raise _whole(refused)
        spend(len(raws))
        outcome = await ingest.store_http_readings(
            raws,
            payload=payload,
            caller=actor.name,
            received_at=now,
            rights=_rights(engine, caller, now, late),
            authority=authority,
            author=str(actor),
        )
    except StorageUnavailableError:
        raise Unavailable(
            "The database cannot be reached right now; nothing is known to be stored."
        ) from None
    return outcome, authority


def source_of(role: KeyRole, raws: Sequence[Any]) -> Authority:
    """Return what readings are, as they were sent, of a call that does not say it.

    Couriers are people who read something off and type it; but nobody types a logger's counter, so a call in which each
    reading has its `seq` is a read-out. All other keys belong to systems: gateways, stations that read loggers out, other services.
    """
    if role is not KeyRole.COURIER or all(
        isinstance(raw, dict) and raw.get("seq") is not None for raw in raws
    ):
        return Authority.LOGGER
    return Authority.MANUAL


def _readings(body: Any, caller: Principal) -> tuple[list[Any], Authority]:
    if not isinstance(body, dict):
        raise Invalid("body", 'must be a JSON object with a list "readings"')
    for name in body:
        if name not in {"readings", "source"}:
            raise Invalid(str(name)[:64], "is not known here: the fields are readings and source")
    readings = body.get("readings")
    if not isinstance(readings, list) or not 1 <= len(readings) <= MAX_READINGS:
        raise Invalid("readings", f"must be a list of 1 to {MAX_READINGS} readings")
    source = body.get("source")
    if source is None:
        return readings, source_of(caller.role, readings)
    if not isinstance(source, str) or source not in set(Authority):
        raise Invalid("source", f"must be one of {', '.join(Authority)}")
    return readings, Authority(source)


def _whole(refused: Refusal) -> Unreadable | TooLarge:
    text = f"The readings were not stored: {refused.detail}."
    return TooLarge(text) if refused.reason is RefusalReason.TOO_LARGE else Unreadable(text)


def _rights(engine: AsyncEngine, caller: Principal, now: datetime, late: timedelta) -> LookUpRights | None:
    """Return what looks up which readings a caller may send; None if it may send all.

    A `device` key of no organization sends for the loggers that it names as if it were they. Of any other logger, a
    reading counts only if the logger was on a shipment of the caller's when it measured it, and if that shipment ended
    at most `late` ago.
    """
    if caller.is_operator:
        return None
    named = (caller.device_ids or frozenset()) if caller.role is KeyRole.DEVICE else frozenset()
    speaks_for = named if caller.organization is None else frozenset()
    visible = or_(
        visible_shipments(caller),
        and_(shipments.c.organization == caller.organization, device_assignments.c.device_id.in_(named)),
    )

    async def look_up(device_ids: Collection[str], since: datetime, until: datetime) -> SenderRights:
        stretches: dict[str, list[Stretch]] = {device_id: [] for device_id in device_ids}
        async with engine.connect() as connection:
            registered = await devices.registered(connection, speaks_for & set(device_ids))
            for row in await assignments.between(connection, device_ids, since, until, visible):
                is_open = row["ends_at"] is None or now < row["ends_at"] + late
                stretches[row["device_id"]].append(
                    Stretch(
                        assignment_id=row["id"],
                        starts_at=row["starts_at"],
                        ends_at=row["ends_at"],
                        is_open=is_open,
                    )
                )
        return SenderRights(now=now, speaks_for=frozenset(registered), stretches=stretches)

    return look_up
