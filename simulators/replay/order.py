"""Pure: the order in which messages are replayed, and when each is due."""

from collections.abc import Iterable, Iterator, Sequence
from random import Random
from typing import Literal

from simulators.wire.message import RecordedMessage

ReplayOrder = Literal["recorded", "shuffled", "reversed", "by-device"]


def in_order(messages: Sequence[RecordedMessage], order: ReplayOrder, seed: int) -> list[RecordedMessage]:
    """Return the messages in another order. The same seed gives the same order.

    `by-device` sends one logger after another, each in its recorded order.
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
    """Yield each message with the milliseconds after the first one at which it is due.

    `instants_ms` are those of the recording, in its order. In another order, the traffic keeps its rhythm.
    """
    began: int | None = None
    for message, at_ms in zip(messages, instants_ms, strict=True):
        began = at_ms if began is None else began
        yield at_ms - began, message
