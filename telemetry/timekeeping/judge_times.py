"""Pure: refuse readings whose time cannot be, each with the fault of the clock that it shows.

Nearly no message has one, and then this costs a comparison for each reading.
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Final, TypeAlias

from telemetry.model import RawMessage, Reading, Refusal, RefusalReason
from telemetry.timekeeping.faults import WORDS, ClockFault, Diagnosis, diagnose
from telemetry.timekeeping.possible_times import LoggerHistory, is_possible, is_recent

LookUpHistories: TypeAlias = Callable[[Collection[str]], Awaitable[Mapping[str, LoggerHistory]]]
"""Finds since when loggers are registered, and when they were on shipments."""

_WHAT_TO_DO: Final = "Have the clock set"
_IF_HISTORY: Final = "If the time is right, enter the shipment that it was measured on, and send it again"


def in_doubt(message: RawMessage, readings: Sequence[Reading]) -> set[str]:
    """Return the loggers of a message with readings so old that it depends on the logger whether they can be."""
    if not message.clock_is_sure:
        return set()
    return {one.device_id for one in readings if not is_recent(one.measured_at, message.received_at)}


def judge_times(
    message: RawMessage, results: Sequence[Reading | Refusal], histories: Mapping[str, LoggerHistory]
) -> list[Reading | Refusal]:
    """Return the readings of a message, with a refusal in the place of each whose time cannot be.

    Of loggers without a history, every time can be.
    """
    received_at = message.received_at
    impossible: dict[str, list[int]] = defaultdict(list)
    for place, one in enumerate(results):
        if not isinstance(one, Reading) or is_recent(one.measured_at, received_at):
            continue
        history = histories.get(one.device_id)
        if history is not None and not is_possible(one.measured_at, received_at, history):
            impossible[one.device_id].append(place)
    judged = list(results)
    for device_id, places in impossible.items():
        readings = [one for place in places if isinstance(one := results[place], Reading)]
        found = diagnose([one.measured_at for one in readings], received_at, histories[device_id])
        for place, reading, diagnosis in zip(places, readings, found, strict=True):
            judged[place] = _refuse(reading, diagnosis)
    return judged


def _refuse(reading: Reading, diagnosis: Diagnosis) -> Refusal:
    detail = f"measured_at is {_text(reading.measured_at)}, which cannot be: {WORDS[diagnosis.fault]}"
    if diagnosis.true_at is not None:
        detail += f"; it was probably measured {_text(diagnosis.true_at)}"
    what = _IF_HISTORY if diagnosis.fault is ClockFault.BEHIND else _WHAT_TO_DO
    return Refusal(
        reason=RefusalReason.CLOCK_BEHIND,
        detail=f"{detail}. {what}",
        device_id=reading.device_id,
        boot=reading.boot,
        seq=reading.seq,
        sent_at=reading.measured_at,
        temperature_c=reading.temperature_c,
        fault=diagnosis.fault.value,
        true_at=diagnosis.true_at,
    )


def _text(at: datetime) -> str:
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")
