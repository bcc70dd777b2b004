"""Pure: recorded messages made ready to be sent again: in which order, when, and with which times inside."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from random import Random
from typing import Any, Literal, get_args

import orjson

from simulators.instants import milliseconds, moment, rfc3339
from simulators.wire.ack import Ack
from simulators.wire.recording import RecordedMessage
from simulators.wire.topics import carries_readings

Order = Literal["recorded", "shuffled", "reversed", "by-device"]
ORDERS: tuple[Order, ...] = get_args(Order)
_INSTANTS = ("measured_at", "flight_mode_until", "at")


@dataclass(frozen=True, slots=True)
class Survey:
    """What there is to send; instants in epoch milliseconds, None without a single legible reading."""

    messages: int
    readings: int
    devices: int
    oldest_ms: int | None
    newest_ms: int | None


def survey(messages: Iterable[RecordedMessage]) -> Survey:
    """Go through messages once, and count."""
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
    return Survey(number, readings, len(devices - {""}), oldest, newest)


def readings_in(message: RecordedMessage) -> list[dict[str, Any]]:
    """Return the readings that a message carries; none where it is of another kind, or illegible."""
    if not carries_readings(message.topic):
        return []
    try:
        said = orjson.loads(message.payload)
    except orjson.JSONDecodeError:
        return []
    each = said if isinstance(said, list) else [said]
    return [reading for reading in each if isinstance(reading, dict)]


def instant_ms(value: Any) -> int | None:
    """Return the epoch milliseconds of an instant as a message says it, as text or number; None where it is none."""
    if type(value) is int:
        return value
    if not isinstance(value, str):
        return None
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        return None
    return None if at.tzinfo is None else milliseconds(at)


def in_order(messages: Sequence[RecordedMessage], order: Order, seed: int) -> list[RecordedMessage]:
    """Return the messages in another order; the same seed gives the same one.

    By device, one logger after the other, each in its recorded order.
    """
    if order == "reversed":
        return list(reversed(messages))
    if order == "by-device":
        return sorted(messages, key=lambda message: message.device_id)
    ordered = list(messages)
    if order == "shuffled":
        Random(seed).shuffle(ordered)  # noqa: S311 (repeatable, not secret)
    return ordered


def paced(
    messages: Iterable[RecordedMessage], instants_ms: Iterable[int]
) -> Iterator[tuple[int, RecordedMessage]]:
    """Yield the messages with how many milliseconds after the first one each is due.

    The instants are those of the recording, whatever the order now: the traffic keeps its rhythm.
    """
    began: int | None = None
    for message, at_ms in zip(messages, instants_ms, strict=True):
        began = at_ms if began is None else began
        yield at_ms - began, message


def shifted(message: RecordedMessage, by_ms: int) -> RecordedMessage:
    """Return a message with all its instants so much later; a payload that is not JSON stays as it is."""
    try:
        said = orjson.loads(message.payload)
    except orjson.JSONDecodeError:
        return replace(message, at_ms=message.at_ms + by_ms)
    later = [_later(each, by_ms) for each in said] if isinstance(said, list) else _later(said, by_ms)
    return replace(message, at_ms=message.at_ms + by_ms, payload=orjson.dumps(later))


def _later(said: Any, by_ms: int) -> Any:
    if not isinstance(said, dict):
        return said
    changed = dict(said)
    for name in _INSTANTS:
        at_ms = instant_ms(said.get(name))
        if at_ms is not None:
            text = isinstance(said[name], str)
            changed[name] = rfc3339(moment(at_ms + by_ms)) if text else at_ms + by_ms
    return changed


class Unconfirmed:
    """The numbered readings that were sent, and of which the service has not said yet that they are stored."""

    def __init__(self) -> None:
        self.numbered = 0
        self.stored = 0
        self._sent: dict[tuple[str, int], set[int]] = {}
        self._open: dict[tuple[str, int], set[int]] = {}

    @property
    def left(self) -> int:
        return self.numbered - self.stored

    def sent(self, message: RecordedMessage) -> int:
        """Take in a message that is being sent, and return how many readings it has; sent twice, one counts once here."""
        readings = readings_in(message)
        for boot, seq in _numbers(readings):
            sent = self._sent.setdefault((message.device_id, boot), set())
            if seq not in sent:
                sent.add(seq)
                self._open.setdefault((message.device_id, boot), set()).add(seq)
                self.numbered += 1
        return len(readings)

    def lacks(self, message: RecordedMessage) -> bool:
        """Whether a message has a reading that is not confirmed."""
        return any(
            seq in self._open.get((message.device_id, boot), ())
            for boot, seq in _numbers(readings_in(message))
        )

    def confirm(self, device_id: str, ack: Ack) -> None:
        """Take in what the service says to have."""
        waiting = self._open.get((device_id, ack.boot), set())
        absent: set[int] = set()
        for first, last in ack.missing:
            # Whichever is shorter: a stretch that is missing, or what is waited for.
            few = range(first, last + 1) if last - first < len(waiting) else waiting
            absent.update(seq for seq in few if first <= seq <= last)
        here = {seq for seq in waiting if seq <= ack.highest} - absent
        self.stored += len(here)
        waiting -= here


def _numbers(readings: list[dict[str, Any]]) -> Iterator[tuple[int, int]]:
    """Yield boot and seq of those that have them."""
    for reading in readings:
        boot, seq = reading.get("boot", 0), reading.get("seq")
        if type(seq) is int and type(boot) is int:
            yield boot, seq
