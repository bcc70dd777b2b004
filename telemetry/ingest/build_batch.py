"""Messages to a batch, in slices that let others run in between, whatever our own code stumbles at."""

from collections.abc import Container, Sequence
from functools import partial
from itertools import chain

import structlog

from telemetry import metrics
from telemetry.ingest.copy_batch import Fresh, prepare_fresh
from telemetry.ingest.insert_batch import Batch, prepare
from telemetry.ingest.validate_columns import judge, lots
from telemetry.ingest.validate_message import Examined, Parcel, examine_parcel, unpack
from telemetry.model import Message, RefusalReason, Refused
from telemetry.slices import in_slices

log = structlog.get_logger(__name__)


async def open_all(messages: Sequence[Message], registered: Container[str]) -> list[Parcel | Examined]:
    """Unpack what came by MQTT."""
    return await in_slices(partial(_unpack, registered=registered), messages)


async def judge_one_by_one(opened: Sequence[Parcel | Examined]) -> Batch:
    """Judge each reading by itself."""
    return prepare(await in_slices(_examined, opened))


async def judge_at_once(opened: Sequence[Parcel | Examined]) -> Fresh | None:
    """Judge what can be in lots and the rest one by one; None where it fails, or nothing is left that can be stored."""
    try:
        judged = await in_slices(judge, list(lots(one for one in opened if isinstance(one, Parcel))))
        good = chain.from_iterable(columns.good.tolist() for columns in judged)
        taken = await in_slices(
            lambda one: one if isinstance(one, Parcel) and next(good) else _examined(one), opened
        )
        return prepare_fresh(taken, judged) if any(one.size for one in taken) else None
    except Exception:  # the ordinary way judges the same, and finds out which message it is
        log.exception("large_batch_failed", hint="its readings are judged one by one")
        return None


def _unpack(message: Message, registered: Container[str]) -> Parcel | Examined:
    """Unpack, and refuse what makes our own code stumble: one message must never stop all the others."""
    try:
        return unpack(message, registered)
    except Exception as error:  # whatever it is, the other messages must not wait for it
        log.exception("examining_failed", origin=message.origin)
        return _stumbled(message, error)


def _examined(one: Parcel | Examined) -> Examined:
    """Examine what is not yet, and refuse what makes our own code stumble."""
    if isinstance(one, Examined):
        return one
    try:
        return examine_parcel(one)
    except Exception as error:  # whatever it is, the other messages must not wait for it
        log.exception("examining_failed", origin=one.message.origin)
        return _stumbled(one.message, error)


def _stumbled(message: Message, error: Exception) -> Examined:
    metrics.POISONED.inc()
    detail = f"it could not be judged, which is our fault: {error!r}"
    return Examined(message, refused=[Refused(reason=RefusalReason.INVALID_READING, detail=detail)])
