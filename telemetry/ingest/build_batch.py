"""Build a batch from messages, in slices that let the event loop run.

A message at which our own code fails is refused and kept, so that it never stops the others.
"""

from collections.abc import Container, Sequence
from functools import partial
from itertools import chain

import structlog

from telemetry import metrics
from telemetry.ingest.copy_batch import CopyBatch, prepare_copy
from telemetry.ingest.insert_batch import InsertBatch, prepare_insert
from telemetry.ingest.validate_columns import chunks, validate_columns
from telemetry.ingest.validate_message import ParsedMessage, ValidatedMessage, parse_message, validate_parsed
from telemetry.model import RawMessage, Refusal, RefusalReason
from telemetry.slices import in_slices

log = structlog.get_logger(__name__)


async def parse_messages(
    messages: Sequence[RawMessage], registered: Container[str]
) -> list[ParsedMessage | ValidatedMessage]:
    """Parse messages that came by MQTT."""
    return await in_slices(partial(_parse, registered=registered), messages)


async def build_insert_batch(messages: Sequence[ParsedMessage | ValidatedMessage]) -> InsertBatch:
    """Validate each reading by itself, and build a batch for INSERT."""
    return prepare_insert(await in_slices(_validate, messages))


async def build_copy_batch(messages: Sequence[ParsedMessage | ValidatedMessage]) -> CopyBatch | None:
    """Validate by columns where possible, and build a batch for COPY; None if that fails or no reading is valid."""
    try:
        columns = await in_slices(
            validate_columns, list(chunks(one for one in messages if isinstance(one, ParsedMessage)))
        )
        valid = chain.from_iterable(chunk.valid.tolist() for chunk in columns)
        accepted = await in_slices(
            lambda one: one if isinstance(one, ParsedMessage) and next(valid) else _validate(one), messages
        )
        return prepare_copy(accepted, columns) if any(one.size for one in accepted) else None
    except Exception:  # validating each reading by itself finds out which message it is
        log.exception("large_batch_failed", hint="its readings are validated one by one")
        return None


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
