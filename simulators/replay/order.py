"""Pure: the order and the pace of a replay."""

from collections.abc import Iterable, Iterator, Sequence
from random import Random
from typing import Literal, get_args

from simulators.wire.message import RecordedMessage

ReplayOrder = Literal["recorded", "shuffled", "reversed", "by-device"]
ORDERS: tuple[ReplayOrder, ...] = get_args(ReplayOrder)


def in_order(messages: Sequence[RecordedMessage], order: ReplayOrder, seed: int) -> list[RecordedMessage]:
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
