"""Pure: how much there is to send."""

from collections.abc import Iterable
from dataclasses import dataclass

from simulators.replay.contents import instant_ms, readings_in
from simulators.wire.message import RecordedMessage


@dataclass(frozen=True, slots=True)
class MessageSurvey:
    """How much there is to send. Instants are in epoch milliseconds; None if no reading has one."""

    messages: int
    readings: int
    devices: int
    oldest_ms: int | None
    newest_ms: int | None


def survey_messages(messages: Iterable[RecordedMessage]) -> MessageSurvey:
    """Go through the messages once, and count."""
    number = readings = 0
    devices: set[str] = set()
    oldest: int | None = None
    newest: int | None = None
    for number, message in enumerate(messages, 1):  # noqa: B007 (counted, and used after the loop)
        devices.add(message.device_id)
        for reading in readings_in(message):
            readings += 1
            at_ms = instant_ms(reading.get("measured_at"))
            if at_ms is not None:
                oldest = at_ms if oldest is None else min(oldest, at_ms)
                newest = at_ms if newest is None else max(newest, at_ms)
    return MessageSurvey(number, readings, len(devices - {""}), oldest, newest)
