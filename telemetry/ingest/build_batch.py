"""Build a batch from messages, in slices that let the event loop run.

A message at which our own code fails is refused and kept, so that it never stops the others.
"""

from collections.abc import Container, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from typing import Final, TypeVar

import structlog

from telemetry import metrics
from telemetry.ingest.copy_batch import CopyBatch, prepare_copy
from telemetry.ingest.insert_batch import InsertBatch, prepare_insert
from telemetry.ingest.validate_columns import chunks, validate_columns
from telemetry.ingest.validate_message import (
    ParsedMessage,
    ValidatedMessage,
    parse_message,
    validate_parsed,
    without_impossible,
)
from telemetry.model import RawMessage, Refusal, RefusalReason
from telemetry.slices import in_slices
from telemetry.timekeeping.judge_times import LookUpHistories, in_doubt
from telemetry.timekeeping.possible_times import RECENT

log = structlog.get_logger(__name__)

_NEVER: Final = datetime.max.replace(tzinfo=UTC)


async def parse_messages(
    messages: Sequence[RawMessage], registered: Container[str]
) -> list[ParsedMessage | ValidatedMessage]:
    """Parse messages that came by MQTT."""
    return await in_slices(partial(_parse, registered=registered), messages)


async def build_insert_batch(
    messages: Sequence[ParsedMessage | ValidatedMessage], look_up: LookUpHistories | None = None
) -> InsertBatch:
    """Validate each reading by itself, and build a batch for INSERT; without `look_up`, no time is too old."""
    validated = await in_slices(_validate, messages)
    return prepare_insert(validated if look_up is None else await _possible(validated, look_up))


async def build_copy_batch(
    messages: Sequence[ParsedMessage | ValidatedMessage], look_up: LookUpHistories | None = None
) -> CopyBatch | None:
    """Validate by columns where possible, and build a batch for COPY; None if that fails or no reading is valid."""
    try:
        columns = await in_slices(
            validate_columns, list(chunks(one for one in messages if isinstance(one, ParsedMessage)))
        )
        valid = chain.from_iterable(chunk.valid.tolist() for chunk in columns)
        accepted = await in_slices(
            lambda one: one if isinstance(one, ParsedMessage) and next(valid) else _validate(one), messages
        )
        possible = accepted if look_up is None else await _possible(accepted, look_up)
        return prepare_copy(possible, columns) if any(one.size for one in possible) else None
    except Exception:  # validating each reading by itself finds out which message it is
        log.exception("large_batch_failed", hint="its readings are validated one by one")
        return None


M = TypeVar("M", bound=ParsedMessage | ValidatedMessage)


async def _possible(messages: Sequence[M], look_up: LookUpHistories) -> Sequence[M | ValidatedMessage]:
    """Refuse readings whose time cannot be; what was valid by columns is recent."""
    validated = [one for one in messages if isinstance(one, ValidatedMessage)]
    recent = max((one.message.received_at for one in validated), default=_NEVER) - RECENT
    if not any(reading[1] < recent for one in validated for reading in one.readings):  # nearly always
        return messages
    doubtful = set(chain.from_iterable(in_doubt(one.message, one.readings) for one in validated))
    if not doubtful:
        return messages
    histories = await look_up(doubtful)
    return [
        without_impossible(one, histories) if isinstance(one, ValidatedMessage) else one for one in messages
    ]


def _parse(message: RawMessage, registered: Container[str]) -> ParsedMessage | ValidatedMessage:
    try:
        return parse_message(message, registered)
    except Exception as error:  # whatever it is, the other messages must not wait for it
        log.exception("examining_failed", origin=message.origin)
        return _refuse(message, error)


def _validate(message: ParsedMessage | ValidatedMessage) -> ValidatedMessage:
    if isinstance(message, ValidatedMessage):
        return message
    try:
        return validate_parsed(message)
    except Exception as error:  # whatever it is, the other messages must not wait for it
        log.exception("examining_failed", origin=message.message.origin)
        return _refuse(message.message, error)


def _refuse(message: RawMessage, error: Exception) -> ValidatedMessage:
    metrics.POISONED.inc()
    detail = f"our own code failed to validate it: {error!r}"
    return ValidatedMessage(message, refusals=[Refusal(reason=RefusalReason.INVALID_READING, detail=detail)])
